r"""Kahneman–Tversky Optimization (Ethayarajh et al. 2024, arXiv:2402.01306), with any value function and weights.

An output is felt as a gain or a loss against a reference point z₀: with r = log π(y|x) − log π_ref(y|x) and
z = β(r − z₀),

    L = λ_D·w⁺(p)·(v_max − v(z)) + λ_U·w⁻(1 − p)·(v_max − v(−z))

p is the probability that people want the output. With v = σ, v_max = 1, w(p) = p and p = 1 or 0 this is eq. 7–8 of the
paper: 1 − σ(z) for what is desirable, 1 − σ(−z) for what is not. With z₀ = 0 it is the unpaired form of APO-zero
(D'Oosterlinck et al. 2024, arXiv:2408.06266, eq. 7). The paper writes β inside the reward; here, as in its code, r and
z₀ are log-ratios and β multiplies their difference.
"""

from collections.abc import Callable

from torch import Tensor

from accord.losses import prospect


def human_aware(
    logratios: Tensor,
    reference_point: Tensor | float,
    *,
    p_desirable: Tensor,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    value: prospect.Value = prospect.VALUES["logistic"],
    weight_gain: Callable[[Tensor], Tensor] = prospect.unweighted,
    weight_loss: Callable[[Tensor], Tensor] = prospect.unweighted,
) -> Tensor:
    """L as above: one value an example. An example with p between 0 and 1 counts on both sides.

    logratios          r, [E], in nats
    reference_point    z₀, in nats; no gradient flows through it
    p_desirable        p, [E], in [0, 1]
    weight_gain        w⁺ of the probability that the output is desirable
    weight_loss        w⁻ of the probability that it is not
    """
    z = beta * (logratios - reference_point)
    desirable = desirable_weight * weight_gain(p_desirable) * (value.best - value.of(z))
    undesirable = undesirable_weight * weight_loss(1 - p_desirable) * (value.best - value.of(-z))
    return desirable + undesirable


def kl_reference_point(mismatched_logratios: Tensor) -> Tensor:
    """z₀ = max(0, mean of log π(y'|x) − log π_ref(y'|x)) over completions y' of other prompts (section 4.2).

    A biased but stable estimate of KL(π‖π_ref), shared by the whole optimizer batch.
    """
    return mismatched_logratios.mean().clamp(min=0).detach()
