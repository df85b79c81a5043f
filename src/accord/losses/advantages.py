r"""From rewards to advantages: how much better each completion, or each of its tokens, was than expected.

Suffixes name what an axis counts: P prompts, G completions of a prompt, C completions of the batch, N tokens of all
completions, one completion after the other as in a `TreeBatch`; `lengths_C` tells them apart, each at least 1. There is
no padding and no mask: a loss is a sum over N, and a batch may be cut between any two completions. A token is a step
and a completion an episode of any environment: in a bandit all lengths are 1, and a grid world's episodes stand one
after the other. An advantage of a whole completion is that of each of its tokens:
`advantages_C.repeat_interleave(lengths_C)`.

Nothing here is trained through: give it tensors without gradient. Only the KL estimators may also stand in a loss.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Added to GRPO's standard deviation, as in TRL: rewards that differ by rounding errors do not become ±1.
SMALLEST_DEVIATION = 1e-4


class Credit(NamedTuple):
    """What each token did for its episode.

    advantages_N  how much better it was than expected
    returns_N     what a value function shall learn: advantage + value, the λ-return; None without one
    """

    advantages_N: Tensor
    returns_N: Tensor | None = None


def rloo(rewards_PG: Tensor) -> Tensor:
    """A_i = r_i − 1/(G − 1)·Σ_{j≠i} r_j, [P, G]: the others' mean is the baseline (Kool et al. 2019; for language
    models Ahmadian et al. 2024, arXiv:2402.14740). Unbiased: no completion is in its own baseline.

    Raises ValueError if G is 1.
    """
    size = _group_size(rewards_PG)
    return _centered(rewards_PG) * (size / (size - 1))


def grpo(rewards_PG: Tensor, *, scale: str = "group") -> Tensor:
    """A_i = (r_i − mean of the group)/(s + 10⁻⁴), [P, G] (Shao et al. 2024, arXiv:2402.03300, section 4.1.2).

    scale   what s is, TRL's `scale_rewards`: the standard deviation (of a sample, with G − 1) of the "group", the
            paper's; of the whole "batch", which treats easy and hard prompts alike (Liu et al. 2025, arXiv:2508.08221);
            "none" divides by nothing (Dr. GRPO, Liu et al. 2025, arXiv:2503.20783): (G − 1)/G of `rloo`

    Equal rewards give exactly 0. Raises ValueError if G is 1.
    """
    _group_size(rewards_PG)
    return SCALES[scale](_centered(rewards_PG), rewards_PG)


#: By `scale_rewards`: (centered rewards, rewards) -> advantages, all [P, G].
SCALES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "group": lambda centered_PG, rewards_PG: centered_PG / (centered_PG.std(1, keepdim=True) + SMALLEST_DEVIATION),
    "batch": lambda centered_PG, rewards_PG: centered_PG / (rewards_PG.std() + SMALLEST_DEVIATION),
    "none": lambda centered_PG, rewards_PG: centered_PG,
}


def gae(
    rewards_N: Tensor,
    values_N: Tensor,
    lengths_C: Tensor,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap_C: Tensor | float = 0.0,
) -> Credit:
    """A_t = Σ_k (γλ)^k·δ_{t+k} with δ_t = r_t + γ·V_{t+1} − V_t (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    values_N      V of the state in which each token was chosen
    gamma, lam    γ discounts rewards; λ trades the variance of 1 (all that followed) for the bias of 0 (the next value)
    bootstrap_C   V of the state after the last token: 0 where the episode is over, else (a time limit) what it is worth
    """
    following_N = torch.cat([values_N[1:], values_N.new_zeros(1)])
    following_N[last_tokens(lengths_C)] = torch.as_tensor(bootstrap_C, dtype=values_N.dtype, device=values_N.device)
    errors_N = rewards_N + gamma * following_N - values_N
    advantages_N = returns(errors_N, lengths_C, gamma=gamma * lam)
    return Credit(advantages_N, advantages_N + values_N)


def returns(rewards_N: Tensor, lengths_C: Tensor, *, gamma: float = 1.0) -> Tensor:
    """R_t = r_t + γ·r_{t+1} + γ²·r_{t+2} + … to the end of the episode, [N]."""
    steps = torch.arange(int(lengths_C.max()), device=lengths_C.device)
    inside_CL = steps < lengths_C[:, None]
    sums_CL = rewards_N.new_zeros(inside_CL.shape)
    sums_CL[inside_CL] = rewards_N
    for step in range(len(steps) - 2, -1, -1):  # all episodes at once; behind an episode's end there are zeros
        sums_CL[:, step] += gamma * sums_CL[:, step + 1]
    return sums_CL[inside_CL]


def whiten(values_N: Tensor, mask_N: Tensor | None = None, *, shift_mean: bool = True) -> Tensor:
    """(x − mean)/√(variance + 10⁻⁸), mean and variance (of a sample, with n − 1) over the tokens of the mask, 1 or 0.

    PPO's advantages, as in Ziegler et al.'s code. `shift_mean` false keeps the mean: for rewards, whose zero means
    something. Tokens outside the mask give 0.
    """
    mask_N = torch.ones_like(values_N) if mask_N is None else mask_N.to(values_N)
    count = mask_N.sum()
    mean = (values_N * mask_N).sum() / count
    variance = ((values_N - mean).square() * mask_N).sum() / (count - 1).clamp(min=1)
    shifted = (values_N - mean) * torch.rsqrt(variance + 1e-8)
    return (shifted if shift_mean else shifted + mean) * mask_N


def k1(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """log π − log π_ref. Unbiased, of any sign: what belongs in a reward."""
    return logps - reference_logps


def k2(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """½·(log π − log π_ref)². Biased, but its gradient is that of the KL: what belongs in a loss."""
    return (logps - reference_logps).square() / 2


def k3(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """u − 1 − log u with u = π_ref/π. Unbiased, never negative, and of low variance: what to report.

    GRPO has it in its loss (Shao et al. 2024, eq. 4). Its gradient there is that of KL(π_ref‖π), the other direction.
    """
    difference = reference_logps - logps
    return difference.expm1() - difference


#: Estimators of KL(π‖π_ref), in nats, from tokens that π sampled (Schulman 2020, "Approximating KL divergence",
#: joschu.net/blog/kl-approx.html): log-probs of any one shape -> the same shape.
KL_ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


def adapted(coefficient: float, kl: float, *, target: float, gain: float = 0.1) -> float:
    """β·(1 + K·e) with e = clip(KL/target − 1, −0.2, 0.2): the next β (Ziegler et al. 2019, arXiv:1909.08593, section
    2.2), a proportional controller of log β.

    kl, target   nats a completion: the mean over completions of the sums over their tokens
    gain         K. Old TRL's is the number of completions of the batch over its `horizon`
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + gain * error)


def at_ends(rewards_C: Tensor, lengths_C: Tensor) -> Tensor:
    """[N] rewards of tokens where only whole completions are rewarded: 0, and on the last token what was earned."""
    rewards_N = rewards_C.new_zeros(int(lengths_C.sum()))
    rewards_N[last_tokens(lengths_C)] = rewards_C
    return rewards_N


def sums(values_N: Tensor, lengths_C: Tensor) -> Tensor:
    """[C] sums over each completion's tokens."""
    completion_N = torch.arange(len(lengths_C), device=lengths_C.device).repeat_interleave(lengths_C)
    return values_N.new_zeros(len(lengths_C)).index_add(0, completion_N, values_N)


def last_tokens(lengths_C: Tensor) -> Tensor:
    """Where in N each completion's last token stands, [C]."""
    return lengths_C.cumsum(0) - 1


def _group_size(rewards_PG: Tensor) -> int:
    size = rewards_PG.shape[1]
    if size < 2:
        raise ValueError(
            f"num_generations: group size {size} leaves nothing to compare a completion with; use 2 or more"
        )
    return size


def _centered(rewards_PG: Tensor) -> Tensor:
    shifted_PG = rewards_PG - rewards_PG[:, :1]  # first: so equal rewards are 0, not what rounding leaves of their mean
    return shifted_PG - shifted_PG.mean(1, keepdim=True)
