"""What a trainer draws: examples, in an order that depends on nothing but the seed and the epoch."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from accord.tree import PromptTree


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn from.

    id      as in the training row, for messages about it
    tree    its prompt and completions (chosen and rejected; or one)
    p       what people said: the probability that the first completion is preferred, or desirable
    weight  how much the example counts in the loss
    numbers what else is known of it (a reward model's `margin`), by column
    tokens  what is known of each token of its only completion (an advantage), by column: [N] each
    """

    id: str
    tree: PromptTree
    p: float = 1.0
    weight: float = 1.0
    numbers: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, Tensor] = field(default_factory=dict)


def stable_hash(*parts: object) -> bytes:
    """8 bytes that depend on the parts' values alone: the same in every process, order and run."""
    return hashlib.blake2b(
        repr([list(p) if hasattr(p, "__iter__") else p for p in parts]).encode(), digest_size=8
    ).digest()


class OptimizerBatches(Sampler[list[int]]):
    """Indices of one optimizer batch after the other, this process's share of each.

    The examples of an epoch stand in one order for all processes. Batch b is the slice [b·size, (b+1)·size) of it, and
    process r of R takes every R-th example from r on: together they see what one process would. Where the last batch
    has fewer examples than processes, a share may be empty.

    groups   for each example, what is drawn together with it (its prompt), `together` of them at a time
    """

    def __init__(
        self,
        groups: Sequence[object],
        size: int,
        *,
        shuffle: bool,
        seed: int,
        together: int = 1,
        drop_last: bool = False,
        rank: int = 0,
        processes: int = 1,
    ):
        self.size, self.shuffle, self.seed, self.drop_last = size, shuffle, seed, drop_last
        self.rank, self.processes, self.epoch = rank, processes, 0
        self.examples = len(groups)
        self.clusters = list(_clusters(groups, together))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.examples, self.size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(len(self.clusters)))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(len(self.clusters), generator=generator).tolist()
        flat = [i for cluster in order for i in self.clusters[cluster]]
        for batch in range(len(self)):
            yield flat[batch * self.size : (batch + 1) * self.size][self.rank :: self.processes]


def _clusters(groups: Sequence[object], together: int) -> Iterator[list[int]]:
    """Runs of up to `together` examples of one group, in order of first appearance."""
    open_clusters: dict[object, list[int]] = {}
    order: list[list[int]] = []
    for index, group in enumerate(groups):
        cluster = open_clusters.get(group)
        if cluster is None or len(cluster) == together:
            cluster = open_clusters[group] = []
            order.append(cluster)
        cluster.append(index)
    return iter(order)


class EpochLoader(DataLoader):
    """A DataLoader that tells its batch sampler which epoch it is."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


@dataclass(frozen=True, slots=True)
class Merged:
    """Examples that share a prompt, as one tree: equal completions stand once.

    leaves   for each example, the places of its completions in the tree
    """

    examples: tuple[Example, ...]
    tree: PromptTree
    leaves: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.tree)


def merge(examples: Sequence[Example], budget: int) -> list[Merged]:
    """Examples with equal prompts under one root, in trees of up to `budget` tokens (a larger example stands alone)."""
    open_trees: dict[tuple[int, ...], _Growing] = {}
    done: list[_Growing] = []
    for example in examples:
        prompt = tuple(example.tree.prompt)
        leaves = [tuple(c) for c in example.tree.completions]
        tree = open_trees.get(prompt)
        if tree is None or tree.size + sum(len(c) for c in leaves if c not in tree.places) > budget:
            tree = open_trees[prompt] = _Growing(example.tree.prompt)
            done.append(tree)
        tree.add(example, leaves)
    return [tree.merged() for tree in done]


class _Growing:
    def __init__(self, prompt: Sequence[int]):
        self.prompt, self.size = prompt, len(prompt)
        self.places: dict[tuple[int, ...], int] = {}
        self.examples: list[Example] = []
        self.leaves: list[tuple[int, ...]] = []

    def add(self, example: Example, leaves: list[tuple[int, ...]]) -> None:
        self.size += sum(len(c) for c in leaves if c not in self.places)
        self.leaves.append(tuple(self.places.setdefault(c, len(self.places)) for c in leaves))
        self.examples.append(example)

    def merged(self) -> Merged:
        return Merged(tuple(self.examples), PromptTree(self.prompt, list(self.places)), tuple(self.leaves))
