"""Does the model want what people want? Held-out single answers, each wanted or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accord.evaluation.interval import (
    Floats,
    Interval,
    bootstrap,
    cluster_index,
    draws,
    percentiles,
)
from accord.evaluation.preferences import named


@dataclass(frozen=True, slots=True)
class UnpairedReport:
    """Single answers under the trained model; r = β·(log π − log π_ref) is its implied reward.

    accuracy  probability that a wanted answer has a higher r than an unwanted one (ties half): the area under the
              ROC curve. The base model's is ½ by construction.
    margin    mean r of the wanted − mean r of the unwanted

    A log-loss is not given: it would depend on a reference point that the answers do not tell.
    """

    n_answers: int
    n_prompts: int
    accuracy: Interval
    margin: Interval

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it."""
        counts = {"n_test_answers": self.n_answers, "n_test_prompts": self.n_prompts}
        return counts | named("accuracy", self.accuracy) | {"base_accuracy": 0.5} | named("margin", self.margin)


def unpaired_report(
    policy_logps: ArrayLike,
    reference_logps: ArrayLike,
    p_desirable: ArrayLike,
    weights: ArrayLike | None = None,
    beta: float = 0.1,
    *,
    prompt_ids: Sequence[str] | None = None,
    seed: int = 0,
) -> UnpairedReport:
    """Judge the trained model by N held-out answers.

    policy_logps, reference_logps  [N] or [N, 1]: log-probability of the answer given the prompt, summed over tokens
    p_desirable  [N] in [0, 1]: probability that people want it. An answer counts p as wanted, 1 − p as unwanted.

    Raises ValueError where all are wanted, or none.
    """
    rewards = beta * (np.asarray(policy_logps, np.float64).ravel() - np.asarray(reference_logps, np.float64).ravel())
    if not np.isfinite(rewards).all():
        raise ValueError(f"answer {np.flatnonzero(~np.isfinite(rewards))[0]} has no finite log-probability")
    p = np.broadcast_to(np.asarray(p_desirable, dtype=np.float64), len(rewards))
    w = np.ones(len(rewards)) if weights is None else np.asarray(weights, dtype=np.float64)
    wanted, unwanted = w * p, w * (1 - p)
    if not wanted.sum() or not unwanted.sum():
        raise ValueError("all held-out answers have one label; an accuracy needs wanted and unwanted ones")

    def gap(sums):
        return sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3]

    sums = np.stack([wanted * rewards, wanted, unwanted * rewards, unwanted], -1)
    return UnpairedReport(
        n_answers=len(rewards),
        n_prompts=len(rewards) if prompt_ids is None else len(set(prompt_ids)),
        accuracy=ranking(rewards, wanted, unwanted, prompt_ids, seed=seed),
        margin=bootstrap(gap, sums, prompt_ids, seed=seed),
    )


def ranking(scores_N: Floats, wanted_N: Floats, unwanted_N: Floats, clusters_N=None, *, seed: int = 0) -> Interval:
    """P(score of a wanted answer > that of an unwanted one) + ½·P(equal), each answer counted by its two weights."""
    level_N = np.unique(scores_N, return_inverse=True)[1]
    index_N = cluster_index(clusters_N, len(scores_N))

    def area(counts_N: Floats) -> float:
        good = np.bincount(level_N, weights=counts_N * wanted_N)
        bad = np.bincount(level_N, weights=counts_N * unwanted_N)
        below = np.cumsum(bad) - bad / 2  # of equal scores, half
        return float(good @ below / (good.sum() * bad.sum()))

    with np.errstate(invalid="ignore", divide="ignore"):
        value = area(np.ones(len(scores_N)))
        drawn = [area(counts_C[index_N]) for counts in draws(int(index_N.max()) + 1, seed) for counts_C in counts]
    return percentiles(value, np.asarray(drawn))
