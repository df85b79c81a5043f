"""Log-probabilities of target tokens without the [tokens, vocabulary] table of logits."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Logits that exist at a time: 64 Mi, 128 MB in bf16. Fewer, larger chunks multiply faster.
LOGITS = 2**26
#: Within a chunk, normalised this many rows at a time on a CPU: small enough to stay in its cache.
ROWS = 16


#: What else can be known of each token's distribution: log p [N, V] -> [N].
#:
#:     collision   log Σ p², how sure the head is of itself
#:     entropy     −Σ p·log p, in nats
STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "collision": lambda logp_NV: (2 * logp_NV).logsumexp(-1),
    "entropy": lambda logp_NV: -(logp_NV.exp() * logp_NV).sum(-1),
}


class TokenLogps(NamedTuple):
    """What a head says of N tokens, in fp32.

    logps_N      log p(target), with gradient
    statistic_N  one of `STATISTICS`, without gradient; None where none was asked for
    """

    logps_N: Tensor
    statistic_N: Tensor | None


def token_logps(logits_NV: Tensor, target_N: Tensor, statistic: str | None = None) -> TokenLogps:
    """From logits that exist at once."""
    normal_NV = logits_NV.float().log_softmax(-1)
    found = STATISTICS[statistic](normal_NV.detach()) if statistic else None
    return TokenLogps(normal_NV.gather(1, target_N[:, None])[:, 0], found)


def target_logps(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    target_N: Tensor,
    bias_V: Tensor | None = None,
    *,
    chunk: int | None = None,
    statistic: str | None = None,
) -> TokenLogps:
    r"""log softmax(h Wᵀ + b)[target] for each of N tokens, in fp32.

    Forward and backward go through the tokens in chunks, and the backward computes the logits again. With
    p = softmax(logits) and g the incoming gradient of one token,

        ∂/∂h = g · (W[target] − Wᵀp)        ∂/∂W = Σ g · (1[target] − p) ⊗ h

    so that g scales vectors of D numbers, never of V.

    hidden_ND   in the dtype that the product shall have (autocast does not reach into this function)
    weight_VD   the output embedding; cast to hidden's dtype where they differ. Its gradient is summed in fp32
    chunk       tokens at a time; None for as many as `LOGITS` allows
    statistic   which of `STATISTICS` is wanted too
    """
    chunk = chunk or chunk_size(len(weight_VD))
    return TokenLogps(*_TargetLogps.apply(hidden_ND, weight_VD, bias_V, target_N, chunk, statistic))


def chunk_size(vocabulary: int) -> int:
    """How many tokens' logits exist at a time."""
    return max(LOGITS // vocabulary, 1)


class _TargetLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, target, chunk, statistic):
        w = weight.to(hidden.dtype)
        logps = hidden.new_empty(len(hidden), dtype=torch.float32)
        others = torch.empty_like(logps) if statistic else None
        for here in _chunks(len(hidden), chunk):
            logits = _logits(hidden[here], w, bias)
            for rows in _chunks(len(logits), ROWS if logits.device.type == "cpu" else chunk):
                found = token_logps(logits[rows], target[here][rows], statistic)
                logps[here][rows] = found.logps_N
                if others is not None and found.statistic_N is not None:
                    others[here][rows] = found.statistic_N
        ctx.save_for_backward(hidden, weight, bias, target, w)
        ctx.chunk = chunk
        if others is not None:
            ctx.mark_non_differentiable(others)
        return logps, others

    @staticmethod
    def backward(ctx, grad, _):
        hidden, weight, bias, target, w = ctx.saved_tensors
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        scale = grad.to(hidden.dtype)[:, None]
        scaled = scale * hidden
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_weight = d_bias = None
        for here in _chunks(len(hidden), ctx.chunk):
            g = scale[here]
            p = torch.softmax(_logits(hidden[here], w, bias), -1)
            if d_hidden is not None:
                torch.sub(w[target[here]], p @ w, out=d_hidden[here]).mul_(g)
            if need_weight:
                d_weight = _plus(d_weight, p.T @ -scaled[here])
            if bias is not None and need_bias:
                d_bias = _plus(d_bias, (p.T @ -g)[:, 0])
        if d_weight is not None:
            d_weight = d_weight.index_add_(0, target, scaled.float()).to(weight.dtype)
        if d_bias is not None:
            d_bias = d_bias.index_add_(0, target, scale[:, 0].float()).to(bias.dtype)
        return d_hidden, d_weight, d_bias, None, None, None


def _plus(total: Tensor | None, part: Tensor) -> Tensor:
    """A running sum in fp32."""
    return part.float() if total is None else total.add_(part)


def _chunks(length: int, size: int):
    return (slice(start, start + size) for start in range(0, length, size))


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(hidden, weight, None if bias is None else bias.to(hidden.dtype))
