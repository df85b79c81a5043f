r"""f-DPO (Wang et al. 2023, arXiv:2309.16240): other divergences from the reference than the reverse KL.

If the policy is kept near the reference by a divergence D_f, the implied reward is β·f'(π/π_ref) (their eq. 8), and a
loss of the difference of two rewards takes f' of the ratios where DPO has their logarithms.
"""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

#: Largest exponent e^x that every floating-point type with 8 bits of exponent holds with room for a product.
LARGEST_EXPONENT = 80.0


def alpha_divergence(logratios: Tensor, alpha: float) -> Tensor:
    """f'(u) = (u^(α − 1) − 1)/(α − 1) of u = exp(log-ratio), the same shape; log u at α = 1.

    Exponents are held below 80: beyond, a score is constant, finite, and without gradient.
    """
    power = alpha - 1
    if abs(power) < 1e-6:  # the limit; the quotient would be rounding errors
        return logratios
    return (power * logratios).clamp(max=LARGEST_EXPONENT).expm1() / power


def reverse_kl(logratios: Tensor, alpha: float = 1.0) -> Tensor:
    """f'(u) = log u + const: DPO itself."""
    return logratios


def forward_kl(logratios: Tensor, alpha: float = 0.0) -> Tensor:
    """f'(u) = 1 − 1/u: the α-divergence of α = 0."""
    return alpha_divergence(logratios, 0.0)


def js_divergence(logratios: Tensor, alpha: float = 0.5) -> Tensor:
    """f'(u) = log(2u/(1 + u)) of the Jensen–Shannon divergence: never above log 2."""
    return math.log(2) + F.logsigmoid(logratios)


#: By TRL's `f_divergence_type`: log-ratios of any shape and `f_alpha_divergence_coef` -> scores f'(π/π_ref).
SCORES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "reverse_kl": reverse_kl,
    "forward_kl": forward_kl,
    "js_divergence": js_divergence,
    "alpha_divergence": alpha_divergence,
}
