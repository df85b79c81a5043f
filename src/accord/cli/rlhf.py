"""`accord rlhf`: votes → reward model → PPO, RLOO or GRPO → measured, told step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from accord.cli.judging import judging
from accord.cli.rlhf_settings import METHODS, sections
from accord.cli.rlhf_source import of_files, of_project
from accord.feedback import AccordError


def command(
    ctx: typer.Context,
    project: Annotated[
        Path | None, typer.Option(help="The project with the votes.", show_default="found upwards")
    ] = None,
    data: Annotated[list[str] | None, typer.Option(help="Files of preferences, in the place of a project.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that both trainings begin with.", show_default="the project's")
    ] = None,
    method: Annotated[str, typer.Option(help=f"What learns from the rewards: {', '.join(METHODS)}.")] = "ppo",
    name: Annotated[str, typer.Option(help="The runs are called NAME-reward and NAME-ppo.")] = "rlhf",
    judge: Annotated[
        str | None,
        typer.Option(help="Who compares the answers.", show_default="a simulated panel's taste, or the reward model"),
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option(help="A language model as the judge: an OpenAI-compatible address, with /v1.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The name that the address knows it by.")] = None,
    max_prompts: Annotated[int, typer.Option(help="Answer at most so many held-out prompts.", min=1)] = 64,
    samples: Annotated[int, typer.Option(help="Answers to each of them, before and after.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of training, sampling and the bootstrap.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Train both models anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """From people's votes to a policy trained by reinforcement learning, in one command.

    It trains a reward model on the votes, says how often that is right of pairs it was not shown, trains the policy on
    its rewards, and measures the policy on prompts that it was not trained on. Started again after a stop, it goes on
    where it was.

    Settings of the two trainings: --reward.KEY value, --ppo.KEY value, with the keys of accord reward and accord ppo;
    or files of them: --reward.config FILE, --ppo.config FILE.

    accord rlhf --project demo

    accord rlhf --data votes.jsonl --model MODEL --method grpo --grpo.num_generations 8

    accord rlhf --project demo --ppo.kl_coef 0.1 --ppo.kl_budget 20 --name careful
    """
    if method not in METHODS:
        raise AccordError(f"--method {method}: use one of {', '.join(METHODS)}")
    told = sections(ctx.args, method)
    judging(judge, judge_url, judge_model, None, None)
    source = of_files(data, model) if data else of_project(project, model)
    # These bring torch: what can be refused is refused before.
    from accord.cli.demo_story import Story
    from accord.cli.rlhf_steps import CHAPTERS, Loop

    figures = Loop(
        Story(Console(stderr=as_json, highlight=False), CHAPTERS),
        source,
        method,
        name,
        told,
        judge or (None if judge_url else source.taste or None),
        judge_url,
        judge_model,
        max_prompts,
        samples,
        seed,
        overwrite,
    ).play()
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))
