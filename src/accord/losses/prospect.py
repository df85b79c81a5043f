r"""Prospect theory: how people feel an outcome, and how they weigh its probability.

An outcome z is felt as a gain (z > 0) or a loss (z < 0) against a reference point, by a value function v(z); a
probability p counts as a decision weight w(p). Sources:

- Tversky & Kahneman 1992, "Advances in prospect theory", J. Risk and Uncertainty 5: v in eq. 5, w in eq. 6, and their
  median estimates α = 0.88, λ = 2.25, γ = 0.61 for gains and 0.69 for losses.
- Prelec 1998, "The probability weighting function", Econometrica 66: the other w.
- Ethayarajh et al. 2024 (KTO, arXiv:2402.01306), eq. 7–8: v = σ, which a network is trained with more easily.

All functions are elementwise, on tensors of any shape. A value function's further arguments are its parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LOSS_AVERSION = 2.25
RISK_ALPHA = 0.88

#: Where the power function is smoothed: |z| of about this size, in units of β times a log-ratio.
SMOOTHING = 0.01


def logistic(z: Tensor) -> Tensor:
    """σ(z), in (0, 1): concave for gains, convex for losses, and saturated on either side."""
    return torch.sigmoid(z)


def logsigmoid(z: Tensor) -> Tensor:
    """log σ(z), below 0: gains saturate, losses count in full however large. DPO's own."""
    return F.logsigmoid(z)


def kahneman_tversky(
    z: Tensor,
    *,
    loss_aversion: float = LOSS_AVERSION,
    alpha_gain: float = RISK_ALPHA,
    alpha_loss: float = RISK_ALPHA,
) -> Tensor:
    """z^α for gains, −λ(−z)^α for losses, smoothed at 0: see `power`. v(0) = 0, and v has no bound.

    loss_aversion           λ > 0: a loss hurts λ times as much as an equal gain pleases
    alpha_gain, alpha_loss  α in (0, 1]: how fast people grow used to more; below 1 they are averse to risk among gains
                            and seek it among losses
    At z = 0 the slope is that of gains.
    """
    return torch.where(z >= 0, power(z, alpha_gain), loss_aversion * power(z, alpha_loss))


def loss_averse(z: Tensor, *, loss_aversion: float = LOSS_AVERSION) -> Tensor:
    """z for gains, λz for losses: loss aversion alone, without diminishing sensitivity."""
    return torch.where(z >= 0, z, loss_aversion * z)


def power(z: Tensor, alpha: float) -> Tensor:
    r"""sign(z)·|z|^α for α in (0, 1], smoothed so that its slope at 0 is finite: z·(z² + ε²)^((α − 1)/2).

    ε = `SMOOTHING`. It is odd and strictly increasing, its slope at 0 is ε^(α − 1) (1.74 for α = 0.88), and for α = 1
    it is z itself. The power loses the share 1 − (1 + (ε/z)²)^(−(1 − α)/2), which is at most (1 − α)/2·(ε/z)²
    (Bernoulli's inequality): so less than ε^α anywhere, and where |z| ≥ 0.1 less than 1/200 of it. For α = 0.88 that
    is less than 9·10⁻⁴ anywhere, 0.06 % at |z| = 0.1, and 6·10⁻⁶ at |z| = 1.
    """
    return z * (z.square() + SMOOTHING**2) ** ((alpha - 1) / 2)


class Value(NamedTuple):
    """A value function v, and the value that nothing exceeds: the loss is `best` − v(z). 0 where there is no such."""

    of: Callable[..., Tensor]
    best: float = 0.0


VALUES: dict[str, Value] = {
    "logistic": Value(logistic, best=1.0),
    "kahneman_tversky": Value(kahneman_tversky),
    "loss_averse": Value(loss_averse),
    "logsigmoid": Value(logsigmoid),
}


def unweighted(p: Tensor, gamma: float = 1.0) -> Tensor:
    """p itself, whatever `gamma`."""
    return p


def tversky_kahneman(p: Tensor, gamma: float) -> Tensor:
    """p^γ / (p^γ + (1 − p)^γ)^(1/γ): w(0) = 0, w(1) = 1; the unlikely counts more than p, the likely less.

    gamma  γ in [0.28, 1]: 1 is p itself; below 0.279 w is no longer increasing.
    """
    return p**gamma / (p**gamma + (1 - p) ** gamma) ** (1 / gamma)


def prelec(p: Tensor, gamma: float) -> Tensor:
    """exp(−(−ln p)^γ): w(0) = 0, w(1/e) = 1/e, w(1) = 1; γ in (0, 1], and 1 is p itself."""
    return torch.exp(-((-torch.log(p)) ** gamma))


WEIGHTS: dict[str, Callable[..., Tensor]] = {
    "none": unweighted,
    "tversky_kahneman": tversky_kahneman,
    "prelec": prelec,
}
