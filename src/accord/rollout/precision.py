"""Sampling in another precision than that of the weights: they are cast once a call, and lent to the modules."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Cast:
    """A model's floating-point weights in `dtype`, as they were when this was made (None: its own, not copied)."""

    def __init__(self, model: Any, dtype: torch.dtype | None) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = [
            (weight, weight.detach().to(dtype))
            for weight in model.parameters()
            if dtype is not None and weight.is_floating_point() and weight.dtype != dtype
        ]

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within it the model computes with these weights; afterwards it has its own again, the same tensors."""
        own = [weight.data for weight, _ in self.pairs]
        for weight, cast in self.pairs:
            weight.data = cast
        try:
            yield
        finally:
            for (weight, _), data in zip(self.pairs, own, strict=True):
                weight.data = data
