"""Hidden states of a batch of prompt trees: a Transformers model without its head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from accord.policy.gate import Layout
from accord.tree import TreeBatch, expand, pack

#: Transformers passes a 4-D mask on unchanged, to full and to sliding layers: tree attention needs none.
NO_MASK_SHAPE = (1, 1, 1, 1)


def hidden_states(model: Any, batch: TreeBatch) -> Tensor:
    """[T, D] last hidden states of the flat row. The model's attention must be one that reads `segments`."""
    output = getattr(model, model.base_model_prefix)(
        input_ids=batch.input_ids_T[None],
        position_ids=batch.position_ids_T[None],
        attention_mask=torch.empty(NO_MASK_SHAPE, device=batch.input_ids_T.device),
        use_cache=False,
        segments=batch.segments,
    )
    return output.last_hidden_state[0]


def token_states(model: Any, batch: TreeBatch, layout: Layout) -> Tensor:
    """[N, D] hidden states that predict the completions' tokens: of the text up to each token, without it."""
    return LAYOUTS[layout](model, batch)


def padded_states(model: Any, batch: TreeBatch) -> Tensor:
    """[C, L, D] hidden states of `expand(batch)`, one padded row a completion, through the model's own attention."""
    padded = expand(batch)
    backbone = getattr(model, model.base_model_prefix)
    return backbone(
        input_ids=padded.input_ids_CL, attention_mask=padded.attention_mask_CL, use_cache=False
    ).last_hidden_state


def unshared(batch: TreeBatch) -> TreeBatch:
    """The same completions, in the same order, each with a prompt of its own."""
    return pack(batch.trees, share=False).to(batch.input_ids_T.device)


def _tree(model: Any, batch: TreeBatch) -> Tensor:
    return hidden_states(model, batch)[batch.source_N]


LAYOUTS: dict[Layout, Callable[[Any, TreeBatch], Tensor]] = {
    Layout.TREE: _tree,
    Layout.PACKED: lambda model, batch: _tree(model, unshared(batch)),
    Layout.PADDED: lambda model, batch: padded_states(model, batch).flatten(0, 1)[expand(batch).source_N],
}
