"""Readers and writers at once, and a writer that is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from accord.feedback import Annotator, Choice, Comparison, Prompt, Response
from accord.store import Store
from accord.store import store as store_module

PROMPT = Prompt("What is fair?")
LEFT, RIGHT = Response(PROMPT.id, "This."), Response(PROMPT.id, "That.")
WORLD = [Annotator("ann"), PROMPT, LEFT, RIGHT]


def votes(numbers):
    for n in numbers:
        yield Comparison(f"v{n}", "ann", PROMPT.id, LEFT.id, RIGHT.id, Choice.LEFT, datetime(2026, 5, 1, tzinfo=UTC))


@pytest.fixture
def path(tmp_path):
    with Store.open(tmp_path / "votes.db") as store:
        store.add([*WORLD, *votes(range(10))])
    return tmp_path / "votes.db"


ENDLESS = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from test_store_durability import votes
from accord.store import Store, engine
engine.PRAGMAS["cache_size"] = -512  # KiB: what does not fit goes to disk long before the end
Store.open(sys.argv[1]).add(votes(itertools.count(10)), progress=lambda taken: print(taken, flush=True))
"""


def test_a_writer_that_is_killed_leaves_nothing_half_written(path):
    here = os.path.dirname(__file__)
    with subprocess.Popen([sys.executable, "-c", ENDLESS, path, here], stdout=subprocess.PIPE, text=True) as writer:
        taken = [int(next(writer.stdout)) for _ in range(4)]
        os.kill(writer.pid, signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert taken[-1] >= 4 * 5_000
    assert path.with_name("votes.db-wal").stat().st_size > 100_000  # some of it had reached the disk
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store.open(path) as store:
        assert store.counts()["comparisons"] == 10
        assert store.add(votes(range(20)))["comparisons"] == 10


def test_readers_see_all_of_an_addition_or_nothing_and_never_wait(path, monkeypatch):
    monkeypatch.setattr(store_module, "BATCH", 100)
    halfway, go_on = threading.Event(), threading.Event()

    def slowly():
        yield from votes(range(10, 510))
        halfway.set()
        assert go_on.wait(60)
        yield from votes(range(510, 1010))

    with Store.open(path) as store, Store.open(path) as another, ThreadPoolExecutor(1) as writer:
        reading = store.comparisons()
        first = next(reading)
        writing = writer.submit(store.add, slowly())
        assert halfway.wait(60)
        for reader in (store, another):
            assert reader.counts()["comparisons"] == 10
            assert len(list(reader.comparisons())) == 10
        go_on.set()
        assert writing.result(60) == {"comparisons": 1000}
        assert len([first, *reading]) == 10  # begun before, so it goes on reading what there was
        assert another.counts()["comparisons"] == 1010


def test_writers_take_turns(path):
    with Store.open(path) as store, ThreadPoolExecutor(4) as writers:
        shares = [range(start, start + 400) for start in (0, 200, 400, 600)]  # each overlaps the next by a half
        added = list(writers.map(lambda share: store.add(votes(share))["comparisons"], shares))
        assert sum(added) == 1000 - 10
        assert store.counts()["comparisons"] == 1000


def test_what_add_returned_from_is_on_disk_at_once(path):
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store = Store.open(path)
    with store._engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys")
        }
    store.close()
    assert settings == {"synchronous": 2, "foreign_keys": 1}
