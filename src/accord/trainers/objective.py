"""What a method gives to the base trainer: how examples are counted, and the loss of a scored micro-batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from accord.trainers.examples import Example


@dataclass(frozen=True, slots=True)
class Scored:
    """A micro-batch of E examples with K completions each, as the policy and the reference see it.

    logps_EK        summed log-probs of the completions, with gradient
    reference_EK    the reference's; None where the method has none
    lengths_EK      tokens of each completion
    p_E, weight_E   what people said, and how much it counts
    reference_point z₀ of the optimizer batch; None where the method has none
    """

    logps_EK: Tensor
    reference_EK: Tensor | None
    lengths_EK: Tensor
    p_E: Tensor
    weight_E: Tensor
    reference_point: Tensor | None = None


class Metric(NamedTuple):
    """A mean in two parts, so that it adds up over micro-batches and processes: sum and count, 0-dim tensors."""

    sum: Tensor
    count: Tensor


class Objective(NamedTuple):
    """A method, chosen once, before the loop.

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
