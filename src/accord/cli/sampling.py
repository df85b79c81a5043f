"""The work of `accord sample`: which prompts are still to be answered, and their answers, kept as they come."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from accord.cli.bars import bars
from accord.cli.sample_places import Answer, Place
from accord.feedback import AccordError, Prompt, fingerprint
from accord.rollout import Sampler
from accord.rollout.server import ServerSampler


@dataclass
class Tally:
    """What was sampled so far. `tokens` are those of the answers whose number of tokens is known."""

    answers: int = 0
    finished: int = 0
    counted: int = 0
    tokens: int = 0

    def add(self, answers: Sequence[Answer]) -> None:
        self.answers += len(answers)
        self.finished += sum(answer.finished for answer in answers)
        self.counted += sum(answer.tokens is not None for answer in answers)
        self.tokens += sum(answer.tokens or 0 for answer in answers)

    def figures(self) -> dict[str, Any]:
        """As `--json` prints them."""
        mean = self.tokens / self.counted if self.counted else None
        return {"answers": self.answers, "finished": self.finished, "mean_tokens": mean}


def unanswered(prompts: Sequence[Prompt], places: Sequence[Place], n: int) -> list[Prompt]:
    """The prompts of which not all n answers are kept yet. What one place has and another lacks is copied."""
    left = []
    for prompt in prompts:
        kept = {k: answer for place in places for k, answer in place.held[prompt.id].items() if k < n}
        if len(kept) < n:
            left.append(prompt)
            continue
        for place in places:
            place.keep(prompt, kept.values())
    return left


def ask(
    make: Callable[[], Sampler | ServerSampler],
    prompts: Sequence[Prompt],
    n: int,
    settings: dict[str, Any],
    places: Sequence[Place],
    console: Console,
) -> dict[str, Any]:
    """Has the prompts answered by the sampler that `make` gives, and the answers kept. Returns figures to tell."""
    tally = Tally()
    if not prompts:
        return {**tally.figures(), "seconds": 0.0, "losses": []}
    sampler = make()
    began = time.perf_counter()
    with bars(console) as track:
        progress = track("Sampling", len(prompts) * n)
        try:
            for prompt, answers in _answered(sampler, prompts, n, settings, progress):
                for place in places:
                    place.keep(prompt, answers)
                tally.add(answers)
        except AccordError as error:
            raise AccordError(f"{error} ({tally.answers} answers were kept: the same command goes on)") from error
    losses = sampler.losses if isinstance(sampler, ServerSampler) else []
    return {**tally.figures(), "seconds": time.perf_counter() - began, "losses": losses}


def _answered(
    sampler: Sampler | ServerSampler,
    prompts: Sequence[Prompt],
    n: int,
    settings: dict[str, Any],
    progress: Callable[[int], None],
) -> Iterator[tuple[Prompt, list[Answer]]]:
    """Each prompt with its n answers, as soon as it has them all. Its id names its draws: they depend on no other."""
    found: dict[int, list[Answer]] = defaultdict(list)
    contents, names = [prompt.content for prompt in prompts], [int(fingerprint(prompt.id), 16) for prompt in prompts]
    for done, sampled in enumerate(sampler.sample(contents, n=n, names=names, **settings), 1):
        progress(done)
        found[sampled.prompt].append(Answer.of(sampled))
        if len(found[sampled.prompt]) == n:
            yield prompts[sampled.prompt], sorted(found.pop(sampled.prompt))
