r"""Losses of reward models: how likely the rewards of two answers make what people said of them.

Δ = r_chosen − r_rejected. Of two answers people prefer the first, the second, or find them alike; a model of choice
turns Δ into the three probabilities, and a loss is the cross-entropy of people's shares with them, in nats a pair.

    Bradley–Terry (1952)   P(win) = σ(Δ), no ties
    Rao–Kupper (1967)      P(win) = σ(Δ − η): a preference is felt only when it exceeds the threshold η
    Davidson (1970)        P(win) : P(tie) : P(loss) = e^{Δ/2} : ν : e^{−Δ/2}

The parameter of the last two is given as `tie_probability` t₀, the probability of a tie between answers of equal
reward: η = log((1 + t₀)/(1 − t₀)) and ν = 2t₀/(1 − t₀).

Labels are `p_chosen` = P(win) + ½·P(tie), as everywhere in Accord, and `p_tie` = P(tie): then P(win) is
p_chosen − ½·p_tie, and P(loss) = 1 − p_chosen − ½·p_tie. Rewards are tensors of any one shape; labels and margins
broadcast to it.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Outcomes(NamedTuple):
    """Log-probabilities of the three answers to "which is better?"."""

    win: Tensor
    tie: Tensor
    loss: Tensor


def bradley_terry(
    chosen: Tensor, rejected: Tensor, *, p_chosen: Tensor | float = 1.0, margin: Tensor | float = 0.0
) -> Tensor:
    """−p·log σ(Δ − m) − (1 − p)·log σ(−Δ − m).

    At p = 1 and m = 0 the loss of Ouyang et al. 2022 (eq. 1, one pair); m is Llama 2's margin (Touvron et al. 2023,
    eq. 2): by how much the preferred answer, whichever it is, shall lead. At m = 0 the loss is least at Δ = logit(p).
    """
    delta = chosen - rejected
    return -p_chosen * F.logsigmoid(delta - margin) - (1 - p_chosen) * F.logsigmoid(-delta - margin)


def rao_kupper_outcomes(delta: Tensor, tie_probability: float) -> Outcomes:
    """P(win) = 1/(1 + θe^{−Δ}), P(tie) = (θ² − 1)·P(win)·P(loss) with θ = e^η (Rao & Kupper 1967)."""
    threshold = math.log1p(tie_probability) - math.log1p(-tie_probability)
    win, loss = F.logsigmoid(delta - threshold), F.logsigmoid(-delta - threshold)
    return Outcomes(win, win + loss + math.log(math.expm1(2 * threshold)), loss)


def davidson_outcomes(delta: Tensor, tie_probability: float) -> Outcomes:
    """P(win) : P(tie) : P(loss) = √(π₁/π₂) : ν : √(π₂/π₁) with π = e^r (Davidson 1970)."""
    tie = torch.full_like(delta, math.log(2 * tie_probability / (1 - tie_probability)))
    return Outcomes(*torch.stack([delta / 2, tie, -delta / 2]).log_softmax(0))


def rao_kupper(
    chosen: Tensor,
    rejected: Tensor,
    *,
    p_chosen: Tensor | float = 1.0,
    p_tie: Tensor | float = 0.0,
    tie_probability: float,
) -> Tensor:
    """Cross-entropy under Rao & Kupper's model; `tie_probability` between 0 and 1, both excluded."""
    return _cross_entropy(rao_kupper_outcomes(chosen - rejected, tie_probability), p_chosen, p_tie)


def davidson(
    chosen: Tensor,
    rejected: Tensor,
    *,
    p_chosen: Tensor | float = 1.0,
    p_tie: Tensor | float = 0.0,
    tie_probability: float,
) -> Tensor:
    """Cross-entropy under Davidson's model; `tie_probability` between 0 and 1, both excluded."""
    return _cross_entropy(davidson_outcomes(chosen - rejected, tie_probability), p_chosen, p_tie)


def centering(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(r_chosen + r_rejected)²: keeps rewards near zero, which differences alone leave open (Eisenstein et al. 2023,
    arXiv:2312.09244, eq. 2; TRL's `center_rewards_coefficient` multiplies it)."""
    return (chosen + rejected).square()


def _cross_entropy(outcomes: Outcomes, p_chosen: Tensor | float, p_tie: Tensor | float) -> Tensor:
    win, loss = p_chosen - p_tie / 2, 1 - p_chosen - p_tie / 2
    return -(win * outcomes.win + p_tie * outcomes.tie + loss * outcomes.loss)


#: By the name of how ties are modelled; what a loss needs beside the rewards is what its signature names.
LOSSES: dict[str, Callable[..., Tensor]] = {"none": bradley_terry, "rao_kupper": rao_kupper, "davidson": davidson}
