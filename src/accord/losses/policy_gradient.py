r"""Policy gradients: what to minimise so that tokens with a positive advantage become likelier.

PPO, RLOO and GRPO share this arithmetic and differ in their advantages. Losses are per token: tensors of any one
shape, mostly N, the tokens of all completions one after the other (see `advantages`). A batch's loss is

    (weights_N · losses_N).sum()        weights_N = token_weights(loss_type, lengths_C of the whole batch, …)

which is the same in whatever parts it is summed. What a ratio compares, a token or a completion, is chosen before:

    level = LEVELS[importance_sampling_level]
    losses_N = ppo(level(logps_N, lengths_C), level(old_logps_N, lengths_C), advantages_N)
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from accord.losses.advantages import k2
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
    completion_N = torch.arange(len(lengths_C), device=lengths_C.device).repeat_interleave(lengths_C)
    sums_C = values_N.new_zeros(len(lengths_C)).index_add(0, completion_N, values_N)
    return sums_C[completion_N]


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


def token_weights(loss_type: str, lengths_C: Tensor, *, max_length: int, counted_C: Tensor | None = None) -> Tensor:
    """What each token's loss counts in the whole batch's loss, [N].

    loss_type    one of `WEIGHTS`
    lengths_C    of the whole optimizer batch, on all ranks
    max_length   longest that a completion may become: what "dr_grpo" divides by
    counted_C    0 for completions that shall not count, 1 for others (TRL's `mask_truncated_completions`). Their tokens
                 are none of the batch's, but they remain among its completions
    """
    counted_C = torch.ones_like(lengths_C) if counted_C is None else counted_C.to(lengths_C)
    tokens = (lengths_C * counted_C).sum().clamp(min=1)
    weights_C = counted_C / WEIGHTS[loss_type](lengths_C, tokens, max_length)
    return weights_C.repeat_interleave(lengths_C)


#: By TRL's `loss_type`, what a token's loss is divided by: (lengths_C, tokens that count, max_length) -> [C] or one.
#:
#:     grpo         mean over a completion's tokens, then over completions (Shao et al. 2024, arXiv:2402.03300, eq. 3);
#:                  a token of a long answer counts less
#:     bnpo, dapo   mean over all tokens (Yu et al. 2025, arXiv:2503.14476, eq. 8); old TRL's PPO. TRL's bnpo takes the
#:                  tokens of a micro-batch; here it is the whole batch
#:     dr_grpo      sum over tokens / (completions · max_length): no length is favoured (Liu et al. 2025,
#:                  arXiv:2503.20783)
#:     luspo        sum over a completion's tokens, then the mean over completions: REINFORCE's own
WEIGHTS: dict[str, Callable[[Tensor, Tensor, int], Tensor | int]] = {
    "grpo": lambda lengths_C, tokens, max_length: len(lengths_C) * lengths_C,
    "bnpo": lambda lengths_C, tokens, max_length: tokens,
    "dapo": lambda lengths_C, tokens, max_length: tokens,
    "dr_grpo": lambda lengths_C, tokens, max_length: len(lengths_C) * max_length,
    "luspo": lambda lengths_C, tokens, max_length: len(lengths_C),
}


def _ratio(logps: Tensor, old_logps: Tensor) -> Tensor:
    # Held at e⁸⁰: past fp32's end the clip would still choose, but its backward would be 0·∞.
    return (logps - old_logps).clamp(max=LARGEST_EXPONENT).exp()
