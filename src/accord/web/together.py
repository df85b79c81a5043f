"""What several requests bring at about the same time is worked on in one go."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

#: How much is worked on in one go at most: the first of them waits for the last.
MOST = 32

Brought = TypeVar("Brought")
Result = TypeVar("Result")


class Together(Generic[Brought, Result]):
    """Brings what comes while a thread is at work to the thread's next turn: with votes, to one transaction and one
    flush of the disk (group commit).

    work  takes what was brought, in order, and gives the outcome of each: a result, or an exception to be raised
    """

    def __init__(self, work: Callable[[Sequence[Brought]], Sequence[Result | Exception]]):
        self._work = work
        self._waiting: deque[tuple[Brought, Future[Result]]] = deque()
        self._at_work = False
        self._lock = Lock()

    async def do(self, brought: Brought) -> Result:
        """The outcome of what was brought. It is worked on even if whoever brought it goes away."""
        outcome: Future[Result] = Future()
        with self._lock:
            self._waiting.append((brought, outcome))
            idle, self._at_work = not self._at_work, True
        if idle:
            asyncio.get_running_loop().run_in_executor(None, self._take_turns)
        return await asyncio.wrap_future(outcome)

    def _take_turns(self) -> None:
        while turn := self._next_turn():
            outcomes = self._outcomes([brought for brought, _ in turn])
            for (_, future), outcome in zip(turn, outcomes, strict=True):
                if not future.set_running_or_notify_cancel():
                    continue  # whoever brought it has gone
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def _next_turn(self) -> list[tuple[Brought, Future[Result]]]:
        with self._lock:
            turn = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            self._at_work = bool(turn)
        return turn

    def _outcomes(self, brought: list[Brought]) -> Sequence[Result | Exception]:
        try:
            return self._work(brought)
        except Exception as error:  # none was worked on
            return [error] * len(brought)
