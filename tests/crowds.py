"""Votes of simulated crowds whose members are known, on answers whose length is what tastes go by."""

import numpy as np

from accord.feedback import Comparison, Message, Prompt, Response
from accord.quality.crowd import Crowd, Role, draw_crowd, simulate_comparisons

TASTES = ("concise", "detailed")


def material(pairs: int = 80) -> list[tuple[Prompt, Response, Response]]:
    """Prompts with a short and a long answer each."""
    prompts = [Prompt((Message("user", f"Question {n}?"),)) for n in range(pairs)]
    said = [
        [Response(p.id, (Message("assistant", f"{n} " + "word " * words),)) for words in (8 + n % 5, 60 + n % 7)]
        for n, p in enumerate(prompts)
    ]
    return [(p, *two) for p, two in zip(prompts, said, strict=True)]


def voted(
    tastes: tuple[float, ...] = (0.6, 0.4),
    roles: dict[Role, int] | None = None,
    *,
    pairs: int = 80,
    each: int = 40,
    seed: int = 0,
    reliability: tuple[float, float] = (0.7, 0.95),
) -> tuple[Crowd, list[tuple[Prompt, Response, Response]], list[Comparison]]:
    """A crowd, shares of it of each of TASTES, what it was asked, and what it said of it."""
    asked = material(pairs)
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, roles or {Role.HONEST: 20}, reliability=reliability, tastes=tastes)
    return crowd, asked, list(simulate_comparisons(crowd, asked, TASTES[: len(tastes)], votes_each=each, seed=seed))


def nouns(crowd: Crowd, asked: list[tuple[Prompt, Response, Response]], votes: list[Comparison]) -> list:
    """All of it, each before its use."""
    return [*(each for three in asked for each in three), *crowd.annotators, *votes]
