"""`accord ask`: the questions that it makes, where they go, what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.project import find_project, open_store
from accord.feedback import Form, Response, text_of
from accord.store.campaigns import Campaigns
from web_kit import world


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    accord("init", ".")
    add(world(prompts=5, answers=4))


def accord(*words, fails=False):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == fails, result.output
    return result


def ask(*words):
    return json.loads(accord("ask", "--json", *words).stdout)


def add(nouns):
    with open_store(find_project()) as store:
        store.add(nouns)


def kept(id):
    """The campaign, its questions and its guideline."""
    with open_store(find_project()) as store:
        campaigns = Campaigns(store)
        return campaigns.get(id), campaigns.questions(id, size=1000)[0], campaigns.guideline(id)


def test_pairs_are_made_once():
    first = ask()
    assert (first["campaign"], first["new_campaign"], first["drawn"], first["new"]) == ("which-is-better", True, 10, 10)
    again = ask()
    assert (again["new_campaign"], again["drawn"], again["new"]) == (False, 10, 0)
    assert ask("--seed", 5)["new"] > 0
    campaign, questions, guideline = kept("which-is-better")
    assert (campaign.form, campaign.title, campaign.overlap) == (Form.PAIR, "Which answer is better?", 3)
    assert {len(question.response_ids) for question in questions} == {2}
    assert guideline.text


@pytest.mark.parametrize(("form", "id", "places"), [("thumb", "is-it-good", 1), ("ranking", "best-first", 4)])
def test_other_forms_have_campaigns_of_their_own(form, id, places):
    assert ask("--form", form, "--per-prompt", 1)["campaign"] == id
    campaign, questions, _ = kept(id)
    assert campaign.form == form
    assert [len(question.response_ids) for question in questions] == [places] * 5


def test_a_campaign_is_made_as_it_is_wished():
    words = ("--campaign", "style", "--title", "Which is clearer?", "--strength", "--overlap", 5, "--per-prompt", 9)
    told = ask(*words, "--source", "model-0", "--source", "model-1")
    assert (told["campaign"], told["title"], told["new"]) == ("style", "Which is clearer?", 5)
    campaign, questions, _ = kept("style")
    assert (campaign.strength, campaign.overlap, questions[0].overlap) == (True, 5, 5)
    with open_store(find_project()) as store:
        assert {store.response(id).source for one in questions for id in one.response_ids} == {"model-0", "model-1"}
    assert ask("--campaign", "style", "--form", "pair", "--overlap", 5)["new"] > 0
    told = accord("ask", "--campaign", "style", "--overlap", 3, fails=True)
    assert "--overlap: campaign style has 5" in told.stderr


def test_models_that_name_themselves_are_told_of():
    with open_store(find_project()) as store:
        prompt = next(store.prompts())
        store.add([Response(prompt.id, "I am ChatGPT, made by OpenAI.", source="other")])
    assert ask("--per-prompt", 20)["named"] == 4
    assert "in 4 a model seems to name itself" in accord("ask", "--per-prompt", 20).stdout


def test_control_questions_come_from_a_file():
    rows = [
        {"prompt": "2 + 2?", "responses": ["4", "5"], "right": 0, "reason": "It is 4."},
        {"prompt": "3 + 3?", "responses": ["5", "7"], "right": "tie"},
    ]
    Path("right.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = ask("--per-prompt", 0, "--control", "right.jsonl")
    assert (told["drawn"], told["controls"], told["controls_changed"]) == (0, 2, 0)
    assert ask("--control", "right.jsonl")["controls_changed"] == 2
    _, questions, _ = kept("which-is-better")
    controls = [question for question in questions if question.control]
    assert len(questions) - len(controls) == 10
    with open_store(find_project()) as store:
        right = [one.control.right for one in controls if one.control.reason]
        assert [text_of(store.response(id).content) for id in right] == ["4"]
    Path("right.jsonl").write_text(json.dumps(rows[0] | {"right": 3}))
    refused = accord("ask", "--campaign", "other", "--control", "right.jsonl", fails=True)
    assert "right.jsonl:1: right: is 3, expected a place from 0 to 1 or tie" in refused.stderr
    assert "other" not in [campaign.id for campaign in all_campaigns()]


def all_campaigns():
    with open_store(find_project()) as store:
        return Campaigns(store).all()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--campaign", "New one"), "--campaign New one: write small letters"),
        (("--campaign", "new"), "and not new"),
        (("--campaign", "x" * 41), "at most 40"),
        (("--form", "thumb", "--strength"), "--strength: only pairs have one"),
        (("--size", 3), "--size 3: a question of this campaign has 2 answers"),
        (("--form", "ranking", "--size", 11), "has 3 to 10 answers"),
        (("--form", "ranking", "--size", 5), "no prompt has enough different answers"),
        (("--source", "nobody"), "--source nobody: no prompt has enough"),
        (("--control", "nowhere.jsonl"), "nowhere.jsonl:1: file: does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(words, why):
    assert why in accord("ask", *words, fails=True).stderr
    assert not all_campaigns()


def test_a_project_without_answers_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    accord("init", ".")
    assert "accord sample --store" in accord("ask", fails=True).stderr


def test_people_read_what_was_made():
    told = accord("ask").stdout
    assert "New campaign which-is-better: Which answer is better?" in told
    assert "10 new questions" in told
    assert "accord serve" in told
    assert "0 new questions, 10 were there already" in accord("ask").stdout
    assert "accord ask --campaign style" in accord("ask", "--help").stdout
