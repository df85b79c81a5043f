"""`accord export`: what people said, as files that other tools read."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from accord.cli.project import find_project, open_store
from accord.feedback import LabelMethod


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .jsonl, .json or .csv file (each also .gz), or .parquet.")
    ],
    form: Annotated[
        Literal["dpo", "kto", "reward", "votes"],
        typer.Option(help="TRL's rows for DPOTrainer, KTOTrainer or RewardTrainer; or every vote as it was given."),
    ] = "dpo",
    labels: Annotated[LabelMethod, typer.Option(help="How the votes on a pair are added up.")] = "dawid_skene",
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="from here upwards")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the project's votes in TRL's formats.

    `dpo`, `kto` and `reward` have TRL's columns, and beside them how sure people were (`p_chosen`, `p_tie`,
    `p_desirable`), `weight`, `split` and the columns that came with the data. Pairs on which people are evenly divided,
    and empty answers, are left out and counted. `votes` (.jsonl) has everything, and `accord import` reads it back.

    In CSV, texts that a spreadsheet would run as a formula (they begin with = + - @) get a ' in front, which
    `accord import` takes off again.
    """
    from accord.web.exporting import export

    with open_store(find_project(project)) as store:
        counts = export(store, file, form, labels)
    if as_json:
        print(json.dumps({"file": str(file), "form": form, **counts}))
        return
    written = counts.pop("rows")
    print(f"Wrote {written:,} {'lines' if form == 'votes' else 'rows'} to {file}")
    for reason, count in counts.items():
        print(f"  {count:,} {'of them' if form == 'votes' else 'left out'}: {reason}")
