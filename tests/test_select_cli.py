"""`accord select`: what it chooses from a project's store, where that goes, what it refuses."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from accord.cli.answers import columns, read_answers
from accord.cli.main import app
from accord.cli.project import find_project, open_store
from accord.feedback import Annotator, Choice, Comparison, Sides
from accord.quality.information import margin_information
from accord.store.campaigns import Campaigns
from web_kit import world

AT = datetime(2026, 1, 1, tzinfo=UTC)
PROMPTS, ANSWERS = 5, 4
PAIRS = PROMPTS * ANSWERS * (ANSWERS - 1) // 2


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    accord("init", ".")
    add(world(prompts=PROMPTS, answers=ANSWERS))


def accord(*words, fails=False):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == fails, result.output
    return result


def select(*words):
    return json.loads(accord("select", "--json", *words).stdout)


def add(nouns):
    with open_store(find_project()) as store:
        store.add(nouns)


def pair_of(row):
    return tuple(row["response_ids"])


def voted(pair, choices, prompt_id):
    return [
        Comparison(f"{'-'.join(pair)}-{n}", f"ann-{n}", prompt_id, *pair, choice, AT, Sides.SHUFFLED)
        for n, choice in enumerate(choices)
    ]


def scored(rows, heads_KM, name="scored.jsonl"):
    """The rows as `accord score` writes them, where each answer has these heads' scores."""
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = [
        row.record.values | columns(row, "score", np.array(heads))
        for row, heads in zip(read_answers(Path("rows.jsonl")), heads_KM, strict=True)
    ]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in made))
    return name


def test_pairs_are_chosen_from_the_store_and_written():
    told = select("--count", 8, "--out", "next.jsonl", "--random-share", 0)
    assert (told["candidates"], told["with_votes"], told["scored"], told["chosen"]) == (PAIRS, 0, 0, 8)
    rows = [json.loads(line) for line in Path("next.jsonl").read_text().splitlines()]
    assert rows == told["pairs"]
    assert len({pair_of(row) for row in rows}) == 8
    by_prompt = [row["prompt_id"] for row in rows]
    assert max(by_prompt.count(id) for id in by_prompt) <= 2
    # nothing is known of any pair: at the first turn all are as likely
    assert rows[0]["probability"] == pytest.approx(1 / PAIRS)
    assert [len(list(read_answers(Path("next.jsonl")))), rows[0]["votes"]] == [8, 0]
    with open_store(find_project()) as store:
        row = rows[3]
        assert [store.response(id).prompt_id for id in row["response_ids"]] == [row["prompt_id"]] * 2
        assert row["completions"][0][0]["content"] == store.response(row["response_ids"][0]).content[0].content


def test_the_seed_and_the_caps_hold():
    assert select("--seed", 3) == select("--seed", 3) != select("--seed", 4)
    assert select("--random-share", 0, "--per-prompt", 1)["chosen"] == PROMPTS
    assert select("--random-share", 1)["chosen"] == PAIRS
    alone = select("--random-share", 1, "--count", 5)["pairs"]
    assert [row["weight"] for row in alone] == pytest.approx([1] * 5)


def test_pairs_that_people_agree_on_are_asked_last():
    pairs = select("--random-share", 1)["pairs"]
    agreed, split = pairs[0], pairs[1]
    add([Annotator(f"ann-{n}") for n in range(8)])
    add(voted(pair_of(agreed), [Choice.LEFT] * 8, agreed["prompt_id"]))
    add(voted(pair_of(split), [Choice.LEFT, Choice.RIGHT], split["prompt_id"]))
    told = select("--random-share", 1)
    assert told["with_votes"] == 2
    by_pair = {pair_of(row): row for row in told["pairs"]}
    assert by_pair[pair_of(agreed)]["votes"] == 8
    assert by_pair[pair_of(agreed)]["information"] < 0.1 * by_pair[pair_of(split)]["information"]


def test_budgets_and_overlap_hold():
    add([Annotator("ann"), Annotator("bob")])
    told = select("--annotators", "ann", "--annotators", "bob", "--budget", 3, "--overlap", 2)
    assert told["annotators"] == {"ann": 3, "bob": 3}
    assert [row["annotators"] for row in told["pairs"]] == [["ann", "bob"]] * 3
    assert select("--annotators", "ann", "--budget", 4)["chosen"] == 4
    # whoever has judged a pair is not asked about it again
    first = select("--random-share", 1)["pairs"][0]
    left, right = pair_of(first)
    add([Comparison("v", "ann", first["prompt_id"], left, right, Choice.LEFT, AT)])
    of_ann = select("--annotators", "ann", "--random-share", 1)
    assert of_ann["candidates"] == PAIRS - 1
    assert pair_of(first) not in map(pair_of, of_ann["pairs"])


def test_heads_that_disagree_are_asked_about():
    rows = select("--random-share", 1)["pairs"]
    heads = [[[0.0, 0.0], [0.0, 0.0]]] * len(rows)
    heads[4] = [[2.0, -2.0], [-2.0, 2.0]]  # one head is for A by 4, the other for B
    # pairs by pairs: as chosen and rejected, in either order
    turned = [
        {"prompt": row["prompt"], "chosen": row["completions"][1], "rejected": row["completions"][0]} for row in rows
    ]
    told = select("--scores", scored(turned, heads), "--random-share", 0)
    assert told["scored"] == PAIRS
    (only,) = told["pairs"]
    assert pair_of(only) == pair_of(rows[4])
    assert only["information"] == pytest.approx(margin_information([0.0], [4.0])[0], abs=1e-6)
    assert only["probability"] == pytest.approx(1)
    # what select wrote, scored: completions; here a pair is exact as well
    (only,) = select("--scores", scored(rows[4:5], heads[4:5]), "--random-share", 1)["pairs"][:1]
    told = select("--scores", "scored.jsonl", "--random-share", 1)
    assert told["scored"] == 1
    found = {pair_of(row): row["information"] for row in told["pairs"]}[pair_of(rows[4])]
    assert found == pytest.approx(margin_information([0.0], [4.0])[0], abs=1e-6)


def test_answers_scored_one_by_one_are_taken_for_independent():
    rows = select("--random-share", 1)["pairs"]
    alone = [{"prompt": rows[0]["prompt"], "completion": said} for said in rows[0]["completions"]]
    told = select("--scores", scored(alone, [[[1.0, 4.0]], [[0.0, 4.0]]]), "--random-share", 1)
    assert told["scored"] == 1
    found = {pair_of(row): row["information"] for row in told["pairs"]}[pair_of(rows[0])]
    assert found == pytest.approx(margin_information([0.5], [2.5])[0], abs=1e-6)  # means 2.5, 2; deviations 1.5, 2


def test_they_become_the_next_questions_of_a_campaign():
    accord("ask", "--per-prompt", 1)
    told = select("--campaign", "which-is-better", "--count", 6)
    assert (told["candidates"], told["new"]) == (PAIRS - PROMPTS, 6)
    with open_store(find_project()) as store:
        questions, total = Campaigns(store).questions("which-is-better")
    assert total == PROMPTS + 6
    assert [question.response_ids for question in questions[:6]] == [pair_of(row) for row in told["pairs"]]
    assert select("--campaign", "which-is-better", "--random-share", 1)["new"] == PAIRS - PROMPTS - 6
    refused = accord("select", "--campaign", "which-is-better", fails=True)
    assert "all pairs of answers have been asked about" in refused.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--budget", 3), "--budget: whose?"),
        (("--overlap", 2), "--overlap 2: name so many"),
        (("--campaign", "other"), "--campaign other: there is none"),
        (("--source", "nobody"), "--source nobody: no prompt has two different answers"),
        (("--scores", "nowhere.jsonl"), "nowhere.jsonl:1: file: does not exist"),
        (("--scores", "one-head.jsonl"), "no column score_disagreement (a model with one head"),
        (("--scores", "other.jsonl"), "has none of the project's answers"),
        (("--scores", "other.jsonl", "--column", "mine"), "no column mine (is it a file that accord score wrote?"),
        (("--scores", "broken.jsonl"), "broken.jsonl:1: score: expected a number"),
        (("--out", "next.txt"), "name it .jsonl, .json or .csv"),
    ],
)
def test_what_makes_no_sense_is_refused(words, why):
    row = {"prompt": "Why?", "completion": "So.", "score": 1.0}
    Path("one-head.jsonl").write_text(json.dumps(row))
    Path("other.jsonl").write_text(json.dumps(row | {"score_disagreement": 0.5}))
    Path("broken.jsonl").write_text(json.dumps(row | {"score": "much", "score_disagreement": 0.5}))
    refused = accord("select", *words, fails=True)
    assert why in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_project_without_answers_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    accord("init", ".")
    assert "accord sample --store" in accord("select", fails=True).stderr


def test_people_read_what_was_chosen():
    told = accord("select", "--count", 12, "--per-prompt", 3).stdout
    assert f"12 of {PAIRS} pairs, on 5 prompts, by what the votes so far leave open" in told
    assert "and 2 more" in told
    assert "--out FILE.jsonl" in told
    assert "accord select --count 50 --out next.jsonl" in accord("select", "--help").stdout
