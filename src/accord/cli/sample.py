"""`accord sample`: answers to prompts, into a file or into the project, from a model here or on a server."""

import json
from contextlib import ExitStack
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from accord.cli.chat import load, which_model
from accord.cli.project import find_project, open_store
from accord.cli.sample_places import InProject, JSONLines, Origin, Place
from accord.cli.sample_prompts import wanted_prompts
from accord.feedback import AccordError
from accord.policy.load import load_tokenizer

if TYPE_CHECKING:
    from accord.rollout import Sampler
    from accord.rollout.server import ServerSampler

EXAMPLES = (
    "[bold]accord sample prompts.txt --out answers.jsonl --n 4[/bold]  into a file",
    "[bold]accord sample --store --model runs/first --n 4[/bold]  the project's prompts, to be voted on",
    "[bold]accord sample prompts.txt --out answers.jsonl --server http://localhost:8000/v1 --model NAME[/bold]",
)


def command(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Prompts: a .txt file with one a line, or any file that accord import reads.",
            show_default="the project's prompts",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A run, a model's folder or hub name; with --server, the server's name for it.",
            show_default="the project's model",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Append the answers to this .jsonl file.")] = None,
    store: Annotated[bool, typer.Option("--store", help="Keep the answers in the project, to be voted on.")] = False,
    n: Annotated[int, typer.Option("--n", help="Answers to each prompt.", min=1)] = 1,
    split: Annotated[
        Literal["train", "test"] | None, typer.Option(help="Only the prompts that training would put there.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Cut answers after so many tokens.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.", min=0)] = 1.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens up to this probability.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from the so many likeliest tokens; 0: from all.", min=0)] = 0,
    min_p: Annotated[float, typer.Option(help="Draw from tokens so likely, as a share of the likeliest.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as saved.")] = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this OpenAI-compatible server (vLLM …): up to and with /v1.")
    ] = None,
    key: Annotated[str, typer.Option(metavar="VARIABLE", help="Where the server's key is.")] = "OPENAI_API_KEY",
    workers: Annotated[int, typer.Option(help="Questions to the server in flight.", min=1)] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the server's answer.", min=0)] = 600.0,
    extra_body: Annotated[
        str | None, typer.Option(metavar="JSON", help="Further fields of the question to the server; null drops one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Sample a model's answers to prompts, into a file, the project, or both.

    Started again, it goes on: a prompt whose answers are all there is not asked again, and n can be raised. In this
    process a sample depends on the seed, its prompt and its number alone. A server has weights and randomness of its
    own, and tells log-probs in its own way or not at all: its answers are for people to judge, not to train a policy
    gradient on.
    """
    if out is None and not store:
        raise AccordError("where shall the answers go? --out FILE.jsonl, --store (the project), or both")
    if server and not model:
        raise AccordError("--server: say which model to ask there: --model NAME, as the server calls it")
    settings = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "seed": seed,
    }
    source = (model or "") if server else which_model(model, project)
    fields = _fields(extra_body)

    def chats() -> bool:
        return bool(server or load_tokenizer(source, trust_remote_code=trust_remote_code).chat_template)

    def make() -> "Sampler | ServerSampler":
        if server is None:
            return load(source, False, {"dtype": dtype, "trust_remote_code": trust_remote_code})[0].sampler
        from accord.rollout.server import ServerSampler

        return ServerSampler(server, source, key, timeout, workers=workers, settings=fields)

    prompts = wanted_prompts(file, project, split, chats)
    origin = Origin(_called(source), settings | ({"server": server, **fields} if server else {}))
    console = Console(stderr=True, highlight=False)
    with ExitStack() as stack:
        places: list[Place] = []
        if out:
            places.append(lines := JSONLines(out, origin))
            if lines.others:
                console.print(f"{out}: {lines.others:,} answers by another model or with other settings stay")
        if store:
            places.append(InProject(stack.enter_context(open_store(find_project(project))), origin, prompts))
        from accord.cli.sampling import ask, unanswered  # brings torch: what can be refused is refused before

        left = unanswered(prompts, places, n)
        figures = ask(make, left, n, settings, places, console)
    told = {
        "model": origin.model,
        "server": server,
        "prompts": len(prompts),
        "asked": len(left),
        **figures,
        "out": str(out) if out else None,
        "stored": store,
    }
    print(json.dumps(told)) if as_json else tell(told)


command.__doc__ = "\n\n".join([cleandoc(command.__doc__ or ""), "Examples:", *EXAMPLES])


def _fields(extra_body: str | None) -> dict[str, Any]:
    try:
        fields = json.loads(extra_body or "{}")
    except ValueError as error:
        raise AccordError(f"--extra-body: no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise AccordError('--extra-body: no JSON object (write it as {"name": value})')
    return fields


def _called(source: str) -> str:
    """What answers say about who gave them: a run's name, wherever it is asked for; any other model as it is named."""
    return Path(source).resolve().name if (Path(source) / "run.json").is_file() else source


def tell(told: dict[str, Any]) -> None:
    """What was sampled, where it is, and what a server did not give."""
    where = " and ".join(filter(None, (told["out"], "the project" if told["stored"] else None)))
    print(f"{_count(told['answers'], 'answer')} by {told['model']} to {_count(told['asked'], 'prompt')} → {where}")
    if there := told["prompts"] - told["asked"]:
        print(f"  {_count(there, 'prompt')} had all answers already")
    if told["answers"]:
        length = f"; {told['mean_tokens']:.0f} tokens on average" if told["mean_tokens"] else ""
        print(f"  {told['finished'] / told['answers']:.0%} ended by themselves{length}")
    if told["server"]:
        print("  by a server's own weights and randomness: to be judged, not to train a policy gradient on")
    for loss in told["losses"]:
        print(f"  {loss}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
