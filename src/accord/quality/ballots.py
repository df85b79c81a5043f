"""Votes as the methods of `quality.labels` read them: what each says, of which of two things, by whom, in arrays."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from accord.feedback import Annotator, AnnotatorKind, Choice, Comparison, Rating, Sides, Vote
from accord.quality.dawid_skene import TIE, A, B, Votes
from accord.quality.stated import Preference, of_comparison, of_rating

V = TypeVar("V", Comparison, Rating)

#: A prompt and two responses to it, in the order of their ids.
Pair = tuple[str, str, str]


class Ballot(NamedTuple):
    """One vote as methods read it: by whom, for what (A, TIE or B), and where A stood (+1, -1, or 0).

    stated    what it says of A in numbers; None where it says the answer alone
    strength  by how much one is better, 1 to 3; 0 where that was not asked, or is a tie
    """

    annotator_id: str
    answer: int
    side: int = 0
    stated: Preference | None = None
    strength: int = 0


class PairVotes(NamedTuple):
    """Comparisons as methods read them.

    votes        item i is pairs[i]: (prompt, A, B)
    pairs        A is the response whose id sorts first
    annotators   their ids, by number
    comparisons  the vote behind each row of `votes`
    """

    votes: Votes
    pairs: list[Pair]
    annotators: list[str]
    comparisons: list[Comparison]


def pair_votes(comparisons: Iterable[Comparison]) -> PairVotes:
    """The votes that count, as numbers. Raises ValueError where there are none."""
    pairs = by_pair(comparisons)
    if not pairs:
        raise ValueError("comparisons: there are none")
    ballots = [[pair_ballot(vote, a) for vote in votes] for (_, a, _), votes in pairs.items()]
    said = [vote for votes in pairs.values() for vote in votes]
    annotators = list(dict.fromkeys(vote.annotator_id for vote in said))
    return PairVotes(arrays(ballots, ends_of(pairs), {}), list(pairs), annotators, said)


def standing(votes: Iterable[V]) -> Iterator[V]:
    """The votes that count: none twice (by id), none that a later vote supersedes, and no withdrawal."""
    by_id = {vote.id: vote for vote in votes}
    superseded = {vote.supersedes for vote in by_id.values()}
    return (vote for vote in by_id.values() if vote.id not in superseded and not vote.withdrawn)


def of_people(comparisons: Iterable[Comparison], annotators: Iterable[Annotator]) -> list[Comparison]:
    """The votes that count, without what files state, which is nobody's vote."""
    datasets = {one.id for one in annotators if one.kind is AnnotatorKind.DATASET}
    return [vote for vote in standing(comparisons) if vote.annotator_id not in datasets]


def by_pair(comparisons: Iterable[Comparison]) -> dict[Pair, list[Comparison]]:
    """The votes that count on each pair, pairs in the order in which they first appear."""
    pairs: dict[Pair, list[Comparison]] = {}
    for vote in standing(comparisons):
        a, b = sorted((vote.left_id, vote.right_id))
        pairs.setdefault((vote.prompt_id, a, b), []).append(vote)
    return pairs


def ends_of(pairs: Iterable[Pair]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """The responses A and B of each pair, by what makes them this response: an answer to another prompt is another."""
    return [((prompt_id, a), (prompt_id, b)) for prompt_id, a, b in pairs]


_PAIR_ANSWERS = {Choice.LEFT: A, Choice.TIE: TIE, Choice.BOTH_BAD: TIE, Choice.RIGHT: B}
#: what a comparison says of (the left response, the right response)
_RESPONSE_ANSWERS = {Choice.LEFT: (A, B), Choice.TIE: (TIE, TIE), Choice.BOTH_BAD: (B, B), Choice.RIGHT: (B, A)}


def pair_ballot(vote: Comparison, a: str) -> Ballot:
    """What a vote says of response `a` and the other one."""
    on_left = vote.left_id == a
    answer = _PAIR_ANSWERS[vote.choice]
    side = (1 if on_left else -1) if vote.sides is Sides.SHUFFLED else 0
    of_left, of_right = of_comparison(vote)
    stated, strength = of_left if on_left else of_right, vote.strength or 0
    return Ballot(vote.annotator_id, answer if on_left else B - answer, side, stated, 0 if answer == TIE else strength)


def rating_ballots(ratings: Iterable[Rating]) -> Iterator[tuple[tuple[str, str], Vote, Ballot]]:
    """Up is A and always "on the left": the annotator's bias is then how easily they are pleased."""
    for vote in ratings:
        ballot = Ballot(vote.annotator_id, A if vote.desirable else B, 1, of_rating(vote))
        yield (vote.prompt_id, vote.response_id), vote, ballot


def response_ballots(
    comparisons: Iterable[Comparison], rated: set[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], Vote, Ballot]]:
    """What comparisons say of single responses, but of those that are `rated` only that both are bad."""
    for vote in comparisons:
        responses = zip((vote.left_id, vote.right_id), _RESPONSE_ANSWERS[vote.choice], of_comparison(vote), strict=True)
        for response_id, answer, stated in responses:
            key = (vote.prompt_id, response_id)
            if key not in rated or vote.choice is Choice.BOTH_BAD:
                yield key, vote, Ballot(vote.annotator_id, answer, stated=stated)


def arrays(
    ballots: Sequence[Sequence[Ballot]],
    ends: Sequence[tuple[Hashable, Hashable]] | None,
    weights: Mapping[str, float],
) -> Votes:
    """The ballots on each item as numbers. `ends` are the responses A and B of each, where items are pairs; `weights`
    say what the votes of annotators count, 1 where they do not name them."""
    numbers: dict[str, int] = {}
    rows = [
        (item, numbers.setdefault(ballot.annotator_id, len(numbers)), ballot.answer, ballot.side, ballot.strength)
        for item, votes in enumerate(ballots)
        for ballot in votes
    ]
    item_N, annotator_N, vote_N, side_N, strength_N = np.array(rows, dtype=np.int64).T
    responses: dict[Hashable, int] = {}
    numbered = [[responses.setdefault(end, len(responses)) for end in pair] for pair in ends or ()]
    weight_J = np.array([weights.get(one, 1.0) for one in numbers])
    return Votes(
        item_N,
        annotator_N,
        vote_N,
        side_N,
        len(ballots),
        len(numbers),
        ends is not None,
        None if ends is None else np.array(numbered, dtype=np.int64),
        strength_N if strength_N.any() else None,
        None if (weight_J == 1).all() else weight_J[annotator_N],
    )
