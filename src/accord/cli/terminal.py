"""A report's tables and remarks on the terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from accord.report.parts import Remark, Table

MARKS = {"warning": "[yellow]![/yellow]", "good": "[green]✓[/green]", "note": "[dim]·[/dim]"}


def show_table(console: Console, table: Table, title: str) -> None:
    """The figures, and an empty line."""
    grid = Grid(title, *map(escape, table.head), box=None, pad_edge=False, header_style="bold")
    for row in table.rows:
        grid.add_row(*map(escape, row))
    console.print(grid)
    console.print()


def show_remarks(console: Console, remarks: Iterable[Remark]) -> None:
    """A line each."""
    for remark in remarks:
        console.print(f"{MARKS[remark.tone]} {escape(remark.title)}")
