"""`accord score` with small real reward models: each answer gets what Transformers' own forward gives it."""

import csv
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from accord.cli.main import app
from accord.runs import Run
from conftest import make_tiny_llama
from training_kit import make_tiny_reward_model

PAIR = {"prompt": "Why?", "chosen": " Because.", "rejected": " No idea at all."}
TALK = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]


@pytest.fixture
def score(byte_tokenizer, tmp_path, monkeypatch):
    """Score rows with a run of so many heads; the rows with their scores."""
    monkeypatch.chdir(tmp_path)

    def run(rows, *words, heads=1, file="rows.jsonl"):
        make_run(tmp_path / f"runs/of-{heads}", byte_tokenizer, heads)
        if file.endswith(".jsonl"):
            write(tmp_path / file, rows)
        done = accord("score", file, "--model", f"runs/of-{heads}", *words)
        assert done.exit_code == 0, done.output
        return lines(tmp_path / "rows.scored.jsonl")

    return run


def make_run(path, tokenizer, heads):
    if not path.is_dir():
        Run.create(path, config={"max_length": 64, "dtype": "float32"}, command="accord reward", method="reward")
        make_tiny_reward_model(tokenizer, heads=heads).save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def accord(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def said(done):
    """The line that a failed command ends with."""
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[-1]


def by_hand(tokenizer, text, heads=1):
    """[heads] scores of a whole text by the model's own forward, one row at a time."""
    model = make_tiny_reward_model(tokenizer, heads=heads)
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0]


def test_each_form_of_row_gets_its_columns(score, byte_tokenizer):
    rows = [
        {"prompt": "Why?", "completion": " Because.", "mine": 7},
        PAIR,
        {"prompt": "Why?", "completions": [" Because.", " No idea at all.", " So."]},
        {"messages": TALK},
        {"prompt": TALK[:1], "chosen": TALK[1:], "rejected": TALK[1:]},
    ]
    one, pair, several, talk, chat = score(rows)
    because, no_idea, so = (by_hand(byte_tokenizer, f"Why? {w}<|im_end|>").item() for w in
                            ("Because.", "No idea at all.", "So."))  # fmt: skip
    hello = by_hand(byte_tokenizer, byte_tokenizer.apply_chat_template(TALK, tokenize=False)).item()
    assert one == rows[0] | {"score": pytest.approx(because, abs=1e-5)}
    assert pair == PAIR | {
        "score_chosen": pytest.approx(because, abs=1e-5),
        "score_rejected": pytest.approx(no_idea, abs=1e-5),
    }
    assert several["scores"] == pytest.approx([because, no_idea, so], abs=1e-5)
    assert talk["score"] == pytest.approx(hello, abs=1e-5)
    assert chat["score_chosen"] == chat["score_rejected"] == pytest.approx(hello, abs=1e-5)


def test_an_ensemble_tells_its_mean_and_how_far_its_heads_disagree(score, byte_tokenizer):
    rows = [PAIR, {"prompt": "Why?", "completion": " So."}, {"prompt": "Why?", "completions": [" Because.", " So."]}]
    pair, one, several = score(rows, heads=3)
    assert json.loads(accord("score", "rows.jsonl", "--model", "of-3", "--json").stdout)["heads"] == 3
    because, no_idea, so = (by_hand(byte_tokenizer, f"Why? {w}<|im_end|>", 3) for w in
                            ("Because.", "No idea at all.", "So."))  # fmt: skip
    assert pair["score_chosen"] == pytest.approx(because.mean().item(), abs=1e-5)
    assert pair["score_disagreement"] == pytest.approx((because - no_idea).std(correction=0).item(), abs=1e-5)
    assert one["score_disagreement"] == pytest.approx(so.std(correction=0).item(), abs=1e-5)
    half = ((because - so) / 2).std(correction=0).item()  # of two answers, each is half the difference off their mean
    assert several["score_disagreement"] == pytest.approx([half, half], abs=1e-5)


def test_rows_keep_their_order_across_blocks(score, byte_tokenizer, monkeypatch):
    monkeypatch.setattr("accord.cli.scoring.BLOCK", 4)
    rows = [{"prompt": "Why?", "completion": "So" + " so" * (i % 3)} for i in range(11)]
    rows[1] = rows[5] = rows[9] = {"prompt": "Why?", "completions": [" a", " b"]}
    found = score(rows)
    assert ["scores" in row for row in found] == [i % 4 == 1 for i in range(11)]
    for row in found:
        if "score" in row:
            text = f"{row['prompt']}{row['completion']}<|im_end|>"
            assert row["score"] == pytest.approx(by_hand(byte_tokenizer, text).item(), abs=1e-5)


def test_dialogues_are_asked_as_training_asks_them(score):
    """hh-rlhf's texts are conversations; TRL's without a prompt begin alike."""
    dialogue = "\n\nHuman: Hello!\n\nAssistant: {}"
    texts, talk = score(
        [
            {"chosen": dialogue.format("Hi."), "rejected": dialogue.format("Go away.")},
            {
                "prompt": TALK[:1],
                "chosen": TALK[1:],
                "rejected": [{"role": "assistant", "content": "Go away."}],
            },
        ]
    )
    assert (texts["score_chosen"], texts["score_rejected"]) == (talk["score_chosen"], talk["score_rejected"])
    shared, apart = score([{"chosen": "Why? So.", "rejected": "Why? No."},
                           {"prompt": "Why?", "chosen": " So.", "rejected": " No."}])  # fmt: skip
    assert shared["score_chosen"] == pytest.approx(apart["score_chosen"], abs=1e-5)


@pytest.mark.parametrize("container", ["rows.csv", "rows.parquet", "rows.json", "rows.jsonl.gz"])
def test_containers_in_and_out(score, container):
    from accord.exchange.writing import write_rows

    rows = [{"prompt": "Why?", "completion": "=1+1"}, {"prompt": "Why?", "completion": " So."}]
    write_rows(container, rows)
    plain = [row["score"] for row in score(rows)]
    assert [row["score"] for row in score(rows, file=container)] == plain
    done = accord("score", container, "--model", "runs/of-1", "--output", f"out.{container.partition('.')[2]}")
    assert done.exit_code == 0, done.output
    if container == "rows.csv":
        back = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
        assert [float(row["score"]) for row in back] == plain
        assert back[0]["completion"] == "'=1+1"  # disarmed for spreadsheets, as it came


def test_scored_rankings_can_be_trained_on(score):
    """What `accord score` writes of `completions` is a form that `accord reward` and `accord dpo` read."""
    from accord.exchange import read
    from accord.feedback import Comparison

    score([{"prompt": "Why?", "completions": [" Because.", " No idea.", " So."]}])
    assert sum(isinstance(noun, Comparison) for noun in read("rows.scored.jsonl")) == 3


def test_what_is_told(score, byte_tokenizer):
    rows = [PAIR, {**PAIR, "prompt": "long " * 20}, {"prompt": "Why?", "completion": " So."}]
    found = score(rows)
    assert (found[1]["score_chosen"], found[1]["score_rejected"]) == (None, None)
    told = json.loads(accord("score", "rows.jsonl", "--model", "of-1", "--json", "--output", "o.jsonl").stdout)
    ahead = found[0]["score_chosen"] > found[0]["score_rejected"]
    assert told == {
        "file": "rows.jsonl", "model": "of-1", "output": "o.jsonl", "heads": 1, "rows": 3, "answers": 5,
        "not_scored": 2, "pairs": 1, "chosen_ahead": float(ahead),
        "lowest_score": min(x for x in _scores(found)), "highest_score": max(_scores(found)),
        "mean_score": pytest.approx(sum(_scores(found)) / 3, abs=1e-5),
    }  # fmt: skip
    longer = accord("score", "rows.jsonl", "--model", "runs/of-1", "--max-length", 512)
    assert "Scored 5 answers in 3 rows → rows.scored.jsonl" in longer.stdout
    assert "got none" not in longer.stdout


def _scores(rows):
    found = (row.get(name) for row in rows for name in ("score", "score_chosen", "score_rejected"))
    return [x for x in found if x is not None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Why?"}, "rows.jsonl:2: columns: prompt hold no answer to score"),
        ({"prompt": "Why?", "completions": []}, "rows.jsonl:2: completions: is a list, expected a list of one answer"),
        ({"prompt": "Why?", "completions": ["a", 3]}, "rows.jsonl:2: completions[1]: is a number, expected text"),
        ({"prompt": "Why?", "completion": ""}, "rows.jsonl:2: completion: is empty"),
        ({"messages": TALK[:1]}, "rows.jsonl:2: messages: has one message"),
        ({"completion": "So."}, "rows.jsonl:2: prompt: is missing"),
        ({**PAIR, "score_chosen": 9}, "rows.jsonl:2: score_chosen: is there already (call the new columns otherwise"),
    ],
)
def test_a_bad_row_is_named_before_a_model_is_loaded(tmp_path, monkeypatch, row, message):
    monkeypatch.chdir(tmp_path)
    write(Path("rows.jsonl"), [PAIR, row])
    assert said(accord("score", "rows.jsonl", "--model", "nowhere/at/all")).startswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_columns_can_be_called_otherwise(score):
    (row,) = score([{**PAIR, "score_chosen": 9}], "--column", "mine", heads=3)
    assert row.keys() == {*PAIR, "score_chosen", "mine_chosen", "mine_rejected", "mine_disagreement"}


def test_models_from_elsewhere(score, byte_tokenizer, tiny_model_dir, tmp_path):
    """A folder that Transformers saved, without run.json, is scored with; what is no reward model is refused."""
    (mine,) = score([PAIR])
    for heads, name in ((1, "reward"), (2, "classifier")):
        make_tiny_reward_model(byte_tokenizer, heads=heads).save_pretrained(name)
        byte_tokenizer.save_pretrained(name)
    done = accord("score", "rows.jsonl", "--model", "./reward", "--output", "theirs.jsonl")
    assert done.exit_code == 0, done.output
    assert lines(Path("theirs.jsonl")) == [mine]
    refused = {
        "./classifier": "./classifier: a classifier with 2 labels, and a reward model has one",
        tiny_model_dir: f"{tiny_model_dir}: a language model, which gives no scores",
        "./nowhere": "./nowhere: no such folder",
    }
    for name, message in refused.items():
        assert said(accord("score", "rows.jsonl", "--model", name, "--output", "no.jsonl")).startswith(message)
    run = Run.create(tmp_path / "runs/dpo", config={}, command="accord dpo", method="dpo")
    make_tiny_llama(byte_tokenizer).save_pretrained(run.path)
    assert said(accord("score", "rows.jsonl", "--model", "dpo")).startswith("dpo: trained by accord dpo, so it gives")
    assert not Path("no.jsonl").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_where_it_cannot_be_written_is_said_first(score):
    score([PAIR])
    assert said(accord("score", "rows.jsonl", "--model", "no/such/model", "--output", "out.txt")) == (
        "out.txt: name it .jsonl, .json or .csv (or these with .gz), or .parquet"
    )
    assert said(accord("score", "rows.jsonl", "--model", "no/such/model", "--output", "no/where.jsonl")).startswith(
        "no/where.jsonl: cannot be written: No such file"
    )
