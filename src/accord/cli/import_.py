"""`accord import`: files into the project, all of them or, if one is bad, none."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from accord.cli.project import find_project, open_store
from accord.exchange import FORMATS
from accord.exchange.containers import size
from accord.store import finish_imports
from accord.web.importing import VOTES, TakenUp, look, take_up

#: Makes a bar by its title; the bar hears how much is done, and of how much.
Bars = Callable[[str], Callable[[int, int], None]]


def command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="JSON, JSONL, CSV (each also .gz), Parquet, saved datasets folders."),
    ],
    format: Annotated[
        str | None, typer.Option(help="The files' format, where their columns do not tell it.", metavar="NAME")
    ] = None,
    split: Annotated[
        Literal["train", "test"] | None, typer.Option(help="What all rows are for, whatever a column or folder says.")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="from here upwards")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read preferences, ratings or votes from files into the project.

    Files that belong together (llmfao's votes and texts) are named together. The same file again adds nothing. If
    anything is wrong, one line says where, and nothing is written. People can vote meanwhile.
    """
    with _bars(hidden=as_json) as bar:
        progress = _bytes(bar("Reading"), files)
        if dry_run:
            result = look(files, format, split or "", progress=progress)
        else:
            result = _into(project, files, format, split or "", progress, bar)
    if as_json:
        print(json.dumps({**result._asdict(), "dry_run": dry_run}))
    else:
        _tell(result, dry_run)


command.__doc__ = "\n\n".join(
    [
        cleandoc(command.__doc__ or ""),
        "Formats, told apart by their columns:",
        *(f"[bold]{name}[/bold]  {format.about}" for name, format in FORMATS.items()),
    ]
)


def _into(
    project: Path | None,
    files: list[Path],
    format: str | None,
    split: str,
    progress: Callable[[int], object],
    bar: Bars,
) -> TakenUp:
    with open_store(find_project(project)) as store:
        if interrupted := finish_imports(store, bar("Finishing an earlier import")):
            print(f"An import that was interrupted is finished: {interrupted.total():,} added.", file=sys.stderr)
        return take_up(store, files, format, split, progress=progress, poured=bar("Writing"))


@contextmanager
def _bars(*, hidden: bool) -> Iterator[Bars]:
    """Bars on stderr, each made by its title and shown when it first hears how much is done, and of how much."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bars:

        def bar(title: str) -> Callable[[int, int], None]:
            task = bars.add_task(title, visible=False)
            return lambda done, total: bars.update(task, completed=done, total=total, visible=True)

        yield bar


def _bytes(bar: Callable[[int, int], None], files: list[Path]) -> Callable[[int], None]:
    """Hears how many more were read of `files`."""
    total = sum(size(file) for file in files if file.exists())
    done = 0

    def read_more(count: int) -> None:
        nonlocal done
        done += count
        bar(done, total)

    return read_more


def _tell(result: TakenUp, dry_run: bool) -> None:
    added, there, total = result
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("in the files" if dry_run else "added", justify="right")
    if not dry_run:
        table.add_column("now in the project", justify="right")
    for name, count in total.items():
        if count:
            table.add_row(name, f"{added[name]:,}", *([] if dry_run else [f"{count:,}"]))
    Console().print(table)
    if repeated := sum(there.values()):
        print(f"\n{repeated:,} {'vote was' if repeated == 1 else 'votes were'} there already and not added again.")
    print(f"\n{_next_step(dry_run, any(total[name] for name in VOTES))}")


def _next_step(dry_run: bool, votes: bool) -> str:
    if dry_run:
        return "Nothing was written. Next: the same command without --dry-run."
    return f"Next: accord doctor   looks at the data before training{' on it' if votes else ''}"
