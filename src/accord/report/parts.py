"""What the page is put together from, and how an estimate stands in it."""

from collections.abc import Callable
from typing import NamedTuple

from markupsafe import Markup

from accord.report.facts import Estimate
from accord.report.words import short


class Card(NamedTuple):
    """One big number."""

    label: str
    value: str
    interval: str
    note: str
    bar: Markup | None = None


class Table(NamedTuple):
    """`head` names the columns after the first, whose cells name the rows. `says` explains the whole, `notes` the rows
    one by one, if there are any. `title` is "" for the main one."""

    title: str
    head: list[str]
    rows: list[list[str]]
    says: str
    notes: tuple[str, ...] = ()


class Picture(NamedTuple):
    """`keys` are (name, tone, held out) for the legend."""

    title: str
    says: str
    svg: Markup
    keys: list[tuple[str, str, bool]]


class Remark(NamedTuple):
    """`tone` is good, note or warning; `says` what happened and why; `next` what to do, "" where nothing is."""

    tone: str
    title: str
    says: str
    next: str = ""


def bounds(estimate: Estimate, show: Callable[[float], str] = short) -> str:
    """60 % to 80 %; "" where they are not known."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{show(estimate.low)} to {show(estimate.high)}"


def bracketed(estimate: Estimate, show: Callable[[float], str] = short) -> str:
    """The same in brackets, to stand behind the value."""
    return f" [{bounds(estimate, show)}]" if estimate.bounded else ""


def points(x: float) -> str:
    """A share in points, without a sign: 8."""
    return f"{100 * x:.0f}"


def more_points(x: float) -> str:
    """A difference of shares in points: +8."""
    shown = round(100 * x)
    return f"{shown:+d}".replace("-", "−") if shown else "0"
