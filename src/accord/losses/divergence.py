r"""f-DPO (Wang et al. 2023, arXiv:2309.16240): other divergences from the reference than the reverse KL.

If the policy is kept near the reference by a divergence D_f, the implied reward is β·f'(π/π_ref), and a loss of the
difference of two rewards takes f' of the ratios where DPO has their logarithms. Constants in f' fall out.
"""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

#: Exponents beyond it, e⁸⁰ = 5·10³⁴, are held: bf16 and fp32 end at 3·10³⁸.
LARGEST_EXPONENT = 80.0


def alpha_divergence(logratios: Tensor, alpha: float) -> Tensor:
    """f'(u) = (u^(α − 1) − 1)/(α − 1) of u = exp(log-ratio), the same shape; log u, DPO itself, at α = 1.

    Where (α − 1)·log u is above 80 the score is constant: finite and without gradient.
    """
    power = alpha - 1
    if abs(power) < 1e-6:  # the limit; the quotient would be rounding errors
        return logratios
    return (power * logratios).clamp(max=LARGEST_EXPONENT).expm1() / power


def forward_kl(logratios: Tensor) -> Tensor:
    """f'(u) = 1 − 1/u: the α-divergence of α = 0."""
    return alpha_divergence(logratios, 0.0)


def js_divergence(logratios: Tensor) -> Tensor:
    """f'(u) = log(2u/(1 + u)) of the Jensen–Shannon divergence: never above log 2."""
    return math.log(2) + F.logsigmoid(logratios)


#: By `f_divergence_type`: log-ratios of any shape and `f_alpha_divergence_coef` -> scores f'(π/π_ref).
SCORES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "reverse_kl": lambda logratios, alpha: logratios,
    "forward_kl": lambda logratios, alpha: forward_kl(logratios),
    "js_divergence": lambda logratios, alpha: js_divergence(logratios),
    "alpha_divergence": alpha_divergence,
}
