"""The reference of methods that sample: the policy as it stood before training, for texts that nobody knew before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class StandingReference:
    """The policy's trainable weights as they were, put in their place while the reference is asked.

    What is frozen is shared with the policy: with LoRA the copy is the adapter, which before training changes nothing.
    Raises ValueError where a process has not all weights.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @contextmanager
    def standing_in(self) -> Iterator[nn.Module]:
        """Within it, the model is the reference. Enter autocast inside: it remembers weights that it has cast."""
        named = dict(self.model.named_parameters())
        policy: dict[str, Tensor] = {name: named[name].data for name in self.weights}
        try:
            for name, weight in self.weights.items():
                named[name].data = weight
            with torch.no_grad():
                yield self.model
        finally:
            for name, weight in policy.items():
                named[name].data = weight
