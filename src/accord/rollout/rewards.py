"""Where rewards come from: a Python function, a reward model, a `judge`, or a mixture of those."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from inspect import Parameter, signature
from itertools import groupby
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import nn

from accord.feedback import AccordError
from accord.policy.reward_model import reward_rows

#: A plain text, or messages with role and content, as training rows have them.
Text = str | list[dict[str, str]]


class Rewards(NamedTuple):
    """total  the reward of each completion: a finite number. It has the unit of its source
    parts  what it was made of, by name, for the logs: a number a completion each"""

    total: list[float]
    parts: dict[str, list[float]]


class RewardSource(Protocol):
    """Gives every completion its reward.

    prompts, completions  one a completion each: texts, or messages (several, where an environment replied)
    columns               the training rows' other columns, by name, one value a completion each

    Raises AccordError with the source's name where there is no reward: None, NaN and infinity are none.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Sequence[Any]) -> Rewards: ...


class Function:
    """Rewards by a Python function, as TRL's GRPOTrainer takes them.

    function  (prompts, completions, **columns) -> one number a completion. It is handed what its signature names
    name      in the logs and in errors; the function's own if not given
    """

    def __init__(self, function: Callable[..., Iterable[float]], name: str = "") -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)
        parameters = signature(function).parameters.values()
        self._takes_all = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)
        variadic = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
        self._has_default = {
            each.name: each.default is not Parameter.empty for each in parameters if each.kind not in variadic
        }

    @classmethod
    def load(cls, path: str) -> "Function":
        """The function at `module:function`, see `named_function`."""
        return cls(named_function(path, "reward function"))

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Sequence[Any]) -> Rewards:
        known = {"prompts": prompts, "completions": completions, **columns}
        if missing := [name for name, default in self._has_default.items() if not default and name not in known]:
            raise AccordError(f"{self.name}: it takes {missing[0]!r}, and there are only {', '.join(known)}")
        wanted = {name: values for name, values in known.items() if self._takes_all or name in self._has_default}
        return checked(self.name, self.function(**wanted), len(completions))


@dataclass
class RewardModel:
    """Rewards by a reward model: the mean of its heads' scores, less `disagreement_penalty` times their deviation.

    An answer unlike those that people voted on is one on which the heads disagree: the penalty keeps a policy from
    what the model does not know (Coste et al. 2024, "Reward model ensembles help mitigate overoptimization", penalise
    the variance; the deviation has the reward's own unit, the log-odds of Bradley and Terry).

    options  those of `reward_rows`, such as max_length
    parts    NAME, the mean; with several heads also NAME/disagreement, their standard deviation
    """

    model: nn.Module
    tokenizer: Any
    name: str = "reward_model"
    disagreement_penalty: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Sequence[Any]) -> Rewards:
        if not completions:
            return checked(self.name, [], 0)
        # A prompt's samples stand together and in equal numbers: as one row of so many columns they share its tokens.
        size = math.gcd(*(len(list(same)) for _, same in groupby(prompts)))
        names = [str(sample) for sample in range(size)]
        rows = (
            {"prompt": prompts[i], **dict(zip(names, completions[i : i + size], strict=True))}
            for i in range(0, len(completions), size)
        )
        heads_RSM = reward_rows(self.model, self.tokenizer, rows, names, **self.options)
        heads_NM = heads_RSM.reshape(len(completions), -1)
        found = checked(
            self.name, heads_NM.mean(-1).tolist(), len(completions), "raise max_length: nothing of it was left"
        )
        if heads_NM.shape[-1] == 1:
            return found
        spread_N = heads_NM.std(-1)
        total_N = heads_NM.mean(-1) - self.disagreement_penalty * spread_N
        return Rewards(total_N.tolist(), {**found.parts, f"{self.name}/disagreement": spread_N.tolist()})


class Mixture:
    """A weighted sum: total = Σ weight · source's total. The parts are the sources' own, before weights.

    Weights are of the sources' units: a judge's points from 0 to 10 and a reward model's log-odds are not alike.
    """

    def __init__(self, weighted: Sequence[tuple[float, RewardSource]], name: str = "mixture") -> None:
        if not weighted:
            raise AccordError(f"{name}: no sources: give at least one, with its weight")
        names = [source.name for _, source in weighted]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise AccordError(f"{name}: two sources are called {twice[0]}: give each a name of its own")
        self.weighted, self.name = tuple(weighted), name

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Sequence[Any]) -> Rewards:
        weights = [weight for weight, _ in self.weighted]
        each = [source(prompts, completions, **columns) for _, source in self.weighted]
        total = [sum(map(mul, weights, row)) for row in zip(*(found.total for found in each), strict=True)]
        parts = {name: values for found in each for name, values in found.parts.items()}
        return Rewards(total, parts)


def named_function(path: str, what: str) -> Callable[..., Any]:
    """The function at `module:function`; modules of the working directory are found too. `what` it is, for errors."""
    module_name, colon, function_name = path.partition(":")
    if not (module_name and colon and function_name):
        raise AccordError(f"{what} {path!r}: write module:function, such as my_rewards:brevity")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise AccordError(f"{what} {path!r}: {error} (install it, or run where {module_name} is)") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise AccordError(f"{what} {path!r}: {module_name} has no function {function_name}")
    return function


def checked(name: str, values: Iterable[Any], wanted: int, remedy: str = "give every completion a number") -> Rewards:
    """Rewards of one part; AccordError where one is missing."""
    try:
        found = list(values)
    except TypeError:
        raise AccordError(f"{name}: gave {type(values).__name__}, not a list of {wanted} rewards") from None
    if len(found) != wanted:
        raise AccordError(f"{name}: gave {len(found)} rewards for {wanted} completions")
    for row, value in enumerate(found):
        if not _finite(value):
            raise AccordError(f"{name}: gave {value!r} as the reward of completion {row} ({remedy})")
    numbers = [float(value) for value in found]
    return Rewards(numbers, {name: numbers})


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False
