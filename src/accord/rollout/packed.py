"""Prompts and decoding steps of Llama-like models, computed from a copy of the weights that is laid out for products.

Transformers' modules spend half of a decoding step around the products, and a product itself half of its time on a
weight that lies as training wants it. Here the weights are taken once a call of `Sampler.sample`: adapters merged,
cast, those that multiply the same input joined, and (on a CPU) laid out in oneDNN's blocks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.policy import norm
from accord.policy.forward import causal_lm
from accord.rollout.slots import Slots, slot_attention

#: model_type of the families that are computed by the equations below and nothing else.
FAMILIES = frozenset(["llama", "mistral", "qwen2", "qwen3"])


class Unpackable(ValueError):
    """Why a model's weights cannot be taken out of its modules."""


class Packed:
    """A Llama-like causal LM as its weights are now; see `accord.rollout.modules.Modules` for what it stands in for.

    dtype  precision to compute in (None: the model's own)

    Raises Unpackable where the model is of another kind, or has modules in it that are not known here.
    """

    @torch.inference_mode()
    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        inner = causal_lm(model)
        if inner.config.model_type not in FAMILIES:
            raise Unpackable(f"model type {inner.config.model_type!r} has modules of its own")
        dtype = dtype or model.dtype
        body, self.device = inner.model, model.device
        self.embedding = _of_type(body.embed_tokens, nn.Embedding).weight
        self.dtype, self.rotary = dtype, body.rotary_emb
        self.layers = [_layer(layer, dtype) for layer in body.layers]
        self.norm = _norm(body.norm, dtype)
        self.head = _product([inner.lm_head], dtype)

    @torch.inference_mode()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> Any:
        """Keys and values of prompts, padded on the right, where causal attention keeps the padding from mattering."""
        width, kept = max(map(len, prompts)), list[Any]()

        def attend(layer: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (x.unflatten(0, (-1, width)).transpose(1, 2) for x in (q, k, v))  # [P, heads, T, dim]
            kept.append(SimpleNamespace(keys=k, values=v))
            shared = q.shape[1] > k.shape[1]
            return F.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=layer.scale, enable_gqa=shared
            ).transpose(1, 2)

        ids_PT = torch.tensor([[*tokens, *[0] * (width - len(tokens))] for tokens in prompts], device=self.device)
        self._body(ids_PT.flatten(), torch.arange(width, device=self.device).repeat(len(prompts)), attend)
        return SimpleNamespace(layers=kept)

    @torch.inference_mode()
    def decode(self, slots: Slots, tokens_R: Tensor, positions_R: Tensor) -> Tensor:
        """Logits [R, V] of what follows each live row's newest token, which stands at `positions_R`."""
        slots.begin_step(positions_R)
        mask, places = slots.mask(self.dtype), iter(slots.places(len(self.layers)))

        def attend(layer: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = next(places).update(k[:, :, None], v[:, :, None])
            return slot_attention(None, q[:, :, None], keys, values, mask, layer.scale)[0]

        return self.head(self.norm(self._body(tokens_R, positions_R, attend)))

    def _body(self, tokens_N: Tensor, positions_N: Tensor, attend: Callable[..., Tensor]) -> Tensor:
        """Hidden states [N, D] after the last layer; attend(layer, q, k, v [N, heads, dim]) -> [N, heads · dim]."""
        x = self.embedding[tokens_N].to(self.dtype)
        cos, sin = (each[0, :, None] for each in self.rotary(x, positions_N[None]))
        sin = torch.cat((-sin[..., : sin.shape[-1] // 2], sin[..., sin.shape[-1] // 2 :]), -1)
        for layer in self.layers:
            heads = layer.qkv(layer.before_attention(x)).unflatten(-1, (-1, layer.dim))
            q, k, v = heads.split(layer.heads, 1)
            qk = heads[:, : -v.shape[1]] if layer.q_norm is None else torch.cat((layer.q_norm(q), layer.k_norm(k)), 1)
            q, k = _turn(qk, cos, sin).split(layer.heads[:2], 1)
            attended = attend(layer, q, k, v)
            x = x + layer.out(attended.reshape(len(x), -1))
            gate, up = layer.gate_up(layer.before_mlp(x)).chunk(2, -1)
            x = x + layer.down(layer.act(gate).mul_(up))
        return x


def _layer(layer: Any, dtype: torch.dtype) -> Any:
    attention, mlp = layer.self_attn, layer.mlp
    dim = attention.head_dim
    return SimpleNamespace(
        dim=dim,
        heads=[each.out_features // dim for each in (attention.q_proj, attention.k_proj, attention.v_proj)],
        scale=attention.scaling,
        before_attention=_norm(layer.input_layernorm, dtype),
        qkv=_product([attention.q_proj, attention.k_proj, attention.v_proj], dtype),
        q_norm=_norm(attention.q_norm, dtype) if hasattr(attention, "q_norm") else None,
        k_norm=_norm(attention.k_norm, dtype) if hasattr(attention, "k_norm") else None,
        out=_product([attention.o_proj], dtype),
        before_mlp=_norm(layer.post_attention_layernorm, dtype),
        gate_up=_product([mlp.gate_proj, mlp.up_proj], dtype),
        act=mlp.act_fn,
        down=_product([mlp.down_proj], dtype),
    )


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: (x₁, x₂)·cos + (x₂, x₁)·(−sin, sin), x [N, heads, dim]; `sin` has the sign in it."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _norm(module: Any, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    if type(module).__name__ not in norm.CLASSES:
        raise Unpackable(f"{type(module).__name__} is not an RMSNorm that is known")
    weight = module.weight.to(dtype)
    return partial(F.rms_norm, normalized_shape=tuple(weight.shape), weight=weight, eps=module.variance_epsilon)


def _product(modules: Sequence[Any], dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """x ↦ the outputs of linear layers that have the same input, joined: [N, in] -> [N, Σ out]."""
    weight = torch.cat([_weight(module).to(dtype) for module in modules])
    biases = [module.bias for module in modules]
    bias = None if biases[0] is None else torch.cat([each.to(dtype) for each in biases])
    if weight.device.type == "cpu" and torch.backends.mkldnn.is_available():
        blocks = torch.ops.mkldnn._reorder_linear_weight(weight, 32)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, blocks, bias, "none", [], "")
    return lambda x: F.linear(x, weight, bias)


def _weight(module: Any) -> Tensor:
    """A linear layer's weight, with that of the LoRA adapters that are switched on."""
    base = getattr(module, "base_layer", None)
    if base is None:
        return _of_type(module, nn.Linear).weight
    weight = _of_type(base, nn.Linear).weight
    if module.disable_adapters or module.merged:
        return weight
    for adapter in module.active_adapters:
        if adapter in module.lora_A:
            if module.lora_variant.get(adapter) or module.lora_bias[adapter]:
                raise Unpackable(f"adapter {adapter!r} is more than a product of two matrices")
            weight = weight + module.get_delta_weight(adapter)
    return weight


def _of_type(module: Any, kind: type) -> Any:
    if type(module) is not kind:
        raise Unpackable(f"{type(module).__name__} stands where {kind.__name__} is known")
    return module
