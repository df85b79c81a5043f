"""`accord import` and `accord export` as they are typed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.project import find_project, open_store

DATA = Path(os.environ.get("ACCORD_DATA", Path(__file__).parents[2] / "shared" / "data"))
ROWS = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no", "margin": i} for i in range(4)]
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data in {DATA}; set ACCORD_DATA")


def accord(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert accord("init").exit_code == 0
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def counts():
    with open_store(find_project()) as store:
        return store.counts()


def test_import_tells_what_was_added_and_what_is_next(project):
    first = accord("import", "mine.jsonl")
    assert first.exit_code == 0
    assert "comparisons      4                   4" in first.stdout
    assert "Next: accord doctor" in first.stdout
    again = accord("import", "mine.jsonl")
    assert "4 votes were there already and not added again." in again.stdout
    assert counts()["comparisons"] == 4


def test_import_as_json(project):
    accord("import", "mine.jsonl")
    (project / "more.jsonl").write_text('{"prompt": "4?", "chosen": "yes", "rejected": "no", "worker": 7}\n')
    result = json.loads(accord("import", "mine.jsonl", "more.jsonl", "--json", "--split", "test").stdout)
    assert result["added"] == {"prompts": 1, "responses": 2, "annotators": 1, "comparisons": 1, "ratings": 0}
    assert result["already_there"] == {"comparisons": 4, "ratings": 0}
    assert result["total"] == counts()


def test_dry_run_writes_nothing_and_needs_no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]))
    result = accord("import", "mine.jsonl", "--dry-run")
    assert result.exit_code == 0
    assert "Nothing was written." in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_bad_file_is_one_line_and_exit_status_1(project):
    with (project / "mine.jsonl").open("a") as file:
        file.write('{"prompt": "4?", "chosen": null, "rejected": "no"}\n')
    result = accord("import", "mine.jsonl")
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.endswith("mine.jsonl:5: chosen: is null (fill it in, or remove the row)")
    assert not any(counts().values())


def test_the_projects_folder_can_be_named(project, monkeypatch):
    monkeypatch.chdir("/")
    assert accord("import", project / "mine.jsonl", "--project", project).exit_code == 0
    result = accord("export", project / "out.jsonl", "--project", project)
    assert f"Wrote 4 rows to {project / 'out.jsonl'}" in result.stdout


@pytest.mark.parametrize("form", ["dpo", "reward", "kto", "votes"])
def test_export(project, form):
    (project / "thumbs.jsonl").write_text('{"prompt": "a", "completion": "b", "label": true, "why": "it is"}\n')
    accord("import", "mine.jsonl", "thumbs.jsonl")
    result = accord("export", "out.jsonl", "--form", form, "--json")
    written = [json.loads(line) for line in (project / "out.jsonl").open()]
    assert json.loads(result.stdout) | {"file": "out.jsonl", "form": form} == json.loads(result.stdout)
    assert json.loads(result.stdout)["rows"] == len(written)
    if form == "votes":
        before = counts()
        accord("init", "other")
        accord("import", "out.jsonl", "--project", "other")
        with open_store(find_project(project / "other")) as store:
            assert store.counts() == before
    elif form == "kto":  # four pairs, each answer liked or not, and the thumb
        assert sorted(row["label"] for row in written) == [False] * 4 + [True] * 5
        assert [row["why"] for row in written if row["prompt"] == "a"] == ["it is"]
    else:
        assert [{key: row[key] for key in ROWS[0]} for row in sorted(written, key=lambda row: row["prompt"])] == ROWS
        assert {row["p_chosen"] for row in written} == {1.0}


def test_export_of_nothing_says_what_to_do(project):
    result = accord("export", "out.jsonl")
    assert result.exit_code == 1
    assert "read some with `accord import FILE`" in result.stderr
    assert not (project / "out.jsonl").exists()


@needs_data
def test_all_of_hh_rlhf_in_five_seconds(project):
    start = time.perf_counter()
    command = [sys.executable, "-m", "accord", "import", str(DATA / "hh-rlhf" / "harmless-base.jsonl.gz"), "--json"]
    result = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert time.perf_counter() - start < 5
    added = {"prompts": 1798, "responses": 3600, "annotators": 1, "comparisons": 1800, "ratings": 0}
    assert result["added"] == added


REAL = {
    "llmfao": (["llmfao/crowd-comparisons.csv", "llmfao/pairs-crowd.jsonl"], {"annotators": 124, "comparisons": 8931}),
    "llmfao with controls": (
        ["llmfao/pairs-crowd-training.jsonl", "llmfao/crowd-comparisons.csv", "llmfao/pairs-crowd.jsonl"],
        {"annotators": 125, "comparisons": 8938},
    ),
    "sharegpt preferences": (["llamafactory/dpo_en_demo.json"], {"annotators": 1, "comparisons": 300}),
    "sharegpt thumbs": (["llamafactory/kto_en_demo.json"], {"annotators": 1, "ratings": 300}),
}


@needs_data
@pytest.mark.parametrize(("files", "expected"), REAL.values(), ids=REAL)
def test_real_files(project, files, expected):
    result = accord("import", *(DATA / file for file in files))
    assert result.exit_code == 0, result.output
    assert counts() | expected == counts()
