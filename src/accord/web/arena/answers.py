"""Both models' answers, as they come: lines of JSON, which a page reads while they are written."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse

from accord.web.arena.conversations import LONGEST, Conversation, Round
from accord.web.arena.worker import ModelWorker

log = logging.getLogger(__name__)

#: Seconds of silence after which an empty line says that the server is there: proxies cut what is silent for long.
BEAT = 10.0
SIDES = ("left", "right")
#: What people are told who may not know which models there are.
FAILED = "The models could not answer."
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what no database takes


class Streamed(StreamingResponse):
    """Lines that are sent as they come. `ended` is called when nobody reads them any more, however that came."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncGenerator[bytes, None], ended: Callable[[], Any]):
        super().__init__(lines, headers={"x-accel-buffering": "no"})
        self._lines, self._ended = lines, ended

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._lines.aclose()
            self._ended()


async def told(
    conversation: Conversation, round: Round, worker: ModelWorker, *, why: bool
) -> AsyncGenerator[bytes, None]:
    """What happens in the round, a line each; the last event is `done`, `dropped` or `error`. Closing it stops both.

    why  whether the words of an error, which may name models, are told
    """
    happened: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def end(task: asyncio.Task[str]) -> None:
        happened.put_nowait(_outcome(conversation, round, task, why))

    if not round.answering:  # it was stopped before this began
        yield _line({"event": "dropped"})
        return
    yield _line({"event": "round", "round": round.id})
    round.task = task = asyncio.create_task(_listen(conversation, round, worker, happened))
    task.add_done_callback(end)
    try:
        last = False
        while not last:
            try:
                async with asyncio.timeout(BEAT):
                    event = await happened.get()
            except TimeoutError:
                yield b"\n"
                continue
            last = event["event"] in ("done", "dropped", "error")
            yield _line(event)
    finally:
        task.cancel()


async def _listen(
    conversation: Conversation, round: Round, worker: ModelWorker, happened: asyncio.Queue[dict[str, Any]]
) -> str:
    """Takes down what both say, until they have. Returns what went wrong, or ""."""
    sources = [contender.source for contender in round.two]
    messages = [{"role": message.role, "content": message.content} for message in conversation.asked(round)]
    async with aclosing(worker.answer(sources, messages, **round.sampling)) as events:
        async for event in events:
            answer = round.answers[event.side]
            match event.kind:
                case "waiting":
                    happened.put_nowait({"event": "waiting", "before": event.before})
                case "loading":
                    happened.put_nowait({"event": "loading"})
                case "piece":
                    text = NO_TEXT.sub("\ufffd", event.text)
                    answer.text += text
                    happened.put_nowait({"event": "piece", "side": SIDES[event.side], "text": text})
                    if len(answer.text) > LONGEST:
                        return ""
                case "end":
                    answer.ended, answer.finished = True, event.finished
                    happened.put_nowait({"event": "end", "side": SIDES[event.side], "finished": event.finished})
                case "error":
                    return event.text
    return ""


def _outcome(conversation: Conversation, round: Round, task: asyncio.Task[str], why: bool) -> dict[str, Any]:
    """How the round ended: the last event."""
    if task.cancelled():
        wrong = ""
    elif error := task.exception():
        log.error("the arena's worker failed", exc_info=error)
        wrong = f"{type(error).__name__}: {error}"
    else:
        wrong = task.result()
    stands = conversation.settle(round, failed=bool(wrong))
    if wrong:
        return {"event": "error", "why": f"{FAILED} {wrong}" if why else FAILED}
    return {"event": "done", "stopped": round.stopped} if stands else {"event": "dropped"}


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"
