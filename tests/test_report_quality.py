"""The page on the votes: its figures are the survey's, and whoever's name stands in it does no harm."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.project import find_project, open_store
from accord.feedback import Annotator, AnnotatorKind
from accord.quality.crowd import Role
from accord.quality.survey import survey
from accord.report import quality, write_report
from accord.runs import Run
from crowds import nouns, voted
from test_report import HOSTILE, Reader


def found(*arguments, **settings):
    """The survey of a crowd, as a page has it."""
    crowd, asked, votes = voted(*arguments, **settings)
    texts = {noun.id: str(noun.content) for three in asked for noun in three}
    lengths = {id: len(text) for id, text in texts.items()}
    return json.loads(json.dumps(survey(votes, crowd.annotators, characters=lengths).brief(texts, most=10)))


@pytest.fixture(scope="module")
def split():
    return found()


@pytest.fixture(scope="module")
def bad():
    return found((1.0,), {Role.HONEST: 12, Role.ALWAYS_LEFT: 1, Role.RANDOM: 2}, seed=1)


def test_the_lead_says_who_is_a_program(split):
    assert quality.lead(split) == "800 votes on 80 pairs by 20 annotators, all of them simulated."


def test_cards_are_the_surveys_figures(bad):
    cards = {card.label: card for card in quality.cards(bad)}
    alpha = bad["agreement"]
    assert cards["Agreement (Krippendorff’s α)"].value == f"{alpha['alpha']:.2f}"
    assert cards["Agreement (Krippendorff’s α)"].interval == f"{alpha['low']:.2f} to {alpha['high']:.2f}"
    tosses = next(each for each in bad["labels"] if each["method"] == "dawid_skene")
    assert cards["Close to a coin toss"].value.startswith(f"{100 * tosses['tosses'] / tosses['pairs']:.0f}")
    assert "α of strengths" not in cards


def test_two_tastes_are_put_in_words_with_what_each_would_choose(split):
    remark = next(remark for remark in quality.remarks(split) if "tastes" in remark.title)
    assert remark.tone == "warning"
    first, second = split["groups"]["groups"]
    assert f"{first['annotators']} annotators are of group 1 and {second['annotators']} of group 2" in remark.says
    assert "--group 1" in remark.next
    table = quality.splits(split)
    assert len(table.rows) == 10
    assert table.says == f"The first 10 of {split['of']['splits']}; `accord quality --json` has them all."
    assert "Group" in quality.voters(split).head


def test_one_taste_is_put_in_words(bad):
    assert "One taste explains the votes" in [remark.title for remark in quality.remarks(bad)]
    assert quality.splits(bad) is None
    assert "Group" not in quality.voters(bad).head


def test_the_evidence_is_told_and_nobody_is_removed(bad):
    rows = quality.findings(bad).rows
    assert {row[1] for row in rows} == {"Votes that say little", "One side, whatever stands there"}
    assert any("says left in" in row[2] for row in rows)
    remark = next(remark for remark in quality.remarks(bad) if "speaks against" in remark.title)
    assert remark.title == "Something speaks against 3 annotators"
    assert "Nobody was removed" in remark.says
    assert "`dawid_skene` believe those less whose votes say little" in remark.next
    assert "`--weigh_annotators` counts votes less of the others" in remark.next
    assert len(quality.voters(bad).rows) == 10


def test_where_nothing_was_found_that_is_said():
    calm = found((1.0,), {Role.HONEST: 10})
    assert quality.findings(calm) is None
    assert "Nothing speaks against anybody" in [remark.title for remark in quality.remarks(calm)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_texts_are_text(text):
    _, asked, votes = voted((0.6, 0.4), pairs=40)
    votes = [replace(vote, annotator_id=f"{text} {vote.annotator_id}", id=f"{vote.id} {text}") for vote in votes]
    texts = {noun.id: f"{text} {noun.id}" for three in asked for noun in three}
    seen = Reader(quality.render(text, survey(votes).brief(texts)))
    assert {"script", "img"} & set(seen.tags) == set()
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert seen.text.count(text) >= 20


def test_people_who_are_no_programs_are_not_called_so():
    crowd, _, votes = voted((1.0,), {Role.HONEST: 8}, pairs=20, each=10)
    people = [Annotator(each.id, AnnotatorKind.HUMAN) for each in crowd.annotators]
    assert quality.lead(survey(votes, people).brief({})) == "80 votes on 20 pairs by 8 annotators."


def test_a_run_shows_the_votes_that_it_learnt_from(tmp_path, bad):
    run = Run.create(tmp_path / "run", config={}, command="accord dpo", method="dpo", base_model="m", device="cpu")
    assert "The votes: how far people agree" not in write_report(run.path).read_text("utf-8")
    run.keep_quality(bad)
    page = Reader(write_report(run.path).read_text("utf-8"))
    assert "The votes: how far people agree" in page.text
    assert "Something speaks against 3 annotators" in page.text
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    (run.path / "quality.json").write_text('{"votes": 3}')
    with pytest.raises(ValueError, match=r"quality.json: not as Accord writes it .* delete it"):
        write_report(run.path)


def test_the_command_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "."]).exit_code == 0
    with open_store(find_project()) as store:
        store.add(nouns(*voted((1.0,), pairs=40, each=20)))
    done = CliRunner().invoke(app, ["quality", "--html", "votes.html"])
    assert done.output == "Wrote votes.html\n"
    assert "400 votes on 40 pairs" in (tmp_path / "votes.html").read_text("utf-8")
    lost = CliRunner().invoke(app, ["quality", "--html", "away/votes.html"])
    assert lost.exit_code == 1
    assert lost.stderr == "away/votes.html: there is no folder away: make it first\n"
