"""The process in which the Arena's models live: `python -m accord.cli.arena_worker`. JSON lines in, JSON lines out.

In:

    {"id": 1, "ask": "answer", "models": [SOURCE, SOURCE], "messages": [{"role": "user", "content": "Hi"}],
     "temperature": 0.7, "top_p": 0.95, "max_new_tokens": 512, "seed": 0}
    {"id": 1, "ask": "cancel"}

SOURCE is a run's folder, `base:` and a run's folder, a model's folder or its name: see `accord.cli.arena_sources`.
Questions are answered one after the other, in order; both models answer at once, with the seeds `seed` and
`seed` + 1: models that are much alike would else say the same. Out:

    {"id": 1, "event": "loading"}                           something must be loaded first; may come again
    {"id": 1, "event": "piece", "side": 0, "text": "He"}    the next words of the first model
    {"id": 1, "event": "end", "side": 0, "finished": true}  it has ended its answer (false: cut at max_new_tokens)
    {"id": 1, "event": "done"}                              of all sides, or because it was cancelled
    {"id": 1, "event": "error", "message": "…"}             one line; instead of "done"

The process ends when its input does, whatever it is doing. What libraries print goes to stderr.
"""

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from jinja2 import TemplateError

from accord.cli.arena_sources import parts
from accord.cli.fitting import fitted
from accord.feedback import AccordError, Message

if TYPE_CHECKING:
    from accord.cli.arena_models import ArenaModels, Speaker

#: How long each of two speakers goes on before the other, where changing between them takes a while (see `Speaker`).
TURN_SECONDS = 1.0

Say = Callable[..., None]


def main() -> None:
    """Answers until stdin ends."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # what other libraries will change one day
    # torch's threads shall sleep while they wait for each other: where something else wants the cores too (a training,
    # a busy server) an answer takes five times as long if they spin. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def say(id: Any, event: str, **more: Any) -> None:
        print(json.dumps({"id": id, "event": event, **more}), file=out, flush=True)

    answer_all(Inbox(sys.stdin.buffer), say)


class Inbox:
    """What was asked, read by a thread of its own, so that a question can be cancelled while it is answered."""

    def __init__(self, lines: BinaryIO) -> None:
        self._asked: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._cancelled: set[Any] = set()
        Thread(target=self._read, args=(lines,), daemon=True).start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self._asked.get()

    def cancelled(self, id: Any) -> bool:
        return id in self._cancelled

    def _read(self, lines: BinaryIO) -> None:
        for line in lines:
            try:
                request = json.loads(line)
                cancel = request.get("ask") == "cancel"
                if cancel:
                    self._cancelled.add(request.get("id"))
            except (ValueError, AttributeError, TypeError):
                request, cancel = {}, False  # is answered with an error in its turn
            if not cancel:
                self._asked.put(request)
        os._exit(0)  # whoever asked is gone: also in the middle of an answer, or of loading a model


class Question(NamedTuple):
    """A request to answer, checked."""

    models: list[str]
    messages: list[Message]
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int


def question(request: dict[str, Any]) -> Question:
    """Raises AccordError, naming the field."""
    if request.get("ask") != "answer":
        raise AccordError('ask: must be "answer" or "cancel", in a JSON object a line')
    for name, kind in {"models": list, "messages": list, "max_new_tokens": int, "seed": int}.items():
        if not isinstance(request.get(name), kind) or isinstance(request[name], bool):
            raise AccordError(f"{name}: is missing, or of the wrong kind (expected {kind.__name__})")
    for name in ("temperature", "top_p"):
        if not isinstance(request.get(name), int | float):
            raise AccordError(f"{name}: is missing, or no number")
    if not request["models"] or not all(isinstance(each, str) for each in request["models"]):
        raise AccordError("models: must name one model or more")
    try:
        messages = [Message(str(each["role"]), str(each["content"])) for each in request["messages"]]
    except (TypeError, KeyError):
        messages = []
    if not messages:
        raise AccordError("messages: must be one or more objects with role and content")
    if request["max_new_tokens"] < 1:
        raise AccordError("max_new_tokens: must be 1 or more")
    return Question(messages=messages, **{name: request[name] for name in Question._fields if name != "messages"})


def answer_all(inbox: Inbox, say: Say) -> None:
    """Every question of `inbox`, as long as there are any. Of one that fails it says why, and the next one comes."""
    models: ArenaModels | None = None
    for request in inbox:
        id, broken = request.get("id"), False
        try:
            asked = question(request)
            for source in asked.models:
                parts(source)  # says at once what is wrong with it
            if models is None:
                say(id, "loading")
                models = _models()
            answer(models, asked, partial(say, id), partial(inbox.cancelled, id))
        except (AccordError, ValueError, OSError, TemplateError) as error:
            say(id, "error", message=_line(error))
        except Exception as error:
            traceback.print_exc()
            say(id, "error", message=f"{type(error).__name__}: {_line(error)}")
            broken = True
        if broken and models is not None:  # memory may have run out, or an adapter be half switched on
            models.forget()  # not above, where the error still holds what was at work


def _models() -> "ArenaModels":
    from accord.cli.arena_models import ArenaModels  # torch, which takes seconds

    return ArenaModels()


def answer(models: "ArenaModels", asked: Question, say: Say, cancelled: Callable[[], bool]) -> None:
    """Both models' answers, piece by piece."""
    if cancelled():  # while it waited
        say("done")
        return
    speakers = models.speakers(asked.models, lambda: say("loading"))
    prompts = [fitted(speaker.sampler, asked.messages, asked.max_new_tokens).ids for speaker in speakers]
    decoding = {name: getattr(asked, name) for name in ("temperature", "top_p", "max_new_tokens")}
    streams = [
        speaker.sampler.stream(prompt, seed=asked.seed + side, **decoding)
        for side, (speaker, prompt) in enumerate(zip(speakers, prompts, strict=True))
    ]
    take_turns(speakers, streams, say, cancelled)
    say("done")


def take_turns(
    speakers: Sequence["Speaker"], streams: Sequence[Iterator[str]], say: Say, cancelled: Callable[[], bool]
) -> None:
    """A piece of each answer in turn, until all have ended.

    Where two speakers are bound to one model, switching its adapters at every piece would take longer than the piece:
    each then speaks for `TURN_SECONDS`.
    """
    bound = {speaker for speaker in speakers if speaker.bound}
    turn_seconds = TURN_SECONDS if len({id(each.sampler.model) for each in bound}) < len(bound) else 0.0
    live = list(range(len(streams)))
    finished: dict[int, bool] = {}
    while live:
        for side in list(live):
            if side not in finished or speakers[side].bound:
                speakers[side].take_turn()
            until = time.monotonic() + turn_seconds
            while True:
                if cancelled():
                    return
                piece = next(streams[side], None)
                if piece is None:
                    live.remove(side)
                    say("end", side=side, finished=finished.get(side, True))
                    break
                finished[side] = speakers[side].finished
                if piece:
                    say("piece", side=side, text=piece)
                if time.monotonic() >= until:
                    break


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or "no more is known"


if __name__ == "__main__":
    main()
