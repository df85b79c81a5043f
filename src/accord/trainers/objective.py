"""What a method gives to the base trainer: how examples are counted, and the loss of a scored micro-batch."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from accord.policy.reference import key
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example, Merged


@dataclass(frozen=True, slots=True)
class Scored:
    """A micro-batch of E examples with K completions each, as the policy and the reference see it.

    logps_EK        summed log-probs of the completions, with gradient
    reference_EK    the reference's (0 where the method has none)
    lengths_EK      tokens of each completion
    p_E, weight_E   what people said, and how much it counts
    reference_point z₀ of the optimizer batch (0 where the method has none)
    """

    logps_EK: Tensor
    reference_EK: Tensor
    lengths_EK: Tensor
    p_E: Tensor
    weight_E: Tensor
    reference_point: Tensor

    @property
    def logratios_EK(self) -> Tensor:
        """log π − log π_ref of each completion."""
        return self.logps_EK - self.reference_EK


def scored(
    group: Sequence[Merged], logps_C: Tensor, references: Mapping[bytes, float] | None, reference_point: Tensor
) -> Scored:
    """The examples of a micro-batch with the log-probs of its trees' completions.

    references  log-prob of each completion under its `key`; None where the method has no reference
    """
    examples = [example for merged in group for example in merged.examples]
    first, leaves = 0, []
    for merged in group:
        leaves += [[first + leaf for leaf in each] for each in merged.leaves]
        first += len(merged.tree.completions)
    tensor = partial(torch.tensor, device=logps_C.device)
    logps_EK = logps_C[tensor(leaves)]
    reference_EK = torch.zeros_like(logps_EK)
    if references is not None:
        reference_EK = tensor([[references[key(e.tree.prompt, c)] for c in e.tree.completions] for e in examples])
    return Scored(
        logps_EK,
        reference_EK,
        tensor([[len(c) for c in e.tree.completions] for e in examples]),
        tensor([e.p for e in examples]),
        tensor([e.weight for e in examples]),
        reference_point,
    )


class Metric(NamedTuple):
    """A mean in two parts, so that it adds up over micro-batches and processes: 0-dim tensors."""

    total: Tensor
    number: Tensor


class Objective(NamedTuple):
    """A method with its configuration, chosen once, before the loop.

    losses        Scored -> [E] losses, before weights
    units         what an example adds to the number that the summed loss is divided by (1; SFT: its tokens)
    metrics       Scored, [E] losses -> named means; the names are always the same
    derived       means of an optimizer step -> what can be said only of them
    reference     whether the reference's log-probs are needed
    mismatched    all examples -> for each, a completion of another prompt that estimates the reference point; or None
    """

    losses: Callable[[Scored], Tensor]
    units: Callable[[Example], float]
    metrics: Callable[[Scored, Tensor], dict[str, Metric]]
    derived: Callable[[dict[str, float]], dict[str, float]] = lambda means: {}
    reference: bool = True
    mismatched: Callable[[Sequence[Example]], list[Example]] | None = None


def mean(values: Tensor, where: Tensor | None = None) -> Metric:
    """The mean of `values`, of those with weights `where` if given."""
    values = values.detach().float()
    where = values.new_ones(values.shape) if where is None else where.detach().float()
    return Metric((values * where).sum(), where.sum())


class Means:
    """Means of named metrics over all that was added since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, metrics: Mapping[str, Metric], counts: float) -> None:
        """Adds a micro-batch that counts 1, or 0 (then only its names are noted)."""
        for name, metric in metrics.items():
            self._sums[name].append(torch.stack([metric.total.float(), metric.number.float()]) * counts)

    def take(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means, with sums over all processes by `reduce`. A mean of nothing is left out."""
        if not self._sums:
            return {}
        names, sums = list(self._sums), torch.stack([torch.stack(parts).sum(0) for parts in self._sums.values()])
        self._sums.clear()
        return {name: (s / n).item() for name, (s, n) in zip(names, reduce(sums), strict=True) if n > 0}


@dataclass(frozen=True, slots=True)
class Method:
    """All in which one trainer differs from another.

    config       its configuration's class
    completions  the columns that hold completions, in the order of K
    label        the column that says how likely the first is preferred or desirable; "" where there is none
    rows         a dataset's row -> rows with `prompt` and those columns
    objective    configuration -> objective
    """

    config: type[AccordConfig]
    completions: tuple[str, ...]
    label: str
    rows: Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]
    objective: Callable[[Any], Objective]
