r"""RMSNorm on a CPU, with its own backward.

    y = w ⊙ x·ρ,   ρ = (mean x² + ε)^{−½}        ∂L/∂x = ρ·(w ⊙ g) − x·ρ³·mean(x ⊙ w ⊙ g)

Transformers writes it in seven operations, each a pass over memory that autograd keeps for the backward; under autocast
every linear layer behind it then casts the result to bf16 for itself. Here it is one pass each way, a block of rows at
a time, only x and ρ are kept, and the result comes in autocast's dtype at once: the same values, cast once.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

#: Classes whose forward is exactly the equation above (not Gemma's, which scales by 1 + w).
CLASSES = frozenset(
    f"{family}RMSNorm" for family in ("Llama", "Mistral", "Qwen2", "Qwen3", "Phi3", "Mixtral", "Qwen3Moe")
)
#: Rows at a time: small enough to stay in the processor's cache.
BLOCK = 128


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, epsilon, dtype):
        rows = x.flatten(0, -2)
        y = torch.empty(rows.shape, dtype=dtype)
        mean = torch.linalg.vector_norm(rows, dim=-1, keepdim=True).square_().div_(rows.shape[-1])
        rho = mean.add_(epsilon).rsqrt_()
        for here in _blocks(len(rows)):
            y[here] = (rows[here] * rho[here]).mul_(weight)
        ctx.save_for_backward(x, weight, rho)
        return y.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        x, weight, rho = ctx.saved_tensors
        rows, g_rows = x.flatten(0, -2), grad.flatten(0, -2)
        dx, dw = torch.empty_like(rows), torch.zeros_like(weight)
        for here in _blocks(len(rows)):
            r, g, scale = rows[here], g_rows[here], rho[here]
            both = r * g
            dw += scale[:, 0] @ both
            slope = (both @ weight)[:, None] * scale**3 / -r.shape[-1]
            dx[here] = (g * weight).mul_(scale).addcmul_(r, slope)
        return dx.view_as(x), dw, None, None


def _blocks(length: int):
    return (slice(start, start + BLOCK) for start in range(0, length, BLOCK))


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """RMSNorm of fp32 x [..., D] on a CPU, in autocast's dtype where that is on."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return _RMSNorm.apply(x, weight, epsilon, dtype)


def _forward(self: Any, x: Tensor) -> Tensor:
    if x.device.type == "cpu" and x.dtype is self.weight.dtype is torch.float32:
        return rms_norm(x, self.weight, self.variance_epsilon)
    return self.accord_plain_forward(x)


def install(model: nn.Module) -> None:
    """Lets the model's RMSNorm modules of known classes use `rms_norm` where it applies."""
    module: Any
    for module in model.modules():
        if type(module).__name__ in CLASSES and not hasattr(module, "accord_plain_forward"):
            module.accord_plain_forward = module.forward
            module.forward = MethodType(_forward, module)
