"""How agreement would change without each annotator: who pulls it down.

α is a function of sums over items (`agreement_sums`). Without annotator j only the items that j judged change: each
loses j's vote, so their sums are taken with it and without, and the difference is added up:

    S_without_j = S + Σ_{i judged by j} (s(x_i − e_v) − s(x_i)),    v = what j said of i

One row a vote, whoever cast it: N votes by any number of annotators cost as much as twice computing α.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from accord.quality.agreement_measures import NOMINAL, ORDINAL
from accord.quality.agreement_sums import counts, tabulate, value_of


class Without(NamedTuple):
    """Agreement of all but `annotator`.

    votes   how many of theirs stand beside another's: what is left out
    items   items with two votes or more that remain
    alpha   α of these; None where there are fewer than two, or all answers are one
    change  by how much α rises without them: above 0 they differ from the others; None where there is no α
    """

    annotator: str
    votes: int
    items: int
    alpha: float | None
    change: float | None


def without_each(votes: Iterable[tuple[str, str, str]], order: Sequence[str] = ()) -> list[Without]:
    """α with each annotator left out, in the order in which annotators first appear.

    `votes` are (item, annotator, value) as in `agreement`. With `order`, which names all answers from one end to the
    other, it is `ordinal_alpha`; without, answers are names.

    Raises ValueError where a vote has an answer that is not in `order`.
    """
    table = tabulate(votes, order)
    measure = ORDINAL if order else NOMINAL
    x_IV = counts(table)
    n_I = x_IV.sum(axis=1)
    left_NV = x_IV[table.item_N]
    left_NV[np.arange(len(left_NV)), table.value_N] -= 1
    sums_IS = measure.sums(x_IV)
    n_N, change_NS = n_I[table.item_N], measure.sums(left_NV) - sums_IS[table.item_N]
    votes_A, lost_A, *change_SA = (
        np.bincount(table.annotator_N, column_N.astype(np.float64), len(table.annotators))
        for column_N in (n_N > 1, n_N == 2, *change_NS.T)
    )
    whole_S, whole_items = sums_IS.sum(axis=0), (n_I > 1).sum()
    whole = value_of(measure, whole_S) if whole_items > 1 else np.nan
    items_A = whole_items - lost_A
    alpha_A = np.where(items_A > 1, value_of(measure, whole_S + np.stack(change_SA, axis=-1)), np.nan)
    return [
        Without(annotator, int(votes), int(items), _number(alpha), _number(alpha - whole))
        for annotator, votes, items, alpha in zip(table.annotators, votes_A, items_A, alpha_A, strict=True)
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
