"""One public or two: who has which taste, and what the two would choose, where there are two (`quality.taste_mixture`).

Votes of people only: what a file states is nobody's taste.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accord.feedback import Annotator, Comparison
from accord.quality.ballots import Pair, PairVotes, of_people, pair_votes
from accord.quality.taste_mixture import fit, held_out, margins

#: So probable a membership is called sure.
SURE = 0.9


@dataclass(frozen=True, slots=True)
class Group:
    """Annotators of one taste.

    annotators  how many; `sure` of them with a probability of SURE and more
    votes       theirs
    longer      share of the pairs of which they would rather have the longer response; None where lengths are not known
    """

    annotators: int
    sure: int
    votes: int
    longer: float | None


@dataclass(frozen=True, slots=True)
class Split:
    """A pair of which the two groups would choose differently: which response each prefers, and how surely.

    p_first, p_second   P(the first group's choice is better), ties aside, as each group sees it
    """

    prompt_id: str
    first_choice: str
    second_choice: str
    p_first: float
    p_second: float


@dataclass(frozen=True, slots=True)
class Groups:
    """Whether one taste explains the votes, or two.

    gain, error  by how many nats a vote two tastes foretell annotators not yet seen better than one; standard error
    groups       two where two tastes are there, the larger first; else none
    members      annotator id -> probability of being of the first group; empty where there are none
    same         share of the pairs of which both groups would choose the same response; None where there are no groups
    splits       the others, the farthest apart first
    """

    gain: float
    error: float
    groups: Sequence[Group] = ()
    members: Mapping[str, float] | None = None
    same: float | None = None
    splits: Sequence[Split] = ()

    def of(self, number: int) -> set[str]:
        """Ids of the annotators who more probably are of group 1, or 2."""
        return {one for one, p in (self.members or {}).items() if (p >= 0.5) == (number == 1)}


def find_groups(
    comparisons: Iterable[Comparison],
    annotators: Iterable[Annotator] = (),
    *,
    characters: Mapping[str, int] | None = None,
) -> Groups | None:
    """One taste or two; None where too few people voted to tell.

    characters  how long each response is, by id

    Raises ValueError where nobody has compared anything.
    """
    said = pair_votes(of_people(comparisons, annotators))
    held = held_out(said.votes)
    if held is None:
        return None
    if not held.two:
        return Groups(held.gain, held.error)
    tastes = fit(said.votes)
    if not all((member_J >= SURE).any() for member_J in tastes.member_JK.T):
        return Groups(held.gain, held.error)  # nobody is surely of one of them
    margin_KI = margins(tastes, said.votes)
    first_J, texts = tastes.member_JK[:, 0], characters or {}
    return Groups(
        held.gain,
        held.error,
        [_group(said, first_J, margin_KI[0], texts), _group(said, 1 - first_J, margin_KI[1], texts)],
        dict(zip(said.annotators, first_J.tolist(), strict=True)),
        float((np.sign(margin_KI[0]) == np.sign(margin_KI[1])).mean()),
        _splits(said.pairs, margin_KI),
    )


def _group(said: PairVotes, member_J: Any, margin_I: Any, characters: Mapping[str, int]) -> Group:
    known = [
        (characters[a] > characters[b]) == (margin > 0)
        for (_, a, b), margin in zip(said.pairs, margin_I.tolist(), strict=True)
        if a in characters and b in characters and characters[a] != characters[b]
    ]
    return Group(
        int((member_J >= 0.5).sum()),
        int((member_J >= SURE).sum()),
        int((member_J >= 0.5)[said.votes.annotator_N].sum()),
        float(np.mean(known)) if known else None,
    )


def _splits(pairs: Sequence[Pair], margin_KI: Any) -> list[Split]:
    p_KI = 1 / (1 + np.exp(-margin_KI))
    apart = np.flatnonzero(np.sign(margin_KI[0]) != np.sign(margin_KI[1]))
    splits = []
    for i in apart[np.argsort(-np.abs(p_KI[0] - p_KI[1])[apart], kind="stable")].tolist():
        prompt_id, a, b = pairs[i]
        first_is_a = bool(margin_KI[0, i] > 0)
        p_first, p_second = (float(p if first_is_a else 1 - p) for p in p_KI[:, i])
        splits.append(Split(prompt_id, *((a, b) if first_is_a else (b, a)), p_first, p_second))
    return splits
