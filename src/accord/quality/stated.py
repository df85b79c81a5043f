"""What a file says in numbers of how sure its labels are: those that `accord export` wrote come back as they were."""

from typing import Any, NamedTuple

from accord.feedback import Choice, Comparison, Rating


class Preference(NamedTuple):
    """p: the probability that people prefer the first of two, a tie being half of it; tie: that they find both alike.

    Of a single response `p` is the probability that people want it.
    """

    p: float
    tie: float = 0.0


def of_comparison(vote: Comparison) -> tuple[Preference, Preference] | tuple[None, None]:
    """The columns `p_chosen` and `p_tie` that came with a vote for one of two: of the left, of the right."""
    p, tie = _probability(vote.extra.get("p_chosen")), _probability(vote.extra.get("p_tie"))
    if p is None or vote.choice not in (Choice.LEFT, Choice.RIGHT):
        return None, None
    tie = min(tie or 0.0, 2 * p, 2 * (1 - p))
    chosen, rejected = Preference(p, tie), Preference(1 - p, tie)
    return (chosen, rejected) if vote.choice is Choice.LEFT else (rejected, chosen)


def of_rating(vote: Rating) -> Preference | None:
    """The column `p_desirable` that came with a thumb."""
    p = _probability(vote.extra.get("p_desirable"))
    return None if p is None else Preference(p)


def _probability(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= 1 else None
