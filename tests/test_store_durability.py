"""Readers and writers at once, and a writer that is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from accord.feedback import Annotator, Choice, Comparison, Prompt, Response
from accord.store import Store
from accord.store import store as store_module
from accord.store.engine import connect, parse

PROMPT = Prompt("What is fair?")
LEFT, RIGHT = Response(PROMPT.id, "This."), Response(PROMPT.id, "That.")
WORLD = [Annotator("ann"), PROMPT, LEFT, RIGHT]


def votes(numbers):
    for n in numbers:
        yield Comparison(f"v{n}", "ann", PROMPT.id, LEFT.id, RIGHT.id, Choice.LEFT, datetime(2026, 5, 1, tzinfo=UTC))


@pytest.fixture
def url(database_url):
    with Store.open(database_url) as store:
        store.add([*WORLD, *votes(range(10))])
    return database_url


ENDLESS = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from test_store_durability import votes
from accord.store import Store, engine, store
store.BATCH = 2_000
engine.PRAGMAS["cache_size"] = -512  # KiB: what does not fit goes to disk long before the end
Store.open(sys.argv[1]).add(votes(itertools.count(10)), progress=lambda taken: print(taken, flush=True))
"""


def test_a_writer_that_is_killed_leaves_nothing_half_written(url):
    here = os.path.dirname(__file__)
    with subprocess.Popen([sys.executable, "-c", ENDLESS, url, here], stdout=subprocess.PIPE, text=True) as writer:
        taken = [int(next(writer.stdout)) for _ in range(4)]
        os.kill(writer.pid, signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    assert taken[-1] >= 4 * 2_000
    if url.startswith("sqlite"):
        path = parse(url).database
        assert os.stat(f"{path}-wal").st_size > 100_000  # some of it had reached the disk
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store.open(url) as store:
        assert store.counts()["comparisons"] == 10
        assert store.add(votes(range(20)))["comparisons"] == 10


def test_readers_see_all_of_an_addition_or_nothing_and_never_wait(url, monkeypatch):
    monkeypatch.setattr(store_module, "BATCH", 100)
    halfway, go_on = threading.Event(), threading.Event()

    def slowly():
        yield from votes(range(10, 510))
        halfway.set()
        assert go_on.wait(60)
        yield from votes(range(510, 1010))

    with Store.open(url) as store, Store.open(url) as another, ThreadPoolExecutor(1) as writer:
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


def test_writers_take_turns(url):
    with Store.open(url) as store, ThreadPoolExecutor(4) as writers:
        shares = [range(start, start + 400) for start in (0, 200, 400, 600)]  # each overlaps the next by a half
        added = list(writers.map(lambda share: store.add(votes(share))["comparisons"], shares))
        assert sum(added) == 1000 - 10
        assert store.counts()["comparisons"] == 1000


def test_writers_of_the_same_votes_in_opposite_order_do_not_wait_for_each_other_forever(url, monkeypatch):
    monkeypatch.setattr(store_module, "BATCH", 100)
    meet = threading.Barrier(2)

    def halting(numbers):
        yield from votes(numbers[:100])
        with suppress(threading.BrokenBarrierError):
            meet.wait(0.5)  # where one may write at a time, the other has not come so far
        yield from votes(numbers[100:])

    with Store.open(url) as store, ThreadPoolExecutor(2) as writers:
        orders = [range(200), range(199, -1, -1)]
        added = list(writers.map(lambda numbers: store.add(halting(numbers))["comparisons"], orders))
        assert sorted(added) == [0, 190]
        assert store.counts()["comparisons"] == 200


def test_counts_are_of_one_moment(url):
    with Store.open(url) as store, ThreadPoolExecutor(1) as writer:

        def write():
            for n in range(50):
                extra = Prompt(f"prompt {n}")
                store.add([extra, Response(extra.id, "answer")])

        writing = writer.submit(write)
        while not writing.done():
            counts = store.counts()
            assert counts["responses"] == counts["prompts"] + 1
        writing.result()


def test_what_add_returned_from_is_on_disk_at_once(url):
    asked = {
        "sqlite": {"synchronous": 2, "foreign_keys": 1, "journal_mode": "wal"},
        "postgresql": {"fsync": "on", "synchronous_commit": "on"},
    }[parse(url).get_backend_name()]
    ask = {"sqlite": "PRAGMA", "postgresql": "SHOW"}[parse(url).get_backend_name()]
    with Store.open(url) as store, store._engine.connect() as connection:
        assert {name: connection.exec_driver_sql(f"{ask} {name}").scalar() for name in asked} == asked


def test_a_store_outlives_its_connections(postgres_store_url):
    end_all = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database()"
    with Store.open(postgres_store_url) as store:
        store.add([*WORLD, *votes(range(10))])
        engine = connect(parse(postgres_store_url))
        with engine.connect() as connection:  # as if the server had been restarted
            connection.exec_driver_sql(f"{end_all} AND pid <> pg_backend_pid()")
        engine.dispose()
        assert store.add(votes(range(20)))["comparisons"] == 10
