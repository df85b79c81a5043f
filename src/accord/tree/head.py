"""Log-probabilities of target tokens without the [tokens, vocabulary] table of logits."""

import torch
from torch import Tensor

#: Logits of this many tokens exist at a time (times the vocabulary). Larger multiplies faster, smaller needs less room.
CHUNK = 512
#: Within a chunk, normalised this many rows at a time: small enough to stay in the processor's cache.
ROWS = 16


def target_logps(
    hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, bias_V: Tensor | None = None, chunk: int = CHUNK
) -> Tensor:
    r"""log softmax(h Wᵀ + b)[target] for each of N tokens, in fp32.

    Forward and backward go through the tokens in chunks, and the backward computes the logits again. With
    p = softmax(logits) and g the incoming gradient of one token,

        ∂/∂h = g · (W[target] − Wᵀp)        ∂/∂W = Σ g · (1[target] − p) ⊗ h

    so that g scales vectors of D numbers, never of V.

    hidden_ND   in the dtype that the product shall have (autocast does not reach into this function)
    weight_VD   the output embedding; cast to hidden's dtype where they differ. Its gradient is summed in fp32
    """
    return _TargetLogps.apply(hidden_ND, weight_VD, bias_V, target_N, chunk)


class _TargetLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, target, chunk):
        w = weight.to(hidden.dtype)
        logps = hidden.new_empty(len(hidden), dtype=torch.float32)
        for here in _chunks(len(hidden), chunk):
            logits = _logits(hidden[here], w, bias)
            for rows in _chunks(len(logits), ROWS if logits.device.type == "cpu" else chunk):
                normal = torch.log_softmax(logits[rows].float(), -1)
                logps[here][rows] = normal.gather(1, target[here][rows, None])[:, 0]
        ctx.save_for_backward(hidden, weight, bias, target)
        ctx.chunk = chunk
        return logps

    @staticmethod
    def backward(ctx, grad):
        hidden, weight, bias, target = ctx.saved_tensors
        w = weight.to(hidden.dtype)
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and need_bias else None
        scale = grad.to(hidden.dtype)[:, None]
        for here in _chunks(len(hidden), ctx.chunk):
            h, g, t = hidden[here], scale[here], target[here]
            p = torch.softmax(_logits(h, w, bias), -1)
            if d_hidden is not None:
                d_hidden[here] = g * (w[t] - p @ w)
            if d_weight is not None:
                d_weight -= p.T @ (g * h)
                d_weight.index_add_(0, t, (g * h).float())
            if d_bias is not None:
                d_bias -= (p.T @ g)[:, 0].float()
                d_bias.index_add_(0, t, g[:, 0].float())
        return (
            d_hidden,
            d_weight.to(weight.dtype) if d_weight is not None else None,
            d_bias.to(bias.dtype) if d_bias is not None else None,
            None,
            None,
        )


def _chunks(length: int, size: int):
    return (slice(start, start + size) for start in range(0, length, size))


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(hidden, weight, None if bias is None else bias.to(hidden.dtype))
