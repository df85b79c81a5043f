"""What every measure of agreement is made of: votes as a table of counts, their sums over items, and an interval.

A measure is 1 − D_o / D_e: how often two votes on an item differ, by how often any two would by chance. Both are
functions of sums over items. A bootstrap over items draws other sums, and whoever leaves an annotator out changes the
sums of the items that they touched: nothing is counted twice.

The interval is a percentile bootstrap over items (Efron & Tibshirani 1993, ch. 13). Items with the same counts are
alike, so how often each kind of item is drawn is one multinomial draw, however many items there are.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2000
LEVEL = 0.95
CHUNK = 4_000_000  # numbers held at a time


class VoteTable(NamedTuple):
    """N votes on I items by A annotators, none twice: each vote's item, annotator and value by their numbers.

    annotators, values  what the numbers stand for
    """

    item_N: Ints
    annotator_N: Ints
    value_N: Ints
    items: int
    annotators: Sequence[str]
    values: Sequence[str]


class Differences(NamedTuple):
    """How much two votes differ: D_o, of those on one item; D_e, by chance; and the two that differ most."""

    seen: Floats
    by_chance: Floats
    most: Floats


class Measure(NamedTuple):
    """A measure of agreement, 1 − D_o / D_e.

    sums         counts x_IV -> what each item adds, [I, S]: zeros where it says nothing
    differences  these sums over items, [..., S] -> D_o and D_e; NaN where they are undefined
    """

    sums: Callable[[Floats], Floats]
    differences: Callable[[Floats], Differences]


class Estimate(NamedTuple):
    """A measure of all items, and its 95 % interval; None where it is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def tabulate(votes: Iterable[tuple[str, str, str]], values: Sequence[str] = ()) -> VoteTable:
    """The table of `votes`, each an (item, annotator, value): the last that an annotator said of an item.

    `values` are the answers that can be given, in order; those that were given, sorted, where it is empty.

    Raises ValueError where a vote has a value that is not among `values`.
    """
    said = {(item, annotator): value for item, annotator, value in votes}
    given = set(said.values())
    if values and not given <= set(values):
        raise ValueError(f"answers {sorted(given - set(values))} are not among {list(values)}: add them, or drop them")
    values = tuple(dict.fromkeys(values)) or tuple(sorted(given))
    number = {value: v for v, value in enumerate(values)}
    items: dict[str, int] = {}
    annotators: dict[str, int] = {}
    rows = [
        (items.setdefault(item, len(items)), annotators.setdefault(annotator, len(annotators)), number[value])
        for (item, annotator), value in said.items()
    ]
    item_N, annotator_N, value_N = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return VoteTable(item_N, annotator_N, value_N, len(items), tuple(annotators), values)


def counts(table: VoteTable) -> Floats:
    """x_iv: how often each value was said of each item, [I, V]."""
    shape = table.items, len(table.values)
    cells_N = table.item_N * shape[1] + table.value_N
    return np.bincount(cells_N, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def value_of(measure: Measure, sums_S: Floats) -> Floats:
    """1 − D_o / D_e of sums [..., S]: NaN where it is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = measure.differences(sums_S)
        return np.where(found.by_chance > 0, 1 - found.seen / found.by_chance, np.nan)


def estimate(measure: Measure, x_IV: Floats, seed: int = 0) -> Estimate:
    """`measure` of counts, with the middle 95 % of what it is of the resamples in which it is defined.

    Where every two votes on an item agreed, or all differed as much as votes can, or all items are alike, so are the
    resamples, which would claim certainty. The share of items that are not like these then has Clopper and Pearson's
    bound, 1 − ((1 − 0.95)/2)^(1/I), and votes on them may differ by nothing or as much as votes can.
    """
    kinds_KV, items_K = np.unique(x_IV, axis=0, return_counts=True)
    sums_KS = measure.sums(kinds_KV)
    total_S = items_K @ sums_KS
    value = float(value_of(measure, total_S))
    if np.isnan(value):
        return Estimate()
    judged = int(items_K[kinds_KV.sum(axis=1) > 1].sum())
    if judged < 2:
        return Estimate(value)
    seen, by_chance, most = (float(one) for one in measure.differences(total_S))
    if len(items_K) == 1 or seen == 0 or np.isclose(seen, most):
        others = 1 - ((1 - LEVEL) / 2) ** (1 / judged)
        least = (1 - others) * seen
        return Estimate(value, 1 - (least + others * most) / by_chance, 1 - least / by_chance)
    drawn_B = value_of(measure, _resampled(sums_KS, items_K, seed))
    low, high = np.quantile(drawn_B[np.isfinite(drawn_B)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _resampled(sums_KS: Floats, items_K: Ints, seed: int) -> Floats:
    """The sums over as many items as there are, drawn with replacement: [RESAMPLES, S]."""
    items = int(items_K.sum())
    random = np.random.default_rng(seed)
    at_once = max(1, CHUNK // len(items_K))
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    return np.concatenate([random.multinomial(items, items_K / items, size) @ sums_KS for size in sizes])
