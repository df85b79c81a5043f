"""A client of the web app's JSON API, for scripts and notebooks.

    from accord.client import Client

    accord = Client("http://127.0.0.1:8765", token="…")     # from the account page; or ACCORD_TOKEN in the environment
    for question in accord.next("which-is-better", want=1):
        accord.vote(question["question"], {"choice": "left"})
    accord.export("pairs.jsonl", form="dpo")

What comes back is the API's JSON; `/api/openapi.json` of the server describes it. Needs neither torch nor a project.
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from accord.feedback import AccordError

CHUNK = 2**18


class Refusal(AccordError):
    """What the server would not do, in its words. `status` is HTTP's."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


class Client:
    """Somebody's way to a server.

    address  where it is: `http://127.0.0.1:8765`, `https://votes.example.org`
    token    an API token; without one, the environment's ACCORD_TOKEN
    timeout  seconds to wait for an answer to begin

    Every method raises Refusal where the server says no, and AccordError where it cannot be reached.
    """

    def __init__(self, address: str, token: str | None = None, *, timeout: float = 60.0):
        self.address = address.rstrip("/")
        self.timeout = timeout
        self._session = requests.Session()
        if secret := token or os.environ.get("ACCORD_TOKEN"):
            self._session.headers["authorization"] = f"Bearer {secret}"

    def me(self) -> dict[str, Any]:
        """Whom the token stands for."""
        return self._json("GET", "me")

    def campaigns(self) -> list[dict[str, Any]]:
        """The campaigns, with how far they have come."""
        return self._json("GET", "campaigns")

    def create_campaign(self, title: str, form: str = "pair", **settings: Any) -> dict[str, Any]:
        """A new campaign. `settings` are `overlap`, `strength`, `tags`, `guideline`, …"""
        return self._json("POST", "campaigns", json={"title": title, "form": form, **settings})

    def draw(self, campaign: str, **wish: Any) -> dict[str, Any]:
        """Makes questions from the project's answers: `per_prompt`, `size`, `seed`, `sources`, `splits`, `dry_run`."""
        return self._json("POST", "campaigns", campaign, "questions", json=wish)

    def progress(self, campaign: str) -> dict[str, Any]:
        """How far a campaign has come, and how fast."""
        return self._json("GET", "campaigns", campaign, "progress")

    def annotators(self, campaign: str) -> list[dict[str, Any]]:
        """How each annotator works."""
        return self._json("GET", "campaigns", campaign, "annotators")

    def agreement(self, campaign: str) -> dict[str, Any]:
        """How far annotators agree."""
        return self._json("GET", "campaigns", campaign, "agreement")

    def next(self, campaign: str, want: int = 3, held: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The next questions, reserved for a while for whom the token stands for; `held` are those in hand."""
        return self._json("POST", "campaigns", campaign, "next", json={"want": want, "held": list(held)})

    def vote(self, question: str, answer: Mapping[str, Any], *, id: str | None = None, **more: Any) -> dict[str, Any]:
        """Keeps a vote: it is on disk when this returns. `answer` is as in the API; `more` may be `seconds`, `comment`,
        `tags`, `guideline`, `supersedes`, `want`, `held`. The same `id` again is the same vote."""
        body = {"id": id or str(uuid.uuid4()), "question": question, "answer": dict(answer), **more}
        return self._json("POST", "votes", json=body)

    def skip(self, question: str, reason: str = "") -> None:
        """Leaves a question to others."""
        self._json("POST", "skips", json={"question": question, "reason": reason})

    def undo(self, question: str) -> dict[str, Any]:
        """Takes back the answer to a question; gives it again."""
        return self._json("POST", "undo", json={"id": str(uuid.uuid4()), "question": question})

    def flag(self, question: str, reason: str, comment: str = "") -> None:
        """Says that something is wrong with a question."""
        body = {"id": str(uuid.uuid4()), "question": question, "reason": reason, "comment": comment}
        self._ask("POST", "flags", json=body)

    def recent(self, campaign: str) -> list[dict[str, Any]]:
        """The last ten decisions of whom the token stands for, the newest first."""
        return self._json("GET", "campaigns", campaign, "recent")

    def export(self, path: str | Path, *, form: str = "dpo", labels: str = "dawid_skene", campaign: str = "") -> Path:
        """Writes the votes to `path` (.jsonl, .csv or .parquet) as TRL's rows (`dpo`, `kto`, `reward`), or all there is
        (`votes`). The file appears when it is whole."""
        path = Path(path)
        wish = {"form": form, "labels": labels, "campaign": campaign, "type": path.suffix.removeprefix(".")}
        part = path.with_name(f".{path.name}.part")
        try:
            with self._ask("GET", "export", params=wish, stream=True) as answer, part.open("wb") as file:
                for chunk in _chunks(answer, self.address):
                    file.write(chunk)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def upload(self, *paths: str | Path, **wish: Any) -> dict[str, Any]:
        """Reads files into the project, as `accord import` does: all of them or none. `wish` may be `format`, `split`,
        `dry_run`."""
        with ExitStack() as stack:
            files = [("file", (Path(path).name, stack.enter_context(Path(path).open("rb")))) for path in paths]
            return self._json("POST", "import", files=files, data=wish)

    def runs(self) -> list[dict[str, Any]]:
        """The training runs, newest first."""
        return self._json("GET", "runs")

    def metrics(self, run: str) -> Iterator[dict[str, Any]]:
        """What a run logged, a record a step."""
        after: float | None = None
        while True:
            found = self._json("GET", "runs", run, "metrics", params={} if after is None else {"after": after})
            yield from found["metrics"]
            if not found["more"] or not found["metrics"]:
                return
            after = found["metrics"][-1]["step"]

    def _json(self, method: str, *path: str, **what: Any) -> Any:
        return self._ask(method, *path, **what).json()

    def _ask(self, method: str, *path: str, **what: Any) -> requests.Response:
        url = "/".join([self.address, "api", *(quote(part, safe="") for part in path)])
        try:
            answer = self._session.request(method, url, timeout=self.timeout, allow_redirects=False, **what)
        except requests.RequestException as error:
            raise AccordError(f"{self.address}: cannot be reached ({error.__class__.__name__})") from error
        if answer.ok and not answer.is_redirect:
            return answer
        raise Refusal(answer.status_code, f"{method} {url}: {answer.status_code}: {_why(answer)}")


def _why(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:200] or answer.reason


def _chunks(answer: requests.Response, address: str) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(CHUNK)
    except requests.RequestException as error:
        raise AccordError(f"{address}: broke off ({error.__class__.__name__})") from error
