"""`accord import` and `accord export` as they are typed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets import Dataset
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.options import DataOptions
from accord.cli.project import find_project, open_store
from accord.cli.training_data import rows_for
from accord.exchange.snapshot import write_snapshot

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


MARGINS = {
    "a.jsonl": '{"prompt": "1?", "chosen": "a", "rejected": "b", "margin": 1.5}\n'
    '{"prompt": "2?", "chosen": "a", "rejected": "b", "margin": -2}\n'
    '{"prompt": "3?", "chosen": "a", "rejected": "b"}\n',
    "a.csv": "prompt,chosen,rejected,margin\n1?,a,b,1.50\n2?,a,b,-2\n3?,a,b,\n",
}


@pytest.mark.parametrize("name", MARGINS)
def test_margins_come_through_to_training(project, name):
    (project / name).write_text(MARGINS[name])
    assert accord("import", name).exit_code == 0
    rows = rows_for("reward", DataOptions(test_fraction=0.0)).splits["train"]
    assert {row["prompt"]: row.get("margin") for row in rows} == {"1?": 1.5, "2?": -2, "3?": None}
    frozen = write_snapshot(project / "data", "preference", {"train": rows})
    column = Dataset.from_list([{"margin": row.get("margin")} for row in frozen.rows("train")])["margin"]
    assert sorted(column, key=str) == [-2.0, 1.5, None]
    accord("export", "out.jsonl", "--form", "reward")
    written = [json.loads(line) for line in (project / "out.jsonl").open()]
    assert {row["prompt"]: row["margin"] for row in written} == {"1?": 1.5, "2?": -2, "3?": 0.0}


def test_ties_come_through_to_training_and_out_and_in_again(project):
    """Votes out and in give the same rows; so do, of the pairs that are decided, the rows themselves."""
    nouns = [{"noun": "annotator", "id": name} for name in ("ada", "ben", "cem")]
    for prompt, said in {"p": ("left", "left", "tie"), "q": ("tie", "tie", "right"), "r": ("left",) * 3}.items():
        nouns.append({"noun": "prompt", "id": prompt, "content": f"{prompt}?"})
        nouns += [{"noun": "response", "id": f"{prompt}{x}", "prompt_id": prompt, "content": x} for x in ("yes", "no")]
        for name, choice in zip(("ada", "ben", "cem"), said, strict=True):
            vote = {"annotator_id": name, "prompt_id": prompt, "left_id": f"{prompt}yes", "right_id": f"{prompt}no"}
            vote |= {"id": f"{prompt}/{name}", "choice": choice, "at": "2026-01-31T12:00:00+00:00"}
            nouns.append({"noun": "comparison"} | vote)
    (project / "votes.jsonl").write_text("".join(json.dumps(noun) + "\n" for noun in nouns))
    assert accord("import", "votes.jsonl").exit_code == 0

    def labels(*names):
        rows = rows_for("reward", DataOptions(list(names) or None, labels="vote_share", test_fraction=0.0))
        train = write_snapshot(project / "data" / "-".join(names), "preference", rows.splits).rows("train")
        return {row["prompt"]: (row["chosen"], row["p_chosen"], row["p_tie"]) for row in train}

    here = labels()
    assert here == {"p?": ("yes", 3.5 / 5, 1 / 5), "q?": ("no", 3 / 5, 2 / 5), "r?": ("yes", 4 / 5, 0.0)}
    accord("export", "everything.jsonl", "--form", "votes")
    assert labels("everything.jsonl") == here
    accord("export", "pairs.jsonl", "--form", "reward", "--labels", "vote_share")
    assert labels("pairs.jsonl") == here
    accord("export", "hard.jsonl", "--form", "dpo", "--labels", "majority")
    hard = [json.loads(line) for line in (project / "hard.jsonl").open()]
    assert {row["prompt"]: (row["p_chosen"], row["p_tie"]) for row in hard} == {"p?": (1.0, 0.0), "r?": (1.0, 0.0)}


def test_a_ranking_comes_through_to_training(project):
    ranking = {"prompt": "Why?", "completions": ["a", "b", "c"], "scores": [1, 3, 3]}
    (project / "ranks.jsonl").write_text(json.dumps(ranking))
    added = json.loads(accord("import", "ranks.jsonl", "--json").stdout)["added"]
    assert added == {"prompts": 1, "responses": 3, "annotators": 1, "comparisons": 3, "ratings": 0}
    rows = rows_for("reward", DataOptions(test_fraction=0.0)).splits["train"]
    columns = ("chosen", "rejected", "p_chosen", "p_tie", "score_chosen", "score_rejected")
    found = {tuple(row[name] for name in columns) for row in rows}
    assert {("b", "a", 1.0, 0.0, 3, 1), ("c", "a", 1.0, 0.0, 3, 1)} < found
    (alike,) = [row for row in rows if row["p_tie"]]
    assert ({alike["chosen"], alike["rejected"]}, alike["p_chosen"], alike["p_tie"]) == ({"b", "c"}, 0.5, 1.0)


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
