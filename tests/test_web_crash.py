"""kill -9 of the server amid votes: what was answered "saved" is there. `make crash` does it a hundred times."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import voting_crash

TRIALS = 10


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_saved_survives_the_server(database, tmp_path, request):
    url = "accord.db" if database == "sqlite" else request.getfixturevalue("postgres_store_url")
    found = voting_crash.run(tmp_path, url, TRIALS)
    assert found["acknowledged"] > TRIALS
    assert (found["lost"], found["twice"], found["wrong_counts"]) == (0, 0, 0)
