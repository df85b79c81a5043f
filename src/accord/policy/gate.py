"""Which layout a model can be trusted with.

    tree    prompts stand once; exact tree attention
    packed  a flat row without padding, the prompt repeated for each completion
    padded  one padded row a completion, through the model's own attention

A family is on the list when `tests/test_families.py` has shown it to agree with the padded way in log-probs and every
gradient. Everything else is padded: a model that reads position_ids, masks or windows in a way of its own would be
wrong without a sound.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from torch import nn

from accord.tree import PromptTree


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


def choose(model: nn.Module) -> Choice:
    """The layout that a Transformers model bears in general."""
    config: Any = model.config
    if config.model_type not in FLAT_FAMILIES:
        return Choice(Layout.PADDED, f"model type {config.model_type!r} has not been shown to bear packing")
    if (p := attention_dropout(model)) > 0:
        return Choice(Layout.PADDED, f"attention dropout is {p:g}, which packed attention does not draw")
    if (p := dropout(model)) > 0:
        return Choice(Layout.PACKED, f"dropout is {p:g}, and one sample of it cannot serve several completions")
    if getattr(config, "router_jitter_noise", 0) > 0:
        return Choice(Layout.PACKED, "its experts' noise cannot serve several completions")
    if getattr(config, "output_router_logits", False):
        return Choice(Layout.PACKED, "its experts' balancing loss counts each token, so prompts are not shared")
    return Choice(Layout.TREE)


def choose_for(trees: Sequence[PromptTree], config, general: Choice) -> Choice:
    """The layout for these trees: `general`, unless a path is longer than the model's attention window."""
    if general.layout is Layout.PADDED or (width := window(config)) is None:
        return general
    if max(tree.longest for tree in trees) <= width:
        return general
    return Choice(Layout.PADDED, f"a prompt with its completion exceeds the attention window of {width} tokens")


def window(config) -> int | None:
    """How many tokens the layer with the shortest view sees, itself included; None where all see everything."""
    if not getattr(config, "use_sliding_window", True):
        return None
    declares_layers = hasattr(type(config), "layer_types")  # Mistral's may be given some, and does not read them
    if declares_layers and "sliding_attention" not in config.layer_types:
        return None
    return getattr(config, "sliding_window", None)


def tokens(tree: PromptTree, layout: Layout) -> int:
    """Token positions that a tree takes in a batch of this layout (padded: without the padding to other trees)."""
    if layout is Layout.TREE:
        return len(tree)
    if layout is Layout.PACKED:
        return len(tree) + len(tree.prompt) * (len(tree.completions) - 1)
    return tree.longest * len(tree.completions)


def attention_dropout(model: nn.Module) -> float:
    """The largest probability of dropping an attention weight: a number on a layer, or (GPT-2) a module in it."""
    found = (getattr(m, name, 0.0) for m in model.modules() for name in ("attention_dropout", "attn_dropout"))
    return max(float(getattr(each, "p", each)) for each in found)


def dropout(model: nn.Module) -> float:
    """The largest dropout probability among the model's modules, adapters included."""
    return max((m.p for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)), default=0.0)


def disable_dropout(model: nn.Module) -> None:
    """Sets every dropout to 0: a prompt's one sample is not the several that its completions would draw alone."""
    module: Any
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
