"""A survey of votes, and `accord quality`, on crowds whose members are known."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.project import find_project, open_store
from accord.feedback import Annotator, AnnotatorKind, Choice, Comparison, LabelMethod, Message, Prompt, Response, Sides
from accord.quality.labels import LABELS, pair_labels
from accord.quality.survey import survey

AT = datetime(2026, 1, 1, tzinfo=UTC)


def nouns(pairs=60, careful=6, strength=False):
    """Annotators who mostly agree, one who always says left, and one who tosses a coin; all of them simulated."""
    chance = np.random.default_rng(0)
    people = [*(f"careful {n}" for n in range(careful)), "left", "coin"]
    asked = [Prompt((Message("user", f"Question {n}?"),)) for n in range(pairs)]
    said = [[Response(p.id, (Message("assistant", f"{p.id} {k} " + "word " * 40),)) for k in range(2)] for p in asked]
    votes = []
    for n, (prompt, (good, bad)) in enumerate(zip(asked, said, strict=True)):
        for who in people:
            left, right = (good, bad) if chance.random() < 0.5 else (bad, good)
            right_one = Choice.LEFT if left is good else Choice.RIGHT
            wrong_one = Choice.RIGHT if left is good else Choice.LEFT
            careful_one = right_one if chance.random() < 0.9 else wrong_one
            choice = {"left": Choice.LEFT, "coin": chance.choice([Choice.LEFT, Choice.RIGHT])}.get(who, careful_one)
            votes.append(
                Comparison(
                    f"{n} {who}",
                    who,
                    prompt.id,
                    left.id,
                    right.id,
                    Choice(choice),
                    AT + timedelta(hours=n),
                    sides=Sides.SHUFFLED,
                    seconds=0.1 if who == "left" else 60.0,
                    strength=2 if strength else None,
                )
            )
    annotators = [Annotator(who, AnnotatorKind.SIMULATED) for who in people]
    return [*asked, *(each for two in said for each in two), *annotators, *votes]


def parts(all_nouns):
    return [n for n in all_nouns if isinstance(n, Comparison)], [n for n in all_nouns if isinstance(n, Annotator)]


def test_a_survey_counts_and_finds_whose_votes_say_nothing():
    votes, annotators = parts(nouns())
    characters = {id: 500 for vote in votes for id in (vote.prompt_id, vote.left_id, vote.right_id)}
    found = survey(votes, annotators, characters=characters, controls={"coin": (1, 19)}, judged=True)
    assert (found.votes, found.pairs, found.annotators, found.simulated) == (480, 60, 8, 8)
    assert found.agreement.alpha > 0.3
    assert found.strengths is None
    against = {(one.annotator_id, one.kind.value) for one in found.findings}
    assert {
        ("left", "one-sided"),
        ("left", "too fast"),
        ("coin", "failed controls"),
        ("coin", "says little"),
    } <= against
    assert {who for who, _ in against} == {"left", "coin"}
    voters = {voter.annotator_id: voter for voter in found.voters}
    assert voters["left"].left == 1.0
    assert voters["coin"].weight < 0.5
    assert voters["careful 0"].weight == 1
    assert voters["coin"].without_them > 0 > voters["careful 0"].without_them
    assert [each.method for each in found.labels] == list(LABELS)
    for each in found.labels:
        assert each.pairs == 60
        assert each.low <= each.tosses / each.pairs <= each.high
    assert len(found.judged) == 60
    for pair, label in zip(found.judged, pair_labels(votes, "dawid_skene"), strict=True):
        assert pair.p["dawid_skene"] == (label.p_chosen if label.chosen_id == pair.first_id else 1 - label.p_chosen)
        assert 0 < pair.low < pair.p["bradley_terry"] < pair.high < 1
        assert pair.votes == 8
    json.dumps(found.to_json())


def test_strengths_have_an_agreement_of_their_own():
    votes, annotators = parts(nouns(pairs=10, strength=True))
    assert survey(votes, annotators).strengths.value > 0.2


def test_what_a_file_states_is_nobodys_vote():
    votes, _ = parts(nouns(pairs=4))
    stated = {vote.annotator_id: Annotator(vote.annotator_id, AnnotatorKind.DATASET) for vote in votes}
    with pytest.raises(ValueError, match="there are none"):
        survey(votes, stated.values())


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "."]).exit_code == 0
    return find_project()


def quality(*words, fails=False):
    result = CliRunner().invoke(app, ["quality", *words])
    assert bool(result.exit_code) == fails, result.output
    return result


def test_the_command_tells_a_person_and_a_program(project):
    with open_store(project) as store:
        store.add(nouns())
    told = quality("--top", "3").output
    assert "480 on 60 pairs" in told
    assert "8, 8 of them simulated" in told
    assert "says left in" in told
    assert "Question " in told
    assert "quality --json has them all" in told
    found = json.loads(quality("--json").stdout)
    assert found["votes"] == 480
    assert len(found["voters"]) == 8
    assert found["findings"][0]["evidence"]


def test_without_votes_it_says_what_to_do(project):
    assert "accord serve to vote" in " ".join(quality(fails=True).output.split())


def test_every_method_has_a_name_that_commands_know():
    assert set(get_args(LabelMethod)) == set(LABELS)


def test_the_package_that_the_voting_server_imports_does_not_load_scipy():
    loaded = "import accord.quality, sys; print(any(name.startswith('scipy') for name in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "False"


def small(choice=None, same=False, people=4):
    """Six pairs, all judged by a few people: half and half, or all alike."""
    return [
        Comparison(
            f"{n} {k}",
            f"person {k}",
            f"question {n}",
            f"a {n}",
            f"a {n}" if same else f"b {n}",
            choice or (Choice.LEFT if k < 2 else Choice.RIGHT),
            AT,
        )
        for n in range(6)
        for k in range(people)
    ]


@pytest.mark.parametrize(
    "votes",
    [
        small(),
        small()[:1],
        small(people=1),
        small(people=2),
        small(Choice.TIE),
        small(Choice.BOTH_BAD),
        small(Choice.TIE, same=True),
        small(Choice.LEFT, people=12),
        small(Choice.TIE, same=True, people=12),
    ],
)
def test_few_votes_or_votes_that_are_all_alike_have_a_survey(votes):
    found = survey(votes, judged=True)
    assert found.votes == len(votes)
    assert not found.groups or not found.groups.groups
    json.dumps(found.brief({}))
