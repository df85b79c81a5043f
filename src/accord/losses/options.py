"""What the options of the losses of pairs may be, and which loss takes which."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from accord.losses.pairwise import LOSSES, needs, takes_divergence


class Range(NamedTuple):
    """Whether a value is allowed, and the remedy in words if it is not."""

    holds: Callable[[float], bool]
    remedy: str


_NOT_NEGATIVE = Range(lambda value: value >= 0, "use 0 or more")

RANGES = {
    "beta": Range(lambda value: value > 0, "use a positive number, 0.1 is usual"),
    "label_smoothing": Range(lambda value: 0 <= value < 0.5, "use a number from 0 to below 0.5"),
    "discopop_tau": Range(lambda value: value > 0, "use a positive number, 0.05 is usual"),
    "simpo_gamma": _NOT_NEGATIVE,
    "cpo_alpha": _NOT_NEGATIVE,
    "slic_delta": _NOT_NEGATIVE,
    "slic_lambda": _NOT_NEGATIVE,
}

#: Where the mathematics of a loss needs more than its options' ranges.
REQUIRES = {
    "exo_pair": {
        "label_smoothing": Range(lambda value: 0 < value < 0.5, "exo_pair needs more than 0, 0.001 is usual"),
    },
}


def check(names: Iterable[str], options: Mapping[str, float], f_divergence_type: str = "reverse_kl") -> None:
    """Refuses what the losses `names`, one or a mixture, cannot do with these options.

    Raises ValueError of one line if a loss is unknown, an option that one of them takes is out of its range, or
    `label_smoothing` or another divergence than the reverse KL is asked of a loss that would ignore it.
    """
    names = list(names)
    for name in names:
        if name not in LOSSES:
            raise ValueError(f"loss_type is {name!r}: use one of {', '.join(LOSSES)}")
        for option, allowed in (RANGES | REQUIRES.get(name, {})).items():
            if option in needs(name) and option in options and not _within(options[option], allowed):
                raise ValueError(f"{option} is {options[option]}: {allowed.remedy}")
    # In a mixture `sft` is not asked: it compares nothing, so neither option means anything to it.
    asked = [name for name in names if any(need.startswith("rejected") for need in needs(name))] or names
    if smoothing := options.get("label_smoothing", 0):
        _refuse(f"label_smoothing is {smoothing}", asked, lambda name: "label_smoothing" in needs(name), "0")
    if f_divergence_type != "reverse_kl":
        _refuse(f"f_divergence_type is {f_divergence_type}", asked, takes_divergence, "reverse_kl")


def _within(value: float, allowed: Range) -> bool:
    return math.isfinite(value) and allowed.holds(value)


def _refuse(said: str, names: Iterable[str], takes: Callable[[str], bool], default: str) -> None:
    for name in names:
        if not takes(name):
            able = ", ".join(other for other in LOSSES if takes(other))
            raise ValueError(f"{said}: {name} has no use for it; use {default}, or one of {able}")
