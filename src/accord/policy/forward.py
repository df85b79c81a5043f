"""Completion log-probs, or rewards, out of a Transformers model.

`install(model)` gives a causal language model a second way to be called,

    logps_N = model(tree=batch)
    logps_N, statistic_N, values_N = model(tree=batch, asked=Asked(statistic="entropy", values=True))

and a reward model (a sequence classifier, see `policy/rewards.py`)

    rewards_CM = model(tree=batch)

which runs inside the model's own forward, and so inside whatever wraps it: DDP, FSDP and autocast see an ordinary
call. The segments travel to the attention layers as a keyword argument, so that gradient checkpointing recomputes
with the right ones. All other calls, `generate` among them, work as before.
"""

import functools
import logging
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

from accord.policy import norm
from accord.policy.backbone import token_states, unshared
from accord.policy.gate import Choice, Layout, choose, choose_for
from accord.policy.rewards import gives_rewards, rewards
from accord.tree import TreeBatch, expand, target_logps
from accord.tree.attention import tree_attention
from accord.tree.head import TokenLogps, chunk_size, token_logps

log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """What is wanted of a policy beside the log-probs of a batch's completion tokens.

    statistic    one of `accord.tree.head.STATISTICS`, or None
    values       whether its critic's values are wanted (see `accord.policy.values`)
    detached     whether these values' gradient shall end before the policy's trunk
    temperature  T of π_T = softmax(logits / T), of which the log-probs and the statistic are
    """

    statistic: str | None = None
    values: bool = False
    detached: bool = False
    temperature: float = 1.0


class Said(NamedTuple):
    """A policy's answer, [N] each, in fp32; None for what was not asked."""

    logps_N: Tensor
    statistic_N: Tensor | None = None
    values_N: Tensor | None = None


def _attend(plain, module, q, k, v, attention_mask, segments=None, **kwargs):
    """Transformers' attention interface: q [1, H, T, D], k and v [1, K, T, D] -> [1, T, H, D]."""
    if segments is None:
        return plain(module, q, k, v, attention_mask, **kwargs)
    scale = kwargs.get("scaling") or q.shape[-1] ** -0.5
    dtype = torch.get_autocast_dtype(q.device.type) if torch.is_autocast_enabled(q.device.type) else v.dtype
    q, k, v = (x[0].transpose(0, 1).to(dtype) for x in (q, k, v))
    return tree_attention(q, k, v, segments, scale, kwargs.get("softcap"))[None], None


def _own_eager(module, *args, **kwargs):
    return sys.modules[type(module).__module__].eager_attention_forward(module, *args, **kwargs)


#: What an attention implementation of ours does in calls without a tree: how it attends, and its mask. A name must not
#: contain `sdpa`, `flash` or `flex`: those trigger capability checks.
PLAIN: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "accord_tree": (sdpa_attention_forward, sdpa_mask),
    "accord_tree_eager": (_own_eager, eager_mask),  # families that SDPA cannot serve (Gemma 2's softcap)
}
for _name, (_plain, _mask) in PLAIN.items():
    AttentionInterface.register(_name, functools.partial(_attend, _plain))
    AttentionMaskInterface.register(_name, _mask)


def causal_lm(model: Any) -> Any:
    """The Transformers model itself, out of a PEFT wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def install(model: nn.Module, layout: Layout | None = None) -> Choice:
    """Makes `model(tree=batch)` work and says which layout it will use; the choice is logged once.

    layout  forces one (tests, measurements); None lets the gate decide
    """
    inner = causal_lm(model)
    choice = choose(inner) if layout is None else Choice(layout, "asked for")
    if choice.layout is not Layout.PADDED:
        inner.set_attn_implementation("accord_tree" if inner._supports_sdpa else "accord_tree_eager")
        norm.install(inner)
    inner.accord_choice, inner.accord_said = choice, set()
    _say(inner, choice)
    if not hasattr(inner, "accord_plain_forward"):
        plain = inner.accord_plain_forward = inner.forward
        inner.forward = MethodType(_with_trees(getattr(plain, "__func__", plain)), inner)
    return choice


def _with_trees(plain):
    @functools.wraps(plain)  # generate() and Trainer read the signature
    def forward(self, *args, tree: TreeBatch | None = None, asked: Asked | None = None, **kwargs):
        if tree is None:
            return self.accord_plain_forward(*args, **kwargs)
        choice = choose_for(tree.trees, self.config, self.accord_choice)
        _say(self, choice)
        if gives_rewards(self):
            return rewards(self, tree, choice.layout)
        said = LAYOUTS[choice.layout](self, tree, asked or Asked())
        return said.logps_N if asked is None else tuple(said)

    return forward


def _say(model, choice: Choice) -> None:
    """Logs a layout, once a model."""
    if choice not in model.accord_said:
        model.accord_said.add(choice)
        level = logging.INFO if choice.layout is Layout.TREE else logging.WARNING
        why = f": {choice.reason}" if choice.reason else ""
        log.log(level, "prompts are laid out as %r%s", choice.layout.value, why)


def _tree(self, batch: TreeBatch, asked: Asked) -> Said:
    hidden_ND = token_states(self, batch, Layout.TREE)
    values_N = self.accord_critic(self, batch, Layout.TREE, hidden_ND, asked.detached) if asked.values else None
    return Said(*_head(self, hidden_ND, batch.target_N, asked), values_N)


def _packed(self, batch: TreeBatch, asked: Asked) -> Said:
    return _tree(self, unshared(batch), asked)


def _padded(self, batch: TreeBatch, asked: Asked) -> Said:
    """One row a completion through the model's own attention, and its own head: nothing of it is assumed."""
    padded = expand(batch)
    output = self.accord_plain_forward(
        input_ids=padded.input_ids_CL, attention_mask=padded.attention_mask_CL, use_cache=False
    )
    logits_NV = output.logits.flatten(0, 1)[padded.source_N] / asked.temperature
    values_N = None
    if asked.values:
        hidden_ND = token_states(self, batch, Layout.PADDED)
        values_N = self.accord_critic(self, batch, Layout.PADDED, hidden_ND, asked.detached)
    return Said(*token_logps(logits_NV, padded.target_N, asked.statistic), values_N)


LAYOUTS: dict[Layout, Callable[[Any, TreeBatch, Asked], Said]] = {
    Layout.TREE: _tree,
    Layout.PACKED: _packed,
    Layout.PADDED: _padded,
}


def _head(self, hidden_ND: Tensor, target_N: Tensor, asked: Asked) -> TokenLogps:
    """Log-probs of the targets: in our own backward for a plain linear head, else by recomputing chunks."""
    head, softcap = self.get_output_embeddings(), getattr(self.config, "final_logit_softcapping", None)
    if type(head) is nn.Linear and softcap is None and (head.bias is None or asked.temperature == 1):
        device = hidden_ND.device.type
        if asked.temperature != 1:
            hidden_ND = hidden_ND / asked.temperature  # a linear head's logits, divided
        if torch.is_autocast_enabled(device):  # the backward runs outside autocast: cast here, or it multiplies in fp32
            hidden_ND = hidden_ND.to(torch.get_autocast_dtype(device))
        return target_logps(hidden_ND, head.weight, target_N, head.bias, statistic=asked.statistic)

    def piece(hidden, target):
        logits = head(hidden)
        logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
        return token_logps(logits / asked.temperature, target, asked.statistic)

    pieces = zip(*(x.split(chunk_size(self.config.vocab_size)) for x in (hidden_ND, target_N)), strict=True)
    parts = [checkpoint(piece, *each, use_reentrant=False) for each in pieces]
    logps_N = torch.cat([part.logps_N for part in parts])
    return TokenLogps(logps_N, torch.cat([part.statistic_N for part in parts]) if asked.statistic else None)
