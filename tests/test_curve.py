"""The learning curve: laws that it finds again, figures that votes without noise must have, and how it is told."""

import json
from datetime import UTC, datetime
from math import log

import numpy as np
import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.feedback import Annotator, Choice, Comparison, Prompt, Response, Sides
from accord.quality import curve as module
from accord.quality.curve import Law, learning_curve
from accord.store import Store

AT = datetime(2026, 1, 1, tzinfo=UTC)


def votes(pairs, each, right, seed=0):
    """`each` people on each pair, where every vote is right with probability `right`; the better one lies left or right
    by chance."""
    random = np.random.default_rng(seed)
    for n in range(pairs):
        prompt = Prompt(f"Question {n}?")
        good, poor = (Response(prompt.id, text, source=text) for text in ("good", "poor"))
        for j in range(each):
            first, correct = random.random() < 0.5, random.random() < right
            left, other = (good, poor) if first else (poor, good)
            choice = Choice.LEFT if first == correct else Choice.RIGHT
            yield Comparison(f"{n}-{j}", f"ann-{j}", prompt.id, left.id, other.id, choice, AT, Sides.SHUFFLED)


@pytest.mark.parametrize("law", [Law(0.3, 1.0, 500.0), Law(0.1, 0.5, 200.0), Law(0.0, 1.0, 100.0)])
def test_a_law_is_found_again(law):
    sizes = np.array([100, 200, 400, 700, 1000])
    (found,) = module._laws(sizes, np.array([[law(n) for n in sizes]]))
    assert [found(n) for n in (1000, 1500)] == pytest.approx([law(n) for n in (1000, 1500)], abs=1e-4)
    assert law(0) == pytest.approx(log(2))
    assert law(np.inf) == pytest.approx(log(2) - law.b)


def test_a_loss_by_hand():
    """Labels that say ¾ of votes that are right in three of four: κ is 1, and the loss H(¼). A coin's loss is ln 2."""
    p_SH = np.array([[0.75] * 4, [0.5] * 4])
    losses = module._losses(module._Held(np.array([1.0, 1.0, 1.0, 0.0]), p_SH))
    assert losses.mean(-1) == pytest.approx([-0.75 * log(0.75) - 0.25 * log(0.25), log(2)], abs=1e-5)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "REPEATS", 3)


def test_more_noisy_votes_on_a_pair_tell_more(quick):
    found = learning_curve(votes(120, 5, 0.75), "vote_share")
    assert (found.votes, found.pairs, found.more, found.unknown) == (600, 120, 500, "")
    losses = [point.loss for point in found.points]
    assert found.points[-1].votes == 480
    assert losses[0] - losses[-1] > 0.02
    assert found.floor.value <= found.then.value <= found.now.value <= losses[-1]
    assert found.gain.value == pytest.approx(found.now.value - found.then.value)
    for figure in (found.now, found.then, found.gain, found.floor):
        assert figure.low <= figure.value <= figure.high
    assert found.gain.low > 0


def test_the_gain_is_what_more_votes_really_bring(quick):
    """300 votes foretell the loss with 800; what it really is lies in the interval."""
    more = learning_curve(votes(100, 10, 0.7), "vote_share")
    real = np.interp(800, [point.votes for point in more.points], [point.loss for point in more.points])
    before = learning_curve((vote for vote in votes(100, 10, 0.7) if int(vote.id.split("-")[1]) < 3), "vote_share")
    assert before.votes == 300
    assert before.then.low < real < before.then.high


def test_votes_that_say_nothing_buy_nothing(quick):
    found = learning_curve(votes(120, 4, 0.5), "vote_share")
    assert found.gain.low == pytest.approx(0, abs=1e-3)
    assert found.now.value == pytest.approx(log(2), abs=0.02)


def test_what_cannot_be_said_is_not_said():
    few = learning_curve(votes(20, 3, 0.8))
    assert few.unknown == "20 pairs have 3 votes or more, and 30 are needed"
    assert (few.votes, few.points, few.gain) == (60, (), None)
    assert learning_curve([]).unknown
    assert learning_curve(votes(100, 2, 0.8)).unknown


def test_of_very_many_votes_some_pairs_stand_for_all(quick, monkeypatch):
    monkeypatch.setattr(module, "MOST", 300)
    found = learning_curve(votes(200, 4, 0.75), "vote_share")
    assert found.votes == 800
    assert found.points[-1].votes == pytest.approx(600, abs=2)  # three of four of each pair


def test_the_seed_decides(quick):
    one, same, other = (learning_curve(votes(60, 3, 0.8), "majority", seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.fixture
def project(tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "."]).exit_code == 0

    def fill(pairs, right=0.8):
        made = list(votes(pairs, 4, right))
        prompts = [Prompt(f"Question {n}?") for n in range(pairs)]
        said = [Response(prompt.id, text, source=text) for prompt in prompts for text in ("good", "poor")]
        with Store.open(tmp_path / "accord.db") as store:
            store.add([*prompts, *said, *(Annotator(f"ann-{j}") for j in range(4)), *made])

    return fill


def doctor(*words):
    result = CliRunner().invoke(app, ["doctor", "--no-model", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_doctor_tells_the_curve(project):
    project(60)
    told = json.loads(doctor("--curve", "--json"))["curve"]
    assert (told["votes"], told["pairs"], told["more"]) == (240, 60, 500)
    assert set(told["points"][0]) == {"votes", "loss"}
    assert told["gain"]["low"] <= told["gain"]["value"] <= told["gain"]["high"]
    shown = doctor("--curve")
    assert "What more votes would buy" in shown
    assert "now, 240 votes on 60 pairs" in shown
    assert any(verdict in shown for verdict in ("Worth asking", "Enough of these pairs", "Not clear yet"))
    assert "Nothing learnt" not in shown
    assert "curve" not in json.loads(doctor("--json"))


def test_doctor_says_that_votes_do_not_agree(project):
    project(60, right=0.5)
    assert "Nothing learnt yet: a vote agrees with the others as a coin would" in " ".join(doctor("--curve").split())


def test_doctor_says_why_there_is_no_curve(project):
    project(10)
    assert "10 pairs have 3 votes or more, and 30 are needed" in doctor("--curve")
    assert json.loads(doctor("--curve", "--json"))["curve"]["gain"] is None
