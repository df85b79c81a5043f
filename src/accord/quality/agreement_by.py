"""Agreement broken down: by annotator, prompt, tag and time.

Of the other votes on its item, n_i − 1 in number, a vote for v differs from the share

    d = (n_i − x_iv) / (n_i − 1)

The mean of d over all votes is D_o of Krippendorff's α (`agreement_measures`). So any votes have an α of their own,
against the chance that all share:

    α_part = 1 − mean of d over the part's votes / D_e

and α is the mean of its parts' α, weighed by their votes. Nothing is undefined because one prompt has too few answers
to know what chance is there. The interval is Wilson's of the mean of d, each item being one case.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from accord.feedback import Comparison, Rating, Vote
from accord.quality.agreement import Opinion, opinions_of_pairs, opinions_of_responses
from accord.quality.agreement_measures import NOMINAL
from accord.quality.agreement_sums import Estimate, Floats, counts, tabulate
from accord.quality.ballots import V, standing
from accord.quality.wilson import wilson


@dataclass(frozen=True, slots=True)
class Part:
    """How far a part of the votes agrees with the other votes on their items, in the part or not.

    name       of the annotator, prompt, tag or time
    votes      on items that others judged as well
    items      these items
    observed   share of the pairs of such a vote and another on its item that are the same; None where there is none
    alpha      α of the part, at most 1; None where there is no vote, or all answers are one
    low, high  its 95 % interval; None where there are fewer than two items
    """

    name: str
    votes: int
    items: int
    observed: float | None
    alpha: float | None
    low: float | None
    high: float | None


def agreement_by_annotator(votes: Iterable[tuple[str, str, str]]) -> list[Part]:
    """How far each annotator agrees with the others, in the order in which they first appear.

    `votes` are (item, annotator, value) as in `agreement`.
    """
    return _parts((Opinion(*vote), (vote[1],)) for vote in votes)


def agreement_by_prompt(votes: Iterable[V]) -> list[Part]:
    """How far people agree on each prompt, in the order in which prompts first appear.

    `votes` are comparisons or ratings, all of one kind: so too below.
    """
    return _parts((opinion, (vote.prompt_id,)) for vote, opinion in _said(standing(votes)))


def agreement_by_tag(votes: Iterable[V]) -> list[Part]:
    """How far votes with each tag, of those in `extra["tags"]`, agree with all others on their items.

    A vote with several tags counts for each, a vote without for none.
    """
    return _parts((opinion, _tags(vote)) for vote, opinion in _said(standing(votes)))


def agreement_by_time(votes: Iterable[V], slices: int = 4) -> list[Part]:
    """How far votes of each of `slices` times agree with all others on their items, the earliest first.

    Each time has as many votes, but that votes of one moment stay together: there may be fewer slices then. Of several
    votes by one annotator on one item the latest counts. A slice's name is its first and its last moment (ISO 8601):
    "2026-01-01T08:00:00+00:00/2026-01-03T17:30:00+00:00".

    Raises ValueError where `slices` is less than 1.
    """
    if slices < 1:
        raise ValueError(f"slices {slices}: use 1 or more")
    in_order = sorted(((vote.at, opinion) for vote, opinion in _said(standing(votes))), key=lambda one: one[0])
    last = {(opinion.item, opinion.annotator): (at, opinion) for at, opinion in in_order}
    said = sorted(last.values(), key=lambda one: one[0])
    starts = sorted({said[len(said) * k // slices][0] for k in range(slices)}) if said else []
    times: dict[int, list[tuple[datetime, Opinion]]] = {}
    for at, opinion in said:
        times.setdefault(bisect_right(starts, at), []).append((at, opinion))
    names = ((f"{time[0][0].isoformat()}/{time[-1][0].isoformat()}",) for time in times.values())
    return _parts((opinion, name) for name, time in zip(names, times.values(), strict=True) for _, opinion in time)


def _said(votes: Iterable[Vote]) -> Iterator[tuple[Vote, Opinion]]:
    """Each of these standing votes that says something, and what."""
    kept = list(votes)
    pairs = [vote for vote in kept if isinstance(vote, Comparison) and vote.left_id != vote.right_id]
    thumbs = [vote for vote in kept if isinstance(vote, Rating)]
    yield from zip(pairs, opinions_of_pairs(pairs), strict=True)
    yield from zip(thumbs, opinions_of_responses(thumbs), strict=True)


def _tags(vote: Vote) -> Iterable[str]:
    tags = vote.extra.get("tags")
    return dict.fromkeys(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list | tuple) else ()


def _parts(said: Iterable[tuple[Opinion, Iterable[str]]]) -> list[Part]:
    """The parts that opinions belong to, in the order in which they first appear."""
    last = {(opinion.item, opinion.annotator): (opinion.value, tuple(names)) for opinion, names in said}
    table = tabulate((item, annotator, value) for (item, annotator), (value, _) in last.items())
    x_IV = counts(table)
    others_N = x_IV.sum(axis=1)[table.item_N] - 1
    same_N = x_IV[table.item_N, table.value_N] - 1
    parts: dict[str, int] = {}
    rows = [(n, parts.setdefault(name, len(parts))) for n, (_, names) in enumerate(last.values()) for name in names]
    vote_M, part_M = np.array([row for row in rows if others_N[row[0]] > 0], dtype=np.int64).reshape(-1, 2).T
    others_M, same_M = others_N[vote_M], same_N[vote_M]
    part_K = np.unique(part_M * table.items + table.item_N[vote_M]) // max(table.items, 1)
    columns = (
        np.bincount(part_M, minlength=len(parts)),
        np.bincount(part_K, minlength=len(parts)),
        np.bincount(part_M, same_M, len(parts)),
        np.bincount(part_M, others_M, len(parts)),
        np.bincount(part_M, same_M / others_M, len(parts)),
    )
    by_chance = _by_chance(x_IV)
    return [
        Part(name, votes, items, same / others if others else None, *_alpha(agreeing, votes, items, by_chance))
        for name, votes, items, same, others, agreeing in zip(parts, *(one.tolist() for one in columns), strict=True)
    ]


def _by_chance(x_IV: Floats) -> float:
    """D_e of all votes; 0 where α is undefined."""
    if (x_IV.sum(axis=1) > 1).sum() < 2:
        return 0.0
    return float(NOMINAL.differences(NOMINAL.sums(x_IV).sum(axis=0)).by_chance)


def _alpha(agreeing: float, votes: int, items: int, by_chance: float) -> Estimate:
    """α of votes of which so many agree with the others, counted in fractions."""
    if not votes or not by_chance:
        return Estimate()
    share = agreeing / votes
    shares = (share, *wilson(share * items, items)) if items > 1 else (share,)
    return Estimate(*(1 - (1 - one) / by_chance for one in shares))
