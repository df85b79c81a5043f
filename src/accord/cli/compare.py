"""`accord compare`: the same prompts answered by several models, side by side."""

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from accord.cli.ask_models import Questions, ask_all
from accord.cli.bars import bars
from accord.cli.contenders import contenders
from accord.cli.held_out import Question, held_out_rows, prompt_id, questions
from accord.cli.judging import NAMED, judging
from accord.cli.kept_answers import KeptAnswers
from accord.cli.standings import standings
from accord.cli.terminal import show_remarks, show_table
from accord.cli.which_run import which_run
from accord.exchange.snapshot import read_snapshot
from accord.feedback import AccordError
from accord.report.comparison import read_comparison, write_comparison
from accord.report.comparison.figures import tables
from accord.report.comparison.remarks import remarks
from accord.runs import Run
from accord.runs.files import encode, replace


def command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs: names in the project, or folders.")],
    prompts: Annotated[
        Path | None,
        typer.Option(help="Prompts to answer: lines of .txt, or a data file.", show_default="what the runs held out"),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Compare with this model.", show_default="the one that the runs began with")
    ] = None,
    judge: Annotated[str | None, typer.Option(help=f"Who compares answers: {', '.join(NAMED)}.")] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="A language model as the judge: an OpenAI-compatible address, with /v1.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The name that the address knows it by.")] = None,
    reward_model: Annotated[
        str | None,
        typer.Option(help="A reward run, or the folder or hub name of a reward model."),
    ] = None,
    max_prompts: Annotated[int, typer.Option(help="Answer at most so many.", min=1)] = 64,
    samples: Annotated[int, typer.Option(help="Answers to each prompt.", min=1)] = 1,
    max_new_tokens: Annotated[int, typer.Option(help="Cut answers after so many tokens.", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="Of sampling. KL is estimated at 1 only.", min=0)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of sampling and of the bootstrap.")] = 0,
    out: Annotated[Path, typer.Option(help="The page; its figures and the answers go beside it.")] = Path(
        "compare.html"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Let several models answer the same prompts, with the same seeds, and put the answers side by side.

    The base model takes part. Answers are kept: a comparison that was interrupted goes on, and with one more RUN only
    that one is asked.
    """
    if out.suffix == ".json":
        raise AccordError(f"--out {out}: name the page, such as {out.with_suffix('.html')}; its figures go beside it")
    opened = [Run.open(which_run(run, project)) for run in runs]
    judged = judging(judge, judge_url, judge_model, reward_model, project)
    field = contenders(opened, base, project)
    trained_on = {model.name: trained_prompts(run) for model, run in zip(field[1:], opened, strict=True)}
    chosen = to_ask(opened, prompts, set().union(*trained_on.values()))[:max_prompts]
    decoding = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    asked = Questions(chosen, samples, decoding)
    out.parent.mkdir(parents=True, exist_ok=True)
    kept = KeptAnswers(out.with_suffix(".answers.jsonl"))
    with bars(Console(stderr=True, highlight=False)) as track:
        answers = ask_all(field, asked, kept, track)
    ids = {prompt.id for prompt in chosen}
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["accord", *sys.argv[1:]]),
        "judge": {"name": judged.name, "kind": judged.kind} if judged.kind else None,
        "reward_model": reward_model,
        "prompts_from": str(prompts) if prompts else None,
        "n_prompts": len(chosen),
        "samples": samples,
        "decoding": decoding,
        "seen_in_training": {name: len(ids & seen) for name, seen in trained_on.items() if ids & seen},
        **standings(field, asked, answers, judged, seed),
    }
    figures = out.with_suffix(".json")
    replace(figures, encode(record, indent=1) + b"\n")
    write_comparison(figures, out)
    if as_json:
        print(encode({name: value for name, value in record.items() if name != "prompts"}).decode())
    else:
        tell(figures, out)


def trained_prompts(run: Run) -> set[str]:
    """The ids of the prompts that the run was trained on."""
    if not run.data.is_dir():
        return set()
    return {prompt_id(row["prompt"]) for row in read_snapshot(run.data).rows("train") if "prompt" in row}


def to_ask(runs: Sequence[Run], file: Path | None, seen: set[str]) -> list[Question]:
    """The prompts of `file`; or those that a run held out and no run was trained on.

    Raises AccordError where there are none.
    """
    rows = [] if file else list(chain.from_iterable(held_out_rows(run, None) for run in runs))
    found = questions(runs[0], file, rows)
    if file and not found:
        raise AccordError(f"{file}: holds no prompts (write one a line)")
    chosen = found if file else [question for question in found if question.id not in seen]
    if not chosen:
        raise AccordError("no prompt is held out by a run and unknown to the others; give some: --prompts FILE")
    return chosen


def tell(figures: Path, page: Path) -> None:
    """The tables, what they mean, and where the page is."""
    comparison, console = read_comparison(figures), Console(highlight=False)
    for table in tables(comparison):
        show_table(console, table, table.title or "Against the base")
    show_remarks(console, remarks(comparison))
    console.print(f"\nReport: {page}", soft_wrap=True)
