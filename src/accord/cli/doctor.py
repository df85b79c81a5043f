"""`accord doctor`: a look at the data before training on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from accord.exchange.findings import Diagnosis, Finding
    from accord.feedback import Noun

#: severity -> mark and colour
MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "note": ("·", "cyan")}
EXTREMES = {"p50": "median", "p90": "90 %", "p99": "99 %", "max": "longest"}


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files to look at; none for the project's votes.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Whose tokens to count: smollm2, a folder, a name on the hub.", show_default="the project's"),
    ] = None,
    no_model: Annotated[bool, typer.Option("--no-model", help="Count no tokens, load no tokenizer.")] = False,
    max_length: Annotated[int, typer.Option(help="Tokens of prompt and completion that training keeps.", min=1)] = 1024,
    format: Annotated[str | None, typer.Option(help="The files' format, where it should not be guessed.")] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Also say what 500 more votes would buy: a learning curve of the labels.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at the data before training on it. Exit status 1 if there is something that training would trip over."""
    from accord.cli import doctor_curve
    from accord.cli.project import find_project
    from accord.exchange.doctor import examine

    console = Console(highlight=False)
    project = None if files else find_project()
    nouns: Iterable[Noun] = _from_files(files, format) if files else _from_store(project)
    if curve:
        nouns = list(nouns)
    name = model or (project.model if project else "smollm2")
    tokenizer = None
    if not no_model:
        from accord.policy.load import load_tokenizer

        tokenizer = load_tokenizer(name)
    with Progress(
        TextColumn("Counting tokens"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None, visible=False)
        diagnosis = examine(
            nouns,
            tokenizer,
            max_length,
            progress=lambda done, n: bar.update(task, completed=done, total=n, visible=True),
        )
    learnt = doctor_curve.measured(nouns) if curve else None
    if as_json:
        told = diagnosis.to_json() | ({"curve": doctor_curve.to_json(learnt)} if learnt else {})
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        title = f"project {project.name}" if project else ", ".join(path.name for path in files or ())
        show(console, title, name, diagnosis)
        if learnt:
            doctor_curve.show(console, learnt)
    if diagnosis.errors:
        raise typer.Exit(1)


def _from_files(files: list[Path], format: str | None) -> Iterator[Noun]:
    from accord.exchange import read

    return read(files, format)


def _from_store(project: Any) -> Iterator[Noun]:
    from accord.cli.project import open_store

    with open_store(project) as store:
        yield from chain(store.prompts(), store.responses(), store.annotators(), store.comparisons(), store.ratings())


def show(console: Console, title: str, model: str, diagnosis: Diagnosis) -> None:
    """The facts as a table, then what was found, the worst first."""
    facts = diagnosis.facts
    console.print(f"\n[bold]{escape(title)}[/]\n")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    for label, text in overview(facts):
        table.add_row(label, text)
    console.print(Padding(table, (0, 0, 1, 2), expand=False))
    if "lengths" in facts:
        console.print(Padding(lengths_table(facts["lengths"], model), (0, 0, 1, 2), expand=False))
    for finding in diagnosis.problems:
        console.print(_told(finding))
    console.print(verdict(diagnosis))
    if any(finding.where for finding in diagnosis.problems):
        console.print("[dim]accord doctor --json names some of the prompts and responses concerned.[/]")


def overview(facts: Any) -> Iterator[tuple[str, str]]:
    """What there is, as label and text; nothing about what there is none of."""
    splits = facts["splits"]
    yield "prompts", f"{facts['prompts']:,}" + _in_brackets(splits if set(splits) != {"unmarked"} else {})
    yield "responses", f"{facts['responses']:,}"
    if facts["demonstrations"]:
        yield "demonstrations", f"{facts['demonstrations']:,}"
    if facts["comparisons"]:
        yield "comparisons", f"{facts['comparisons']:,} votes on {facts['pairs']:,} pairs"
        choices = {name.replace("_", " "): n for name, n in facts["choices"].items() if n}
        if len(choices) > 1:
            yield "", " · ".join(f"{name} {100 * n / facts['comparisons']:.0f} %" for name, n in choices.items())
    if facts["pairs_decided"] >= 30 and facts["chosen_longer"] is not None:  # None: all are equally long
        yield "length", f"the longer response was preferred in {100 * facts['chosen_longer']:.0f} % of the pairs"
    if any(facts["thumbs"].values()):
        yield "thumbs", " · ".join(f"{n:,} {name}" for name, n in facts["thumbs"].items())
    for kind, who in facts["annotators"].items():
        if kind == "dataset":
            yield "annotators", "not named: the file itself says what was preferred"
        else:
            called = "people" if kind == "human" else "simulated"
            each = f"{who['median']:g} votes each in the median, {who['most']:,} at most"
            yield "annotators", f"{who['annotators']:,} {called}, {each}"


def lengths_table(lengths: Any, model: str) -> Table:
    """Percentiles of the tokens of prompts, completions and both."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"tokens ({escape(model)})", style="dim")
    for name in EXTREMES.values():
        table.add_column(name, justify="right")
    for part in ("prompt", "completion", "both"):
        table.add_row(part, *(f"{lengths[part][key]:,}" for key in EXTREMES))
    return table


def verdict(diagnosis: Diagnosis) -> str:
    """The last line: how many findings, and what comes next."""
    count = {severity: sum(f.severity == severity for f in diagnosis.problems) for severity in MARKS}
    told = ", ".join(f"{n} {name}{'s' if n != 1 else ''}" for name, n in count.items() if n) or "nothing to remark"
    if count["error"]:
        return f"[bold red]Not ready to train:[/] {told}."
    return f"[bold green]Ready to train:[/] {told}."


def _told(finding: Finding) -> Padding:
    mark, style = MARKS[finding.severity]
    table = Table.grid(padding=(0, 1))
    table.add_row(f"[{style}]{mark}[/]", escape(finding.what))
    table.add_row("", f"[dim]{escape(finding.remedy)}[/]")
    return Padding(table, (0, 0, 1, 2), expand=False)


def _in_brackets(parts: Any) -> str:
    told = ", ".join(f"{n:,} {name}" for name, n in parts.items() if n)
    return f" ({told})" if told else ""
