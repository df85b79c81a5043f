"""The client against a real server."""

import json
import subprocess
import sys

import pytest

from accord.client import Client, Refusal
from accord.exchange import read
from accord.feedback import AccordError, Choice, Comparison, Form, Role
from accord.store import Store
from web_kit import campaign, make_site, served, user, world


@pytest.fixture
def site(tmp_path):
    with Store.open(tmp_path / "accord.db") as store:
        store.add(world(prompts=4, answers=3))
        yield make_site(store, team=True, runs=tmp_path / "runs")


@pytest.fixture
def ways(site):
    """A client of a curator, and one of an annotator, on one server."""
    people = [user(site, "cur", Role.CURATOR), user(site, "ann")]
    secrets = [site.people.open_session(who.id, name="a script") for who in people]
    with served(site) as address:
        yield [Client(address, secret) for secret in secrets]


def test_from_questions_to_a_file(site, ways, tmp_path):
    curator, annotator = ways
    assert curator.me()["role"] == "curator"
    made = curator.create_campaign("Which?", overlap=1, control_share=0, guideline="Be fair.", tags=["shorter"])
    assert curator.draw(made["id"], per_prompt=1)["new"] == 4
    questions = annotator.next(made["id"], want=4)
    saved = annotator.vote(questions[0]["question"], {"choice": "left"}, seconds=2.5, tags=["shorter"], comment="Yes.")
    assert saved["saved"]
    again = annotator.vote(questions[0]["question"], {"choice": "left"}, id=saved["id"])
    assert again["id"] == saved["id"]
    annotator.vote(questions[1]["question"], {"choice": "tie"})
    assert annotator.undo(questions[1]["question"])["question"] == questions[1]["question"]
    annotator.skip(questions[2]["question"], "Too long")
    annotator.flag(questions[3]["question"], "Broken text", "half a sentence")
    assert [done["answer"] and done["answer"]["choice"] for done in annotator.recent(made["id"])] == [None, "left"]
    assert curator.progress(made["id"])["totals"]["answers"] == 1
    assert [(one["annotator"], one["answers"]) for one in curator.annotators(made["id"])] == [("ann", 1)]
    assert curator.agreement(made["id"])["alpha"] is None
    (listed,) = curator.campaigns()
    assert listed["totals"]["flags"] == 1

    rows = [json.loads(line) for line in curator.export(tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": questions[0]["prompt"][0]["text"]}]]
    kept = [noun for noun in read(curator.export(tmp_path / "all.jsonl", form="votes")) if isinstance(noun, Comparison)]
    assert [vote.choice for vote in kept if not vote.withdrawn and vote.id == saved["id"]] == [Choice.LEFT]


def test_files_go_in(ways, tmp_path):
    curator, _ = ways
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}) + "\n", encoding="utf-8")
    assert curator.upload(file)["added"]["comparisons"] == 1
    assert curator.upload(file)["already_there"]["comparisons"] == 1
    file.write_text('{"prompt": "Why?", "chosen": 3}\n', encoding="utf-8")
    with pytest.raises(Refusal, match=r"more\.jsonl:1: chosen") as refusal:
        curator.upload(file)
    assert refusal.value.status in {400, 422}


def test_what_is_not_allowed_is_said(site, ways):
    _, annotator = ways
    made = campaign(site, Form.PAIR)
    with pytest.raises(Refusal, match="this is for curators") as refusal:
        annotator.progress(made.id)
    assert refusal.value.status == 403
    with pytest.raises(Refusal, match="404"):
        annotator.next("nowhere/../x")
    with pytest.raises(Refusal, match="nobody is logged in"):
        Client(annotator.address, "wrong").me()


def test_an_export_that_breaks_off_leaves_no_file(ways, tmp_path):
    _, annotator = ways
    with pytest.raises(Refusal):
        annotator.export(tmp_path / "pairs.jsonl")
    assert list(tmp_path.glob("*pairs*")) == []


def test_a_server_that_is_not_there():
    with pytest.raises(AccordError, match="cannot be reached"):
        Client("http://127.0.0.1:9").me()


def test_the_client_is_light():
    loaded = "import sys, accord.client; print(sorted({'torch', 'sqlalchemy', 'numpy', 'fastapi'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
