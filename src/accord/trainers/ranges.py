"""What the numbers and words of a configuration may be, and the one line that says so."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Range(NamedTuple):
    """A range, in words and as a test."""

    says: str
    holds: Callable[[float], bool]


POSITIVE = Range("a positive number", lambda x: 0 < x < math.inf)
NOT_NEGATIVE = Range("0 or more", lambda x: 0 <= x < math.inf)
SHARE = Range("a number above 0 and at most 1", lambda x: 0 < x <= 1)
PROBABILITY = Range("a number from 0 to 1", lambda x: 0 <= x <= 1)
DECAY = Range("a number from 0 to below 1", lambda x: 0 <= x < 1)
COUNT = Range("1 or more", lambda x: x >= 1)


def check_ranges(config: Any, ranges: Mapping[str, Range]) -> None:
    """Raises ValueError for a number out of its range. None is within every range."""
    for name, allowed in ranges.items():
        value = getattr(config, name)
        if value is not None and not allowed.holds(value):
            raise ValueError(f"{name} is {value}: use {allowed.says}")


def check_choices(config: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    """Raises ValueError for a word that is none of those to choose from."""
    for name, among in choices.items():
        if getattr(config, name) not in among:
            raise ValueError(f"{name} is {getattr(config, name)!r}: use {', '.join(among[:-1])} or {among[-1]}")
