"""How far annotators agree beyond chance: Krippendorff's α and Gwet's AC1, with intervals, and what votes say.

Of the votes on I items, x_iv said v of item i, and n_i = Σ_v x_iv. A measure is

    1 − D_o / D_e        1: all agree, 0: chance, below 0: they oppose each other

with D_o how much two votes on an item differ, and D_e how much any two would by chance. `agreement_measures` has the
equations and their sources, `agreement_sums` the interval.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from accord.feedback import Choice, Comparison, Rating, fingerprint
from accord.quality.agreement_measures import AC1, NOMINAL, OBSERVED, ORDINAL
from accord.quality.agreement_sums import Estimate, Floats, VoteTable, counts, estimate, tabulate
from accord.quality.ballots import standing

#: How much better the first response is than the second: -3 much worse, 0 as good, 3 much better.
STRENGTHS = ("-3", "-2", "-1", "0", "1", "2", "3")


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


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure of agreement, at most 1, with its 95 % interval. Other fields as in `Agreement`."""

    value: float | None
    low: float | None
    high: float | None
    items: int
    votes: int
    annotators: int
    undefined: str = ""


def agreement(votes: Iterable[tuple[str, str, str]], *, seed: int = 0) -> Agreement:
    """How far the annotators of `votes`, each an (item, annotator, value), agree: answers are names.

    Of several votes by one annotator on one item the last counts: nobody agrees with themselves. The order of the votes
    makes no other difference.

    Where every two votes on an item agreed, or none did, all resamples are alike and would claim certainty. The share
    of items that differ then has Clopper and Pearson's bound, 1 − ((1 − 0.95)/2)^(1/I), and so have both figures.
    """
    table = tabulate(votes)
    x_IV = counts(table)
    judged = _judged(table, x_IV)
    x_IV = _compact(x_IV)
    undefined = _undefined(*x_IV.shape)
    alpha = Estimate() if undefined else estimate(NOMINAL, x_IV, seed)
    observed = estimate(OBSERVED, x_IV, seed) if judged.items else Estimate()
    return Agreement(*alpha, *observed, *judged, undefined)


def ordinal_alpha(
    votes: Iterable[tuple[str, str, str]], order: Sequence[str] = STRENGTHS, *, seed: int = 0
) -> Measured:
    """Krippendorff's α of answers that have an order: "much better" is nearer to "better" than to "worse".

    `order` names all answers from one end to the other; only their ranks count. Votes as in `agreement`.

    Raises ValueError where a vote has an answer that is not in `order`.
    """
    table = tabulate(votes, order)
    x_IV = counts(table)
    judged = _judged(table, x_IV)
    x_IV = _compact(x_IV)
    undefined = _undefined(*x_IV.shape)
    return Measured(*(Estimate() if undefined else estimate(ORDINAL, x_IV, seed)), *judged, undefined)


def ac1(votes: Iterable[tuple[str, str, str]], values: Sequence[str] = (), *, seed: int = 0) -> Measured:
    """Gwet's AC1: agreement beyond chance where one answer dominates, and α is near 0 however well people agree.

    `values` are all answers that could be given: chance is smaller among more. Without them, those that were given,
    of which there must be two. Items that one annotator alone judged say how often each answer is given, as in Gwet's
    own program; they are not among the counts. Votes as in `agreement`.

    Raises ValueError where a vote has an answer that is not in `values`.
    """
    table = tabulate(votes, values)
    x_IV = counts(table)
    judged = _judged(table, x_IV)
    undefined = _undefined(judged.items, len(table.values))
    return Measured(*(Estimate() if undefined else estimate(AC1, x_IV, seed)), *judged, undefined)


def opinions_of_pairs(comparisons: Iterable[Comparison]) -> Iterator[Opinion]:
    """What comparisons say of each pair, whichever response stood on the left: first, second, tie or both_bad.

    D_e asks how often each value was used, so which response is the first must mean nothing: a fair coin decides,
    which falls alike whenever the pair is seen. Superseded votes and responses compared with themselves are left out.
    """
    for vote, item, first_id in _pairs(comparisons):
        yield Opinion(item, vote.annotator_id, _value(vote, first_id))


def opinions_of_strengths(comparisons: Iterable[Comparison]) -> Iterator[Opinion]:
    """How much better each pair's first response is, as one of STRENGTHS: for `ordinal_alpha`.

    The first response as in `opinions_of_pairs`. A tie is 0, and so is "both bad": neither is better. Where no vote has
    a strength the scale is -1, 0, 1. Where some have one, a preference without is left out: that it was not asked how
    strong it is does not make it a weak one.
    """
    pairs = list(_pairs(comparisons))
    asked = any(vote.strength is not None for vote, _, _ in pairs)
    for vote, item, first_id in pairs:
        sign = {"first": 1, "second": -1}.get(_value(vote, first_id), 0)
        if sign == 0 or not asked or vote.strength is not None:
            yield Opinion(item, vote.annotator_id, str(sign * (vote.strength or 1)))


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


def _pairs(comparisons: Iterable[Comparison]) -> Iterator[tuple[Comparison, str, str]]:
    """Each vote that says something, the item that its pair is, and which response is the first."""
    items: dict[tuple[str, str, str], str] = {}
    for vote in standing(comparisons):
        if vote.left_id == vote.right_id:
            continue
        a, b = sorted((vote.left_id, vote.right_id))
        pair = (vote.prompt_id, a, b)
        item = items.get(pair) or items.setdefault(pair, fingerprint("pair", *pair))
        yield vote, item, a if int(item[-1], 16) % 2 else b


class _Judged(NamedTuple):
    items: int
    votes: int
    annotators: int


def _judged(table: VoteTable, x_IV: Floats) -> _Judged:
    """Items with two votes or more, the votes on them, and how many people gave these."""
    n_I = x_IV.sum(axis=1)
    counted_N = n_I[table.item_N] > 1
    return _Judged(int((n_I > 1).sum()), int(counted_N.sum()), len(np.unique(table.annotator_N[counted_N])))


def _compact(x_IV: Floats) -> Floats:
    """Only items with two votes or more, and values that are used there."""
    x_IV = x_IV[x_IV.sum(axis=1) > 1]
    return x_IV[:, x_IV.any(axis=0)]


def _undefined(items: int, values: int) -> str:
    """Why agreement beyond chance is undefined; "" where it is not."""
    if items < 2:
        return "only one item has votes of two annotators" if items else "no item has votes of two annotators"
    return "everybody gave the same answer to everything" if values < 2 else ""
