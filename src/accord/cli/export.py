"""`accord export`: what people said, as files that other tools read."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from accord.cli.project import find_project, open_store
from accord.exchange.writing import write_export, write_votes
from accord.feedback import AccordError, PairLabel, ResponseLabel, Vote
from accord.store import Store


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .jsonl, .json or .csv file (each also .gz), or .parquet.")
    ],
    form: Annotated[
        Literal["dpo", "kto", "reward", "votes"],
        typer.Option(help="TRL's rows for DPOTrainer, KTOTrainer or RewardTrainer; or every vote as it was given."),
    ] = "dpo",
    labels: Annotated[
        Literal["dawid_skene", "vote_share", "majority"], typer.Option(help="How the votes on a pair are added up.")
    ] = "dawid_skene",
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
    with open_store(find_project(project)) as store:
        counts = _everything(file, store) if form == "votes" else _rows(file, form, labels, store)
    if as_json:
        print(json.dumps({"file": str(file), "form": form, **counts}))
        return
    written = counts.pop("rows")
    print(f"Wrote {written:,} {'lines' if form == 'votes' else 'rows'} to {file}")
    for reason, count in counts.items():
        print(f"  {count:,} {'of them' if form == 'votes' else 'left out'}: {reason}")


def _rows(file: Path, form: str, labels: str, store: Store) -> Counter[str]:
    from accord.quality import pair_labels, response_labels

    who = list(store.annotators())
    found: list[PairLabel] | list[ResponseLabel]
    if form == "kto":
        found = response_labels(store.comparisons(), store.ratings(), labels, annotators=who)
    else:
        found = pair_labels(store.comparisons(), labels, annotators=who)
    if not found:
        wanted = "votes" if form == "kto" else "comparisons (thumbs alone make `--form kto`)"
        raise AccordError(f"the project has no {wanted}; read some with `accord import FILE`")
    return write_export(form, file, store.prompts(), store.responses(), found)


def _everything(file: Path, store: Store) -> Counter[str]:
    """All nouns, each before its use: what corrects a vote stands after what is corrected."""

    def votes(corrections: bool) -> Iterator[Vote]:
        every: Iterator[Vote] = chain(store.comparisons(history=True), store.ratings(history=True))
        return (vote for vote in every if (vote.supersedes is not None) is corrections)

    nouns = chain(store.annotators(), store.prompts(), store.responses(), votes(False), votes(True))
    counts = write_votes(file, nouns)
    return Counter(rows=counts.total(), **counts)
