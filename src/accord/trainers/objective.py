"""What a method gives to the base trainer: how examples are counted, and the loss of a scored micro-batch."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from accord.policy.load import Policy, load_policy
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example, Merged
from accord.trainers.scored import Read, Scored, Wanted, read_logps


class Metric(NamedTuple):
    """A mean in two parts, so that it adds up over micro-batches and processes: 0-dim tensors."""

    total: Tensor
    number: Tensor


class Previewed(NamedTuple):
    """A whole optimizer batch, over all processes, as a pass without gradient sees it: [E, K] each."""

    logps_EK: Tensor
    reference_EK: Tensor

    @property
    def logratios_EK(self) -> Tensor:
        return self.logps_EK - self.reference_EK


class Preview(NamedTuple):
    """What a loss must know of the whole optimizer batch before its parts are trained on, so that the result does not
    depend on how the batch is cut. It costs a forward pass without gradient.

    summary     the batch as it was seen -> [E, P], P numbers for each example
    stand_ins   all examples -> for each, what is seen in its place; None for the examples themselves
    """

    summary: Callable[[Previewed], Tensor]
    stand_ins: Callable[[Sequence[Example]], list[Example]] | None = None


class Objective(NamedTuple):
    """A method with its configuration, chosen once, before the loop.

    losses     Scored -> [E] losses, before weights
    units      what an example adds to the number that the summed loss is divided by (1; SFT: its tokens)
    metrics    Scored, [E] losses -> named means; the names are always the same
    derived    means of an optimizer step -> what can be said only of them
    reference  whether the reference's log-probs are needed
    preview    what is found of the whole optimizer batch beforehand; or None
    carry      a number kept from one optimizer batch to the next, and the batch's mean log-ratio -> the number from
               then on. It begins as 0, is each example's one preview, and is saved in checkpoints; or None
    wanted     what is read of the policy beside log-probs
    """

    losses: Callable[[Scored], Tensor]
    units: Callable[[Example], float]
    metrics: Callable[[Scored, Tensor], dict[str, Metric]]
    derived: Callable[[dict[str, float]], dict[str, float]] = lambda means: {}
    reference: bool = True
    preview: Preview | None = None
    carry: Callable[[float, float], float] | None = None
    wanted: Wanted = Wanted()


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


class Column(NamedTuple):
    """A column of numbers that a method reads: its value where a row has none, and its range."""

    default: float
    least: float
    most: float


def _load(name: Any, config: AccordConfig) -> Policy:
    return load_policy(name, trainable=True)


@dataclass(frozen=True, slots=True)
class Method:
    """All in which one trainer differs from another.

    config       its configuration's class
    completions  the columns that hold completions, in the order of K
    label        the column that says how likely the first is preferred or desirable; "" where there is none
    rows         a dataset's row -> rows with `prompt` and those columns
    objective    configuration, train examples -> objective
    numbers      further columns of numbers
    read         what is read of the model for a micro-batch
    check        configuration, examples of one dataset: raises ValueError for what the method cannot learn from
    load         a model's name and the configuration -> the model to train, with its tokenizer
    """

    config: type[AccordConfig]
    completions: tuple[str, ...]
    label: str
    rows: Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]
    objective: Callable[[Any, Sequence[Example]], Objective]
    numbers: Mapping[str, Column] = field(default_factory=dict)
    read: Callable[[nn.Module, Sequence[Merged], Wanted], Read] = read_logps
    check: Callable[[Any, Sequence[Example]], None] = lambda config, examples: None
    load: Callable[[Any, Any], Policy] = _load
