"""The models that answer live in a process of their own, which is started when they are first asked.

The web server never imports torch. It writes questions to that process and reads the answers piece by piece: JSON
lines, as `accord.cli.arena_worker` describes them.
"""

import asyncio
import itertools
import json
import logging
import signal
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NamedTuple, cast

log = logging.getLogger(__name__)

_LINE = 1 << 24  # bytes of the longest line: a whole answer may come in one piece
_TAIL = 2000  # bytes of stderr that are kept


class Event(NamedTuple):
    """What happens while a question is answered. The last one is `done` or `error`.

    kind      waiting   others come first, `before` of them; again when that changes
              loading   a model is being loaded; may come again
              piece     `text` are the next words of model `side`
              end       model `side` has ended its answer; not `finished`: it was cut
              done      all have
              error     nothing more comes; `text` says why, in one line
    side      0 for the first of the models asked
    """

    kind: str
    side: int = 0
    text: str = ""
    finished: bool = False
    before: int = 0


class ModelWorker:
    """Answers with models that live in another process. For one event loop.

    command            starts the process: `[sys.executable, "-m", "accord.cli.arena_worker"]`
    idle_seconds       after so long without a question it ends, and its memory is free; the next question starts it
    loading_seconds    so long it may be silent until all models asked have begun to answer
    answering_seconds  and so long afterwards. Then it is killed, and the next question starts another

    The process ends when its stdin does, and so when this one does, however that ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        idle_seconds: float = 900,
        *,
        loading_seconds: float = 600,
        answering_seconds: float = 120,
    ) -> None:
        self.command, self.idle_seconds = list(command), idle_seconds
        self.loading_seconds, self.answering_seconds = loading_seconds, answering_seconds
        self._line: list[asyncio.Event] = []  # who is being answered, and who waits; set when it moves on
        self._process: _Process | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._ids = itertools.count(1)
        self._closed = False

    async def answer(
        self,
        models: Sequence[str],
        messages: Sequence[Mapping[str, str]],
        *,
        seed: int,
        temperature: float = 0.7,
        top_p: float = 0.95,
        max_new_tokens: int = 512,
    ) -> AsyncGenerator[Event, None]:
        """All that happens while `models` answer, at once, what was said last in `messages`.

        One question is answered at a time, in the order in which they were asked. To stop early, close this iterator
        (`contextlib.aclosing`), or cancel the task that it runs in: the models stop at the next token.
        """
        question = {
            "models": list(models),
            "messages": [{"role": each["role"], "content": each["content"]} for each in messages],
            "temperature": temperature,
            "top_p": top_p,
            "max_new_tokens": max_new_tokens,
            "seed": seed,
        }
        moved, told = asyncio.Event(), 0
        self._line.append(moved)
        if self._idle:
            self._idle.cancel()
        try:
            while before := self._line.index(moved):
                moved.clear()
                if before != told:
                    told = before
                    yield Event("waiting", before=before)
                await moved.wait()
            async with aclosing(self._ask(question)) as events:
                async for event in events:
                    yield event
        finally:
            self._line.remove(moved)
            for each in self._line:
                each.set()
            if not self._line and not self._closed:
                self._idle = asyncio.get_running_loop().call_later(self.idle_seconds, self._rest)

    async def close(self) -> None:
        """Ends the process. Whoever is still being answered, or waits, is told so."""
        self._closed = True
        if self._idle:
            self._idle.cancel()
        self._rest()
        await asyncio.gather(*self._ending)

    async def _ask(self, question: dict[str, Any]) -> AsyncGenerator[Event, None]:
        if self._closed:
            yield Event("error", text="the server is closing")
            return
        try:
            if self._process is None or not self._process.alive:
                self._process = await _Process.start(self.command)
        except OSError as error:
            yield Event("error", text=f"the process that answers cannot be started: {error}")
            return
        if self._closed:  # in the meantime
            self._rest()
        process, id, ended = self._process, next(self._ids), False
        silent = set(range(len(question["models"])))  # who has not begun
        process.tell({"id": id, "ask": "answer", **question})
        try:
            while not ended:
                patience = self.loading_seconds if silent else self.answering_seconds
                event = await self._next(process, id, patience)
                ended = event.kind in ("done", "error")
                if event.kind in ("piece", "end"):
                    silent.discard(event.side)
                yield event
        finally:
            if not ended:
                process.tell({"id": id, "ask": "cancel"})

    async def _next(self, process: "_Process", id: int, patience: float) -> Event:
        """The next thing that is said about question `id`. What is still said about a cancelled one is passed over."""
        while True:
            try:
                async with asyncio.timeout(patience):
                    said = await process.hear()
            except TimeoutError:
                await process.kill()
                return Event("error", text=f"the process that answers was silent for {patience:g} seconds: ended it")
            if said is None:
                how = await process.last_words()
                return Event("error", text="the server is closing" if self._closed else how)
            if said.get("id") == id:
                fields = {name: said[name] for name in ("side", "text", "finished") if name in said}
                return Event(said["event"], **(fields | ({"text": said["message"]} if "message" in said else {})))

    def _rest(self) -> None:
        """Lets the process go, in its own time."""
        if self._process is not None:
            ending = asyncio.get_running_loop().create_task(self._process.end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            self._process = None


class _Process:
    """The other process, and what it writes to stderr, of which the last line is kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        pipes = process.stdin, process.stdout, process.stderr
        self._process = process
        self._in, self._out, stderr = cast(tuple[StreamWriter, StreamReader, StreamReader], pipes)
        self._last = ""
        self._listening = asyncio.get_running_loop().create_task(self._listen(stderr))

    @classmethod
    async def start(cls, command: Sequence[str]) -> "_Process":
        """In a session of its own: Ctrl-C is for the server, which then lets it go."""
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LINE, start_new_session=True
            )
        )

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._out.at_eof()

    def tell(self, message: dict[str, Any]) -> None:
        """Without waiting. One that has gone will not hear it, which `hear` finds out."""
        with suppress(OSError, RuntimeError):
            self._in.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        """What it says next; None when it has gone."""
        while line := await self._out.readline():
            with suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict):
                    return said
            log.warning("passed over: %r", line[:200])
        return None

    async def last_words(self) -> str:
        """How it ended, and the last that it wrote to stderr."""
        await self.end()
        status = self._process.returncode or 0
        how = signal.strsignal(-status) if status < 0 else f"exit status {status}"
        return f"the process that answers has ended ({how})" + (f": {self._last}" if self._last else "")

    async def end(self) -> None:
        """Asks it to end, and sees that it does."""
        self._in.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):  # its own children may still hold stderr
                await self._listening

    async def _listen(self, stderr: StreamReader) -> None:
        tail = b""
        while chunk := await stderr.read(1 << 16):
            log.info("%s", chunk.decode("utf-8", "replace").rstrip())
            tail = (tail + chunk)[-_TAIL:]
            written = [line.strip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
            self._last = written[-1] if written else ""
