"""Answers over time: how many came when, and when the campaign ends if it goes on like this."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

MINUTE, HOUR, DAY = 60, 3_600, 86_400
#: The pace is that of the last week; less than ten minutes say nothing.
WINDOW, LEAST = timedelta(days=7), timedelta(minutes=10)
#: Columns are as wide as the first of these seconds that makes no more than so many of them.
WIDTHS, MOST = (5 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 28 * DAY, 364 * DAY), 48


class Pace(NamedTuple):
    """per_day  answers a day
    since    of the time since then
    ends     when the last wanted answer is there; None where nothing is wanted any more, or nothing comes
    """

    per_day: float
    since: datetime
    ends: datetime | None


def pace(times: Sequence[datetime], wanted: int, now: datetime) -> Pace | None:
    """The pace of answers that were given at `times` (in order), with so many still `wanted`.

    None where too little is known: no answers, or the first of them a few minutes ago.
    """
    if not times or now - times[0] < LEAST:
        return None
    since = max(times[0], now - WINDOW)
    answers = len(times) - bisect_left(times, since)
    per_day = answers * DAY / (now - since).total_seconds()
    days = wanted / per_day if per_day else 0.0
    return Pace(per_day, since, now + timedelta(days=days) if 0 < days < 36_500 else None)


class Paced(Protocol):
    """As `Pace`, here and where it was told."""

    per_day: float
    since: datetime
    ends: datetime | None


def outlook(pace: Paced | None, now: datetime) -> str:
    """When it ends, in words."""
    if pace is None:
        return "Too little has come in to say when it ends."
    if pace.ends is None:
        return "Nothing came in during the last week."
    rate = f"{pace.per_day:,.0f}" if pace.per_day >= 10 else f"{pace.per_day:.1f}"
    return f"At the pace since {_day(pace.since, now)} ({rate} answers a day) it ends around {_day(pace.ends, now)}."


def _day(at: datetime, now: datetime) -> str:
    """A day, with the time where it is near, and the year where it is not."""
    far = abs(at - now)
    if far < timedelta(days=1):
        return f"{at:%H:%M} UTC" + ("" if at.date() == now.date() else f" on {at.day} {at:%B}")
    return f"{at.day} {at:%B}" + (f" {at.year}" if far > timedelta(days=200) else "")


class Column(NamedTuple):
    """So many answers from `start` on, until the next column's."""

    start: datetime
    answers: int


def over_time(times: Sequence[datetime]) -> tuple[list[Column], int]:
    """The answers in columns of equal width, from the first to the last, and how many seconds wide these are.

    They begin at round times: full hours, midnights, Mondays.
    """
    if not times:
        return [], WIDTHS[0]
    width = next((w for w in WIDTHS if _number(times[-1], w) - _number(times[0], w) < MOST), WIDTHS[-1])
    first = _number(times[0], width)
    counts = [0] * (_number(times[-1], width) - first + 1)
    for at in times:
        counts[_number(at, width) - first] += 1
    return [Column(_start(first + n, width), count) for n, count in enumerate(counts)], width


#: A Monday.
ORIGIN = datetime(2001, 1, 1, tzinfo=UTC)


def _number(at: datetime, width: int) -> int:
    return int((at - ORIGIN).total_seconds() // width)


def _start(number: int, width: int) -> datetime:
    return ORIGIN + timedelta(seconds=number * width)
