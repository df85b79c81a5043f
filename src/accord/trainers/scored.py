"""A micro-batch as a method's loss sees it: what the model says of each example's completions, and what people said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from accord.losses.advantages import sums
from accord.policy.forward import Asked
from accord.policy.reference import key
from accord.trainers.examples import Example, Merged
from accord.tree import PromptTree, TreeBatch, pack


@dataclass(frozen=True, slots=True)
class Scored:
    """E examples with K completions each, as the model and the reference see them.

    outputs_EK    of a policy: the completions' summed log-probs. Of a reward model: their scores by M heads, [E, K, M]
    reference_EK  the reference's log-probs (0 where the method has none)
    examples      what was scored, in the order of E
    preview_EP    what the method wants to know of the whole optimizer batch: see `Preview`
    alignment_EK  mean over tokens of log p(token) − log Σ p², without gradient; None where the method has no use for it
    tokens        what a policy says of each token; None where the method has no use for it
    """

    outputs_EK: Tensor
    reference_EK: Tensor
    examples: tuple[Example, ...]
    preview_EP: Tensor
    alignment_EK: Tensor | None = None
    tokens: "Tokens | None" = None

    @property
    def logps_EK(self) -> Tensor:
        """log π of each completion of a policy."""
        return self.outputs_EK

    @property
    def logratios_EK(self) -> Tensor:
        """log π − log π_ref of each completion."""
        return self.outputs_EK - self.reference_EK

    @property
    def lengths_EK(self) -> Tensor:
        """Tokens of each completion."""
        return self._tensor([[len(c) for c in e.tree.completions] for e in self.examples])

    @property
    def p_E(self) -> Tensor:
        """What people said: the probability that the first completion is preferred, or desirable."""
        return self._tensor([e.p for e in self.examples])

    @property
    def weight_E(self) -> Tensor:
        """How much each example counts."""
        return self._tensor([e.weight for e in self.examples])

    def number(self, name: str) -> Tensor:
        """[E] values of one of the method's further number columns."""
        return self._tensor([e.numbers[name] for e in self.examples])

    def token(self, name: str) -> Tensor:
        """[N] values of one of the examples' columns of their tokens."""
        return torch.cat([e.tokens[name] for e in self.examples]).to(self.outputs_EK.device)

    def _tensor(self, values) -> Tensor:
        return torch.tensor(values, device=self.outputs_EK.device)


class Tokens(NamedTuple):
    """What a policy says of the tokens of E examples with one completion each, one example after the other: [N] each.

    logps_N      log π_T
    entropies_N  of the distributions that they were drawn from, without gradient, in nats; None where not asked for
    values_N     V of the texts before them; None where not asked for
    lengths_E    tokens of each example
    """

    logps_N: Tensor
    entropies_N: Tensor | None
    values_N: Tensor | None
    lengths_E: Tensor


class Wanted(NamedTuple):
    """What is read of a policy beside the completions' log-probs.

    tail        how much the tokens count by which a completion is longer than the shortest of its example (LD-DPO's α)
    alignment   whether `Scored.alignment_EK` is wanted
    asked       what is asked of each token by `read_tokens`
    """

    tail: float = 1.0
    alignment: bool = False
    asked: Asked = Asked(statistic="entropy")


class Read(NamedTuple):
    """`outputs_EK`, `alignment_EK` and `tokens` of `Scored`."""

    outputs_EK: Tensor
    alignment_EK: Tensor | None = None
    tokens: Tokens | None = None


def read_logps(model: nn.Module, group: Sequence[Merged], wanted: Wanted) -> Read:
    """A policy's summed log-probs of each example's completions."""
    batch, leaves_EK = _packed(model, group)
    asked = Asked(statistic="collision" if wanted.alignment else None)
    logps_N, collisions_N, _ = model(tree=batch, asked=asked)
    outputs_EK, alignment_EK = batch.sum_by_completion(logps_N)[leaves_EK], None
    if wanted.tail != 1:
        begun_EK = _beginnings(logps_N, group, leaves_EK)
        outputs_EK = begun_EK + wanted.tail * (outputs_EK - begun_EK)
    if collisions_N is not None:
        sums_C = batch.sum_by_completion(logps_N.detach() - collisions_N)
        alignment_EK = (sums_C / batch.sum_by_completion(torch.ones_like(sums_C[batch.completion_N])))[leaves_EK]
    return Read(outputs_EK, alignment_EK)


def read_scores(model: nn.Module, group: Sequence[Merged], wanted: Wanted) -> Read:
    """A reward model's scores of each example's completions, [E, K, M]."""
    batch, leaves_EK = _packed(model, group)
    return Read(model(tree=batch)[leaves_EK])


def read_tokens(model: nn.Module, group: Sequence[Merged], wanted: Wanted) -> Read:
    """What a policy says of each token of each example's only completion."""
    batch, leaves_E1 = _packed(model, group)
    said: Sequence[Tensor | None] = model(tree=batch, asked=wanted.asked)
    lengths_C = torch.bincount(batch.completion_N, minlength=batch.completions)
    leaf_E = leaves_E1[:, 0]
    if len(leaf_E) != batch.completions:  # equal completions of a prompt were computed once
        starts_C = lengths_C.cumsum(0) - lengths_C
        spans = zip(starts_C[leaf_E].tolist(), lengths_C[leaf_E].tolist(), strict=True)
        places_N = torch.cat([torch.arange(start, start + length) for start, length in spans]).to(leaf_E.device)
        said = [None if values_N is None else values_N[places_N] for values_N in said]
    logps_N, entropies_N, values_N = said
    assert logps_N is not None  # they are always said
    lengths_E = lengths_C[leaf_E]
    return Read(sums(logps_N, lengths_E)[:, None], tokens=Tokens(logps_N, entropies_N, values_N, lengths_E))


def _packed(model: nn.Module, group: Sequence[Merged]) -> tuple[TreeBatch, Tensor]:
    """The batch, and which of its completions are those of each example."""
    first, leaves = 0, []
    for merged in group:
        leaves += [[first + leaf for leaf in each] for each in merged.leaves]
        first += len(merged.tree.completions)
    device = next(model.parameters()).device
    return pack([merged.tree for merged in group]).to(device), torch.tensor(leaves, device=device)


def _beginnings(logps_N: Tensor, group: Sequence[Merged], leaves_EK: Tensor) -> Tensor:
    """[E, K] sums over the first tokens of each completion, as many as the shortest of its example has."""
    lengths = [len(c) for merged in group for c in merged.tree.completions]
    by_completion = logps_N.split(lengths)
    shared = [shortest(example) for merged in group for example in merged.examples]
    rows = zip(leaves_EK.tolist(), shared, strict=True)
    return torch.stack([torch.stack([by_completion[leaf][:n].sum() for leaf in leaves]) for leaves, n in rows])


def shortest(example: Example) -> int:
    """Tokens of the example's shortest completion."""
    return min(map(len, example.tree.completions))


def beginning(example: Example) -> Example:
    """The example with every completion cut to the length of the shortest."""
    length = shortest(example)
    return Example(example.id, PromptTree(example.tree.prompt, [c[:length] for c in example.tree.completions]))


def looked_up(
    examples: Sequence[Example], references: Mapping[bytes, float] | None, like_EK: Tensor, tail: float
) -> Tensor:
    """[E, K] log-probs by the reference, as `read_logps` gives them by the policy; 0 where there are none.

    references  log-prob of each completion (and, with a tail, of its beginning) under its `key`
    """
    if references is None:
        return torch.zeros_like(like_EK)

    def of(example: Example) -> list[float]:
        return [references[key(example.tree.prompt, c)] for c in example.tree.completions]

    tensor = partial(torch.tensor, device=like_EK.device)
    whole_EK = tensor([of(e) for e in examples])
    if tail == 1:
        return whole_EK
    begun_EK = tensor([of(beginning(e)) for e in examples])
    return begun_EK + tail * (whole_EK - begun_EK)
