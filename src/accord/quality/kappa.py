"""Cohen's κ of each two annotators: how far they agree beyond what their own habits would bring about.

Of the items that both judged, a said v of the share p_av, b of the share p_bv, and both said the same of p_o:

    p_e = Σ_v p_av p_bv        κ = (p_o − p_e) / (1 − p_e)

Cohen, "A Coefficient of Agreement for Nominal Scales", 1960. Unlike α's, its chance is each annotator's own: how
often each of the two says "tie" is taken as given.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from accord.quality.agreement_sums import Ints, tabulate


class Kappa(NamedTuple):
    """How far annotators `first` and `second` agree.

    shared    items that both judged
    observed  the share of these of which they said the same
    kappa     κ, at most 1; None where both always gave one and the same answer
    """

    first: str
    second: str
    shared: int
    observed: float
    kappa: float | None


def kappas(votes: Iterable[tuple[str, str, str]], least: int = 10) -> list[Kappa]:
    """κ of each two annotators who share `least` items or more, in the order in which annotators first appear.

    `votes` are (item, annotator, value); of several votes by one annotator on one item the last counts. One annotator
    at a time is held against all who come after, on their items alone: memory is that of the votes.

    Raises ValueError where `least` is less than 1.
    """
    if least < 1:
        raise ValueError(f"least {least}: two annotators must share 1 item or more")
    table = tabulate(votes)
    by_item_N = np.lexsort((table.annotator_N, table.item_N))
    item_N, annotator_N, value_N = (column_N[by_item_N] for column_N in table[:3])
    after_N = np.cumsum(np.bincount(item_N, minlength=table.items))[item_N] - np.arange(len(item_N)) - 1
    by_annotator = np.split(np.argsort(annotator_N, kind="stable"), np.cumsum(np.bincount(annotator_N))[:-1])
    found = []
    for a, mine_K in zip(table.annotators, by_annotator, strict=False):
        mine_M = np.repeat(mine_K, after_N[mine_K])
        theirs_M = mine_M + _from_one(after_N[mine_K])
        shared_A = np.bincount(annotator_N[theirs_M], minlength=len(table.annotators))
        chosen_M = shared_A[annotator_N[theirs_M]] >= least
        mine_M, theirs_M = mine_M[chosen_M], theirs_M[chosen_M]
        partners_P, pair_M = np.unique(annotator_N[theirs_M], return_inverse=True)
        figures = _figures(pair_M, value_N[mine_M], value_N[theirs_M], len(partners_P), len(table.values))
        found += [Kappa(a, table.annotators[b], *figure) for b, figure in zip(partners_P, figures, strict=True)]
    return found


def _from_one(lengths_K: Ints) -> Ints:
    """1, 2, … to each of the lengths, one after the other."""
    return np.arange(1, lengths_K.sum() + 1) - np.repeat(np.cumsum(lengths_K) - lengths_K, lengths_K)


def _figures(
    pair_M: Ints, mine_M: Ints, theirs_M: Ints, pairs: int, values: int
) -> Iterator[tuple[int, float, float | None]]:
    """Of each of the pairs: items shared, the share that agree, κ. What was said, of M items, by each of the pair."""
    shared_P = np.bincount(pair_M, minlength=pairs)
    agreeing_P = np.bincount(pair_M[mine_M == theirs_M], minlength=pairs)
    mine_PV, theirs_PV = (
        np.bincount(pair_M * values + said_M, minlength=pairs * values).reshape(pairs, values)
        for said_M in (mine_M, theirs_M)
    )
    by_chance_P = (mine_PV * theirs_PV).sum(axis=1)  # p_e, times the square of what they share
    for shared, agreeing, by_chance in zip(*(one.tolist() for one in (shared_P, agreeing_P, by_chance_P)), strict=True):
        beyond = shared**2 - by_chance
        yield shared, agreeing / shared, (shared * agreeing - by_chance) / beyond if beyond else None
