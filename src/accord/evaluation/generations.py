"""Are the trained model's answers better than the base's? Held-out prompts, a judge, and lengths beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accord.evaluation.interval import Interval, proportion, weighted_mean
from accord.evaluation.judges import Judge, in_both_orders, words
from accord.evaluation.preferences import named

ABOUT_EQUAL = 0.2  # two answers are about equally long where the shorter lacks at most this share of the longer
ENOUGH = 5  # pairs, below which a win rate of its own says nothing


@dataclass(frozen=True, slots=True)
class LengthReport:
    """Mean words of an answer before and after training; the difference is paired."""

    before: Interval
    after: Interval
    difference: Interval

    @property
    def remark(self) -> str:
        """What became of the lengths, in one sentence."""
        before, after = self.before.value, self.after.value
        if not (self.difference.above(0) or self.difference.below(0)) or not before:
            return f"Answers are about as long as before ({before:.0f} words before, {after:.0f} after)."
        change = f"{abs(after / before - 1):.0%} {'longer' if after > before else 'shorter'}"
        return f"Answers are {change} than before ({before:.0f} words before, {after:.0f} after)."

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `words_before`, `words_after`, …"""
        kept = named("words_before", self.before) | named("words_after", self.after)
        return kept | named("words_difference", self.difference) | {"length_remark": self.remark}


@dataclass(frozen=True, slots=True)
class WinRateReport:
    """Trained answers against the base's, prompt by prompt.

    win_rate     (wins + ½·ties) / answers: the answers of the trained model that the judge prefers
    same_length  win rate among pairs of about equal length (within 20 %), None below five of them
    verdicts     1, ½ or 0 for each pair (¼ and ¾ where a judge contradicts itself in one order)
    """

    judge: str
    n_answers: int
    n_prompts: int
    win_rate: Interval
    wins: int
    ties: int
    losses: int
    lengths: LengthReport
    same_length: Interval | None
    n_same_length: int
    verdicts: list[float]

    @property
    def remark(self) -> str:
        """What the lengths have to say about the win rate, in two sentences."""
        if self.same_length is None:
            what = f"{self.n_same_length} pairs are of about equal length: too few to tell taste from length."
        else:
            what = f"In the {self.n_same_length} pairs of about equal length the win rate is {self.same_length}."
        return f"{self.lengths.remark} {what}"

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `win_rate`, `win_rate_ci`, …"""
        kept = {"judge": self.judge, "n_answers": self.n_answers, "n_answered_prompts": self.n_prompts}
        kept |= named("win_rate", self.win_rate) | {"wins": self.wins, "ties": self.ties, "losses": self.losses}
        if self.same_length:
            kept |= named("win_rate_same_length", self.same_length)
        return kept | self.lengths.to_summary() | {"n_same_length": self.n_same_length, "length_remark": self.remark}


def length_report(
    before: Sequence[str], after: Sequence[str], *, prompt_ids: Sequence[str] | None = None, seed: int = 0
) -> LengthReport:
    """How long N answers of the base (`before`) and of the trained model (`after`) are, in words."""
    old, new = (np.array([words(text) for text in texts], dtype=float) for texts in (before, after))
    return LengthReport(*(weighted_mean(x, np.ones(len(old)), prompt_ids, seed=seed) for x in (old, new, new - old)))


def win_rate_report(
    prompts: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    judge: Judge,
    *,
    judge_name: str = "",
    prompt_ids: Sequence[str] | None = None,
    seed: int = 0,
) -> WinRateReport:
    """Let `judge` compare N answers of the trained model (`after`) with N of the base (`before`), in both orders.

    Several answers to one prompt are resampled together: `prompt_ids`, or the prompts themselves, say which.
    Raises ValueError where the three differ in length or are empty.
    """
    if not len(prompts) == len(before) == len(after) or not len(prompts):
        counts = f"{len(prompts)} prompts, {len(before)} answers before and {len(after)} after"
        raise ValueError(f"{counts}: a win rate needs as many of each, and at least one")
    clusters = list(prompts if prompt_ids is None else prompt_ids)
    verdicts = np.array([in_both_orders(judge, p, a, b) for p, a, b in zip(prompts, after, before, strict=True)])
    old, new = (np.array([words(text) for text in texts]) for texts in (before, after))
    close = np.abs(new - old) <= ABOUT_EQUAL * np.maximum(new, old)
    return WinRateReport(
        judge=judge_name,
        n_answers=len(verdicts),
        n_prompts=len(set(clusters)),
        win_rate=proportion(verdicts, np.ones(len(verdicts)), clusters, seed=seed),
        wins=int((verdicts > 0.5).sum()),
        ties=int((verdicts == 0.5).sum()),
        losses=int((verdicts < 0.5).sum()),
        lengths=length_report(before, after, prompt_ids=clusters, seed=seed),
        same_length=_win_rate_of(verdicts, clusters, close, seed) if close.sum() >= ENOUGH else None,
        n_same_length=int(close.sum()),
        verdicts=verdicts.tolist(),
    )


def _win_rate_of(verdicts, clusters, kept, seed) -> Interval:
    chosen = [cluster for cluster, keep in zip(clusters, kept, strict=True) if keep]
    return proportion(verdicts[kept], np.ones(int(kept.sum())), chosen, seed=seed)
