"""Prompts and decoding steps of any model whose cache is keys and values, through its own modules."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

from accord.policy.forward import causal_lm
from accord.rollout.slots import Slots


class Modules:
    """A model, lent what sampling needs for each step alone: between two the caller has it, and may be training it.

    dtype  precision to compute in, by weights that are cast once, now (None: the model's own, not copied)
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        self.model = model
        self.casts: list[tuple[Tensor, Tensor]] = [
            (weight, weight.detach().to(dtype))
            for weight in model.parameters()
            if dtype is not None and weight.is_floating_point() and weight.dtype != dtype
        ]

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Cache:
        """Keys and values of prompts, padded on the right, where causal attention keeps the padding from mattering."""
        width = max(map(len, prompts))
        ids_PL = torch.tensor([[*tokens, *[0] * (width - len(tokens))] for tokens in prompts], device=self.model.device)
        with self.lent(), self._in_slots():
            return self.model(ids_PL, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1).past_key_values

    def decode(self, slots: Slots, tokens_R: Tensor, positions_R: Tensor) -> Tensor:
        """Logits [R, V] of what follows each live row's newest token, which stands at `positions_R`."""
        slots.begin_step(positions_R)
        with self.lent(), self._in_slots():
            return self.model(
                tokens_R[:, None],
                position_ids=positions_R[:, None],
                attention_mask=slots.mask(self.model.dtype),
                past_key_values=slots,
                use_cache=True,
            ).logits[:, -1]

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within it the model is in eval mode, without gradients, and has the cast weights; afterwards as before."""
        training, own = self.model.training, [weight.data for weight, _ in self.casts]
        for weight, cast in self.casts:
            weight.data = cast
        self.model.train(False)
        try:
            with torch.inference_mode():
                yield
        finally:
            for (weight, _), data in zip(self.casts, own, strict=True):
                weight.data = data
            self.model.train(training)

    @contextmanager
    def _in_slots(self) -> Iterator[None]:
        """Within it the model attends with `slot_attention`."""
        config = causal_lm(self.model).config
        ours: dict[str, Any] = {"_attn_implementation": "accord_slots"}
        if getattr(config, "output_router_logits", False):
            ours["output_router_logits"] = False  # the balancing loss that would follow cannot be had without its mask
        before = {name: getattr(config, name) for name in ours}
        for name, value in ours.items():
            setattr(config, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(config, name, value)
