"""`accord evaluate`: the trained model against the one that it was, on what training did not see; or a reward model
against people's votes."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from accord.cli.bars import bars
from accord.cli.held_out import Asked, held_out_rows, questions
from accord.cli.judging import NAMED, Judging, judging
from accord.cli.terminal import show_remarks, show_table
from accord.cli.which_run import reward_run, which_run
from accord.feedback import AccordError
from accord.report import write_report
from accord.report.explain import explain
from accord.report.facts import read_facts
from accord.report.held_out import tables
from accord.report.page import cards
from accord.runs import Run


def command(
    run: Annotated[str, typer.Argument(help="The run: its name in the project, or its folder.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Held-out files, or a snapshot.", show_default="the run's test split")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help=f"Who compares answers before and after: {', '.join(NAMED)}.")
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="A language model as the judge: an OpenAI-compatible address, with /v1.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The name that the address knows it by.")] = None,
    reward_model: Annotated[
        str | None, typer.Option(help="A reward model that scores answers, and judges if nobody else does.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts to answer: lines of .txt, or a data file.", show_default="the data's")
    ] = None,
    max_prompts: Annotated[int, typer.Option(help="Answer at most so many; 0 answers none.", min=0)] = 64,
    samples: Annotated[int, typer.Option(help="Answers to each prompt.", min=1)] = 1,
    max_new_tokens: Annotated[int, typer.Option(help="Cut answers after so many tokens.", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="Of sampling. KL is estimated at 1 only.", min=0)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of sampling and of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Measure a trained model against its base, on preferences and prompts that training did not see.

    A reward model is measured on preferences alone: accuracy, certainty, length bias, its heads' disagreement.
    """
    judged = judging(judge, judge_url, judge_model, reward_model, project)
    opened = Run.open(which_run(run, project))
    rewards = opened.info.get("method") == "reward"
    if rewards and (judged.kind or prompts):
        raise AccordError("--judge, --prompts: a reward model writes no answers to be judged; leave them out")
    rows = held_out_rows(opened, data)
    asked = Asked(
        rows=rows,
        prompts=[] if rewards else questions(opened, prompts, rows)[:max_prompts],
        judge=judged.judge,
        judge_name=judged.name,
        scorers=judged.scorers,
        samples=samples,
        decoding={"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed},
        seed=seed,
    )
    if not asked.scored and not asked.prompts:
        raise AccordError(
            f"{opened.name}: nothing is held out; train with --test_fraction 0.1, or give --data FILE or --prompts FILE"
        )
    # These bring torch: what can be refused is refused before.
    from accord.cli.measure import evaluate, record
    from accord.cli.measure_rewards import evaluate_rewards

    console = Console(stderr=True, highlight=False)
    with bars(console) as track:
        measured = (evaluate_rewards if rewards else evaluate)(opened, asked, track)
    decoding = {} if rewards else asked.decoding
    record(opened, measured, settings={**decoding, "data": data or "the run's test split"})
    for note in [*measured.notes, *pleased_itself(opened, judged, project)]:
        console.print(f"  {note}")
    report = write_report(opened.path)
    if as_json:
        print(json.dumps(opened.summary(), ensure_ascii=False))
    else:
        tell(opened, report)


def pleased_itself(run: Run, judged: Judging, project: Path | None) -> list[str]:
    """What to know where the judge is what training was rewarded by."""
    trained_on = [str(Path(name).resolve()) for name in run.config().get("reward_model_name_or_path") or []]
    if judged.kind != "reward_model" or not trained_on:
        return []
    known = reward_run(judged.name, project)
    if str(known.path if known else Path(judged.name).resolve()) not in trained_on:
        return []
    return [
        f"{judged.name} judges, and training was rewarded by it: a win says that the model learnt to please it, not "
        "that people would prefer its answers (--judge, --judge-url: another judge)"
    ]


def tell(run: Run, report: Path) -> None:
    """The figures as a table, what they mean, and where the report is."""
    facts, console = read_facts(run.path), Console(highlight=False)
    headline = Table(box=None, show_header=False, pad_edge=False)
    for card in cards(facts):
        headline.add_row(card.label, f"[bold]{card.value}[/bold]", card.interval, f"[dim]{escape(card.note)}[/dim]")
    console.print(headline)
    console.print()
    for table in tables(facts):
        show_table(console, table, table.title or "Held-out preferences")
    show_remarks(console, explain(facts))
    console.print(f"\nReport: {report}", soft_wrap=True)
