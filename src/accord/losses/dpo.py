r"""Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290) and the losses of its one margin.

The implied reward of a completion is r = β·(log π(y|x) − log π_ref(y|x)). Under Bradley–Terry the probability that
people prefer `chosen` is σ(βΔ), with Δ the difference of the two log-ratios; DPO is its cross-entropy with what
people said. The other losses of this file put something else in the cross-entropy's place.

In all of them `chosen_scores` and `rejected_scores`, [E], are the log-ratios log π − log π_ref, or what another
divergence puts there (see `divergence`), and the result is one value a pair, [E].
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid(
    chosen_scores: Tensor,
    rejected_scores: Tensor,
    *,
    beta: float = 0.1,
    p_chosen: Tensor | float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""−p'·log σ(βΔ) − (1 − p')·log σ(−βΔ), with Δ the difference of the two scores: one value a pair, in nats.

    With p' = 1 this is DPO's eq. 7. A soft label p = `p_chosen` in [0, 1] is the probability that people prefer
    `chosen`; the loss is then least at βΔ = logit(p), so that disagreement limits how far the model is pushed.
    `label_smoothing` ε makes p' = p(1 − ε) + (1 − p)ε of it (conservative DPO, Mitchell 2023; eq. 3 of his note).
    TRL's `sigmoid` ignores its `label_smoothing`.
    """
    margins = beta * (chosen_scores - rejected_scores)
    right, wrong = smoothed(p_chosen, label_smoothing, margins)
    return -right * F.logsigmoid(margins) - wrong * F.logsigmoid(-margins)


def sigmoid_norm(
    chosen_scores: Tensor,
    rejected_scores: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 0.1,
    p_chosen: Tensor | float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`sigmoid` of the scores per token, so that long answers get no larger margins (Lambert et al. 2024, Tülu 3,
    arXiv:2411.15124). β is of another size here: they use 5."""
    chosen, rejected = chosen_scores / chosen_lengths, rejected_scores / rejected_lengths
    return sigmoid(chosen, rejected, beta=beta, p_chosen=p_chosen, label_smoothing=label_smoothing)


def hinge(chosen_scores: Tensor, rejected_scores: Tensor, *, beta: float = 0.1) -> Tensor:
    """max(0, 1 − βΔ): a pair that is right by 1 or more teaches nothing (RSO, Liu et al. 2023, arXiv:2309.06657:
    SLiC's hinge on the implied rewards)."""
    return torch.relu(1 - beta * (chosen_scores - rejected_scores))


def ipo(
    chosen_scores: Tensor,
    rejected_scores: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """(h − 1/2β)², with h the difference of the two scores per token (Azar et al. 2023, arXiv:2310.12036, eq. 17;
    β is their τ).

    The target is finite, so a pair that everyone agrees on does not pull without end. With a soft label p the expected
    loss is least at h = (2p − 1)/2β. The paper writes whole log-ratios; per token, as in TRL, is what its authors
    report to have run, and keeps one β for answers of all lengths.
    """
    return (chosen_scores / chosen_lengths - rejected_scores / rejected_lengths - 1 / (2 * beta)) ** 2


def exo_pair(
    chosen_scores: Tensor,
    rejected_scores: Tensor,
    *,
    beta: float = 0.1,
    p_chosen: Tensor | float = 1.0,
    label_smoothing: float = 1e-3,
) -> Tensor:
    """KL(q ‖ p') of two orders: q·log(q/p') + (1 − q)·log((1 − q)/(1 − p')), with q = σ(βΔ) (Ji et al. 2024,
    arXiv:2402.00856, eq. 16).

    DPO takes the KL the other way round: this one seeks the mode. It is least, 0, at βΔ = logit(p'), with p' of
    `p_chosen` and `label_smoothing` as in `sigmoid`. p' = 1 would be infinitely far: ε must be above 0 for hard labels.
    """
    margins = beta * (chosen_scores - rejected_scores)
    right, wrong = smoothed(p_chosen, label_smoothing, margins)
    q, other = torch.sigmoid(margins), torch.sigmoid(-margins)
    return q * (F.logsigmoid(margins) - right.log()) + other * (F.logsigmoid(-margins) - wrong.log())


def robust(
    chosen_scores: Tensor, rejected_scores: Tensor, *, beta: float = 0.1, label_smoothing: float = 0.0
) -> Tensor:
    """(−(1 − ε)·log σ(βΔ) + ε·log σ(−βΔ)) / (1 − 2ε) (Chowdhury et al. 2024, arXiv:2403.00409).

    If each label is wrong with probability ε = `label_smoothing` < ½, its mean is the loss of the right labels.
    """
    margins = beta * (chosen_scores - rejected_scores)
    clean, flipped = -F.logsigmoid(margins), -F.logsigmoid(-margins)
    return ((1 - label_smoothing) * clean - label_smoothing * flipped) / (1 - 2 * label_smoothing)


def discopop(
    chosen_scores: Tensor, rejected_scores: Tensor, *, beta: float = 0.1, discopop_tau: float = 0.05
) -> Tensor:
    """(1 − m)·(−log σ(βΔ)) + m·exp(−βΔ), with m = σ(βΔ/τ): logistic where the order is wrong, exponential where it is
    right (Lu et al. 2024, arXiv:2406.08414, eq. 5, found by a language model). τ = `discopop_tau`; not convex."""
    margins = beta * (chosen_scores - rejected_scores)
    logistic = -F.logsigmoid(margins) * torch.sigmoid(-margins / discopop_tau)
    return logistic + torch.exp(F.logsigmoid(margins / discopop_tau) - margins)  # in one exponent: m·e⁻ˣ may be 0·∞


def smoothed(p_chosen: Tensor | float, label_smoothing: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """p' = p(1 − ε) + (1 − p)ε and 1 − p', each exact to its last digit, as tensors like the one given."""
    p = torch.as_tensor(p_chosen, dtype=like.dtype, device=like.device)
    return (
        p * (1 - label_smoothing) + (1 - p) * label_smoothing,
        p * label_smoothing + (1 - p) * (1 - label_smoothing),
    )


def rewards(logratios: Tensor, beta: float) -> Tensor:
    """The implied rewards β·(log π − log π_ref), without gradient."""
    return torch.as_tensor(beta * logratios).detach()


def wpo_weights(chosen_alignment: Tensor, rejected_alignment: Tensor) -> Tensor:
    """How far both answers are what the policy itself would say, [E], without gradient: about 1 if they are, near 0 if
    they are strange to it (WPO, Zhou et al. 2024, arXiv:2406.11827, eq. 2).

    The product of exp(alignment) of the two answers. An answer's alignment, [E], is the mean over its tokens of
    log π(token) − log Σ_v π(v)²; the sum is the probability that the policy's own tokens have on average.
    """
    return torch.exp(chosen_alignment + rejected_alignment).detach()
