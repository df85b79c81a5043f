"""`accord chat`: talk to a model, or to a run and the model that it was, in the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from accord.cli.fitting import fitted
from accord.cli.project import defaults, find_project
from accord.cli.which_run import which_run
from accord.feedback import AccordError, Message
from accord.runs import Run

if TYPE_CHECKING:
    from accord.policy.load import Policy
    from accord.rollout import Sampler

HELP = "/reset forgets the conversation, /quit ends it (so does Ctrl-D); Ctrl-C stops an answer"

said = Console(stderr=True, highlight=False)


def command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN_OR_MODEL]", help="A run, by name or folder, or any model.", show_default="the project's model"
        ),
    ] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Answer this, and end.")] = None,
    system: Annotated[str | None, typer.Option(help="The system message.", show_default="the model's own")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="The base model answers first, then the run.")] = False,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.", min=0)] = 0.7,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens up to this probability.")] = 0.95,
    max_new_tokens: Annotated[int, typer.Option(help="Cut answers after so many tokens.", min=1)] = 512,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as saved.")] = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Talk to a model in the terminal."""
    source = which_model(model, project)
    decoding = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
    with said.status(f"loading {source}") if said.is_terminal else nullcontext():
        voices = load(source, compare, {"dtype": dtype, "trust_remote_code": trust_remote_code})
    chat = Chat(voices, system, decoding, seed)
    if message is not None:
        chat.turn(message)
        return
    if sys.stdin.isatty():
        said.print(f"{source}. {HELP}.", style="dim")
    for line in lines():
        if line in {"/quit", "/exit"}:
            break
        if line == "/reset":
            chat.reset()
        elif line.startswith("/"):
            said.print(HELP, style="dim")
        else:
            chat.turn(line)


def which_model(wanted: str | None, project: Path | None) -> str:
    """A run's folder where `wanted` names one; otherwise itself, a model's name or folder."""
    if wanted is None:
        try:
            return find_project(project).model
        except AccordError:
            return defaults(Path())["model"]
    if Path(wanted).exists() or "/" in wanted:
        return wanted
    try:
        return str(which_run(wanted, project))
    except AccordError:
        return wanted


class Voice(NamedTuple):
    """One of those who answer. `ready` is entered for each answer."""

    name: str
    sampler: "Sampler"
    ready: Callable[[], AbstractContextManager[Any]] = nullcontext


def load(source: str, compare: bool, settings: dict[str, Any]) -> list[Voice]:
    """The model at `source`, after its base where the two are to be compared."""
    from accord.policy.load import load_policy
    from accord.rollout import Sampler

    def voice(name: str, policy: "Policy", ready: Any = nullcontext) -> Voice:
        return Voice(name, Sampler(on_gpu(policy.model), policy.tokenizer), ready)

    policy = load_policy(source, **settings)
    if not compare:
        return [voice("", policy)]
    if hasattr(policy.model, "disable_adapter"):
        return [voice("base", policy, policy.model.disable_adapter), voice("tuned", policy)]
    if not (Path(source) / "run.json").is_file():
        raise AccordError(f"{source}: --compare needs a run or an adapter, which know their base model")
    base = load_policy(str(Run.open(source).info["base_model"]), **settings)
    return [voice("base", base), voice("tuned", policy)]


def on_gpu(model: Any) -> Any:
    """`model`, moved to the GPU if there is one (quantised models are there already)."""
    import torch

    return model.cuda() if torch.cuda.is_available() and model.device.type == "cpu" else model


def lines() -> Iterator[str]:
    """What the user types, line by line, or what is piped in; until the end of the input."""
    asking = sys.stdin.isatty()
    if asking:
        with suppress(ImportError):
            import readline  # noqa: F401  (gives input() editing and a history)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            if line := input("\n> " if asking else "").strip():
                yield line


@dataclass
class Chat:
    """A conversation. With two voices both answer the same words, and it goes on from the last one's answer."""

    voices: list[Voice]
    system: str | None
    decoding: dict[str, Any]
    seed: int = 0

    def __post_init__(self) -> None:
        self.reset()
        if self.tokenizer.chat_template is None:
            said.print("no chat template: your text is continued as it is, each line for itself", style="dim")

    @property
    def tokenizer(self) -> Any:
        """Of the voice that counts."""
        return self.voices[-1].sampler.tokenizer

    def reset(self) -> None:
        """Back to the system message."""
        self.messages = [Message("system", self.system)] if self.system else []

    def turn(self, text: str) -> None:
        """One message and the answer to it, which is printed as it comes. Ctrl-C keeps what there is of it."""
        self.messages.append(Message("user", text))
        answer = ""
        for voice in self.voices:
            if voice.name:
                said.print(f"{voice.name}:", style="bold")
            answer = self._answer(voice)
        self.messages.append(Message("assistant", answer))
        self.seed += 1

    def _answer(self, voice: Voice) -> str:
        answer = ""
        prompt = self._prompt(voice.sampler)
        try:
            with voice.ready():
                for piece in voice.sampler.stream(prompt, seed=self.seed, **self.decoding):
                    answer += piece
                    print(piece, end="", flush=True)
        except KeyboardInterrupt:
            print(" …", end="")
        print(flush=True)
        return answer

    def _prompt(self, sampler: "Sampler") -> list[int]:
        """The conversation's tokens; its oldest turns are dropped where the model could not see them all."""
        ids, messages = fitted(sampler, self.messages, self.decoding["max_new_tokens"])
        for _ in range(0, len(self.messages) - len(messages), 2):
            said.print("(the oldest turn no longer fits, and is forgotten)", style="dim")
        self.messages = list(messages)
        return ids
