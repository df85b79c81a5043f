"""The PostgreSQL databases that tests are lent are always as new."""

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from accord.feedback import AccordError, Prompt
from accord.store import Store


def counts(url):
    with Store.open(url) as store:
        return store.counts()


def run(url, *statements):
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_store_comes_back_without_its_rows_and_whoever_used_it(postgres):
    with postgres.store() as url:
        left_open = Store.open(url)
        left_open.add([Prompt("What is fair?")])
        reading = left_open.prompts()
        next(reading)
    with postgres.store() as again:
        assert again == url
        assert set(counts(again).values()) == {0}
    with pytest.raises(AccordError, match="terminating connection"):
        list(reading)
    left_open.close()


CHANGES = [
    "ALTER TABLE ratings ADD COLUMN colour text",
    "ALTER TABLE ratings ALTER COLUMN comment DROP NOT NULL",
    "CREATE INDEX slow ON ratings (comment)",
    "DROP TABLE alembic_version",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_whose_schema_was_changed_is_not_used_again(postgres, change):
    with postgres.store() as url:
        run(url, change)
    with postgres.store() as another:
        assert another != url
        assert set(counts(another).values()) == {0}


def test_a_store_is_at_the_newest_revision_again(postgres):
    with postgres.store() as url:
        run(url, "UPDATE alembic_version SET version_num = '9999'")
    with postgres.store() as again:
        assert set(counts(again).values()) == {0}


def test_an_empty_database_is_empty_again(postgres):
    with postgres.empty() as url:
        Store.open(url).close()
    with postgres.empty() as again:
        assert again == url
        with pytest.raises(psycopg.errors.UndefinedTable):
            run(again, "SELECT * FROM prompts")


def test_databases_that_are_lent_at_once_are_several(postgres):
    with postgres.store() as one, postgres.store() as two, postgres.empty() as three, postgres.empty() as four:
        assert len({one, two, three, four}) == 4


HANGING = """
import sys, time
sys.path.insert(0, sys.argv[1])
from postgres import serving
with serving() as url:
    print(url, flush=True)
    time.sleep(600)
"""


def test_a_server_ends_when_its_tests_are_killed(postgres):
    here = str(Path(__file__).parent)
    with subprocess.Popen([sys.executable, "-c", HANGING, here], stdout=subprocess.PIPE, text=True) as tests:
        folder = Path(next(tests.stdout).strip().partition("host=")[2])
        assert (folder / "data").is_dir()
        tests.kill()
    waited = time.monotonic() + 60
    while folder.exists() and time.monotonic() < waited:
        time.sleep(0.02)
    assert not folder.exists()
