"""How the Arena's contenders stand against each other, and whether that says anything yet."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import ceil

from accord.feedback import Choice
from accord.quality.wilson import Z, wilson
from accord.store.arena import Tally
from accord.web.schemas_arena import ArenaStanding

#: With fewer votes even those that all say the same may be chance; as many as `MANY` nobody can be asked for.
FEW, MANY = 10, 10_000


def standings(tallies: Iterable[Tally], known: Sequence[str], meeting: Iterable[str] = ()) -> list[ArenaStanding]:
    """Every two that have met, and those who meet now; the most votes first.

    Of two, the one that stands earlier in `known` is the first; who is not in there comes last.
    """
    place = {name: n for n, name in enumerate(known)}

    def order(name: str) -> tuple[int, str]:
        return place.get(name, len(place)), name

    met: dict[tuple[str, str], list[Tally]] = {
        (first, second): [] for first, second in combinations(sorted(meeting, key=order), 2)
    }
    for tally in tallies:
        first, second = sorted((tally.left, tally.right), key=order)
        met.setdefault((first, second), []).append(tally)
    found = [_standing(first, second, votes) for (first, second), votes in met.items()]
    return sorted(found, key=lambda standing: -standing.votes)


def _standing(first: str, second: str, tallies: Sequence[Tally]) -> ArenaStanding:
    said = Counter[str]()
    for tally in tallies:
        said[_outcome(tally, first)] += tally.votes
    wins, ties, losses, both_bad = (said[name] for name in ("wins", "ties", "losses", "both_bad"))
    decided, points = wins + ties + losses, wins + ties / 2
    people = len({tally.annotator_id for tally in tallies})
    share: float | None = None
    low: float | None = None
    high: float | None = None
    meaning = "Nobody knows yet: no vote prefers either."
    if decided:
        share = points / decided
        low, high = wilson(points, decided)
        meaning = in_words(first if share > 0.5 else second, share, decided, people)
    return ArenaStanding(
        first=first,
        second=second,
        votes=decided + both_bad,
        wins=wins,
        ties=ties,
        losses=losses,
        both_bad=both_bad,
        annotators=people,
        named=sum(tally.named for tally in tallies),
        share=share,
        low=low,
        high=high,
        meaning=meaning,
    )


def _outcome(tally: Tally, first: str) -> str:
    """What the votes are for the first of two."""
    match tally.choice:
        case Choice.TIE:
            return "ties"
        case Choice.BOTH_BAD:
            return "both_bad"
    preferred = tally.left if tally.choice is Choice.LEFT else tally.right
    return "wins" if preferred == first else "losses"


def in_words(better: str, share: float, decided: int, people: int) -> str:
    """What a share means that so many votes `decided`, of so many `people`.

    An interval of Wilson's leaves out ½ where |p − ½| > z / 2√n, which tells how many votes would do if p stays.
    """
    if share == 0.5:
        return "That says nothing yet: so far neither is preferred."
    enough = max(FEW, ceil((Z / (2 * (share - 0.5))) ** 2))
    if decided >= enough:
        who = "People prefer" if people > 1 else "The one person who voted prefers"
        return f"{who} {better}, more than chance would do."
    needed = f"about {enough:,}" if enough < MANY else f"more than {MANY:,}"
    return f"That says nothing yet: either may be the better one. If it stays like this, {needed} votes would tell."
