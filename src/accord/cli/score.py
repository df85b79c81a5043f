"""`accord score`: a reward model's opinion of the answers in a file, written beside them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from accord.cli.answers import columns, read_answers
from accord.exchange.writing import write_rows
from accord.feedback import AccordError


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON, JSONL, CSV (each also .gz), Parquet, a saved datasets folder.")
    ],
    model: Annotated[str, typer.Option(help="A reward run, or the folder or hub name of a reward model.")],
    output: Annotated[
        Path | None, typer.Option(help="Where to write the rows.", show_default="NAME.scored.jsonl, here")
    ] = None,
    column: Annotated[str, typer.Option(help="What the columns with the scores are called.")] = "score",
    max_length: Annotated[
        int | None,
        typer.Option(help="Cut prompt and answer after so many tokens.", min=2, show_default="the model's own limit"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Score the answers in a file with a reward model, and write the rows with their scores.

    A row with `prompt` and `completion`, or `messages`, gets `score`; one with `chosen` and `rejected` gets
    `score_chosen` and `score_rejected`; one with `prompt` and `completions` gets `scores`. An ensemble adds how far its
    heads disagree, `score_disagreement`. A score has no unit and no zero: it is there to compare answers to one prompt.
    """
    output = output or Path(f"{file.name.partition('.')[0]}.scored.jsonl")
    count = checked(file, column)  # all of it, before a model is loaded
    from accord.cli.scoring import Tally, load_scorer, scored

    tally, console = Tally(), Console(stderr=True, highlight=False)
    shown = (TextColumn("Scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=count)

        def rows() -> Iterator[dict[str, Any]]:
            scorer = load_scorer(model, project, max_length)
            yield from scored(scorer, read_answers(file), column, tally, lambda done: bar.update(task, completed=done))

        write_rows(output, rows())
    told = {"file": str(file), "model": model, "output": str(output), **tally.figures()}
    print(json.dumps(told)) if as_json else tell(told)


def checked(file: Path, name: str) -> int:
    """How many rows there are. Raises BadInput where one holds no answer, or has a column that its scores would go to;
    AccordError where there are none."""
    count = 0
    for row in read_answers(file):
        for column in columns(row, name, np.zeros((len(row.answers), 2))):
            if column in row.record.values:
                raise row.record.bad(column, "is there already (call the new columns otherwise: --column NAME)")
        count += 1
    if not count:
        raise AccordError(f"{file}: holds no rows (is it the right file?)")
    return count


def tell(told: dict[str, Any]) -> None:
    """What was scored and where it is."""
    print(f"Scored {told['answers']:,} answers in {told['rows']:,} rows → {told['output']}")
    if told["not_scored"]:
        print(f"  {told['not_scored']:,} got none (null): their prompt alone is longer than the model's limit")
    if "mean_score" in told:
        lowest, mean, highest = (f"{told[f'{name}_score']:.3g}" for name in ("lowest", "mean", "highest"))
        print(f"  scores from {lowest} to {highest}, {mean} on average")
    if "pairs" in told:
        print(f"  chosen scores higher than rejected in {told['chosen_ahead']:.0%} of {told['pairs']:,} pairs")
