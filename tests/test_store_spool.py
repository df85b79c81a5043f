"""Imports beside people who vote: what `Store.add` does, in short transactions, and whole whenever it is killed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accord.feedback import AccordError, Annotator, Choice, Comparison, Prompt, Rating, Response
from accord.store import Store, add_beside, finish_imports, spool, turns
from accord.store.file_lock import locked
from accord.store.turns import Turns
from test_store import ANN, BOB, NOON, OTHER, PROMPT, REFUSED, THUMB, VOTE, WORLD

HERE = os.path.dirname(__file__)


def votes(numbers):
    for n in numbers:
        yield replace(VOTE, id=f"v{n:06}", at=NOON + timedelta(seconds=n))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A new database: copying it is quicker than making another."""
    path = tmp_path_factory.mktemp("empty") / "votes.db"
    Store.open(path).close()
    return path


@pytest.fixture
def path(tmp_path, empty):
    with Store.open(shutil.copy(empty, tmp_path)) as store:
        store.add([*WORLD, *votes(range(3))])
    return tmp_path / "votes.db"


@pytest.fixture
def store(path):
    with Store.open(path) as opened:
        yield opened


def contents(store):
    kept = (store.annotators(), store.prompts(), store.responses(), store.comparisons(True), store.ratings(True))
    return [list(nouns) for nouns in kept]


def beside(path):
    """What an import has left beside the database."""
    return sorted(file.name for file in path.parent.iterdir() if ".import" in file.name)


# A world so small that whatever is drawn clashes with what is there already.
FIRST = Comparison("a", "ann", "p", "r", "s", Choice.LEFT, NOON)
ids = st.sampled_from([*"abcd" * 4, "a\0", "\ud83d"])
prompt_ids, response_ids = st.sampled_from(["p", "p", "p", "q"]), st.sampled_from(["r", "s"])
said = {
    "id": ids,
    "annotator_id": st.sampled_from(["ann"] * 8 + ["bob"] * 2 + ["eve"]),
    "prompt_id": prompt_ids,
    "at": st.just(NOON),
    "comment": st.sampled_from([""] * 20 + ["changed"] * 5 + ["\ud83d"]),
    "supersedes": st.none() | ids,
}
nouns = st.one_of(
    st.builds(Annotator, st.sampled_from(["ann", "bob"])),
    st.builds(Prompt, st.sampled_from(["one", "two"]), id=prompt_ids),
    st.builds(Response, prompt_ids, st.sampled_from(["one", "two"]), id=response_ids),
    st.builds(Comparison, **said, left_id=response_ids, right_id=response_ids, choice=st.just(Choice.LEFT)),
    st.builds(Rating, **said, response_id=response_ids, desirable=st.booleans()),
    st.builds(lambda id, old: replace(FIRST, id=id, supersedes=old), ids, ids),
)
START = [ANN, BOB, Prompt("one", id="p"), Response("p", "one", id="r"), Response("p", "two", id="s")]
AGAIN = [Prompt("two", id="q"), FIRST, replace(FIRST, id="b", supersedes="a")]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([[], START, START + AGAIN]),
    st.lists(st.lists(nouns, max_size=6), min_size=1, max_size=4),
    st.sampled_from([1, 2, 5000]),
)
def test_it_does_what_add_does(tmp_path, empty, start, additions, size):
    with (
        Store.open(shutil.copy(empty, tmp_path / "plain.db")) as plain,
        Store.open(shutil.copy(empty, tmp_path / "beside.db")) as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("accord.store.store.BATCH", size)
        patch.setattr(spool, "BATCH", size)
        for part in [start, *additions]:
            outcomes = []
            for add, store in ((Store.add, plain), (add_beside, other)):
                try:
                    outcomes.append(+add(store, part))
                except AccordError as error:
                    outcomes.append(str(error))
            assert outcomes[0] == outcomes[1]
            assert contents(plain) == contents(other)
            assert not beside(tmp_path / "beside.db")


@pytest.mark.parametrize(("vote", "why"), REFUSED.values(), ids=REFUSED)
def test_what_add_refuses_is_refused_and_leaves_nothing(store, path, vote, why):
    store.add([replace(VOTE, id="older"), replace(VOTE, id="old", supersedes="older")])
    before = contents(store)
    with pytest.raises(AccordError) as refusal:
        add_beside(store, [Prompt("new"), replace(VOTE, id="good"), vote])
    assert why in str(refusal.value)
    assert contents(store) == before
    assert not beside(path)


def test_a_failing_source_leaves_nothing(store, path, monkeypatch):
    monkeypatch.setattr(spool, "BATCH", 10)
    before, taken = contents(store), []

    def source():
        yield from votes(range(25))
        assert beside(path) == ["votes.db.import", "votes.db.import.lock"]
        raise OSError("the disk was pulled out")

    with pytest.raises(OSError, match="pulled out"):
        add_beside(store, source(), taken.append)
    assert taken == [10, 20]
    assert contents(store) == before
    assert not beside(path)


def test_progress_of_both_halves(store, monkeypatch):
    monkeypatch.setattr(spool, "BATCH", 100)
    taken, poured = [], []
    added = add_beside(store, votes(range(1003)), taken.append, lambda *done: poured.append(done))
    assert added == {"comparisons": 1000}  # three were there
    assert taken == [*range(100, 1001, 100), 1003]
    assert poured == sorted(poured)
    assert len(poured) > 1
    assert poured[-1][0] == poured[-1][1] >= 1000


def test_what_is_there_already_is_not_written_again(store):
    everything = [*WORLD, *votes(range(500)), replace(THUMB, id="t")]
    add_beside(store, everything)
    poured = []
    assert not add_beside(store, everything, poured=lambda *done: poured.append(done))
    assert not poured


def test_databases_without_a_file_get_it_all_at_once():
    with Store.open("sqlite://") as store:
        assert add_beside(store, [*WORLD, VOTE])["comparisons"] == 1
        assert not finish_imports(store)


def test_the_spool_may_be_read_by_whom_the_database_may(store, path):
    path.chmod(0o640)
    modes = []

    def source():
        yield VOTE
        modes.append(path.with_name("votes.db.import").stat().st_mode & 0o777)

    add_beside(store, source())
    assert modes == [0o640]


IMPORT = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store_spool import votes
from accord.store import Store, add_beside
store = Store.open(sys.argv[1])
"""


def child(path, code):
    return subprocess.Popen([sys.executable, "-c", IMPORT + code, path, HERE], stdout=subprocess.PIPE, text=True)


def kill(process):
    process.kill()
    process.wait()


def test_an_import_killed_before_it_was_whole_leaves_nothing(store, path):
    before = contents(store)
    endless = """
import itertools
from accord.store import spool
spool.BATCH = 2000
add_beside(store, votes(itertools.count()), taken=lambda n: print(n, flush=True))
"""
    with child(path, endless) as process:
        assert int(next(process.stdout)) > 0
        assert int(next(process.stdout)) > 0
        kill(process)
    assert path.with_name("votes.db.import").stat().st_size > 100_000
    assert contents(store) == before
    assert not finish_imports(store)
    assert not beside(path)
    assert contents(store) == before


SLOWLY = """
import time
def poured(done, total):
    print(done, flush=True)
    if done > total / 2:
        time.sleep(600)
add_beside(store, votes(range(3000)), poured=poured)
"""


def interrupted(path):
    """Half of an import of 3,000 votes, three of which were there. Returns how many are there now."""
    with child(path, SLOWLY) as process:
        while int(next(process.stdout)) <= 1500:
            pass
        kill(process)
    assert path.with_name("votes.db.import.ready").exists()
    with Store.open(path) as store:
        there = store.counts()["comparisons"]
    assert 1000 < there < 3000
    return there


def test_an_import_killed_while_it_was_poured_is_finished_by_the_next(store, path):
    there = interrupted(path)
    assert add_beside(store, votes(range(2990, 3010))) == {"comparisons": 10}
    assert there < 3000
    assert list(store.comparisons()) == list(votes(range(3010)))
    assert not beside(path)


def test_two_processes_finish_it_once(store, path):
    there = interrupted(path)
    finish = "from accord.store import finish_imports\nprint(finish_imports(store).total())"
    with child(path, finish) as one, child(path, finish) as two:
        finished = [int(process.communicate()[0]) for process in (one, two)]
    assert sum(finished) == 3000 - there
    assert 0 in finished
    assert list(store.comparisons()) == list(votes(range(3000)))
    assert not beside(path)


@pytest.mark.parametrize("moment", range(5))
def test_killed_at_any_moment_it_is_all_or_nothing(store, path, moment):
    before = store.counts()["comparisons"]
    code = "print(0, flush=True)\nadd_beside(store, votes(range(8000)))\nprint(1, flush=True)"
    with child(path, code) as process:
        next(process.stdout)
        began = time.monotonic()
        while time.monotonic() - began < moment * 0.4 and process.poll() is None:
            time.sleep(0.01)
        ready = path.with_name("votes.db.import.ready").exists()
        kill(process)
    finished = finish_imports(store)
    there = store.counts()["comparisons"]
    assert there in (before, 8000)
    assert there == 8000 or not (ready or finished)
    assert not set(beside(path)) - {"votes.db.import.lock"}
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()


def test_a_lost_lock_file_of_a_killed_process_is_in_nobodys_way(store, path):
    path.with_name("votes.db.import.lock").touch()
    assert add_beside(store, votes(range(5))) == {"comparisons": 2}
    assert not beside(path)


def test_a_vote_superseded_meanwhile_is_superseded_at_its_latest(store, monkeypatch):
    monkeypatch.setattr(spool, "BATCH", 1)

    def source():
        yield replace(VOTE, id="imported", supersedes="v000000")
        yield replace(VOTE, id="after it", supersedes="imported")
        store.add([replace(VOTE, id="voted", supersedes="v000000"), replace(VOTE, id="twice", supersedes="voted")])

    assert add_beside(store, source()) == {"comparisons": 2}
    supersedes = {vote.id: vote.supersedes for vote in store.comparisons(history=True) if vote.supersedes}
    assert supersedes == {"voted": "v000000", "twice": "voted", "imported": "twice", "after it": "imported"}
    assert not add_beside(store, [replace(VOTE, id="imported", supersedes="v000000")])


def test_what_no_longer_fits_is_set_aside(store, path, monkeypatch):
    monkeypatch.setattr(spool, "BATCH", 2)
    answer = Response(PROMPT.id, "Mine.", id="same id")

    def source():
        yield from [answer, replace(VOTE, id="new", left_id="same id")]
        store.add([Response(OTHER.id, "Yours.", id="same id")])

    with pytest.raises(AccordError, match=r"FOREIGN KEY.*its rest is in votes\.db\.import\.refused"):
        add_beside(store, source())
    assert beside(path) == ["votes.db.import.refused"]
    assert add_beside(store, votes(range(5))) == {"comparisons": 2}
    with pytest.raises(AccordError, match=f"comparison new: left_id: response same id answers prompt {OTHER.id}"):
        add_beside(store, [replace(VOTE, id="new", left_id="same id")])


@pytest.mark.parametrize(
    ("error", "said"),
    [(sqlite3.OperationalError("database or disk is full"), "disk is full"), (KeyboardInterrupt(), "interrupted")],
)
def test_what_was_accepted_is_not_undone(store, path, monkeypatch, error, said):
    def broken_off(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Turns, "turn", broken_off)
        with pytest.raises(AccordError, match=rf"{said} \(the import goes on with the next `accord import`\)"):
            add_beside(store, votes(range(50)))
    assert beside(path) == ["votes.db.import.ready"]
    assert finish_imports(store) == {"comparisons": 47}


def test_an_older_accords_spool_lacks_a_column(store, path, monkeypatch):
    def broken_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(spool, "pour", broken_off)
        with pytest.raises(AccordError, match="interrupted"):
            add_beside(store, [*votes(range(5)), THUMB])
    with sqlite3.connect(path.with_name("votes.db.import.ready")) as connection:
        connection.execute("ALTER TABLE comparisons DROP COLUMN withdrawn")
    connection.close()
    assert finish_imports(store) == {"comparisons": 2, "ratings": 1}
    assert list(store.comparisons()) == list(votes(range(5)))


def test_imports_take_turns(store, path, monkeypatch):
    monkeypatch.setattr(spool, "PATIENCE", 0.1)
    with locked(path.with_name("votes.db.import.lock"), 0) as alone:
        assert alone
        with pytest.raises(AccordError, match="another import is going on; try again when it has finished"):
            add_beside(store, votes(range(5)))
        path.with_name("votes.db.import").touch()  # its spool
        assert not finish_imports(store)
        assert path.with_name("votes.db.import").exists()
    monkeypatch.setattr(spool, "PATIENCE", 60)
    shares = [range(start, start + 400) for start in (0, 200, 400)]
    added = []
    importers = [
        threading.Thread(target=lambda share=share: added.append(add_beside(store, votes(share)).total()))
        for share in shares
    ]
    for importer in importers:
        importer.start()
    for importer in importers:
        importer.join(60)
    assert sum(added) == 800 - 3


def test_a_lock_is_one_processs_at_a_time(tmp_path):
    count = [0]

    def often():
        for _ in range(20):
            with locked(tmp_path / "lock", 60) as mine:
                assert mine
                before = count[0]
                time.sleep(0.0005)
                count[0] = before + 1

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert count == [80]
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path):
    with pytest.raises(AccordError, match="lock: No such file or directory"), locked(tmp_path / "no" / "lock", 0):
        pass


def test_turns_are_long_only_where_nobody_else_writes(store, path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    taking = Turns(path)
    assert taking.length() == turns.TURN
    now[0] += 30
    assert taking.length() == pytest.approx(0.3)
    with taking.turn() as connection:  # its own writing does not count
        connection.execute("INSERT INTO annotators (id, kind, extra) VALUES ('eve', 'human', '{}')")
    assert taking.length() == pytest.approx(0.3)
    now[0] += 1000
    assert taking.length() == turns.LONGEST
    store.add(votes(range(4)))
    assert taking.length() == turns.TURN
    taking.close()


def test_nobody_waits_for_long(store, path):
    """A second writer waits for a share of what the import takes; while `Store.add` writes, it waits for all of it."""
    waits, over = [], threading.Event()

    def vote():
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        n = 0
        while not over.is_set():
            began = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            waits.append(time.perf_counter() - began)
            connection.execute("INSERT INTO annotators (id, kind, extra) VALUES (?, 'human', '{}')", [f"annotator {n}"])
            connection.execute("COMMIT")
            n += 1
            time.sleep(0.005)
        connection.close()

    voter = threading.Thread(target=vote)
    voter.start()
    importing = child(path, "print(add_beside(store, votes(range(20_000))).total())")
    assert int(importing.communicate()[0]) == 20_000 - 3
    over.set()
    voter.join(60)
    waits.sort()
    assert len(waits) > 100
    assert waits[int(0.99 * len(waits))] < 0.25  # seconds; a quiet machine's longest is 0.03
    assert waits[-1] < 1.5


def test_the_command_finishes_what_was_interrupted_and_says_so(path, tmp_path):
    there = interrupted(path)
    (tmp_path / "accord.yaml").write_text("database: votes.db\n")
    (tmp_path / "mine.jsonl").write_text(json.dumps({"prompt": "1?", "chosen": "yes", "rejected": "no"}) + "\n")
    command = [sys.executable, "-m", "accord", "import", "mine.jsonl", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == f"An import that was interrupted is finished: {3000 - there:,} added.\n"
    assert json.loads(done.stdout)["total"]["comparisons"] == 3001
    assert not beside(path)
