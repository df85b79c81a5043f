"""`accord init` and how commands find their project."""

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.project import Project, find_project, open_store
from accord.feedback import AccordError, Prompt


def accord(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(result):
    """The line that a user reads, whether `app` or its caller prints it."""
    assert result.exit_code == 1
    return str(result.exception) if isinstance(result.exception, AccordError) else result.stderr.strip()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_project_is_made_and_found_from_inside_it(root):
    result = accord("init", "kind answers")
    assert result.exit_code == 0, result.output
    project = root / "kind answers"
    assert {path.name for path in project.iterdir()} == {"accord.yaml", "accord.db", "runs", ".gitignore"}
    assert "cd 'kind answers'" in result.output
    (project / "runs" / "deep").mkdir()
    os.chdir(project / "runs" / "deep")
    found = find_project()
    assert found == find_project(project)
    assert found == Project(project, "kind answers", str(project / "accord.db"), "smollm2")
    assert found.runs == project / "runs"
    with open_store(found) as store:
        store.add([Prompt("What is kind?")])
    with open_store(found) as store:
        assert store.counts()["prompts"] == 1


def test_a_project_in_the_folder_one_is_in(root):
    result = accord("init")
    assert result.exit_code == 0, result.output
    assert find_project().name == root.name
    assert "cd " not in result.output


def test_the_commands_that_it_names_exist(root):
    shown = accord("init", "p").output
    commands = re.findall(r"^  accord (\w+)", shown, re.MULTILINE)
    assert len(commands) == 3
    from accord.cli.main import COMMANDS

    assert set(commands) <= set(COMMANDS)


def test_votes_and_runs_are_kept_out_of_git(root):
    accord("init", "p")
    assert (root / "p" / ".gitignore").read_text() == "/runs/\n/accord.db*\n"
    (root / "q").mkdir()
    (root / "q" / ".gitignore").write_text("mine\n")
    accord("init", "q")
    assert (root / "q" / ".gitignore").read_text() == "mine\n"


def test_an_existing_project_is_left_alone(root):
    accord("init", "p", "--model", "mine")
    before = (root / "p" / "accord.yaml").read_bytes()
    said = refusal(accord("init", "p", "--model", "yours"))
    assert "accord.yaml is there already" in said.replace("\n", " ")
    assert (root / "p" / "accord.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("database", "kept_in"),
    [("votes.sqlite", "votes.sqlite"), ("sqlite:///votes.sqlite", "votes.sqlite"), ("no", "no")],
)
def test_another_database_and_model(root, database, kept_in):
    result = accord("init", "p", "--database", database, "--model", "models/yes: no #1")
    assert result.exit_code == 0, result.output
    assert (root / "p" / kept_in).is_file()
    project = find_project(root / "p")
    assert project.model == "models/yes: no #1"
    assert (root / "p" / ".gitignore").read_text() == f"/runs/\n/{kept_in}*\n"
    with open_store(project) as store:
        store.add([Prompt("Where am I kept?")])
    assert not (root / kept_in).exists()


def test_a_database_that_cannot_be_opened_leaves_no_project(root):
    assert "not a database that Accord runs on" in refusal(accord("init", "p", "--database", "mysql://host/votes"))
    assert not (root / "p" / "accord.yaml").exists()
    (root / "file").write_text("in the way")
    assert "name a folder" in refusal(accord("init", "file"))


def test_without_a_project_the_way_to_make_one_is_named(root):
    with pytest.raises(AccordError, match=re.escape("no accord.yaml here or above; run `accord init .`")):
        find_project()
    with pytest.raises(AccordError, match=r"no accord\.yaml in elsewhere or above; run `accord init elsewhere`"):
        find_project(Path("elsewhere"))


def test_a_project_one_folder_below_is_named(root):
    (root / "demo").mkdir()
    (root / "demo" / "accord.yaml").write_text("name: demo\n")
    with pytest.raises(
        AccordError, match=r"no accord\.yaml here or above, but there is one in demo: say --project demo"
    ):
        find_project()
    with pytest.raises(AccordError, match=re.escape(f"say --project {root / 'demo'}, or go there")):
        find_project(root)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: a\nmodle: b\n", r"accord.yaml: modle: no such setting \(do you mean model\?\)"),
        ("name: a\nmodel: [b\n", r"accord.yaml:3: .*write each setting as `name: value`"),
        ("model:\n  - a\n", "accord.yaml: model: give it one value"),
        ("model:\n", "accord.yaml: model: give it one value, such as `model: smollm2`"),
        ("just words\n", "accord.yaml: no settings in it"),
        (b"name: \xff\n", "accord.yaml: .*utf-8"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_explained_in_one_line(root, text, why):
    (root / "accord.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AccordError, match=why) as refused:
        find_project()
    assert "\n" not in str(refused.value)


def test_what_the_settings_leave_out_has_defaults(root):
    (root / "accord.yaml").write_text("# nothing yet\n")
    assert find_project() == Project(root, root.name, str(root / "accord.db"), "smollm2")
    (root / "accord.yaml").write_text("database: postgresql://me@host/votes\n")
    assert find_project().database == "postgresql://me@host/votes"
    (root / "accord.yaml").write_text("database: /elsewhere/votes.db\nname: 2026\n")
    assert (find_project().database, find_project().name) == ("/elsewhere/votes.db", "2026")
