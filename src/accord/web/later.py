"""Routes that the first page does not need are loaded once it is answered: so the server answers sooner."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any


class Later:
    """ASGI middleware. Calls `load` in a thread and then `add` once the first request was answered; a request for a
    path that is not one of `early`, nor begins with one that ends with a slash, waits until that is done."""

    def __init__(self, app: Any, early: frozenset[str], load: Callable[[], object], add: Callable[[], None]):
        self._app = app
        self._early = early
        self._load = load
        self._add = add
        self._loading: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not self._is_early(scope["path"]):
            await asyncio.shield(self._all())  # whoever goes away does not stop it for the others
        await self._app(scope, receive, send)
        if scope["type"] == "http":
            self._all()

    def _is_early(self, path: str) -> bool:
        return path in self._early or any(
            path.startswith(one) for one in self._early if one.endswith("/") and one != "/"
        )

    def _all(self) -> "asyncio.Task[None]":
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._work())
        return self._loading

    async def _work(self) -> None:
        await asyncio.to_thread(self._load)
        self._add()
        gc.freeze()  # all that is loaded stays: looking through it again and again would stop everybody
