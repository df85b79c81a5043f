"""Critics: V(state) of the text before each completion token, what a policy can expect from there on.

`attach(model, critic)` gives an installed policy a critic, and `model(tree=batch, asked=Asked(values=True))` then
answers with values too. The critic is a submodule of the policy, so that optimizers, DDP and gradient clipping know its
weights; `without_critic` takes it off for the time of saving, since the saved model is a plain language model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from accord.policy.backbone import token_states
from accord.policy.forward import causal_lm, install
from accord.policy.gate import Layout
from accord.tree import TreeBatch

NAME = "accord_critic"


class ValueHead(nn.Linear):
    """A linear head on the policy's own hidden states: V = w·h + b. It begins at V = 0."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, policy: Any, batch: TreeBatch, layout: Layout, hidden_ND: Tensor, detached: bool) -> Tensor:  # type: ignore[override]
        """[N] values. `detached`: the trunk learns nothing of them."""
        return _linear(self, hidden_ND.detach() if detached else hidden_ND)


class SeparateCritic(nn.Module):
    """A critic with a trunk of its own: a Transformers model with one score, such as a reward model, asked at every
    token. It needs a second model's memory and time, and cannot disturb the policy."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        install(model)
        self.model = model

    def forward(self, policy: Any, batch: TreeBatch, layout: Layout, hidden_ND: Tensor, detached: bool) -> Tensor:
        """[N] values: the mean of its heads."""
        return _linear(self.model.score, token_states(self.model, batch, layout))


def attach(model: nn.Module, critic: nn.Module) -> None:
    """Gives a policy its critic."""
    setattr(causal_lm(model), NAME, critic)


def critic_of(model: nn.Module) -> nn.Module | None:
    """The policy's critic, None without one."""
    return getattr(causal_lm(model), NAME, None)


@contextmanager
def without_critic(model: nn.Module) -> Iterator[None]:
    """Within it, the policy is the language model alone."""
    inner, critic = causal_lm(model), critic_of(model)
    if critic is None:
        yield
        return
    delattr(inner, NAME)
    try:
        yield
    finally:
        setattr(inner, NAME, critic)


def _linear(head: nn.Linear, hidden_ND: Tensor) -> Tensor:
    """In the head's own precision: one number a token saves no time in bf16, and values differ by little."""
    with torch.autocast(hidden_ND.device.type, enabled=False):
        return nn.functional.linear(hidden_ND.to(head.weight.dtype), head.weight, head.bias).mean(-1).float()
