"""Does the model prefer what people prefer? Held-out preference pairs, before and after training."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accord.evaluation.interval import Floats, Interval, bootstrap, proportion, ratio, weighted_mean

BINS = 10  # of confidence, between ½ and 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model makes of the pairs. h = r(chosen) − r(rejected), with r = β·(log π − log π_ref).

    accuracy             share of pairs with h > 0 (h = 0 counts half); pairs that people tied on are left out
    margin               mean h, in units of reward
    log_loss             −p·log σ(h) − (1−p)·log σ(−h), p the probability that people prefer chosen; nats
    calibration_error    how far σ(h) is from how often it is right (expected calibration error, 10 equal bins)
    likelihood_accuracy  share of pairs in which the model gives chosen a higher probability, without any reference
    likelihood_margin    mean log π(chosen) − log π(rejected), nats
    """

    accuracy: Interval
    margin: Interval
    log_loss: Interval
    calibration_error: Interval
    likelihood_accuracy: Interval
    likelihood_margin: Interval


@dataclass(frozen=True, slots=True)
class PreferenceReport:
    """Held-out pairs under the trained model, the base model, and their paired difference (trained − base).

    The base model has h = 0 everywhere: by construction its accuracy is ½, its log-loss log 2 and its calibration
    error 0. What it knows without a reference is in `likelihood_accuracy`.
    """

    n_pairs: int
    n_prompts: int
    beta: float
    policy: Figures
    base: Figures
    difference: Figures
    margins: Floats  # h of each pair
    likelihood_margins: Floats
    base_likelihood_margins: Floats

    def to_summary(self) -> dict[str, Any]:
        """As summary.json has it: `accuracy`, `accuracy_ci`, `base_accuracy`, `accuracy_difference`, …"""
        kept = {"n_test_pairs": self.n_pairs, "n_test_prompts": self.n_prompts}
        for name in (field.name for field in fields(Figures)):
            kept |= named(name, getattr(self.policy, name))
            kept |= named(f"base_{name}", getattr(self.base, name))
            kept |= named(f"{name}_difference", getattr(self.difference, name))
        return kept


def named(name: str, interval: Interval) -> dict[str, Any]:
    """`interval` under the two names that summary.json uses: NAME and NAME_ci."""
    return {name: interval.value, f"{name}_ci": [interval.low, interval.high]}


def preference_report(
    policy_logps: ArrayLike,
    reference_logps: ArrayLike,
    p_chosen: ArrayLike,
    weights: ArrayLike | None = None,
    beta: float = 0.1,
    *,
    prompt_ids: Sequence[str] | None = None,
    seed: int = 0,
) -> PreferenceReport:
    """Judge the trained model and the base by N held-out pairs.

    policy_logps, reference_logps  [N, 2]: log-probability of (chosen, rejected) given the prompt, summed over tokens
    p_chosen    [N] in [0, 1]: probability that people prefer chosen
    weights     [N]: how much each pair counts; 1 where None
    beta        of the training: it makes rewards of log-ratios
    prompt_ids  [N]: pairs with one prompt are resampled together

    Raises ValueError for other shapes, or numbers that are not finite.
    """
    policy, reference = _pairs(policy_logps, "policy_logps"), _pairs(reference_logps, "reference_logps")
    if policy.shape != reference.shape:
        raise ValueError(f"policy_logps has {len(policy)} pairs and reference_logps {len(reference)}; score the same")
    p = np.broadcast_to(np.asarray(p_chosen, dtype=np.float64), len(policy))
    w = np.ones(len(policy)) if weights is None else np.asarray(weights, dtype=np.float64)
    margins = beta * ((policy - reference)[:, 0] - (policy - reference)[:, 1])
    after, before = policy[:, 0] - policy[:, 1], reference[:, 0] - reference[:, 1]
    nothing = np.zeros_like(margins)
    measure = {"p": p, "w": w, "prompt_ids": prompt_ids, "seed": seed}
    return PreferenceReport(
        n_pairs=len(policy),
        n_prompts=len(policy) if prompt_ids is None else len(set(prompt_ids)),
        beta=beta,
        policy=_figures(margins, after, **measure),
        base=_figures(nothing, before, **measure),
        difference=_differences(margins, after, nothing, before, **measure),
        margins=margins,
        likelihood_margins=after,
        base_likelihood_margins=before,
    )


def _pairs(logps: ArrayLike, name: str) -> Floats:
    logps = np.asarray(logps, dtype=np.float64)
    if logps.ndim != 2 or logps.shape[1] != 2 or not len(logps):
        raise ValueError(f"{name} has the shape {logps.shape}; give [N, 2], N at least 1: chosen and rejected")
    bad = np.flatnonzero(~np.isfinite(logps).all(1))
    if len(bad):
        raise ValueError(f"{name} of pair {bad[0]} is not finite; the model diverged or the answer is empty")
    return logps


def right(margins: Floats) -> Floats:
    """1 where chosen is ahead, 0 where it is behind, ½ where neither is."""
    return (np.sign(margins) + 1) / 2


def log_losses(margins: Floats, p: Floats) -> Floats:
    """Cross-entropy of σ(margin) with the probability p, nats."""
    return p * np.logaddexp(0, -margins) + (1 - p) * np.logaddexp(0, margins)


class Confidence(NamedTuple):
    """How sure a model is of the side it takes, how often people agree with it, and the bin of its confidence."""

    said_N: Floats
    agreed_N: Floats
    bin_N: NDArray[np.intp]


def confidence(margins: Floats, p: Floats) -> Confidence:
    """Of σ(margin), where people prefer chosen with probability p."""
    said = 1 / (1 + np.exp(-np.abs(margins)))
    agreed = np.where(margins > 0, p, np.where(margins < 0, 1 - p, 0.5))
    return Confidence(said, agreed, np.minimum(((said - 0.5) * 2 * BINS).astype(int), BINS - 1))


def calibration_sums(margins: Floats, p: Floats, w: Floats) -> Floats:
    """[N, BINS + 1]: w·(how often right − how sure) in the bin of its confidence; in the last column, w."""
    said, agreed, bin_N = confidence(margins, p)
    sums = np.zeros((len(margins), BINS + 1))
    sums[np.arange(len(margins)), bin_N] = w * (agreed - said)
    sums[:, -1] = w
    return sums


def calibration_error(sums: Floats) -> Floats:
    """Σ_bins |Σ w·(right − sure)| / Σ w (Naeini et al. 2015)."""
    return np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]


def _figures(margins, likelihood, *, p, w, prompt_ids, seed) -> Figures:
    decided = w * (p != 0.5)
    oriented = np.where(p < 0.5, -1, 1)  # people may prefer what the file calls rejected
    return Figures(
        accuracy=proportion(right(oriented * margins), decided, prompt_ids, seed=seed),
        margin=weighted_mean(margins, w, prompt_ids, seed=seed),
        log_loss=weighted_mean(log_losses(margins, p), w, prompt_ids, seed=seed),
        calibration_error=bootstrap(calibration_error, calibration_sums(margins, p, w), prompt_ids, seed=seed),
        likelihood_accuracy=proportion(right(oriented * likelihood), decided, prompt_ids, seed=seed),
        likelihood_margin=weighted_mean(likelihood, w, prompt_ids, seed=seed),
    )


def _differences(margins, likelihood, base_margins, base_likelihood, *, p, w, prompt_ids, seed) -> Figures:
    decided = w * (p != 0.5)
    oriented = np.where(p < 0.5, -1, 1)

    def mean(ours, theirs, weights):
        return bootstrap(ratio, np.stack([weights * (ours - theirs), weights], -1), prompt_ids, seed=seed)

    both = np.concatenate([calibration_sums(margins, p, w), calibration_sums(base_margins, p, w)], -1)

    def worse(sums):
        return calibration_error(sums[..., : BINS + 1]) - calibration_error(sums[..., BINS + 1 :])

    return Figures(
        accuracy=mean(right(oriented * margins), right(oriented * base_margins), decided),
        margin=mean(margins, base_margins, w),
        log_loss=mean(log_losses(margins, p), log_losses(base_margins, p), w),
        calibration_error=bootstrap(worse, both, prompt_ids, seed=seed),
        likelihood_accuracy=mean(right(oriented * likelihood), right(oriented * base_likelihood), decided),
        likelihood_margin=mean(likelihood, base_likelihood, w),
    )
