"""Databases of every age are brought to the newest schema, or refused in one line."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from accord.feedback import AccordError, Annotator, Choice, Comparison, Prompt, Response
from accord.store import Store
from accord.store.engine import connect, parse
from accord.store.migrate import SCRIPTS, config, revision, to_head
from accord.store.tables import REVISION, metadata

PROMPT = Prompt("What is fair?")
ANSWER = Response(PROMPT.id, "This.")
VOTE = Comparison("v1", "ann", PROMPT.id, ANSWER.id, ANSWER.id, Choice.TIE, datetime(2026, 5, 1, tzinfo=UTC))
WORLD = [Annotator("ann"), PROMPT, ANSWER, VOTE]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vötes #1 50%.db"


def schema(path):
    """What makes each table and index, clause by clause, without Alembic's own table."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
        )
        return {name: sorted(line.strip(" \t,") for line in sql.splitlines()) for name, sql in rows}


def test_the_newest_migration_is_the_one_that_the_code_names():
    assert ScriptDirectory(str(SCRIPTS)).get_heads() == [REVISION]


def test_migrations_make_what_the_tables_say(path, tmp_path):
    Store.open(path).close()
    engine = connect(parse(path))
    with engine.connect() as connection:
        assert revision(connection) == REVISION
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    straight = connect(parse(tmp_path / "straight.db"))
    metadata.create_all(straight)
    straight.dispose()
    assert schema(path) == schema(tmp_path / "straight.db")


def test_an_older_database_is_upgraded_with_its_votes(path):
    engine = connect(parse(path))
    to_head(engine, "0001")
    Store(engine).add(WORLD)
    engine.dispose()
    old = schema(path)
    with Store.open(path) as store:
        assert list(store.comparisons()) == [VOTE]
        store.add([Annotator("bob")])
    assert schema(path).keys() - old.keys() == {"ix_comparisons_at_id", "ix_ratings_at_id"}


def test_down_to_nothing_and_up_again(path):
    engine = connect(parse(path))
    to_head(engine)
    full = schema(path)
    with engine.begin() as connection:
        command.downgrade(config(connection), "base")
    assert schema(path) == {}
    with engine.begin() as connection:
        command.upgrade(config(connection), "head")
    engine.dispose()
    assert schema(path) == full


def test_a_newer_database_is_refused_and_left_alone(path):
    with Store.open(path) as store:
        store.add(WORLD)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(AccordError) as refusal:
        Store.open(path)
    assert "made by a newer Accord" in str(refusal.value)
    assert "pip install -U accord" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


def test_a_failed_migration_changes_nothing(path):
    engine = connect(parse(path))
    to_head(engine, "0001")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE INDEX ix_ratings_at_id ON ratings (at)")  # in the way of the second of two indices
    old = schema(path)
    with pytest.raises(AccordError, match="already exists"):
        Store.open(path)
    assert schema(path) == old


def test_several_servers_may_start_on_a_new_database_at_once(path):
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: Store.open(path), range(4)))
    assert stores[0].add(WORLD)["comparisons"] == 1
    assert [store.counts()["comparisons"] for store in stores] == [1, 1, 1, 1]
    for store in stores:
        store.close()


def test_somebody_elses_database_is_left_alone(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (id)")
    with pytest.raises(AccordError, match="not an Accord database: it has a table recipes"):
        Store.open(path)
    assert schema(path).keys() == {"recipes"}


def test_what_is_no_database_is_refused(path, tmp_path):
    path.write_text("These are not the bytes that you are looking for. " * 50)
    with pytest.raises(AccordError, match=r"50%\.db: file is not a database \(name another file\)"):
        Store.open(path)
    with pytest.raises(AccordError, match=r"unable to open database file \(is there such a folder"):
        Store.open(tmp_path / "missing" / "votes.db")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "mysql://me:secret@host/votes",
            r"mysql://me:\*\*\*@host/votes: not a database that Accord runs on \(use sqlite",
        ),
        ("nonsense://", "not a database that Accord runs on|no such driver"),
        ("sqlite+nothing:///votes.db", "knows no such driver"),
        ("://", "cannot be read"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_its_password(url, why):
    with pytest.raises(AccordError, match=why) as refusal:
        Store.open(url)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
