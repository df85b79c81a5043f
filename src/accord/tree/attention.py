"""Exact attention over packed prompt trees.

Every segment attends causally to itself (`own`), and every completion to all of its prompt (`cross`). With o₁, ℓ₁ and
o₂, ℓ₂ the outputs and log-sum-exps of the two, the attention over both sets of keys is

    ℓ = log(exp ℓ₁ + exp ℓ₂)        o = o₁·exp(ℓ₁ − ℓ) + o₂·exp(ℓ₂ − ℓ)

Backward, each call's own kernel is given the *merged* o and ℓ: then the probabilities that it recomputes, exp(s − ℓ),
are those of the whole softmax, and the two gradients add up. (With its own o and ℓ, dQ and dK are wrong by a large
part.) Memory is linear in tokens: the merged output and one number a token and head are kept.

Shapes: q [T, H, D]; k, v [T, K, D] with K key heads, each serving H/K query heads; ℓ [H, T].
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from accord.tree.batch import Segments, Spans


class Kernel(Protocol):
    """Attention of query spans to key spans, forward and backward."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, spans: Spans, causal: bool, scale: float) -> "Attended": ...

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, done: "Attended", spans: Spans, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]: ...


class Attended(NamedTuple):
    """What a kernel computed: outputs [T, H, D] and the log-sum-exp of the scores [H, T], fp32."""

    out: Tensor
    lse: Tensor


class CpuKernel:
    """PyTorch's flash kernel for CPU, a span at a time, in fp32.

    In bf16 that kernel's backward takes 2 to 4 times as long for the short spans of preference data, and its forward no
    less, so inputs are widened here (docs/design/cpu-speed.md). Query heads that share a key head are laid
    out as [key heads, group, tokens, D], with the keys expanded by stride: no copy of K or V is made.
    """

    _forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    _backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default

    def forward(self, q, k, v, spans, causal, scale):
        q, k, v = self._heads_first(q, k, v)
        out = q.new_empty(q.shape[2], *q.shape[:2], q.shape[3])  # [T, K, G, D]
        lse = q.new_empty(q.shape[:3])
        for q0, q1, k0, k1 in spans.pairs:
            here, there = slice(q0, q1), slice(k0, k1)
            o, l = self._forward(q[:, :, here], k[:, :, there], v[:, :, there], 0.0, causal, scale=scale)
            out[here], lse[:, :, here] = o.permute(2, 0, 1, 3), l
        return Attended(out.flatten(1, 2), lse.flatten(0, 1))

    def backward(self, grad, q, k, v, done, spans, causal, scale):
        q, k, v = self._heads_first(q, k, v)
        heads, group, _, size = q.shape
        grad, out = (x.float().unflatten(1, (heads, group)).permute(1, 2, 0, 3) for x in (grad, done.out))
        lse = done.lse.unflatten(0, (heads, group))
        dq = q.new_empty(q.shape[2], heads, group, size)
        dk, dv = (q.new_empty(k.shape[2], heads, size) for _ in range(2))
        for q0, q1, k0, k1 in spans.pairs:
            here, there = slice(q0, q1), slice(k0, k1)
            pieces = (x[:, :, here] for x in (out, lse))
            x, y, z = self._backward(
                grad[:, :, here], q[:, :, here], k[:, :, there], v[:, :, there], *pieces, 0.0, causal, scale=scale
            )
            dq[here], dk[there], dv[there] = x.permute(2, 0, 1, 3), y.sum(1).transpose(0, 1), z.sum(1).transpose(0, 1)
        return dq.flatten(1, 2), dk, dv

    @staticmethod
    def _heads_first(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = k.shape[1]
        q = q.float().unflatten(1, (heads, -1)).permute(1, 2, 0, 3)
        k, v = (x.float().transpose(0, 1)[:, None].expand(-1, q.shape[1], -1, -1) for x in (k, v))
        return q, k, v


class CudaKernel:
    """Flash attention over variable lengths: one launch for all spans. Half precision only. Not yet run on a GPU."""

    def forward(self, q, k, v, spans, causal, scale):
        out, lse, *_ = torch.ops.aten._flash_attention_forward(
            q, k, v, spans.queries, spans.keys, spans.max_query, spans.max_key, 0.0, causal, False, scale=scale
        )
        return Attended(out, lse)

    def backward(self, grad, q, k, v, done, spans, causal, scale):
        unused = torch.empty(2, dtype=torch.uint64, device=q.device)  # random state, read only with dropout
        lengths = (spans.queries, spans.keys, spans.max_query, spans.max_key)
        return torch.ops.aten._flash_attention_backward(
            grad, q, k, v, done.out, done.lse.contiguous(), *lengths, 0.0, causal, unused, unused, scale=scale
        )


KERNELS: dict[str, Kernel] = {"cpu": CpuKernel(), "cuda": CudaKernel()}


class _TreeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, segments: Segments, scale: float):
        kernel = KERNELS[q.device.type]
        out, lse = kernel.forward(q, k, v, segments.own, True, scale)
        rows, keys = segments.rows, segments.keys
        if len(rows):
            far = kernel.forward(q[rows], k[keys], v[keys], segments.cross, False, scale)
            near = lse[:, rows]
            both = torch.logaddexp(near, far.lse)
            shares = ((x - both).exp().T[..., None] for x in (near, far.lse))
            mine, theirs = (share * o for share, o in zip(shares, (out[rows].float(), far.out.float()), strict=True))
            out[rows], lse[:, rows] = (mine + theirs).to(out.dtype), both
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.segments, ctx.scale, ctx.kernel = segments, scale, kernel
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, lse = ctx.saved_tensors
        segments, rows, keys = ctx.segments, ctx.segments.rows, ctx.segments.keys
        grad = grad.contiguous()
        dq, dk, dv = ctx.kernel.backward(grad, q, k, v, Attended(out, lse), segments.own, True, ctx.scale)
        if len(rows):
            merged = Attended(out[rows], lse[:, rows])
            x, y, z = ctx.kernel.backward(
                grad[rows], q[rows], k[keys], v[keys], merged, segments.cross, False, ctx.scale
            )
            dq.index_add_(0, rows, x)
            dk.index_add_(0, keys, y)
            dv.index_add_(0, keys, z)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None, None


def tree_attention(
    q: Tensor, k: Tensor, v: Tensor, segments: Segments, scale: float, softcap: float | None = None
) -> Tensor:
    """Attention over a packed forest: [T, H, D] from q [T, H, D] and k, v [T, K, D].

    scale multiplies the scores. softcap bounds them, s ← c·tanh(s/c) (Gemma 2), which no flash kernel here computes:
    then, and where a device or dtype has no kernel, `eager_tree_attention` does the work.
    """
    flash = q.device.type == "cpu" or (q.device.type == "cuda" and q.dtype in (torch.float16, torch.bfloat16))
    if softcap is not None or not flash:
        return eager_tree_attention(q, k, v, segments, scale, softcap)
    return _TreeAttention.apply(q, k, v, segments, scale)


def eager_tree_attention(
    q: Tensor, k: Tensor, v: Tensor, segments: Segments, scale: float, softcap: float | None = None
) -> Tensor:
    """The same in plain differentiable operations, with a tree's whole score matrix: slow, and easy to see right."""
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(group, 1) for x in (k, v))
    seen = visible(segments)
    out = []
    for start, end in segments.blocks:
        here = slice(start, end)
        scores = torch.einsum("qhd,khd->hqk", q[here], k[here]).float() * scale
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        weights = scores.masked_fill(~seen[here, here], -torch.inf).softmax(-1).to(v.dtype)
        out.append(torch.einsum("hqk,khd->qhd", weights, v[here]))
    return torch.cat(out)


def visible(segments: Segments) -> Tensor:
    """[T, T] true where the token of a row attends to that of a column."""
    tokens = segments.blocks[-1][1]
    seen = torch.zeros(tokens, tokens, dtype=torch.bool, device=segments.rows.device)
    for q0, q1, _, _ in segments.own.pairs:
        seen[q0:q1, q0:q1] = torch.ones(q1 - q0, q1 - q0, dtype=torch.bool, device=seen.device).tril()
    for q0, q1, k0, k1 in segments.cross.pairs:
        seen[segments.rows[q0:q1, None], segments.keys[None, k0:k1]] = True
    return seen
