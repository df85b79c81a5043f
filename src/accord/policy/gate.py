"""Which layout a model can be trusted with.

    tree    prompts stand once; exact tree attention
    packed  a flat row without padding, the prompt repeated for each completion
    padded  one padded row a completion, through the model's own attention

A family is on the list when `tests/test_families.py` has shown it to agree with the padded way in log-probs and every
gradient. Everything else is padded: a model that reads position_ids, masks or windows in a way of its own would be
wrong without a sound.
"""

import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from torch import nn

from accord.tree import PromptTree

log = logging.getLogger(__name__)


class Layout(StrEnum):
    """How completions are laid out for the model, fastest first."""

    TREE = "tree"
    PACKED = "packed"
    PADDED = "padded"


#: model_type of the families whose attention, positions and head are known to bear a flat row.
FLAT_FAMILIES = frozenset(
    [
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "phi3",
        "gpt2",
        "olmo2",
        "mixtral",
        "qwen3_moe",
    ]
)


class Choice(NamedTuple):
    """A layout, and why not a faster one (empty for `tree`)."""

    layout: Layout
    reason: str = ""


def choose(config) -> Choice:
    """The layout that models of this configuration bear in general."""
    if config.model_type not in FLAT_FAMILIES:
        return Choice(Layout.PADDED, f"model type {config.model_type!r} has not been shown to bear packing")
    if getattr(config, "output_router_logits", False):
        return Choice(Layout.PACKED, "its experts' balancing loss counts each token, so prompts are not shared")
    return Choice(Layout.TREE)


def choose_for(trees: Sequence[PromptTree], config, general: Choice) -> Choice:
    """The layout for these trees: `general`, unless a path is longer than the model's attention window."""
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    longest = max(tree.longest for tree in trees)
    if general.layout is not Layout.PADDED and window is not None and longest > window:
        return Choice(Layout.PADDED, f"a path of {longest} tokens exceeds the attention window of {window}")
    return general


def tokens(tree: PromptTree, layout: Layout) -> int:
    """Token positions that a tree takes in a batch of this layout (padded: without the padding to other trees)."""
    if layout is Layout.TREE:
        return len(tree)
    if layout is Layout.PACKED:
        return len(tree) + len(tree.prompt) * (len(tree.completions) - 1)
    return tree.longest * len(tree.completions)


def active_dropout(model: nn.Module) -> float:
    """The largest dropout probability in the model, in modules and in attention's configuration."""
    modules = (m.p for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd))
    attention = (getattr(m, "attention_dropout", 0.0) for m in model.modules())
    return max((float(p) for p in (*modules, *attention) if isinstance(p, int | float)), default=0.0)


def disable_dropout(model: nn.Module) -> None:
    """Sets every dropout to 0: a prompt's one sample is not the several that its completions would draw alone."""
    module: Any
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
