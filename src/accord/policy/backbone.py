"""Hidden states of a packed prompt tree: a Transformers model without its head."""

from typing import Any

import torch
from torch import Tensor

from accord.tree import TreeBatch

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
