"""Prompt trees and the flat batch they are packed into.

    PromptTree  p p p ┬ a a a        TreeBatch   p p p a a a b b | q q c c c d
                      └ b b          positions   0 1 2 3 4 5 3 4 | 0 1 2 3 4 2

Suffixes name what an axis counts: T flat tokens, N predicted (completion) tokens, C completions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PromptTree:
    """One prompt's token ids and those of its completions. None may be empty: a first token needs a predecessor."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a prompt without tokens predicts nothing: begin it with the tokenizer's BOS or EOS token")
        if not all(self.completions):
            raise ValueError("a completion without tokens has no probability: drop it")

    def __len__(self) -> int:
        """Tokens that the tree takes in a packed batch."""
        return len(self.prompt) + sum(map(len, self.completions))

    @property
    def longest(self) -> int:
        """Tokens from the root to the deepest leaf: what must fit into the model's context."""
        return len(self.prompt) + max(map(len, self.completions), default=0)


@dataclass(frozen=True, slots=True)
class Spans:
    """Query spans and the key spans that they attend to, both as cumulative offsets over contiguous rows."""

    queries: Tensor  # [S + 1] int32
    keys: Tensor  # [S + 1] int32
    pairs: tuple[tuple[int, int, int, int], ...]  # the same on the host: (q start, q end, k start, k end)
    max_query: int
    max_key: int

    @classmethod
    def of(cls, query_lengths: Sequence[int], key_lengths: Sequence[int]) -> "Spans":
        q, k = list(accumulate(query_lengths, initial=0)), list(accumulate(key_lengths, initial=0))
        queries, keys = (torch.tensor(offsets, dtype=torch.int32) for offsets in (q, k))
        pairs = tuple(zip(q[:-1], q[1:], k[:-1], k[1:], strict=True))
        return cls(queries, keys, pairs, max(query_lengths, default=0), max(key_lengths, default=0))


@dataclass(frozen=True, slots=True)
class Segments:
    """All that attention needs to know: every segment sees itself causally, and a completion sees its whole prompt.

    own     each segment against itself
    cross   for each prompt that has completions: all their tokens against the prompt's
    rows    [Q] flat positions of those completion tokens, in the order of `cross`
    keys    [K] flat positions of those prompts' tokens
    blocks  (start, end) of each tree: no attention crosses from one to another
    """

    own: Spans
    cross: Spans
    rows: Tensor
    keys: Tensor
    blocks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """A forest as one flat row of T tokens without padding.

    input_ids_T     token ids
    position_ids_T  position on the path from the root: completions restart where their prompt ends
    source_N        flat position whose hidden state predicts each completion token (a completion's first token is
                    predicted by the last token of its prompt)
    target_N        the completion token itself
    completion_N    which completion it belongs to, in 0 … completions - 1
    segments        see `Segments`
    trees           what was packed
    """

    input_ids_T: Tensor
    position_ids_T: Tensor
    source_N: Tensor
    target_N: Tensor
    completion_N: Tensor
    segments: Segments
    trees: tuple[PromptTree, ...]

    @property
    def completions(self) -> int:
        return sum(len(tree.completions) for tree in self.trees)

    @property
    def longest(self) -> int:
        return max(tree.longest for tree in self.trees)

    def sum_by_completion(self, values_N: Tensor) -> Tensor:
        """[N] values of completion tokens -> [C] their sums, in fp32."""
        return values_N.new_zeros(self.completions, dtype=torch.float32).index_add(0, self.completion_N, values_N)

    def to(self, device: torch.device | str) -> "TreeBatch":
        """The same batch with its tensors on `device`."""
        return _to(self, device)


def _to(value, device):
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, TreeBatch | Segments | Spans):
        return replace(value, **{f.name: _to(getattr(value, f.name), device) for f in fields(value)})
    return value


def pack(trees: Sequence[PromptTree], *, share: bool = True) -> TreeBatch:
    """Packs trees into one flat row.

    share=False repeats the prompt before each of its completions: the same numbers from more tokens, for models whose
    prompt may not be shared (dropout, balancing losses over tokens).
    """
    packed = trees
    if not share:
        trees = [PromptTree(t.prompt, [c]) for t in trees for c in t.completions]
    ids: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    lengths: list[int] = []
    queries: list[int] = []
    rows: list[int] = []
    keys: list[int] = []
    key_lengths: list[int] = []
    blocks: list[tuple[int, int]] = []
    count = 0
    for tree in trees:
        root, depth = len(ids), len(tree.prompt)
        ids += tree.prompt
        positions += range(depth)
        for completion in tree.completions:
            start, end = len(ids), len(ids) + len(completion)
            ids += completion
            positions += range(depth, depth + len(completion))
            sources += [root + depth - 1, *range(start, end - 1)]
            targets += completion
            owners += [count] * len(completion)
            count += 1
        blocks.append((root, len(ids)))
        if not share:
            lengths.append(len(ids) - root)
            continue
        lengths += [depth, *map(len, tree.completions)]
        if tree.completions:
            queries.append(len(ids) - root - depth)
            key_lengths.append(depth)
            rows += range(root + depth, len(ids))
            keys += range(root, root + depth)
    own, cross = Spans.of(lengths, lengths), Spans.of(queries, key_lengths)
    lists = (ids, positions, sources, targets, owners, rows, keys)
    ids_T, positions_T, source_N, target_N, owner_N, rows_Q, keys_K = (torch.tensor(x, dtype=torch.long) for x in lists)
    segments = Segments(own, cross, rows_Q, keys_K, tuple(blocks))
    return TreeBatch(ids_T, positions_T, source_N, target_N, owner_N, segments, tuple(packed))


class Padded(NamedTuple):
    """The plain batch: one row a completion, right-padded."""

    input_ids_CL: Tensor
    attention_mask_CL: Tensor
    source_N: Tensor  # flat position in [C·L] that predicts each completion token
    target_N: Tensor
    completion_N: Tensor


def expand(batch: TreeBatch, pad_id: int = 0) -> Padded:
    """The slow oracle: every completion with its own copy of the prompt, padded. Same order of N and C as `batch`."""
    paths = [(tree.prompt, completion) for tree in batch.trees for completion in tree.completions]
    width = max(len(p) + len(c) for p, c in paths)
    ids = torch.full((len(paths), width), pad_id)
    mask = torch.zeros_like(ids)
    sources: list[int] = []
    for row, (prompt, completion) in enumerate(paths):
        length = len(prompt) + len(completion)
        ids[row, :length] = torch.tensor([*prompt, *completion])
        mask[row, :length] = 1
        sources += range(row * width + len(prompt) - 1, row * width + length - 1)
    device = batch.input_ids_T.device
    source = torch.tensor(sources, device=device)
    return Padded(ids.to(device), mask.to(device), source, batch.target_N, batch.completion_N)
