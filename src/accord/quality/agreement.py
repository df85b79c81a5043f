"""How far annotators agree beyond chance: Krippendorff's α for answers that are names, with an interval.

Of the votes on I items, x_iv said v of item i, and n_i = Σ_v x_iv. Votes that stand alone (n_i < 2) say nothing of
agreement and are left out. With n = Σ_i n_i and n_v = Σ_i x_iv, the coincidence matrix counts every two votes on one
item, weighed by 1 / (n_i − 1). What lies off its diagonal, and what would if votes fell on items by chance, is

    D_o = 1/n Σ_i (n_i² − Σ_v x_iv²) / (n_i − 1)        how often two votes on one item differ
    D_e = (n² − Σ_v n_v²) / (n (n − 1))                 how often any two votes do
    α   = 1 − D_o / D_e                                 1: all agree, 0: chance, below 0: they oppose each other

Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011. The interval is a percentile bootstrap over items
(Efron & Tibshirani 1993, ch. 13). Items with the same counts are alike, so how often each kind of item is drawn is one
multinomial draw, however many items there are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accord.feedback import Choice, Comparison, Rating, fingerprint
from accord.quality.labels import standing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2000
LEVEL = 0.95
CHUNK = 4_000_000  # numbers held at a time


class Opinion(NamedTuple):
    """What `annotator` said of `item`."""

    item: str
    annotator: str
    value: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree. All counts are of what two annotators or more have judged.

    alpha       Krippendorff's α, at most 1; None where it is undefined
    observed    share of the pairs of annotators on one item who said the same, in [0, 1]; None where there is no pair
    low, high, observed_low, observed_high    95 % intervals; None where there are fewer than two items
    items, votes, annotators    items with two votes or more, the votes on them, and how many people gave these
    undefined   why there is no α; "" where there is one
    """

    alpha: float | None
    low: float | None
    high: float | None
    observed: float | None
    observed_low: float | None
    observed_high: float | None
    items: int
    votes: int
    annotators: int
    undefined: str = ""


def agreement(votes: Iterable[tuple[str, str, str]], *, seed: int = 0) -> Agreement:
    """How far the annotators of `votes`, each an (item, annotator, value), agree.

    Of several votes by one annotator on one item the last counts: nobody agrees with themselves. The order of the votes
    makes no other difference.

    Where every two votes on an item agreed, or none did, all resamples are alike and would claim certainty. The share
    of items that differ then has Clopper and Pearson's bound, 1 − ((1 − 0.95)/2)^(1/I), and so have both figures.
    """
    by_item: dict[str, dict[str, str]] = {}
    for item, annotator, value in votes:
        by_item.setdefault(item, {})[annotator] = value
    judged = [said for said in by_item.values() if len(said) > 1]
    if not judged:
        return Agreement(None, None, None, None, None, None, 0, 0, 0, "no item has votes of two annotators")
    x_IV = _counts(judged)
    kinds_KV, items_K = np.unique(x_IV, axis=0, return_counts=True)
    sums_KS = _sums(kinds_KV.astype(np.float64))
    total_S, drawn_BS = items_K @ sums_KS, _resampled(sums_KS, items_K, seed)
    undefined = _undefined(*x_IV.shape)
    observed = _estimate(_observed, total_S, drawn_BS)
    alpha = _Estimate() if undefined else _estimate(_alpha, total_S, drawn_BS)
    if len(judged) > 1 and observed.value in (0.0, 1.0):
        differing = 1 - ((1 - LEVEL) / 2) ** (1 / len(judged))
        low, high = (1 - differing, 1.0) if observed.value else (0.0, differing)
        observed = _Estimate(observed.value, low, high)
        if not undefined:
            expected = float(_expected(total_S))
            alpha = _Estimate(alpha.value, 1 - (1 - low) / expected, 1 - (1 - high) / expected)
    people = len(set().union(*judged))
    return Agreement(
        *alpha, *observed, items=len(judged), votes=int(x_IV.sum()), annotators=people, undefined=undefined
    )


def opinions_of_pairs(comparisons: Iterable[Comparison]) -> Iterator[Opinion]:
    """What comparisons say of each pair, whichever response stood on the left: first, second, tie or both_bad.

    D_e asks how often each value was used, so which response is the first must mean nothing: a fair coin decides,
    which falls alike whenever the pair is seen. Superseded votes and responses compared with themselves are left out.
    """
    items: dict[tuple[str, str, str], str] = {}
    for vote in standing(comparisons):
        if vote.left_id == vote.right_id:
            continue
        a, b = sorted((vote.left_id, vote.right_id))
        pair = (vote.prompt_id, a, b)
        item = items.get(pair) or items.setdefault(pair, fingerprint("pair", *pair))
        yield Opinion(item, vote.annotator_id, _value(vote, a if int(item[-1], 16) % 2 else b))


def opinions_of_responses(ratings: Iterable[Rating]) -> Iterator[Opinion]:
    """What thumbs say of each response: up or down. Superseded votes are left out."""
    items: dict[tuple[str, str], str] = {}
    for vote in standing(ratings):
        response = (vote.prompt_id, vote.response_id)
        item = items.get(response) or items.setdefault(response, fingerprint("response", *response))
        yield Opinion(item, vote.annotator_id, "up" if vote.desirable else "down")


def _value(vote: Comparison, first_id: str) -> str:
    if vote.choice in (Choice.TIE, Choice.BOTH_BAD):
        return vote.choice.value
    preferred = vote.left_id if vote.choice is Choice.LEFT else vote.right_id
    return "first" if preferred == first_id else "second"


def _undefined(items: int, values: int) -> str:
    if items < 2:
        return "only one item has votes of two annotators"
    return "everybody gave the same answer to everything" if values < 2 else ""


def _counts(judged: Sequence[Mapping[str, str]]) -> Ints:
    """x_iv: how often each value was said of each item, [I, V]."""
    numbers = {value: v for v, value in enumerate(sorted({value for said in judged for value in said.values()}))}
    cells_N = [i * len(numbers) + numbers[value] for i, said in enumerate(judged) for value in said.values()]
    return np.bincount(cells_N, minlength=len(judged) * len(numbers)).reshape(len(judged), len(numbers))


def _sums(x_IV: Floats) -> Floats:
    """All that the figures are made of, as sums over items, [I, 3 + V]: n D_o; pairs that agree; all pairs; x_iv."""
    n_I, squares_I = x_IV.sum(axis=1), (x_IV**2).sum(axis=1)
    return np.column_stack([(n_I**2 - squares_I) / (n_I - 1), squares_I - n_I, n_I * (n_I - 1), x_IV])


def _observed(sums_S: Floats) -> Floats:
    return sums_S[..., 1] / sums_S[..., 2]


def _expected(sums_S: Floats) -> Floats:
    """D_e: 0 where only one value was used."""
    x_V = sums_S[..., 3:]
    n = x_V.sum(axis=-1)
    return (n**2 - (x_V**2).sum(axis=-1)) / (n * (n - 1))


def _alpha(sums_S: Floats) -> Floats:
    """α: NaN where only one value was used."""
    with np.errstate(invalid="ignore"):
        return 1 - sums_S[..., 0] / sums_S[..., 3:].sum(axis=-1) / _expected(sums_S)


def _resampled(sums_KS: Floats, items_K: Ints, seed: int) -> Floats:
    """The sums over as many items as there are, drawn with replacement: [RESAMPLES, S]; none for fewer than two."""
    items = int(items_K.sum())
    if items < 2:
        return np.empty((0, sums_KS.shape[1]))
    random = np.random.default_rng(seed)
    at_once = max(1, CHUNK // len(items_K))
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    return np.concatenate([random.multinomial(items, items_K / items, size) @ sums_KS for size in sizes])


class _Estimate(NamedTuple):
    value: float | None = None
    low: float | None = None
    high: float | None = None


def _estimate(statistic: Callable[[Floats], Floats], total_S: Floats, drawn_BS: Floats) -> _Estimate:
    """`statistic` of all items, with the middle 95 % of what it is of the resamples in which it is defined."""
    drawn_B = statistic(drawn_BS)
    drawn_B = drawn_B[np.isfinite(drawn_B)]
    if not len(drawn_B):
        return _Estimate(float(statistic(total_S)))
    low, high = np.quantile(drawn_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return _Estimate(float(statistic(total_S)), float(low), float(high))
