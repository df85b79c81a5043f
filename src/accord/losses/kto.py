r"""Kahneman–Tversky Optimization (Ethayarajh et al. 2024, arXiv:2402.01306).

An output is felt as a gain or a loss against a reference point z₀: with r = log π(y|x) − log π_ref(y|x),

    v = λ_D·σ(β(r − z₀))   if y is desirable        (eq. 7)
    v = λ_U·σ(β(z₀ − r))   if y is undesirable
    L = E[λ_y − v]                                  (eq. 8)

The paper writes β inside the reward; here, as in its code, r and z₀ are log-ratios and β multiplies their difference.
"""

import torch
from torch import Tensor


def logistic(
    logratios: Tensor,
    reference_point: Tensor | float,
    *,
    p_desirable: Tensor,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """λ_D·p·(1 − σ(β(r − z₀))) + λ_U·(1 − p)·(1 − σ(β(z₀ − r))): one value an example, in [0, max λ].

    p = `p_desirable` in [0, 1] is the probability that people want the output. At p = 1 or 0 this is eq. 8; in
    between, the example counts on both sides, each as far as people take it.

    logratios          r, [E]
    reference_point    z₀, see `kl_reference_point`; no gradient flows through it
    """
    gain = beta * (logratios - reference_point)
    desirable = desirable_weight * (1 - torch.sigmoid(gain))
    undesirable = undesirable_weight * (1 - torch.sigmoid(-gain))
    return p_desirable * desirable + (1 - p_desirable) * undesirable


def kl_reference_point(mismatched_logratios_sum: Tensor, count: Tensor | float) -> Tensor:
    """z₀ = max(0, mean of log π(y'|x) − log π_ref(y'|x)) over completions y' of other prompts (section 4.2).

    A biased but stable estimate of KL(π‖π_ref), shared by the whole optimizer batch: sum and count are reduced first.
    """
    return (mismatched_logratios_sum / count).clamp(min=0).detach()
