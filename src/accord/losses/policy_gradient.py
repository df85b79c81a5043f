r"""Policy gradients: what to minimise so that tokens with a positive advantage become likelier.

PPO, RLOO and GRPO share this arithmetic and differ in their advantages. Losses are per token: tensors of any one
shape, mostly N, the tokens of all completions one after the other (see `advantages`). A batch's loss is

    (weights_N · losses_N).sum()        weights_N = token_weights(loss_type, lengths_C of the whole batch, …)

which is the same in whatever parts it is summed. `surrogate` puts PPO's, RLOO's and GRPO's losses together out of
these: they are its settings.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from accord.losses.advantages import KL_ESTIMATORS, k2, sums
from accord.losses.divergence import LARGEST_EXPONENT


class Diagnostics(NamedTuple):
    """How far the policy has moved from the one that sampled, per token, without gradient. A mean over tokens gives
    old TRL's PPO metric, or TRL's GRPO metric, named here.

    ratio      π/π_old: `val/ratio`
    approx_kl  ½·(log π − log π_old)², k2 of the step: `policy/approxkl_avg`
    low, high  1 where the clip holds back a token, at the lower bound (advantage < 0) or the upper (> 0):
               `clip_ratio/low_mean`, `clip_ratio/high_mean`; their sum is `policy/clipfrac_avg` and
               `clip_ratio/region_mean`
    """

    ratio: Tensor
    approx_kl: Tensor
    low: Tensor
    high: Tensor


class ValueLoss(NamedTuple):
    """`loss` per token, and 1 where the clip made it larger, without gradient: the mean is `val/clipfrac_avg`."""

    loss: Tensor
    clipped: Tensor


def reinforce(logps: Tensor, advantages: Tensor) -> Tensor:
    """−A·log π, whose gradient is the policy's on samples of its own (Williams 1992)."""
    return -advantages * logps


def ppo(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    *,
    epsilon_low: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
) -> Tensor:
    """−min(ρA, clip(ρ, 1 − ε_low, 1 + ε_high)·A) with ρ = π/π_old (Schulman et al. 2017, arXiv:1707.06347, eq. 7).

    old_logps      log-probs by the policy that sampled, without gradient. Where they equal `logps` the gradient is that
                   of `reinforce`
    epsilon_high   ε_low if None; higher leaves unlikely tokens room to rise (DAPO, Yu et al. 2025, arXiv:2503.14476,
                   eq. 8: 0.2 and 0.28)
    delta          ρ's bound where A < 0 and the clip has none, above 1 + ε_high (dual clip, Ye et al. 2020,
                   arXiv:1912.09729; INTELLECT-2, arXiv:2505.07291)
    """
    ratio = _ratio(logps, old_logps)
    clipped = ratio.clamp(1 - epsilon_low, 1 + (epsilon_low if epsilon_high is None else epsilon_high))
    bounded = ratio if delta is None else ratio.clamp(max=delta)
    return -torch.minimum(bounded * advantages, clipped * advantages)


def value(values: Tensor, old_values: Tensor, returns: Tensor, *, cliprange: float | None = 0.2) -> ValueLoss:
    """½·max((V − R)², (clip(V, V_old − ε, V_old + ε) − R)²), the clip of PPO's first code (OpenAI Baselines).

    returns     R, what was found: `Credit.returns_N`
    cliprange   ε, old TRL's `cliprange_value`; None for ½·(V − R)²
    """
    errors = (values - returns).square()
    if cliprange is None:
        return ValueLoss(errors / 2, torch.zeros_like(errors))
    near = old_values + (values - old_values).clamp(-cliprange, cliprange)
    bounds = (near - returns).square()
    return ValueLoss(torch.maximum(errors, bounds) / 2, (bounds > errors).to(errors))


@torch.no_grad()
def diagnostics(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    *,
    epsilon_low: float = 0.2,
    epsilon_high: float | None = None,
) -> Diagnostics:
    """See `Diagnostics`; the arguments are those of `ppo`."""
    ratio = _ratio(logps, old_logps)
    low = (ratio < 1 - epsilon_low) & (advantages < 0)
    high = (ratio > 1 + (epsilon_low if epsilon_high is None else epsilon_high)) & (advantages > 0)
    return Diagnostics(ratio, k2(logps, old_logps), low.to(ratio), high.to(ratio))


def completion_sums(values_N: Tensor, lengths_C: Tensor) -> Tensor:
    """On each token the sum over its completion, [N]."""
    return sums(values_N, lengths_C).repeat_interleave(lengths_C)


def completion_means(values_N: Tensor, lengths_C: Tensor) -> Tensor:
    """On each token the mean over its completion, [N]."""
    return completion_sums(values_N, lengths_C) / lengths_C.repeat_interleave(lengths_C)


#: By TRL's `importance_sampling_level`, what a ratio is of: (logps_N, lengths_C) -> [N].
#:
#:     token       each token's probability (PPO, GRPO)
#:     sequence    the geometric mean of a completion's (GSPO, Zheng et al. 2025, arXiv:2507.18071, eq. 7)
#:     completion  the whole completion's, one action (RLOO; with the weights of "grpo" TRL's loss)
LEVELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "token": lambda logps_N, lengths_C: logps_N,
    "sequence": completion_means,
    "completion": completion_sums,
}


class Share(NamedTuple):
    """How a completion enters a batch's loss: Σ inside·ℓ over all tokens of the batch / Σ units over its completions.

    inside  what each of its tokens' losses is multiplied by, [C]
    units   what it adds to the number that the sum is divided by, [C]
    """

    inside: Tensor
    units: Tensor


def token_weights(loss_type: str, lengths_C: Tensor, *, max_length: int, counted_C: Tensor | None = None) -> Tensor:
    """What each token's loss counts in the whole batch's loss, [N]: the `WEIGHTS` put together.

    loss_type    one of `WEIGHTS`
    lengths_C    of the whole optimizer batch, on all ranks
    max_length   longest that a completion may become: what "dr_grpo" divides by
    counted_C    0 for completions that shall not count, 1 for others (TRL's `mask_truncated_completions`). Their tokens
                 are none of the batch's, but they remain among its completions
    """
    counted_C = torch.ones_like(lengths_C) if counted_C is None else counted_C
    inside_C, units_C = WEIGHTS[loss_type](lengths_C, counted_C.float(), max_length)
    return (inside_C / units_C.sum().clamp(min=1)).repeat_interleave(lengths_C)


#: By TRL's `loss_type`: (lengths_C, counted_C, max_length) -> how each completion enters the batch's loss.
#:
#:     grpo         mean over a completion's tokens, then over completions (Shao et al. 2024, arXiv:2402.03300, eq. 3);
#:                  a token of a long answer counts less
#:     bnpo, dapo   mean over all tokens (Yu et al. 2025, arXiv:2503.14476, eq. 8); old TRL's PPO. TRL's bnpo takes the
#:                  tokens of a micro-batch; here it is the whole batch
#:     dr_grpo      sum over tokens / (completions · max_length): no length is favoured (Liu et al. 2025,
#:                  arXiv:2503.20783)
#:     luspo        sum over a completion's tokens, then the mean over completions: REINFORCE's own
WEIGHTS: dict[str, Callable[[Tensor, Tensor, int], Share]] = {
    "grpo": lambda lengths, counted, most: Share(counted / lengths, torch.ones_like(counted)),
    "bnpo": lambda lengths, counted, most: Share(counted, counted * lengths),
    "dapo": lambda lengths, counted, most: Share(counted, counted * lengths),
    "dr_grpo": lambda lengths, counted, most: Share(counted, torch.full_like(counted, most)),
    "luspo": lambda lengths, counted, most: Share(counted, torch.ones_like(counted)),
}


class Surrogate(NamedTuple):
    """What a policy minimises, chosen before the loop; names are TRL's.

    level           one of `LEVELS`: what a ratio is of
    loss_type       one of `WEIGHTS`: how tokens make a batch's loss
    epsilon_low, epsilon_high, delta    see `ppo`
    beta            of a KL penalty in the loss (0: none; RLOO and PPO have theirs in the reward)
    kl_estimator    one of `KL_ESTIMATORS`, for that penalty
    corrected       whether it is multiplied by the ratio π/π_old: then the gradient of k3 is that of KL(π‖π_ref), token
                    by token, instead of the other direction's (TRL's `use_bias_correction_kl`)
    vf_coef         what the value loss counts beside the policy's
    cliprange_value see `value`
    """

    level: str = "token"
    loss_type: str = "dapo"
    epsilon_low: float = 0.2
    epsilon_high: float | None = None
    delta: float | None = None
    beta: float = 0.0
    kl_estimator: str = "k3"
    corrected: bool = True
    vf_coef: float = 0.0
    cliprange_value: float | None = 0.2


def surrogate(
    settings: Surrogate,
    logps_N: Tensor,
    old_logps_N: Tensor,
    advantages_N: Tensor,
    lengths_C: Tensor,
    reference_logps_N: Tensor | None = None,
) -> tuple[Tensor, Diagnostics]:
    """[N] losses of the policy, and how far it has moved. `reference_logps_N` is needed with a `beta`."""
    level = LEVELS[settings.level]
    ours_N, olds_N = level(logps_N, lengths_C), level(old_logps_N, lengths_C)
    clip = {"epsilon_low": settings.epsilon_low, "epsilon_high": settings.epsilon_high}
    losses_N = ppo(ours_N, olds_N, advantages_N, delta=settings.delta, **clip)  # type: ignore[arg-type]
    if settings.beta and reference_logps_N is not None:
        penalties_N = kl_penalty(settings, logps_N, old_logps_N, lengths_C, reference_logps_N)
        losses_N = losses_N + settings.beta * penalties_N
    return losses_N, diagnostics(ours_N, olds_N, advantages_N, **clip)  # type: ignore[arg-type]


def kl_penalty(
    settings: Surrogate, logps_N: Tensor, old_logps_N: Tensor, lengths_C: Tensor, reference_logps_N: Tensor
) -> Tensor:
    """[N] what `beta` multiplies: the estimates of the KL, corrected where `settings` says so."""
    kl_N = KL_ESTIMATORS[settings.kl_estimator](logps_N, reference_logps_N)
    if not settings.corrected:
        return kl_N
    level = LEVELS[settings.level]
    return kl_N * _ratio(level(logps_N, lengths_C), level(old_logps_N, lengths_C))


def _ratio(logps: Tensor, old_logps: Tensor) -> Tensor:
    # Held at e⁸⁰: past fp32's end the clip would still choose, but its backward would be 0·∞.
    return (logps - old_logps).clamp(max=LARGEST_EXPONENT).exp()
