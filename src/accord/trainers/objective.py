"""What a method gives to the base trainer: how examples are counted, and the loss of a scored micro-batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example


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
