"""Rewards of completions out of a Transformers sequence-classification model: one score of each of its heads.

Where a score is read: `AutoModelForSequenceClassification` reads it at the last token of a row that is not
`config.pad_token_id`, and so does this. Many models pad with their end-of-text token (SmolLM2's is its end of turn);
then that is the token before a final end of text, which no one can tell from padding. Reading anywhere else would give
a saved model other scores under Transformers than it was trained on, in padded batches or single rows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from accord.policy.backbone import hidden_states, padded_states
from accord.policy.gate import Layout
from accord.tree import PromptTree, TreeBatch, pack


def gives_rewards(model: Any) -> bool:
    """Whether a Transformers model (out of its PEFT wrapper) is a reward model: one with a head called `score`."""
    return hasattr(model, "score")


def rewards(model: Any, batch: TreeBatch, layout: Layout) -> Tensor:
    """[C, M] scores of the completions by the model's M heads, computed in the heads' own precision and given in fp32.

    A head multiplies one vector a completion: in bf16 it would save no time, and cost the digits that tell two good
    answers apart.
    """
    head, last_CD = model.score, last_hidden_states(model, batch, layout)
    with torch.autocast(last_CD.device.type, enabled=False):
        return head(last_CD.to(head.weight.dtype)).float()


def last_hidden_states(model: Any, batch: TreeBatch, layout: Layout) -> Tensor:
    """[C, D] hidden states that the completions' scores are read from."""
    return LAYOUTS[layout](model, batch)


def _tree(model, batch: TreeBatch) -> Tensor:
    return hidden_states(model, batch)[_last_tokens(model, batch.trees)]


def _packed(model, batch: TreeBatch) -> Tensor:
    rows = _rows(batch)
    return hidden_states(model, pack(rows, share=False).to(batch.input_ids_T.device))[_last_tokens(model, rows)]


def _padded(model, batch: TreeBatch) -> Tensor:
    last_C = torch.cat([_last_tokens(model, [row]) for row in _rows(batch)])
    return padded_states(model, batch)[torch.arange(len(last_C)), last_C]


def _rows(batch: TreeBatch) -> list[PromptTree]:
    """Each completion with a prompt of its own."""
    return [PromptTree(tree.prompt, [completion]) for tree in batch.trees for completion in tree.completions]


def _last_tokens(model, trees: Sequence[PromptTree]) -> Tensor:
    return torch.tensor(list(last_tokens(trees, model.config.get_text_config().pad_token_id)))


LAYOUTS: dict[Layout, Callable[[Any, TreeBatch], Tensor]] = {
    Layout.TREE: _tree,
    Layout.PACKED: _packed,
    Layout.PADDED: _padded,
}


def last_tokens(trees: Sequence[PromptTree], padding: int | None) -> Iterator[int]:
    """For each completion, the flat position of the last token on its path that is not `padding`; of a path of nothing
    else, its first token."""
    root = 0
    for tree in trees:
        depth = len(tree.prompt)
        in_prompt = root + max(_last(tree.prompt, padding), 0)
        start = root + depth
        for completion in tree.completions:
            last = _last(completion, padding)
            yield in_prompt if last < 0 else start + last
            start += len(completion)
        root = start


def _last(tokens: Sequence[int], padding: int | None) -> int:
    """The place of the last token that is not padding; -1 where there is none."""
    return next((place for place in reversed(range(len(tokens))) if tokens[place] != padding), -1)
