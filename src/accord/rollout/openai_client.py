"""Asking a server that speaks OpenAI's HTTP form, and asking again where that may help."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from accord.feedback import AccordError

#: What a server says when it may do better later.
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
#: What it says to those whom it does not know.
UNKNOWN = frozenset({401, 403})

Answer = TypeVar("Answer")


class NoAnswer(AccordError):
    """A server gave up on, in one line. `status` is HTTP's where it spoke, else 0; `said` is what it said."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said


class _Stay(HTTPRedirectHandler):
    """A question and its key go to the address that the user named, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = build_opener(_Stay)


@dataclass(frozen=True)
class OpenAIClient:
    """An OpenAI-compatible address. Threads may share one.

    url      up to and with `/v1`: `http://localhost:8000/v1`
    key      the environment variable with the server's key; none is sent where it is not set
    timeout  seconds to wait for an answer
    retries  how often to ask again: where the server is busy or gone, or its answer is not what was asked for
    pause    seconds before the first of those, then twice as long each time
    """

    url: str
    key: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    retries: int = 3
    pause: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise AccordError(f"{self.url!r} is no address: it starts with http:// or https://")

    def ask(
        self, path: str, question: Mapping[str, Any], read: Callable[[Any], Answer], wanted: str = "answer"
    ) -> Answer:
        """What `read` makes of the server's answer (its JSON) to `question`, posted to `path`.

        `read` raises ValueError for an answer that will not do. Raises NoAnswer, which calls what is missing `wanted`.
        """
        status, said, why = 0, "", ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return read(self._post(path, question))
            except HTTPError as error:
                status, said = error.code, " ".join(error.read(2000).decode("utf-8", "replace").split())
                why = f"{status} {error.reason}: {said[:300]}{self._hint(status)}"
                if status not in BUSY:
                    break
            except URLError as error:
                status, said, why = 0, "", str(error.reason)
            except (OSError, HTTPException, ValueError) as error:  # a connection that broke; an answer that is none
                status, said, why = 0, "", str(error) or type(error).__name__
        times = "once" if attempt == 0 else f"{attempt + 1} times"
        raise NoAnswer(f"{self.url} gave no {wanted}, asked {times}: {why}", status, said)

    def _post(self, path: str, question: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key, "").strip():
            headers["Authorization"] = f"Bearer {key}"
        request = Request(f"{self.url.rstrip('/')}/{path}", json.dumps(question).encode(), headers)
        with _OPENER.open(request, timeout=self.timeout) as response:
            data = response.read()
        try:
            return json.loads(data)
        except ValueError:
            raise ValueError(f"its answer is no JSON: {data[:200]!r}") from None

    def _hint(self, status: int) -> str:
        return f" (set {self.key} to the server's key)" if status in UNKNOWN else ""
