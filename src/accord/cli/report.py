"""`accord report`: the run's report.html, written again from its records."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from accord.cli.which_run import which_run
from accord.report import write_report


def command(
    run: Annotated[str, typer.Argument(help="The run: its name in the project, or its folder.")],
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Write a run's report.html again, from what the run has recorded."""
    path = write_report(which_run(run, project))
    print(path)
    if open_it:
        webbrowser.open(path.as_uri())
