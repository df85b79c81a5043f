"""From raw votes to numbers that training can learn from."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    PairLabel,
    Rating,
    ResponseLabel,
    Vote,
)
from accord.quality.ballots import (
    Ballot,
    arrays,
    by_pair,
    ends_of,
    pair_ballot,
    rating_ballots,
    response_ballots,
    standing,
)
from accord.quality.bradley_terry import fit as bradley_terry_fit
from accord.quality.dawid_skene import TIE, A, B, Floats, Votes, fit
from accord.quality.stated import Preference


class Weighed(NamedTuple):
    """For each item: the probability that people prefer A, a tie being half of it; and that they find both alike."""

    p_I: Floats
    tie_I: Floats


def _tally(votes: Votes) -> tuple[Floats, Floats, Floats]:
    """For each item what the votes for A, for a tie, and for B count."""
    a_I, tie_I, b_I = (
        np.bincount(votes.item_N, votes.counts_N * (votes.vote_N == answer), votes.n_items).astype(np.float64)
        for answer in (A, TIE, B)
    )
    return a_I, tie_I, b_I


def majority(votes: Votes) -> Weighed:
    """A tie where more than half of the votes say so; else what more of the others said, ½ where equally many did."""
    a_I, tie_I, b_I = _tally(votes)
    is_tie = tie_I > a_I + b_I
    return Weighed(np.where(is_tie, 0.5, (1 + np.sign(a_I - b_I)) / 2), is_tie.astype(np.float64))


def vote_share(votes: Votes) -> Weighed:
    """(votes for A + 1) / (votes + 2), a tie being half a vote each: the posterior mean under a Beta(1, 1) prior.

    P(tie) is ties / (votes + 2): the prior gives each side one vote, and a tie none.
    """
    a_I, tie_I, b_I = _tally(votes)
    n_I = a_I + tie_I + b_I
    return Weighed((a_I + tie_I / 2 + 1) / (n_I + 2), tie_I / (n_I + 2))


def dawid_skene(votes: Votes) -> Weighed:
    """What is probably true, each annotator believed as far as they prove reliable (`quality.dawid_skene`)."""
    truth_I3 = fit(votes).truth_I3
    return Weighed(truth_I3[:, A] + truth_I3[:, TIE] / 2, truth_I3[:, TIE])


def bradley_terry(votes: Votes) -> Weighed:
    """What somebody would say, by how good all votes show each response to be (`quality.bradley_terry`). As
    `dawid_skene` where items are no pairs."""
    if votes.ends_I2 is None:
        return dawid_skene(votes)
    probs_I3 = bradley_terry_fit(votes).probs_I3()
    return Weighed(probs_I3[:, A] + probs_I3[:, TIE] / 2, probs_I3[:, TIE])


#: method -> what the votes on each item add up to
LABELS: dict[str, Callable[[Votes], Weighed]] = {
    "majority": majority,
    "vote_share": vote_share,
    "dawid_skene": dawid_skene,
    "bradley_terry": bradley_terry,
}


def pair_labels(
    comparisons: Iterable[Comparison],
    method: str = "dawid_skene",
    *,
    annotators: Iterable[Annotator] = (),
    weights: Mapping[str, float] | None = None,
) -> list[PairLabel]:
    """All votes on each pair added up, in the order in which the pairs first appear.

    `weights`, by annotator, say what their votes count, in [0, 1], and 1 for whom they do not name
    (`quality.bad_hands` finds them). A pair weighs as much as the weightiest of its votes.

    `chosen` is the response with the higher probability, so `p_chosen` is at least ½. "Both bad" counts as a tie
    beside other votes. A pair weighs 0 where every vote said it, and where a response was compared with itself: there
    is nothing to learn from it.

    What a file states (`annotators` of kind DATASET) is no noisy vote: a pair on which nobody else voted gets the
    plain mean of the statements, whatever the method: 1.0 where there is one and it is no tie, or the `p_chosen` and
    `p_tie` of its columns (`quality.stated`). Where people voted too, the statement is one more vote. Annotators that
    are not named here are taken for people.

    Raises ValueError where `method` is not in LABELS.
    """
    pairs = by_pair(comparisons)
    ballots = [[pair_ballot(vote, a) for vote in votes] for (_, a, _), votes in pairs.items()]
    labels = []
    weights = weights or {}
    weighed = _weigh(ballots, method, annotators, weights, ends=ends_of(pairs))
    for ((prompt_id, a, b), votes), (p_a, tie) in zip(pairs.items(), weighed, strict=True):
        chosen, rejected = (a, b) if p_a >= 0.5 else (b, a)
        useless = a == b or all(vote.choice is Choice.BOTH_BAD for vote in votes)
        p_chosen = 0.5 if useless else max(p_a, 1 - p_a)
        labels.append(
            PairLabel(
                prompt_id=prompt_id,
                chosen_id=chosen,
                rejected_id=rejected,
                p_chosen=p_chosen,
                weight=0.0 if useless else _weightiest(votes, weights),
                n_votes=len(votes),
                extra=_agreed_extra(votes),
                p_tie=0.0 if useless else min(tie, 2 * (1 - p_chosen)),  # rounding may leave it a digit too large
            )
        )
    return labels


def response_labels(
    comparisons: Iterable[Comparison],
    ratings: Iterable[Rating],
    method: str = "dawid_skene",
    *,
    annotators: Iterable[Annotator] = (),
    weights: Mapping[str, float] | None = None,
) -> list[ResponseLabel]:
    """The probability that people want each response, in the order in which the responses first appear.

    A thumb is a vote for or against a response, and "both bad" is one against each. Only where nobody gave a thumb do
    comparisons decide: being preferred then counts for a response, and being passed over against it; but where `method`
    is bradley_terry, it is wanted as probably as it would be preferred to another of those to its prompt. A dataset's
    statements, and `weights`, are taken as in `pair_labels`.

    Raises ValueError where `method` is not in LABELS.
    """
    ratings, comparisons = list(standing(ratings)), list(standing(comparisons))
    annotators, weights = list(annotators), weights or {}
    rated = {(rating.prompt_id, rating.response_id) for rating in ratings}
    votes: dict[tuple[str, str], list[Vote]] = {}
    ballots: dict[tuple[str, str], list[Ballot]] = {}
    for key, vote, ballot in [*rating_ballots(ratings), *response_ballots(comparisons, rated)]:
        votes.setdefault(key, []).append(vote)
        ballots.setdefault(key, []).append(ballot)
    wanted = [p for p, _ in _weigh(list(ballots.values()), method, annotators, weights)]
    if method == "bradley_terry":
        preferred = _preferred(pair_labels(comparisons, method, annotators=annotators, weights=weights))
        wanted = [p if key in rated else preferred.get(key, p) for key, p in zip(votes, wanted, strict=True)]
    return [
        ResponseLabel(
            *key,
            p_desirable=p,
            weight=_weightiest(votes[key], weights),
            n_votes=len(votes[key]),
            extra=_agreed_extra(votes[key]),
        )
        for key, p in zip(votes, wanted, strict=True)
    ]


def _preferred(labels: Iterable[PairLabel]) -> dict[tuple[str, str], float]:
    """How probably each response is preferred to those that it was compared with, the mean over them."""
    found: dict[tuple[str, str], list[float]] = {}
    for label in labels:
        if label.weight:
            found.setdefault((label.prompt_id, label.chosen_id), []).append(label.p_chosen)
            found.setdefault((label.prompt_id, label.rejected_id), []).append(1 - label.p_chosen)
    return {key: sum(p) / len(p) for key, p in found.items()}


def _weightiest(votes: Sequence[Vote], weights: Mapping[str, float]) -> float:
    return max(weights.get(vote.annotator_id, 1.0) for vote in votes)


#: what an answer says of A in numbers, where the file has none
_PLAIN = {A: Preference(1.0), TIE: Preference(0.5, 1.0), B: Preference(0.0)}


def _weigh(
    ballots: Sequence[Sequence[Ballot]],
    method: str,
    annotators: Iterable[Annotator],
    weights: Mapping[str, float],
    *,
    ends: Sequence[tuple[Hashable, Hashable]] | None = None,
) -> list[Preference]:
    """How far A is preferred, for each item: by `method` where people voted; where only a dataset spoke, the mean.

    ends  the responses A and B of each item, where items are pairs
    """
    if method not in LABELS:
        raise ValueError(f"label method {method!r}: use one of {', '.join(LABELS)}")
    datasets = {annotator.id for annotator in annotators if annotator.kind is AnnotatorKind.DATASET}
    weighed_I = [_mean([ballot.stated or _PLAIN[ballot.answer] for ballot in item]) for item in ballots]
    voted = [i for i, item in enumerate(ballots) if any(ballot.annotator_id not in datasets for ballot in item)]
    if voted:
        p_I, tie_I = LABELS[method](arrays([ballots[i] for i in voted], ends and [ends[i] for i in voted], weights))
        for i, p, tie in zip(voted, p_I.tolist(), tie_I.tolist(), strict=True):
            weighed_I[i] = Preference(p, tie)
    return weighed_I


def _mean(stated: Sequence[Preference]) -> Preference:
    return Preference(*(sum(values) / len(stated) for values in zip(*stated, strict=True)))


def _agreed_extra(votes: Sequence[Vote]) -> Mapping[str, Any]:
    """The extra columns that all votes have alike: all of them where there is one vote."""
    first = votes[0].extra
    return {key: first[key] for key in first if all(key in v.extra and v.extra[key] == first[key] for v in votes)}
