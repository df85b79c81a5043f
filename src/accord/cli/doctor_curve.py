"""`accord doctor --curve`: what labels have learnt from the votes there are, and what more of them would buy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import log
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from accord.feedback import Comparison, Noun

if TYPE_CHECKING:
    from accord.quality.curve import Curve, Interval

NOTHING = log(2)  # the log-loss of knowing nothing
BAR = 32  # letters of the longest bar
#: Less than this share of what all votes so far have brought is little.
LITTLE = 0.05
#: Votes that have brought less than this, in nats, do not agree with one another.
CHANCE = 0.005


def measured(nouns: Iterable[Noun]) -> Curve:
    """The learning curve of all comparisons."""
    from accord.quality.curve import learning_curve

    return learning_curve(noun for noun in nouns if isinstance(noun, Comparison))


def to_json(curve: Curve) -> dict[str, Any]:
    """The curve's fields; points and intervals as objects, null where nothing is known."""
    return {name: _plain(getattr(curve, name)) for name in curve.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return value._asdict()
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def show(console: Console, curve: Curve) -> None:
    """The curve as bars, the losses now and then with their intervals, and what to make of it."""
    console.print("\n[bold]What more votes would buy[/]\n")
    if curve.unknown:
        console.print(Padding(f"Nothing can be said: {curve.unknown}.", (0, 0, 1, 2)))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("votes", justify="right")
    table.add_column("log-loss", justify="right")
    table.add_column("learnt from them")
    best = max(CHANCE, *(NOTHING - point.loss for point in curve.points))
    for point in curve.points:
        learnt = max(NOTHING - point.loss, 0) / best
        table.add_row(f"{point.votes:,}", f"{point.loss:.4f}", "█" * round(BAR * learnt))
    console.print(Padding(table, (0, 0, 1, 2), expand=False))
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="dim")
    for label, text in said(curve):
        figures.add_row(label, text)
    console.print(Padding(figures, (0, 0, 1, 2), expand=False))
    console.print(verdict(curve))


def said(curve: Curve) -> Iterator[tuple[str, str]]:
    """The losses as label and text, each with its 95 % interval."""
    yield f"now, {curve.votes:,} votes on {curve.pairs:,} pairs", _interval(curve.now)
    yield f"with {curve.more:,} more on the same pairs", _interval(curve.then)
    yield (
        f"so {curve.more:,} votes buy",
        f"{_interval(curve.gain)} nats, {_share(curve):.0%} of what is learnt",
    )
    yield "with any number of votes", _interval(curve.floor)


def verdict(curve: Curve) -> str:
    """What to make of the gain: whether its interval lies above or below what is little."""
    assert curve.gain is not None
    learnt = _learnt(curve)
    if learnt < CHANCE:
        return "[bold yellow]Nothing learnt yet:[/] a vote agrees with the others as a coin would. Mend the question."
    if curve.gain.low > LITTLE * learnt:
        return f"[bold green]Worth asking:[/] {curve.more:,} more votes on these pairs make their labels better."
    if curve.gain.high < LITTLE * learnt:
        return "[bold yellow]Enough of these pairs:[/] ask about others (accord select)."
    return "[bold]Not clear yet:[/] the interval has both little and much in it."


def _share(curve: Curve) -> float:
    return curve.gain.value / _learnt(curve) if curve.gain else 0.0


def _learnt(curve: Curve) -> float:
    """What the votes so far have brought, in nats."""
    return max(NOTHING - curve.now.value, 1e-9) if curve.now else 1e-9


def _interval(figure: Interval | None) -> str:
    return f"{figure.value:.4f} [dim]({figure.low:.4f} to {figure.high:.4f})[/]" if figure else ""
