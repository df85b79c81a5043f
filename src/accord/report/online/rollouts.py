"""Completions of the rollouts, chosen to show what is rewarded: rollouts.jsonl, as people read it."""

import json
import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from accord.report.document import cut, turns
from accord.report.facts import Facts, number
from accord.report.words import count, short

SHOWN = 3  # pairs of a kind
ENOUGH = 20  # completions to speak of a correlation


class Rollout(NamedTuple):
    """One completion. `earlier` are the turns, (role, text), that led to the prompt; `key` says which prompt it is."""

    step: int
    key: str
    earlier: list[tuple[str, str]]
    prompt: str
    completion: str
    reward: float
    finished: bool

    @property
    def told(self) -> str:
        cut_off = "" if self.finished else " · cut off"
        return f"reward {short(self.reward)} · {count(len(self.completion.split()), 'word')}{cut_off}"


class Gallery(NamedTuple):
    """Pairs of completions under one heading.

    heads       name the two sides; the one called `accent` is coloured
    one_prompt  whether the prompts of a pair are one
    """

    title: str
    says: str
    heads: tuple[str, str]
    accent: str
    pairs: list[tuple[Rollout, Rollout]]
    one_prompt: bool = False


def galleries(facts: Facts) -> list[Gallery]:
    """What was written early and late, and what earned most and least."""
    told = rollouts(facts.rollouts)
    return [gallery for gallery in (_early_and_late(told), _extremes(told)) if gallery]


def rollouts(records: Iterable[dict[str, Any]]) -> list[Rollout]:
    """The records in the order of training, without those that lack a number."""
    found = [rollout for record in records if (rollout := _rollout(record))]
    return sorted(found, key=lambda rollout: rollout.step)


def _rollout(record: dict[str, Any]) -> Rollout | None:
    step, reward = number(record.get("step")), number(record.get("reward"))
    if step is None or reward is None:
        return None
    *earlier, (_, prompt) = turns(record.get("prompt", ""))
    said = turns(record.get("completion", ""))
    completion = said[0][1] if len(said) == 1 else "\n\n".join(f"{role}: {text}" for role, text in said)
    return Rollout(
        int(step),
        json.dumps(record.get("prompt"), sort_keys=True),
        [(role, cut(text)) for role, text in earlier],
        cut(prompt),
        cut(completion),
        reward,
        record.get("finished") is not False,
    )


def _early_and_late(told: Sequence[Rollout]) -> Gallery | None:
    """Of the same prompts where prompts came again, else of the middle rewards."""
    if not told:
        return None
    middle = (told[0].step + told[-1].step) / 2
    first: dict[str, Rollout] = {}
    last: dict[str, Rollout] = {}
    for rollout in told:
        if rollout.step <= middle:
            first.setdefault(rollout.key, rollout)
        elif rollout.key in first and (rollout.key not in last or last[rollout.key].step < rollout.step):
            last[rollout.key] = rollout
    heads = ("Early", "Late")
    if last:
        pairs = [(one, last[key]) for key, one in first.items() if key in last][:SHOWN]
        says = "The first completion that was kept of a prompt, and the first of its last rollout. None was picked."
        return Gallery("The same prompts, early and late", says, heads, "Late", pairs, one_prompt=True)
    quarter = (told[-1].step - told[0].step) / 4
    early = _typical([rollout for rollout in told if rollout.step <= told[0].step + quarter])
    late = _typical([rollout for rollout in told if rollout.step >= told[-1].step - quarter])
    if quarter <= 0:
        return None
    says = "Completions with the rewards nearest to the median of the first and the last quarter of training."
    return Gallery("Typical completions, early and late", says, heads, "Late", list(zip(early, late, strict=False)))


def _typical(told: Sequence[Rollout]) -> list[Rollout]:
    centre = median(rollout.reward for rollout in told)
    return sorted(told, key=lambda rollout: abs(rollout.reward - centre))[:SHOWN]


def _extremes(told: Sequence[Rollout]) -> Gallery | None:
    """What earned most and what least, over the whole run: each text once."""
    ordered = sorted({rollout.completion: rollout for rollout in told}.values(), key=lambda rollout: -rollout.reward)
    pairs = [(high, low) for high, low in zip(ordered, reversed(ordered), strict=True) if high.reward > low.reward]
    if not pairs:
        return None
    says = f"Of the {len(told):,} completions that were kept. If the left side is not what you want, nor is the reward."
    return Gallery("Most and least rewarded", says, ("Most", "Least"), "Most", pairs[:SHOWN])


def length_correlation(facts: Facts) -> float | None:
    """Between a completion's reward and its length in characters, within steps: from −1 to 1. None for too few, or
    where either does not vary."""
    told = rollouts(facts.rollouts)
    by_step: dict[int, list[Rollout]] = {}
    for rollout in told:
        by_step.setdefault(rollout.step, []).append(rollout)
    if len(told) < ENOUGH:
        return None
    rewards = [x for some in by_step.values() for x in _centred([rollout.reward for rollout in some])]
    lengths = [x for some in by_step.values() for x in _centred([float(len(rollout.completion)) for rollout in some])]
    scale = math.sqrt(sum(x * x for x in rewards) * sum(x * x for x in lengths))
    return sum(r * n for r, n in zip(rewards, lengths, strict=True)) / scale if scale else None


def _centred(values: list[float]) -> list[float]:
    centre = sum(values) / len(values)
    return [value - centre for value in values]
