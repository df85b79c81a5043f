"""How far the trained model has gone from its base, seen on what it writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accord.evaluation.interval import Interval, weighted_mean
from accord.evaluation.preferences import named


@dataclass(frozen=True, slots=True)
class KLReport:
    """KL(π ‖ π_base) of whole answers, in nats an answer, estimated on answers x drawn from π.

    k1  mean of log π(x) − log π_base(x): unbiased, noisy, may come out negative
    k3  mean of ratio − 1 − log ratio with ratio = π_base(x)/π(x): unbiased, never negative, and dominated by single
        answers once the models are far apart

    Schulman 2020, "Approximating KL divergence". Both hold only for answers sampled at temperature 1 without top-p or
    top-k cuts.
    """

    n_answers: int
    k1: Interval
    k3: Interval
    per_token: float  # k1 over the mean number of tokens; NaN where lengths were not given

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it; `kl` is k1."""
        return named("kl", self.k1) | named("kl_k3", self.k3) | {"kl_per_token": self.per_token}


def kl_report(
    policy_logps: ArrayLike,
    base_logps: ArrayLike,
    prompt_ids: Sequence[str] | None = None,
    tokens: ArrayLike | None = None,
    *,
    seed: int = 0,
) -> KLReport:
    """KL from the base by N answers that the trained model wrote.

    policy_logps, base_logps  [N]: log-probability of each answer under either model, summed over tokens
    tokens                    [N]: their lengths
    """
    log_ratios = np.asarray(policy_logps, np.float64).ravel() - np.asarray(base_logps, np.float64).ravel()
    if not len(log_ratios) or not np.isfinite(log_ratios).all():
        raise ValueError("KL needs at least one answer, and a finite log-probability for each")
    alike = np.ones(len(log_ratios))
    k1 = weighted_mean(log_ratios, alike, prompt_ids, seed=seed)
    k3 = weighted_mean(np.expm1(-log_ratios) + log_ratios, alike, prompt_ids, seed=seed)
    return KLReport(len(log_ratios), k1, k3, np.nan if tokens is None else k1.value / float(np.asarray(tokens).mean()))
