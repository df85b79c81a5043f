"""Groups of two tastes, bad hands weighed down, and training on the votes that are left."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.options import DataOptions
from accord.cli.project import find_project, open_store
from accord.cli.training_data import rows_for
from accord.cli.whose_votes import weights
from accord.exchange.snapshot import write_snapshot
from accord.feedback import AccordError
from accord.quality.crowd import Role
from accord.quality.evidence import evidence
from accord.quality.groups import find_groups
from accord.quality.survey import survey
from crowds import nouns, voted


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "."]).exit_code == 0

    def keep(crowd, asked, votes):
        with open_store(find_project()) as store:
            store.add(nouns(crowd, asked, votes))
        return {annotator.id: taste for annotator, taste in zip(crowd.annotators, crowd.taste_J.tolist(), strict=True)}

    return keep


def test_groups_say_who_and_what_they_would_rather_have():
    crowd, asked, votes = voted()
    characters = {r.id: sum(len(m.content) for m in r.content) for _, a, b in asked for r in (a, b)}
    found = find_groups(votes, crowd.annotators, characters=characters)
    taste = dict(zip([a.id for a in crowd.annotators], crowd.taste_J.tolist(), strict=True))
    larger = round(np.mean(crowd.taste_J))
    assert found.of(1) == {one for one in taste if taste[one] == larger}
    assert found.of(2) == set(taste) - found.of(1)
    assert sum(group.annotators for group in found.groups) == 20
    assert sum(group.votes for group in found.groups) == len(votes)
    longer = sorted(group.longer for group in found.groups)
    assert longer[0] < 0.15
    assert longer[1] > 0.85
    assert found.same < 0.2
    worst = found.splits[0]
    assert characters[worst.first_choice] < characters[worst.second_choice] or larger == 1
    assert worst.p_first > 0.5 > worst.p_second


def test_one_taste_has_no_groups():
    crowd, _, votes = voted(tastes=(1.0,))
    found = find_groups(votes, crowd.annotators)
    assert not found.groups
    assert found.of(1) == set()


@pytest.mark.parametrize("number", [1, 2])
def test_training_for_a_group_learns_its_taste(project, number):
    crowd, asked, votes = voted()
    taste = project(crowd, asked, votes)
    rows = rows_for("dpo", DataOptions(group=number))
    larger = round(np.mean(list(taste.values())))
    wants_short = (larger if number == 1 else 1 - larger) == 0
    shorter = [len(str(row["chosen"])) < len(str(row["rejected"])) for row in rows.splits["train"]]
    assert np.mean([short == wants_short for short in shorter]) > 0.9
    assert rows.meta["group"] == number
    assert rows.meta["annotators"] == {"simulated": of_group(taste, number)}
    assert f"for group {number}: the votes of {of_group(taste, number)} of 20 annotators" in rows.notes


def of_group(taste, number):
    first = sum(one == round(np.mean(list(taste.values()))) for one in taste.values())
    return first if number == 1 else len(taste) - first


def test_a_group_that_is_not_there_is_refused(project):
    project(*voted(tastes=(1.0,)))
    with pytest.raises(AccordError, match=r"one taste explains the votes as well as two .* leave out --group"):
        rows_for("dpo", DataOptions(group=1))


def test_few_people_and_no_people_have_no_groups(project, tmp_path):
    project(*voted(roles={Role.HONEST: 4}))
    with pytest.raises(AccordError, match="too few people voted"):
        rows_for("dpo", DataOptions(group=1))
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": "Q", "chosen": "a", "rejected": "b"}))
    with pytest.raises(AccordError, match="people's comparisons, and there are none"):
        rows_for("dpo", DataOptions(dataset_name=[str(file)], group=1))


def test_a_snapshot_has_no_votes_to_choose_from(tmp_path):
    write_snapshot(tmp_path / "frozen", "preference", {"train": [{"id": "1", "prompt": "Q"}]})
    for data in (
        DataOptions([str(tmp_path / "frozen")], group=2),
        DataOptions([str(tmp_path / "frozen")], weigh_annotators=True),
    ):
        with pytest.raises(AccordError, match="votes are labels already"):
            rows_for("dpo", data)


def test_bad_hands_are_weighed_down_and_the_run_says_so(project):
    crowd, asked, votes = voted(
        tastes=(1.0,), roles={Role.HONEST: 12, Role.ALWAYS_LEFT: 1, Role.COLLUDER: 4}, seed=1, reliability=(0.5, 0.8)
    )
    project(crowd, asked, votes)
    found = evidence(votes, crowd.annotators).weights()
    bad = {
        a.id for a, is_bad in zip(crowd.annotators, crowd.are(Role.ALWAYS_LEFT, Role.COLLUDER), strict=True) if is_bad
    }
    assert set(found) == bad

    def wrong(rows):
        return np.mean([len(str(row["chosen"])) > len(str(row["rejected"])) for row in rows.splits["train"]])

    plain = rows_for("dpo", DataOptions(labels="vote_share"))
    weighed = rows_for("dpo", DataOptions(labels="vote_share", weigh_annotators=True))
    assert "weights" not in plain.meta
    assert weighed.meta["weights"] == pytest.approx(found)
    assert f"{len(bad)} annotators weighed down (see accord quality)" in weighed.notes
    assert wrong(weighed) < wrong(plain) - 0.02


def test_who_says_little_by_others_lights_is_left_to_the_labels():
    crowd, _, votes = voted(tastes=(1.0,), roles={Role.HONEST: 12, Role.RANDOM: 3})
    assert evidence(votes, crowd.annotators).weights() == {}
    found = survey(votes, crowd.annotators)
    random = {a.id for a, is_random in zip(crowd.annotators, crowd.are(Role.RANDOM), strict=True) if is_random}
    suspects = {voter.annotator_id for voter in found.voters if voter.suspect}
    assert suspects
    assert suspects <= random
    assert {voter.weight for voter in found.voters} == {1.0}, "what --weigh_annotators does"


def test_control_questions_tell_of_those_too_who_only_gave_thumbs():
    assert set(weights([], [], {}, {"bad": (0, 20), "good": (20, 0), "new": (0, 1)})) == {"bad"}


def test_the_command_shows_two_tastes(project):
    project(*voted())
    told = " ".join(CliRunner().invoke(app, ["quality", "--top", "3"]).output.split())
    assert "Two tastes explain the votes better than one" in told
    assert "To train for one: --group 1, or 2." in told
    assert "group 1 would rather have" in told
    found = json.loads(CliRunner().invoke(app, ["quality", "--json"]).stdout)
    assert len(found["groups"]["groups"]) == 2
    assert {voter["first_group"] > 0.5 for voter in found["voters"]} == {True, False}


def test_the_command_shows_one_taste(project):
    project(*voted(tastes=(1.0,)))
    told = " ".join(CliRunner().invoke(app, ["quality"]).output.split())
    assert "One taste explains the votes as well as two" in told
    assert "group 1 would" not in told
