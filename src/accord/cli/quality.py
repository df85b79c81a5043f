"""`accord quality`: how far people agree, whose votes say little, and what that makes of the labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from accord.feedback import AccordError, beginning

if TYPE_CHECKING:
    from accord.quality.agreement_by import Part
    from accord.quality.bad_hands import Finding
    from accord.quality.groups import Groups, Split
    from accord.quality.survey import Survey, Voter

INDENT = (0, 0, 1, 2)
#: Letters of a prompt that are shown.
WIDTH = 60


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of votes; none for the project's votes.", show_default=False)
    ] = None,
    format: Annotated[str | None, typer.Option(help="The files' format, where it should not be guessed.")] = None,
    top: Annotated[int, typer.Option(help="Annotators, prompts and findings to show.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Of the intervals' resamples.")] = 0,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write it as a page into this file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with everything in it.")] = False,
) -> None:
    """How far people agree, whose votes say little, and what that makes of the labels. Nobody is removed.

    Examples:

      accord quality

      accord quality --json > quality.json

      accord quality votes.csv pairs.jsonl --top 20

      accord quality --html quality.html
    """
    from accord.cli.options import DataOptions
    from accord.cli.project import find_project
    from accord.cli.reading import Votes, nouns
    from accord.cli.whose_votes import controls
    from accord.quality.ballots import of_people
    from accord.quality.survey import survey
    from accord.report.document import write_page
    from accord.report.quality import render

    if html and not html.absolute().parent.is_dir():
        raise AccordError(f"{html}: there is no folder {html.parent}: make it first")
    console = Console(highlight=False)
    data = DataOptions(dataset_name=[str(path) for path in files or ()] or None, dataset_format=format)
    with Console(stderr=True).status("Reading votes"):
        said = Votes.of(nouns(data))
    title = ", ".join(path.name for path in files) if files else f"project {find_project().name}"
    if not said.comparisons:
        raise AccordError(f"{title}: nobody has compared anything yet (accord serve to vote, accord import for votes)")
    people, lengths = said.annotators.values(), {id: len(text) for id, text in said.texts.items()}
    if not of_people(said.comparisons, people):
        raise AccordError(f"{title}: only what files state, and no votes of people (see accord doctor)")
    with Console(stderr=True).status(f"Looking through {len(said.comparisons):,} votes"):
        found = survey(said.comparisons, people, characters=lengths, controls=controls(data), judged=as_json, seed=seed)
    if html:
        write_page(html, render(title, found.brief(said.texts)))
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    elif html:
        console.print(f"Wrote {html}", soft_wrap=True)
    else:
        show(console, title, found, top, {id: beginning(text, WIDTH) for id, text in said.texts.items()})


def _days(between: str) -> str:
    """From "first/last" in ISO 8601: the days, or the minutes where that is one day."""
    first, last = between.split("/")
    return (
        f"{first[:10]} to {last[:10]}"
        if first[:10] != last[:10]
        else f"{first[:16].replace('T', ' ')} to {last[11:16]}"
    )


def show(console: Console, title: str, found: Survey, top: int, texts: Mapping[str, str]) -> None:
    """The figures, then what speaks against annotators, then annotators and prompts."""
    console.print(f"\n[bold]{escape(title)}[/]\n")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    for label, text in figures(found):
        table.add_row(label, text)
    console.print(Padding(table, INDENT, expand=False))
    if found.groups:
        console.print("[bold]One taste or two[/]\n")
        console.print(Padding("\n".join(tastes(found.groups)), INDENT, expand=False))
        if found.groups.splits:
            console.print(Padding(splits_table(found.groups.splits[:top], texts), INDENT, expand=False))
    console.print("[bold]Labels[/]\n")
    console.print(Padding(labels_table(found), INDENT, expand=False))
    console.print("[bold]What speaks against annotators[/]\n")
    console.print(Padding(findings_table(found.findings, top), INDENT, expand=False))
    console.print("[bold]Annotators[/]\n")
    console.print(Padding(voters_table(found.voters[:top]), INDENT, expand=False))
    parts = sorted((part for part in found.by_prompt if part.alpha is not None), key=lambda part: part.alpha or 0.0)
    if len(parts) > 1:
        console.print("[bold]Prompts on which people agree least[/]\n")
        console.print(Padding(parts_table(parts[:top], lambda id: texts.get(id, id)), INDENT, expand=False))
    if found.by_tag:
        console.print("[bold]Tags[/]\n")
        console.print(Padding(parts_table(found.by_tag), INDENT, expand=False))
    if len({_days(part.name) for part in found.by_time}) > 1:  # else all came at once, as from a file without times
        console.print("[bold]In time[/]\n")
        console.print(Padding(parts_table(found.by_time, _days), INDENT, expand=False))
    if max(len(found.voters), len(parts), len(found.findings)) > top:
        console.print(f"[dim]The first {top} of each; accord quality --json has them all.[/]")


def figures(found: Survey) -> Iterator[tuple[str, str]]:
    """Counts and agreement, as label and text."""
    yield "votes", f"{found.votes:,} on {found.pairs:,} pairs"
    n = found.votes
    yield "", " · ".join(f"{name.replace('_', ' ')} {100 * k / n:.0f} %" for name, k in found.choices.items())
    simulated = f", {found.simulated:,} of them simulated" if found.simulated else ""
    yield "annotators", f"{found.annotators:,}{simulated}"
    yield "α", f"{_with_interval(found.agreement)}  Krippendorff's: 1 all agree, 0 chance"
    if found.agreement.observed is not None:
        yield "same answer", f"{100 * found.agreement.observed:.0f} of 100 pairs of votes on one item"
    if found.strengths:
        yield "α of strengths", _with_interval(found.strengths)
    yield "AC1", f"{_with_interval(found.ac1)}  Gwet's: holds where one answer dominates"


def _with_interval(measured) -> str:
    value = measured.alpha if hasattr(measured, "alpha") else measured.value
    if value is None:
        return f"not known: {measured.undefined}"
    if measured.low is None:
        return f"{value:.2f}"
    return f"{value:.2f} ({measured.low:.2f} to {measured.high:.2f})"


def tastes(groups: Groups) -> Iterator[str]:
    """Whether people are of one taste or two, in sentences."""
    gain = f"{groups.gain:+.4f} ± {groups.error:.4f} nats a vote, on annotators not yet seen"
    if not groups.groups:
        yield f"One taste explains the votes as well as two (two: {gain})."
        return
    yield f"Two tastes explain the votes better than one ({gain})."
    for number, group in enumerate(groups.groups, 1):
        longer = "" if group.longer is None else f"; prefers the longer answer in {100 * group.longer:.0f} of 100 pairs"
        yield (
            f"Group {number}: {group.annotators:,} annotators ({group.sure:,} of them surely), "
            f"{group.votes:,} votes{longer}."
        )
    yield f"They would choose alike in {100 * (groups.same or 0):.0f} of 100 pairs. To train for one: --group 1, or 2."


def splits_table(splits: Iterable[Split], texts: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    for name in ("prompt", "group 1 would rather have", "group 2"):
        table.add_column(name, overflow="fold")
    for one in splits:
        first, second = (texts.get(id, id) for id in (one.first_choice, one.second_choice))
        table.add_row(
            escape(texts.get(one.prompt_id, one.prompt_id)),
            f"{escape(first)} [dim]{100 * one.p_first:.0f} %[/]",
            f"{escape(second)} [dim]{100 - 100 * one.p_second:.0f} %[/]",
        )
    return table


def labels_table(found: Survey) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name, justify in (("--labels", "left"), ("pairs", "right"), ("close to a coin toss", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for each in found.labels:
        share = f"({100 * each.low:.0f} to {100 * each.high:.0f} %)"
        table.add_row(each.method, f"{each.pairs:,}", f"{100 * each.tosses / max(each.pairs, 1):.0f} %", share)
    return table


def findings_table(findings: Iterable[Finding], top: int) -> Table | str:
    findings = list(findings)
    if not findings:
        return "Nothing was found."
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("annotator", "what", "evidence"):
        table.add_column(name, overflow="fold")
    table.add_column("weight", justify="right")
    for one in findings[:top]:
        table.add_row(escape(one.annotator_id), one.kind.value, escape(one.evidence), _weight(one))
    return table


def _weight(finding: Finding) -> str:
    return "" if finding.kind == "says little" else f"{finding.weight:.2f}"  # methods of labels see to it


def voters_table(voters: Iterable[Voter]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("annotator", overflow="fold")
    voters = list(voters)
    grouped = any(one.first_group is not None for one in voters)
    for name in ("votes", "ties", "left", "knows", "α without", "weight", *(["group"] if grouped else [])):
        table.add_column(name, justify="right")
    for one in voters:
        group = [] if one.first_group is None else [_membership(one.first_group)]
        table.add_row(
            escape(one.annotator_id),
            f"{one.votes:,}",
            f"{100 * one.ties:.0f} %",
            "" if one.left is None else f"{100 * one.left:.0f} %",
            f"{100 * one.knowledge:.0f} ± {100 * one.knowledge_error:.0f} %",
            "" if one.without_them is None else f"{one.without_them:+.3f}",
            f"{one.weight:.2f}",
            *group,
        )
    return table


def _membership(first: float) -> str:
    number, p = (1, first) if first >= 0.5 else (2, 1 - first)
    return f"{number}, {100 * p:.0f} %"


def parts_table(parts: Iterable[Part], called: Callable[[str], str] = str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    for name in ("votes", "α", ""):
        table.add_column(name, justify="right")
    for part in parts:
        interval = "" if part.low is None else f"({part.low:.2f} to {part.high:.2f})"
        alpha = "" if part.alpha is None else f"{part.alpha:.2f}"
        table.add_row(escape(called(part.name)), f"{part.votes:,}", alpha, interval)
    return table
