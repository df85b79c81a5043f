"""Does a reward model see what people see? Held-out pairs: how often it is right, how sure, and whether it is only
counting words.

Δ = r(chosen) − r(rejected), with r the mean of the model's heads. A pair is decided where p, the probability that
people prefer chosen, is not ½; its better answer is the one that they prefer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accord.evaluation.interval import Floats, Interval, bootstrap, proportion, ratio, weighted_mean
from accord.evaluation.preferences import (
    BINS,
    calibration_error,
    calibration_sums,
    confidence,
    log_losses,
    named,
    right,
)

#: How intervals are drawn: `clusters_N` and `seed` of `bootstrap`.
Draw = dict[str, Any]
ENOUGH = 5  # pairs, below which an accuracy of their own says nothing


@dataclass(frozen=True, slots=True)
class LengthBias:
    """What the model's judgement owes to the answers' lengths. The first five are of decided pairs; a pair of equal
    lengths counts half where a longer answer is asked for.

    longer_wins      share in which the better answer is the longer: how often the rule "the longer one wins" is right
    prefers_longer   share in which the model rewards the longer answer more
    exaggeration     prefers_longer − longer_wins: above 0 where the model likes length more than people do
    accuracy_longer_better, accuracy_shorter_better   among pairs whose better answer is the longer, the shorter; None
                     below five of them
    share            |longer_wins − ½| / (accuracy − ½): how much of what the model knows beyond a coin the rule knows
                     as well, or the opposite rule where that is the better one. None where the accuracy is not
                     clearly above ½
    correlation      of reward and length between the answers to one prompt: Σ Δr·Δl / √(Σ Δr² · Σ Δl²), −1 to 1
    """

    longer_wins: Interval
    prefers_longer: Interval
    exaggeration: Interval
    accuracy_longer_better: Interval | None
    accuracy_shorter_better: Interval | None
    share: Interval | None
    correlation: Interval

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `length_longer_wins`, `length_longer_wins_ci`, …"""
        return _named("length_", self)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What an ensemble's heads say of one another. They agree on a pair where all put the same answer first.

    spread      standard deviation of Δ over the heads, averaged over pairs
    agree       share of the pairs on which they agree
    accuracy_agree, accuracy_split   of the mean reward, where they agree and where they do not; None below five pairs
    difference  accuracy_agree − accuracy_split: above 0 where disagreement warns of errors
    """

    spread: Interval
    agree: Interval
    accuracy_agree: Interval | None
    accuracy_split: Interval | None
    difference: Interval | None

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `heads_spread`, `heads_spread_ci`, …"""
        return _named("heads_", self)


@dataclass(frozen=True, slots=True)
class RewardReport:
    """Held-out pairs under a reward model.

    accuracy           share of the decided pairs with Δ on people's side (Δ = 0 counts half)
    margin             mean Δ, in units of reward
    log_loss           cross-entropy of people's p with the model's; nats
    calibration_error  how far the model's probability is from how often it is right (10 equal bins)
    reliability        that, bin by bin: how sure the model said it was, how often it was right, the bin's share
    """

    n_pairs: int
    n_prompts: int
    n_heads: int
    accuracy: Interval
    margin: Interval
    log_loss: Interval
    calibration_error: Interval
    reliability: dict[str, list[float]]
    length: LengthBias
    disagreement: Disagreement | None
    margins: Floats  # Δ of each pair

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `accuracy`, `accuracy_ci`, …"""
        kept: dict[str, Any] = {"n_test_pairs": self.n_pairs, "n_test_prompts": self.n_prompts, "n_heads": self.n_heads}
        for name in ("accuracy", "margin", "log_loss", "calibration_error"):
            kept |= named(name, getattr(self, name))
        heads = self.disagreement.to_summary() if self.disagreement else {}
        return kept | {"reliability": self.reliability} | self.length.to_summary() | heads


def _named(prefix: str, part: LengthBias | Disagreement) -> dict[str, Any]:
    found = {f.name: getattr(part, f.name) for f in fields(part)}
    return {key: x for name, each in found.items() if each for key, x in named(prefix + name, each).items()}


def reward_report(
    scores: ArrayLike,
    lengths: ArrayLike,
    p_chosen: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    logits: ArrayLike | None = None,
    prompt_ids: Sequence[str] | None = None,
    seed: int = 0,
) -> RewardReport:
    """Judge a reward model by N held-out pairs.

    scores      [N, 2, M] by M heads, or [N, 2]: of (chosen, rejected)
    lengths     [N, 2] of the two answers, in any unit
    p_chosen    [N] in [0, 1]: probability that people prefer chosen
    weights     [N]: how much each pair counts; 1 where None
    logits      [N] log-odds that the model gives chosen, where they are not Δ (where it was taught about ties)
    prompt_ids  [N]: pairs with one prompt are resampled together

    Raises ValueError for other shapes, or scores that are not finite.
    """
    scores, lengths = np.asarray(scores, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    if scores.ndim not in (2, 3) or scores.shape[1] != 2 or not len(scores):
        raise ValueError(f"scores has the shape {scores.shape}; give [N, 2] or [N, 2, heads], N at least 1")
    if lengths.shape != scores.shape[:2]:
        raise ValueError(f"lengths has the shape {lengths.shape}; give one for each answer, {scores.shape[:2]}")
    scores = scores.reshape(len(scores), 2, -1)
    if len(bad := np.flatnonzero(~np.isfinite(scores).all((1, 2)))):
        raise ValueError(f"the scores of pair {bad[0]} are not finite; the model diverged or the answer is empty")
    p = np.broadcast_to(np.asarray(p_chosen, dtype=np.float64), len(scores))
    w = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    margins_NM = scores[:, 0] - scores[:, 1]
    margins = margins_NM.mean(1)
    logits = margins if logits is None else np.asarray(logits, dtype=np.float64)
    side, decided = np.where(p < 0.5, -1.0, 1.0), w * (p != 0.5)
    draw: Draw = {"clusters_N": prompt_ids, "seed": seed}
    found = right(side * margins)
    accuracy = proportion(found, decided, **draw)
    return RewardReport(
        n_pairs=len(scores),
        n_prompts=len(scores) if prompt_ids is None else len(set(prompt_ids)),
        n_heads=scores.shape[2],
        accuracy=accuracy,
        margin=weighted_mean(margins, w, **draw),
        log_loss=weighted_mean(log_losses(logits, p), w, **draw),
        calibration_error=bootstrap(calibration_error, calibration_sums(logits, p, w), **draw),
        reliability=_reliability(logits, p, w),
        length=_length_bias(side * margins, side * (lengths[:, 0] - lengths[:, 1]), accuracy, decided, draw),
        disagreement=_disagreement(margins_NM, found, w, decided, draw) if scores.shape[2] > 1 else None,
        margins=margins,
    )


def _reliability(logits: Floats, p: Floats, w: Floats) -> dict[str, list[float]]:
    """The bins that are not empty."""
    said_N, agreed_N, bin_N = confidence(logits, p)
    weight, said, agreed = (np.bincount(bin_N, weights=w * x, minlength=BINS) for x in (1, said_N, agreed_N))
    there = weight > 0
    return {
        "said": (said[there] / weight[there]).tolist(),
        "right": (agreed[there] / weight[there]).tolist(),
        "share": (weight[there] / weight.sum()).tolist(),
    }


def _length_bias(margins: Floats, longer: Floats, accuracy: Interval, decided: Floats, draw: Draw) -> LengthBias:
    """`margins` and `longer` are the better answer's lead in reward and in length."""
    rule, model = right(longer), right(np.sign(longer) * margins)
    way = 1 if rule @ decided >= decided.sum() / 2 else -1

    def share(sums):
        return way * (sums[..., 0] / sums[..., 2] - 0.5) / (sums[..., 1] / sums[..., 2] - 0.5)

    def correlation(sums):
        return sums[..., 0] / np.sqrt(sums[..., 1] * sums[..., 2])

    products = np.stack([margins * longer, margins**2, longer**2], -1) * decided[:, None]
    known = np.stack([rule, right(margins), np.ones(len(rule))], -1) * decided[:, None]
    return LengthBias(
        longer_wins=proportion(rule, decided, **draw),
        prefers_longer=proportion(model, decided, **draw),
        exaggeration=weighted_mean(model - rule, decided, **draw),
        accuracy_longer_better=_accuracy(right(margins), decided * (longer > 0), draw),
        accuracy_shorter_better=_accuracy(right(margins), decided * (longer < 0), draw),
        share=bootstrap(share, known, **draw) if accuracy.above(0.5) else None,
        correlation=bootstrap(correlation, products, **draw),
    )


def _disagreement(margins_NM: Floats, found: Floats, w: Floats, decided: Floats, draw: Draw) -> Disagreement:
    agree = np.abs(np.sign(margins_NM).sum(1)) == margins_NM.shape[1]
    alike, split = _accuracy(found, decided * agree, draw), _accuracy(found, decided * ~agree, draw)
    sums = np.stack([decided * agree * found, decided * agree, decided * ~agree * found, decided * ~agree], -1)

    def difference(sums):
        return ratio(sums[..., :2]) - ratio(sums[..., 2:])

    return Disagreement(
        spread=weighted_mean(margins_NM.std(1), w, **draw),
        agree=proportion(agree, w, **draw),
        accuracy_agree=alike,
        accuracy_split=split,
        difference=bootstrap(difference, sums, **draw) if alike and split else None,
    )


def _accuracy(found: Floats, weights: Floats, draw: Draw) -> Interval | None:
    """Of the pairs that count, which alone are drawn from."""
    kept = np.flatnonzero(weights > 0)
    if len(kept) < ENOUGH:
        return None
    ids = draw["clusters_N"]
    some = None if ids is None else [ids[i] for i in kept]
    return proportion(found[kept], weights[kept], some, seed=draw["seed"])
