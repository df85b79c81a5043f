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
class WinRateReport:
    """Trained answers against the base's, prompt by prompt.

    win_rate      (wins + ½·ties) / answers: the answers of the trained model that the judge prefers
    words_before, words_after, words_difference   mean words of an answer; the difference is paired
    same_length   win rate among pairs of about equal length (within 20 %), None below five of them
    verdicts      1, ½ or 0 for each pair (¼ and ¾ where a judge contradicts itself in one order)
    """

    judge: str
    n_answers: int
    n_prompts: int
    win_rate: Interval
    wins: int
    ties: int
    losses: int
    words_before: Interval
    words_after: Interval
    words_difference: Interval
    same_length: Interval | None
    n_same_length: int
    verdicts: list[float]

    @property
    def remark(self) -> str:
        """What the lengths have to say about the win rate, in one or two sentences."""
        before, after = self.words_before.value, self.words_after.value
        drifted = self.words_difference.above(0) or self.words_difference.below(0)
        if not drifted:
            return f"Answers are about as long as before ({before:.0f} words before, {after:.0f} after)."
        change = f"{abs(after / before - 1):.0%} {'longer' if after > before else 'shorter'}" if before else "longer"
        text = f"Answers are {change} than before ({before:.0f} words before, {after:.0f} after). "
        if self.same_length is None:
            return text + f"{self.n_same_length} pairs are of about equal length: too few to tell taste from length."
        return text + f"In the {self.n_same_length} pairs of about equal length the win rate is {self.same_length}."

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `win_rate`, `win_rate_ci`, …"""
        kept = {"judge": self.judge, "n_answers": self.n_answers, "n_test_prompts_answered": self.n_prompts}
        kept |= named("win_rate", self.win_rate) | {"wins": self.wins, "ties": self.ties, "losses": self.losses}
        kept |= named("words_before", self.words_before) | named("words_after", self.words_after)
        kept |= named("words_difference", self.words_difference) | {"n_same_length": self.n_same_length}
        if self.same_length:
            kept |= named("win_rate_same_length", self.same_length)
        return kept | {"length_remark": self.remark}


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
    alike = np.ones(len(verdicts))
    old, new = (np.array([words(text) for text in texts], dtype=float) for texts in (before, after))
    close = np.abs(new - old) <= ABOUT_EQUAL * np.maximum(new, old)
    return WinRateReport(
        judge=judge_name,
        n_answers=len(verdicts),
        n_prompts=len(set(clusters)),
        win_rate=proportion(verdicts, alike, clusters, seed=seed),
        wins=int((verdicts > 0.5).sum()),
        ties=int((verdicts == 0.5).sum()),
        losses=int((verdicts < 0.5).sum()),
        words_before=weighted_mean(old, alike, clusters, seed=seed),
        words_after=weighted_mean(new, alike, clusters, seed=seed),
        words_difference=weighted_mean(new - old, alike, clusters, seed=seed),
        same_length=_win_rate_of(verdicts, clusters, close, seed) if close.sum() >= ENOUGH else None,
        n_same_length=int(close.sum()),
        verdicts=verdicts.tolist(),
    )


def _win_rate_of(verdicts, clusters, kept, seed) -> Interval:
    chosen = [cluster for cluster, keep in zip(clusters, kept, strict=True) if keep]
    return proportion(verdicts[kept], np.ones(int(kept.sum())), chosen, seed=seed)
