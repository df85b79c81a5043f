"""`accord demo`: the whole loop on a small real model, told step by step."""

import json
import shutil
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from accord.cli.demo_story import Story, clock, typical
from accord.feedback import AccordError, AnnotatorKind, Message, Noun, Response, Vote, from_json, text_of, to_json

CHAPTERS = 6
#: Where it all goes, below --dir: the project with its votes, and in it the run with the trained model.
PROJECT, RUN, HELD_OUT = Path("demo"), Path("demo/runs/demo"), "held-out.jsonl"
#: How SmolLM2 answers, before and after: a little cooler than it was trained, as in a chat.
DECODING: dict[str, Any] = {"max_new_tokens": 128, "temperature": 0.7}
ANSWERS, PAIRS = 4, 2  # answers to each prompt of the training, and pairs of them that the panel sees
SAMPLES = 2  # answers to each held-out prompt, before and after
TRAINING = {
    "dtype": "bfloat16",
    "use_peft": "true",
    "learning_rate": "1e-4",
    "num_train_epochs": "2",
    "per_device_train_batch_size": "8",
    "token_budget": "1024",  # half the memory of the default, and no slower here
    # The shortest prompt (35 tokens) and a whole answer. An answer that was cut off at max_new_tokens loses the end of
    # text here that it never had: else training would learn that long answers end in the middle of a sentence.
    "max_length": str(35 + DECODING["max_new_tokens"]),
    "logging_steps": "4",
    "save_strategy": "no",
}
#: What summary.json is asked for first.
HEADLINES = ("win_rate", "win_rate_ci", "seconds", "n_votes", "n_pairs")


def command(
    prompts: Annotated[
        int, typer.Option(help="Use the first so many prompts: quicker, and less certain.", min=9)
    ] = 132,
    seed: Annotated[int, typer.Option(help="Of sampling, voting and training.")] = 0,
    directory: Annotated[Path, typer.Option("--dir", help="Makes demo/ in this folder.", show_default="here")] = Path(
        "."
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """The whole loop on a small real model: answers, votes, training, measuring, report. A few minutes on two cores.

    The votes come from a simulated panel with a stated taste. Running it again starts over.
    """
    story = Story(Console(stderr=as_json, highlight=False), CHAPTERS)
    figures = play(story, directory / PROJECT, directory / RUN, prompts, seed)
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))


def play(story: Story, project: Path, folder: Path, limit: int, seed: int) -> dict[str, Any]:
    """All of it. Gives the figures that summary.json then begins with."""
    _clear(project, folder)
    story.say(
        "[bold]Accord's demo.[/] SmolLM2-135M, a small language model, learns a taste from votes. The voters are "
        "[bold]simulated[/]: programs that all have one stated taste, and follow it more or less reliably. Everything "
        f"else is as with people. On two cores it takes about four minutes. The votes go to {project}, the trained "
        f"model to {folder}; running the demo again starts over."
    )
    n_votes = _collect(story, project, limit, seed)
    _look(story, project)
    _train(story, project, folder, seed)
    _measure(story, project, folder, seed)
    return _report(story, project, folder, n_votes)


def _clear(project: Path, folder: Path) -> None:
    """Forget the last demo. Raises AccordError where that would throw away somebody's work."""
    from accord.cli.project import open_store, read
    from accord.runs import Run, list_runs

    if not project.exists():
        return
    if not (project / "accord.yaml").is_file():
        raise AccordError(f"{project}: is there already and not the demo's; choose another folder with --dir")
    with open_store(read(project)) as store:
        voters = {vote.annotator_id for vote in chain[Vote](store.comparisons(), store.ratings())}
        if any(one.kind is not AnnotatorKind.SIMULATED and one.id in voters for one in store.annotators()):
            raise AccordError(f"{project}: holds votes that are not the demo's; choose another folder with --dir")
    for run in list_runs(folder.parent):
        given = Run.open(run).info.get("given", {})
        if run.name != folder.name or (given and given.get("dataset_name") != [str(project)]):
            raise AccordError(f"{run}: is a run that is not the demo's; choose another folder with --dir")
    shutil.rmtree(project)


def _collect(story: Story, project: Path, limit: int, seed: int) -> int:
    """Prompts, answers and votes into the project's database. Gives the number of votes."""
    from accord.cli import init
    from accord.cli.demo_votes import IN_WORDS, TASTE, VOTES_A_PAIR, ask, demo_prompts
    from accord.cli.project import open_store, read
    from accord.evaluation.models import answer
    from accord.policy.load import load_policy
    from accord.quality import panel

    prompts = demo_prompts(limit)
    train = [prompt for prompt in prompts if prompt.split == "train"]
    held_out = [prompt for prompt in prompts if prompt.split == "test"]
    with story.chapter(
        "Answers", f"SmolLM2 answers {len(train)} prompts, {ANSWERS} times each. {len(held_out)} more are held out."
    ):
        model, tokenizer, name = load_policy("smollm2", dtype=TRAINING["dtype"])
        with story.bars() as track:
            progress = track("answering", len(train) * ANSWERS)
            asked = [prompt.content for prompt in train]
            drawn = answer(model, tokenizer, asked, n=ANSWERS, seed=seed, progress=progress, **DECODING)
        answers = [
            Response(
                train[each.prompt].id,
                (Message("assistant", each.text),),
                source=name,
                extra={"finished": each.finished},
            )
            for each in drawn
        ]
        words = sum(len(each.text.split()) for each in drawn) / len(drawn)
        story.say(f"{len(answers)} answers, {words:.0f} words each on average.", 5)

    voters = panel(TASTE, seed=seed)
    with story.chapter(
        "Votes",
        f"{len(voters)} simulated annotators prefer answers that are {IN_WORDS}. They see two answers side by side and "
        "vote; the first is careful, the others less and less so. The database keeps each vote: who, when, on which "
        "side.",
    ):
        with redirect_stdout(StringIO()):  # init's advice on what to do next: it is done here
            init.command(project, "accord.db", "smollm2")
        by_prompt = {prompt.id: [each for each in answers if each.prompt_id == prompt.id] for prompt in train}
        votes = [vote for prompt in train for vote in ask(voters, prompt, by_prompt[prompt.id], pairs=PAIRS, seed=seed)]
        with open_store(read(project)) as store:
            store.add([*prompts, *answers, *(voter.annotator for voter in voters), *votes])
        rows = [json.dumps({"prompt": to_json(prompt.content)}, ensure_ascii=False) for prompt in held_out]
        (project / HELD_OUT).write_text("\n".join(rows) + "\n", encoding="utf-8")
        story.say(f"{len(votes)} votes, {VOTES_A_PAIR} on each pair.", 5)
    return len(votes)


def _look(story: Story, project: Path) -> None:
    """The doctor's page."""
    from accord.cli.doctor import show
    from accord.cli.project import open_store, read
    from accord.exchange.doctor import examine
    from accord.policy.load import load_tokenizer

    with story.chapter(
        "Doctor", "Votes are looked at before anything is trained on them: `accord doctor` in the project."
    ):
        with open_store(read(project)) as store:
            stored = chain[Noun](store.prompts(), store.responses(), store.annotators(), store.comparisons())
            diagnosis = examine(stored, load_tokenizer("smollm2"))
        show(story.console, project.name, "smollm2", diagnosis)


def _train(story: Story, project: Path, folder: Path, seed: int) -> None:
    """`accord dpo`, as anybody could type it."""
    from accord.cli.dpo import SUMMARY
    from accord.cli.training import Method, train
    from accord.trainers import DPOConfig, DPOTrainer

    settings = {"dataset_name": str(project), **TRAINING, "seed": str(seed), "output_dir": str(folder)}
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    with story.chapter(
        "Training",
        "The votes on each pair become one soft label, in which reliable annotators count for more. DPO makes the "
        "preferred answer of a pair more likely and the other less, in a small LoRA adapter.",
    ):
        story.shell("accord", "dpo", *words)
        train(Method("dpo", SUMMARY, DPOConfig, DPOTrainer), [*words, "--overwrite_output_dir", "--report_html=false"])


def _measure(story: Story, project: Path, folder: Path, seed: int) -> None:
    """`accord evaluate`: the held-out prompts are answered before and after, and compared by the taste itself."""
    from accord.cli.demo_votes import IN_WORDS, TASTE
    from accord.cli.held_out import Asked, questions
    from accord.cli.judging import NAMED
    from accord.cli.measure import evaluate, record
    from accord.runs import Run

    run, file = Run.open(folder), project / HELD_OUT
    asked = Asked(
        rows=[],
        prompts=questions(run, file, []),
        judge=NAMED[TASTE],
        judge_name=TASTE,
        samples=SAMPLES,
        decoding={**DECODING, "seed": seed},
        seed=seed,
    )
    with story.chapter(
        "Measuring",
        f"The model before training and the model after it answer {len(asked.prompts)} prompts that training never "
        f"saw, {SAMPLES} times each. The panel's stated taste, without its errors, says which answer is better: "
        f"{IN_WORDS}.",
    ):
        settings = {"judge": TASTE, "prompts": file, "samples": SAMPLES, "temperature": DECODING["temperature"]}
        story.shell(
            "accord",
            "evaluate",
            str(folder),
            *(word for key, value in settings.items() for word in (f"--{key}", str(value))),
        )
        with story.bars() as track:
            measured = evaluate(run, asked, track)
        record(run, measured, settings={**asked.decoding, "data": str(file)})


def _report(story: Story, project: Path, folder: Path, n_votes: int) -> dict[str, Any]:
    """The report, what changed, and what to do next."""
    from accord.report import write_report
    from accord.runs import Run

    run = Run.open(folder)
    with story.chapter("Report", "Charts, answers before and after, and what happened in plain words: one HTML file."):
        n_pairs = run.info["data"]["counts"]["train"]
        run.update_summary({"n_votes": n_votes, "n_pairs": n_pairs, "seconds": story.seconds})
        report = write_report(folder)
    figures = run.summary()
    _end(story, figures, typical(run.samples()), project, folder)
    return {**{name: figures[name] for name in HEADLINES}, "run": str(folder), "report": str(report)}


def _end(story: Story, figures: Mapping[str, Any], shown: Mapping[str, Any], project: Path, folder: Path) -> None:
    low, high = figures["win_rate_ci"]
    before, after = figures["words_before"], figures["words_after"]
    story.say(
        "\n[bold]What changed.[/] On prompts that training never saw, the answers are now better by the panel's "
        f"taste in [bold green]{figures['win_rate']:.0%}[/] (interval {low:.0%} to {high:.0%}; a tie counts half). "
        f"They have {after:.0f} words on average, before it was {before:.0f}. One of them:\n"
    )
    story.before_and_after(text_of(from_json(shown["prompt"])), shown["before"], shown["after"])
    story.say("\n[bold]The report[/] (open it in a browser)")
    story.console.print(f"  {folder / 'report.html'}", soft_wrap=True)
    story.say("\n[bold]What to do next[/]")
    story.next_steps(
        {
            f"accord serve --project {project}": "in a browser: vote, watch runs, chat with two models at once",
            f"accord chat {folder} --compare": "talk to the model, before and after",
            f"accord export --project {project} pairs.jsonl": "the votes as TRL's DPOTrainer reads them",
            "accord init my-project": "then `accord import` your own votes there",
            "accord dpo --dataset_name FILE --model_name_or_path MODEL --use_peft": "your file, your model",
        }
    )
    story.say(f"\n[dim]{clock(story.seconds)} in all.[/]")
