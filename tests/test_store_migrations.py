"""Databases of every age are brought to the newest schema, or refused in one line."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text

from accord.feedback import AccordError, Annotator, Choice, Comparison, Prompt, Rating, Response
from accord.store import Store
from accord.store.engine import connect, parse
from accord.store.migrate import SCRIPTS, config, revision, to_head
from accord.store.rows import MAPPERS
from accord.store.tables import REVISION, metadata

PROMPT = Prompt("What is fair?")
ANSWER = Response(PROMPT.id, "This.")
MAY = datetime(2026, 5, 1, tzinfo=UTC)
VOTE = Comparison("v1", "ann", PROMPT.id, ANSWER.id, ANSWER.id, Choice.TIE, MAY, seconds=1.5, extra={"ö": [1]})
CORRECTION = Comparison("v2", "ann", PROMPT.id, ANSWER.id, ANSWER.id, Choice.LEFT, MAY, strength=2, supersedes="v1")
THUMB = Rating("t1", "ann", PROMPT.id, ANSWER.id, True, MAY)
WORLD = [Annotator("ann"), PROMPT, ANSWER, VOTE, CORRECTION, THUMB]


OLDER = [script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()][1:]

#: What makes each table and index, clause by clause, without Alembic's own table.
SCHEMA = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": """
        SELECT table_name, concat_ws(' ', column_name, data_type, character_maximum_length, numeric_precision,
                                     collation_name, is_nullable, column_default)
            FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'""",
}


@pytest.fixture
def sqlite_urls(tmp_path):
    return (f"sqlite:///{tmp_path}/vötes #{n} 50%.db" for n in itertools.count(1))


@pytest.fixture
def postgresql_urls(postgres):
    with ExitStack() as lent:
        yield (lent.enter_context(postgres.empty()) for _ in itertools.count(1))


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request):
    """URLs of databases with nothing in them, all of one kind."""
    return request.getfixturevalue(f"{request.param}_urls")


@pytest.fixture
def url(urls):
    return next(urls)


@contextmanager
def opened(url):
    engine = connect(parse(url))
    yield engine
    engine.dispose()


def run(url, statement):
    """All rows that `statement` gives, if any."""
    with opened(url) as engine, engine.begin() as connection:
        result = connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def schema(url):
    clauses = {}
    for name, said in run(url, SCHEMA[parse(url).get_backend_name()]):
        if not name.startswith("alembic_version"):
            unquoted = said.replace('"', "")  # SQLite quotes a table's name once it has been another's
            clauses.setdefault(name, []).extend(line.strip(" \t,") for line in unquoted.splitlines())
    return {name: sorted(lines) for name, lines in clauses.items()}


def add_as_of_old(engine, nouns):
    """Adds `nouns` to an older database: what Accord would write today, but for the columns that came later."""
    old = MetaData()
    old.reflect(engine)
    with engine.begin() as connection:
        for noun in nouns:
            mapper = MAPPERS[type(noun)]
            table, row = old.tables[mapper.table.name], mapper.to_row(noun)
            connection.execute(table.insert().values({name: row[name] for name in row.keys() & table.c.keys()}))


def test_the_newest_migration_is_the_one_that_the_code_names():
    assert ScriptDirectory(str(SCRIPTS)).get_heads() == [REVISION]


def test_migrations_make_what_the_tables_say(urls):
    migrated, straight = next(urls), next(urls)
    Store.open(migrated).close()
    with opened(migrated) as engine, engine.connect() as connection:
        assert revision(connection) == REVISION
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    with opened(straight) as engine:
        metadata.create_all(engine)
    assert schema(migrated) == schema(straight)


@pytest.mark.parametrize("old", OLDER)
def test_an_older_database_is_upgraded_with_its_votes(url, old):
    with opened(url) as engine:
        to_head(engine, old)
        add_as_of_old(engine, WORLD)
    with Store.open(url) as store:
        assert list(store.comparisons()) == [CORRECTION]
        assert list(store.comparisons(history=True)) == [VOTE, CORRECTION]
        assert list(store.ratings()) == [THUMB]
        assert list(store.prompts()) == [PROMPT]
        assert list(store.responses()) == [ANSWER]
        store.add([Annotator("bob")])
    with opened(url) as engine, engine.connect() as connection:
        assert revision(connection) == REVISION


@pytest.mark.parametrize("old", OLDER)
def test_an_upgraded_database_has_the_schema_of_a_new_one(urls, old):
    upgraded, new = next(urls), next(urls)
    with opened(upgraded) as engine:
        to_head(engine, old)
        before = schema(upgraded)
        to_head(engine)
    Store.open(new).close()
    assert schema(upgraded) == schema(new) != before


def test_down_to_nothing_and_up_again(url):
    with opened(url) as engine:
        to_head(engine)
        full = schema(url)
        with engine.begin() as connection:
            command.downgrade(config(connection), "base")
        assert schema(url) == {}
        with engine.begin() as connection:
            command.upgrade(config(connection), "head")
    assert schema(url) == full


def test_a_newer_database_is_refused_and_left_alone(url):
    with Store.open(url) as store:
        store.add(WORLD)
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(AccordError) as refusal:
        Store.open(url)
    assert "made by a newer Accord" in str(refusal.value)
    assert "pip install -U accord" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert run(url, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_failed_migration_changes_nothing(url):
    with opened(url) as engine:
        to_head(engine, "0001")
    run(url, "CREATE INDEX ix_ratings_at_id ON ratings (at)")  # in the way of the second of two indices
    old = schema(url)
    with pytest.raises(AccordError, match="already exists"):
        Store.open(url)
    assert schema(url) == old


def test_several_servers_may_start_on_a_new_database_at_once(url):
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: Store.open(url), range(4)))
    assert stores[0].add(WORLD)["comparisons"] == 2
    assert [store.counts()["comparisons"] for store in stores] == [1, 1, 1, 1]
    for store in stores:
        store.close()


def test_somebody_elses_database_is_left_alone(url):
    run(url, "CREATE TABLE recipes (id INTEGER)")
    with pytest.raises(AccordError, match="not an Accord database: it has a table recipes"):
        Store.open(url)
    assert schema(url).keys() == {"recipes"}


def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "vötes #1 50%.db"
    path.write_text("These are not the bytes that you are looking for. " * 50)
    with pytest.raises(AccordError, match=r"50%\.db: file is not a database \(name another file\)"):
        Store.open(path)
    with pytest.raises(AccordError, match=r"unable to open database file \(is there such a folder"):
        Store.open(tmp_path / "missing" / "votes.db")


@pytest.mark.parametrize(
    ("change", "why"),
    [({"database": "missing"}, 'database "missing" does not exist'), ({"query": {"host": "/nowhere"}}, "/nowhere")],
)
def test_a_postgresql_database_that_is_not_there_is_refused_in_one_line(postgres_url, change, why):
    missing = parse(postgres_url).set(password="secret", **change).render_as_string(hide_password=False)
    with pytest.raises(AccordError, match=why) as refusal:
        Store.open(missing)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


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
