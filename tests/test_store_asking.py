"""Many answers in one transaction, and how the database finds what is asked next."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from sqlalchemy import event

from accord.feedback import AccordError, Choice, Said
from accord.store import Store
from accord.store.asking import Cast, Conflict, Saved
from accord.store.engine import PRAGMAS, DatabaseTrouble
from accord.store.tables import metadata
from web_kit import campaign, client, make_site, user, world

LEFT = {"choice": "left"}


@pytest.fixture
def site(database_url):
    with Store.open(database_url) as store:
        store.add(world(prompts=6, answers=2))
        yield make_site(store, team=True)


@pytest.fixture
def asked(site):
    return campaign(site, overlap=3)


@pytest.fixture
def people(site):
    return [user(site, name).annotator_id for name in ("ann", "bob", "cleo")]


def cast(site, asked, who, number, answer=LEFT, **more):
    """An answer to a question that `who` is given now."""
    (item,) = site.asking.next(asked.id, who, 1)
    return Cast(who, Said(f"vote-{number:08}", item.assignment.question_id, answer, **more), want=1)


def test_answers_are_kept_together_as_they_are_one_by_one(site, asked, people):
    casts = [cast(site, asked, who, n) for n, who in enumerate(people)]
    saved = site.asking.answer_all(casts)
    assert [one.vote_id for one in saved] == [one.said.vote_id for one in casts]
    assert [one.assignment.annotator_id for one in saved] == people
    assert {vote.id: vote.annotator_id for vote in site.store.comparisons()} == {
        one.said.vote_id: one.annotator_id for one in casts
    }
    assert site.progress.totals(asked.id)[asked.id].answers == 3
    nexts = [one.next[0].assignment for one in saved]
    assert [one.annotator_id for one in nexts] == people
    assert not {one.question_id for one in nexts} & {one.said.question_id for one in casts}
    again = site.asking.answer_all(casts)
    assert all(isinstance(one, Saved) and one.repeated for one in again)
    assert [[item.assignment for item in one.next] for one in again] == [[one] for one in nexts]


def test_one_that_is_at_fault_keeps_no_other_from_being_saved(site, asked, people):
    good, wrong, stranger = (cast(site, asked, who, n) for n, who in enumerate(people))
    wrong = wrong._replace(said=Said("vote-wrong", wrong.said.question_id, {"choice": "up"}))
    stranger = stranger._replace(said=Said("vote-stranger", "no question", LEFT))
    kept, bad, unknown = site.asking.answer_all([good, wrong, stranger])
    assert kept.vote_id == good.said.vote_id
    assert isinstance(bad, ValueError)
    assert isinstance(unknown, KeyError)
    assert [vote.id for vote in site.store.comparisons(history=True)] == [good.said.vote_id]
    assert site.progress.totals(asked.id)[asked.id].answers == 1


def test_an_id_that_two_take_at_once_is_of_the_first(site, asked, people):
    first, second = (cast(site, asked, who, 1) for who in people[:2])
    kept, refused = site.asking.answer_all([first, second])
    assert kept.vote_id == first.said.vote_id
    assert isinstance(refused, Conflict)
    assert [vote.annotator_id for vote in site.store.comparisons(history=True)] == people[:1]


def test_two_answers_to_one_question_come_one_after_the_other(site, asked, people):
    first = cast(site, asked, people[0], 1)
    second = first._replace(
        said=Said("vote-second", first.said.question_id, {"choice": "right"}, supersedes=first.said.vote_id)
    )
    assert [one.vote_id for one in site.asking.answer_all([first, second])] == [first.said.vote_id, "vote-second"]
    assert [vote.choice for vote in site.store.comparisons()] == [Choice.RIGHT]


def test_many_in_one_go_are_leased_no_question_too_often(site, people):
    asked = campaign(site, title="One each", overlap=1)
    casts = [cast(site, asked, who, n) for n, who in enumerate(people)]
    saved = site.asking.answer_all(casts)
    given = [item.assignment.question_id for one in saved for item in one.next]
    assert len(given) == len(set(given)) == 3


def test_sqlite_finds_the_next_question_without_looking_through_those_that_are_done(sqlite_store_url):
    with Store.open(sqlite_store_url) as store:
        store.add(world(prompts=3, answers=2))
        site = make_site(store, team=True)
        asked, who = campaign(site), user(site, "ann").annotator_id
        said = []
        with store.reading() as connection:
            event.listen(connection.engine, "before_cursor_execute", lambda *given: said.append(given[2:4]))
        (item,) = site.asking.next(asked.id, who, 1)
        site.asking.answer(who, Said("vote-00000001", item.assignment.question_id, LEFT), want=1)
        selects = [(sql, values) for sql, values in said if sql.startswith("SELECT")]
        with store.reading() as connection:
            plans = [
                [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
                for sql, values in selects
            ]
    assert any("ix_questions_wanted" in step for plan in plans for step in plan)
    assert not {step for plan in plans for step in plan if step.startswith("SCAN")} & {
        f"SCAN {table}" for table in metadata.tables
    }


def test_who_waits_to_write_begins_when_the_other_is_done(sqlite_store_url):
    with Store.open(sqlite_store_url) as store, closing(sqlite3.connect(store._engine.url.database)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        began = []

        def write():
            with store.writing():
                began.append(time.monotonic())

        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.3)
        assert began == []
        other.execute("COMMIT")
        thread.join(10)
        with store.writing() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == PRAGMAS["busy_timeout"]
    assert len(began) == 1


def test_who_waits_to_write_gives_up_in_the_end(sqlite_store_url, monkeypatch):
    monkeypatch.setitem(PRAGMAS, "busy_timeout", 50)
    with Store.open(sqlite_store_url) as store, closing(sqlite3.connect(store._engine.url.database)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AccordError, match="database is locked"), store.writing():
            pass
        other.execute("ROLLBACK")
        with store.writing():
            pass  # and it can be written to again


def test_where_the_database_cannot_be_used_all_hear_so_at_once(sqlite_store_url, monkeypatch):
    monkeypatch.setitem(PRAGMAS, "busy_timeout", 50)
    with Store.open(sqlite_store_url) as store, closing(sqlite3.connect(store._engine.url.database)) as other:
        store.add(world(prompts=6, answers=2))
        site = make_site(store, team=True)
        asked = campaign(site, overlap=3)
        casts = [cast(site, asked, user(site, name).annotator_id, n) for n, name in enumerate(("ann", "bob"))]
        ann, tried = client(site, next(iter(site.people.all()))), []
        event.listen(store._engine, "begin", tried.append)
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        outcomes = site.asking.answer_all(casts)
        assert [type(outcome) for outcome in outcomes] == [DatabaseTrouble] * 2
        assert len(tried) <= 1
        body = {"id": "vote-00000009", "question": casts[0].said.question_id, "answer": LEFT}
        answer = ann.post("/api/votes", json=body)
        assert (answer.status_code, "database is locked" in answer.text) == (503, True)
        other.execute("ROLLBACK")
    # the page sends again what is answered with 503: `verdict` in sender.js
