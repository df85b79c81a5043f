"""Out again: `datasets` reads what is written, Accord reads back all of it, spreadsheets run none of it."""

import csv
import json
import os
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from accord.exchange import read, write_export
from accord.exchange.csv_text import from_cell, to_cell
from accord.exchange.writing import write_votes
from accord.feedback import (
    AccordError,
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Message,
    PairLabel,
    Prompt,
    Rating,
    Response,
    ResponseLabel,
    Sides,
)
from accord.quality import pair_labels

PROMPTS = [Prompt("Why?", split="test", extra={"topic": "=1+1"}), Prompt((Message("user", "How?"),), split="train")]
RESPONSES = [
    Response(PROMPTS[0].id, "=HYPERLINK(1)"),
    Response(PROMPTS[0].id, "'@not"),
    Response(PROMPTS[1].id, (Message("assistant", "So."),)),
    Response(PROMPTS[1].id, (Message("assistant", ""),)),
    Response(PROMPTS[1].id, (Message("assistant", "No."),)),
]
GOOD, WORSE, SO, EMPTY, NO = (response.id for response in RESPONSES)
PAIRS = [
    PairLabel(PROMPTS[0].id, GOOD, WORSE, 0.8, n_votes=5, extra={"margin": -0.5}),
    PairLabel(PROMPTS[1].id, SO, NO, 0.75),
    PairLabel(PROMPTS[1].id, SO, EMPTY, 0.9),
    PairLabel(PROMPTS[1].id, NO, EMPTY, 0.5, weight=0.0),
]
THUMBS = [
    ResponseLabel(PROMPTS[0].id, GOOD, 0.9),
    ResponseLabel(PROMPTS[0].id, WORSE, 0.25),
    ResponseLabel(PROMPTS[1].id, SO, 0.5),
    ResponseLabel(PROMPTS[1].id, EMPTY, 0.9),
]
FILES = ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz", "a.csv.gz"]


def test_dpo_rows(tmp_path):
    counts = write_export("dpo", tmp_path / "a.jsonl", PROMPTS, RESPONSES, PAIRS)
    assert counts == {"rows": 2, "empty answer": 1, "undecided": 1}
    first, second = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
    assert first.pop("id") != second.pop("id")
    assert first == {
        "prompt": "Why?",
        "chosen": "=HYPERLINK(1)",
        "rejected": "'@not",
        "p_chosen": 0.8,
        "weight": 1.0,
        "topic": "=1+1",
        "split": "test",
        "margin": -0.5,
    }
    assert second["rejected"] == [{"role": "assistant", "content": "No."}]


def test_ties_are_a_column_where_there_are_any(tmp_path):
    tied = PairLabel(PROMPTS[1].id, SO, NO, 0.75, p_tie=0.25)
    alike = PairLabel(PROMPTS[1].id, NO, SO, 0.5, p_tie=1.0)
    counts = write_export("reward", tmp_path / "a.jsonl", PROMPTS, RESPONSES, [PAIRS[0], tied, alike])
    assert counts == {"rows": 2, "undecided": 1}
    assert [json.loads(line)["p_tie"] for line in (tmp_path / "a.jsonl").open()] == [0.0, 0.25]


@pytest.mark.parametrize("name", FILES)
def test_how_sure_people_were_comes_back(tmp_path, name):
    asked = [Prompt(f"{i}?") for i in range(3)]
    answers = [Response(prompt.id, text) for prompt in asked for text in ("yes", "no")]
    weighed = [
        PairLabel(prompt.id, answers[2 * i].id, answers[2 * i + 1].id, p, p_tie=tie)
        for i, (prompt, p, tie) in enumerate(zip(asked, (0.9, 2 / 3, 1.0), (0.1, 1 / 3, 0.0), strict=True))
    ]
    write_export("dpo", tmp_path / name, asked, answers, weighed)
    nouns = list(read(tmp_path / name))
    stated = pair_labels(
        [noun for noun in nouns if isinstance(noun, Comparison)],
        annotators=[noun for noun in nouns if isinstance(noun, Annotator)],
    )
    assert [replace(label, extra={}) for label in stated] == weighed


def test_kto_rows(tmp_path):
    counts = write_export("kto", tmp_path / "a.json", PROMPTS, RESPONSES, THUMBS)
    assert counts == {"rows": 2, "empty answer": 1, "undecided": 1}
    found = json.loads((tmp_path / "a.json").read_text())
    assert [(row["completion"], row["label"], row["p_desirable"]) for row in found] == [
        ("=HYPERLINK(1)", True, 0.9),
        ("'@not", False, 0.25),
    ]


def test_reward_rows_all_have_a_margin_or_none_has(tmp_path):
    """TRL stacks the margins of a batch: a row without one would end its training."""
    write_export("reward", tmp_path / "a.jsonl", PROMPTS, RESPONSES, PAIRS)
    assert [json.loads(line)["margin"] for line in (tmp_path / "a.jsonl").open()] == [-0.5, 0.0]
    write_export("reward", tmp_path / "b.jsonl", PROMPTS, RESPONSES, PAIRS[1:])
    assert all("margin" not in json.loads(line) for line in (tmp_path / "b.jsonl").open())


@pytest.mark.parametrize("name", FILES)
def test_what_was_written_is_read_back(tmp_path, name):
    form, labels = ("dpo", PAIRS) if name != "a.parquet" else ("dpo", PAIRS[:1])  # Parquet cannot mix text and messages
    write_export(form, tmp_path / name, PROMPTS, RESPONSES, labels)
    nouns = list(read(tmp_path / name))
    votes = [noun for noun in nouns if isinstance(noun, Comparison)]
    assert [(vote.left_id, vote.right_id) for vote in votes] == [(GOOD, WORSE), (SO, NO)][: len(votes)]
    assert votes[0].extra | {"id": ""} == {"id": "", "p_chosen": 0.8, "weight": 1.0, "topic": "=1+1", "margin": -0.5}
    assert [noun.split for noun in nouns if isinstance(noun, Prompt)] == ["test", "train"][: len(votes)]
    assert len(list(tmp_path.iterdir())) == 1


def test_datasets_reads_the_files(tmp_path):
    from datasets import load_dataset

    write_export("dpo", tmp_path / "a.jsonl", PROMPTS[1:], RESPONSES, PAIRS)
    write_export("dpo", tmp_path / "a.parquet", PROMPTS[1:], RESPONSES, PAIRS)
    for kind, name in {"json": "a.jsonl", "parquet": "a.parquet"}.items():
        data = load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache"))
        assert data[0]["prompt"] == [{"role": "user", "content": "How?"}]
        assert data[0]["chosen"] == [{"role": "assistant", "content": "So."}]


def test_no_csv_cell_is_a_formula(tmp_path):
    write_export("dpo", tmp_path / "a.csv", PROMPTS, RESPONSES, PAIRS)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["chosen"] == "'=HYPERLINK(1)"
    assert rows[0]["topic"] == "'=1+1"
    assert rows[0]["margin"] == "-0.5"  # a number is no formula
    for cell in (cell for row in rows for cell in row.values() if cell != "-0.5"):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_disarming_a_cell_loses_nothing():
    random.seed(0)
    for _ in range(2000):
        text = "".join(random.choices("'=+-@\t\ra ", k=random.randint(1, 5)))
        assert to_cell(text)[0] not in "=+-@\t\r"
        assert from_cell(to_cell(text)) == text


def test_a_failed_export_leaves_the_old_file(tmp_path):
    (tmp_path / "a.parquet").write_text("old")
    with pytest.raises(AccordError, match="mixes kinds of values"):
        write_export("dpo", tmp_path / "a.parquet", PROMPTS, RESPONSES, PAIRS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
    assert (tmp_path / "a.parquet").read_text() == "old"


@pytest.mark.parametrize("name", ["a.txt", "a", "a.parquet.gz", "missing/a.jsonl"])
def test_a_file_that_cannot_be_written(tmp_path, name):
    with pytest.raises(AccordError, match=r"name it \.jsonl|cannot be written: No such file"):
        write_export("dpo", tmp_path / name, PROMPTS, RESPONSES, PAIRS)
    assert not list(tmp_path.iterdir())


AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERYTHING = [
    Annotator("ada", extra={"age": 36}),
    Annotator("sim", AnnotatorKind.SIMULATED),
    *PROMPTS,
    *RESPONSES,
    Response(PROMPTS[0].id, "Look.", source="ben", demonstration=True, extra={"a": [1]}),
    Comparison("v1", "ada", PROMPTS[0].id, GOOD, WORSE, Choice.BOTH_BAD, AT),
    Comparison(
        "v2",
        "ada",
        PROMPTS[0].id,
        GOOD,
        WORSE,
        Choice.TIE,
        AT,
        Sides.SHUFFLED,
        3,
        "hm\u2028",
        1.5,
        "g1",
        "v1",
        {"x": None},
    ),
    Rating("r1", "sim", PROMPTS[1].id, EMPTY, False, AT, "no", 2.0, "g1", None, {"y": 0}),
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_votes_go_out_and_in_without_loss(tmp_path, name):
    counts = write_votes(tmp_path / name, EVERYTHING)
    assert counts == {"annotator": 2, "prompt": 2, "response": 6, "comparison": 2, "rating": 1}
    assert list(read(tmp_path / name)) == EVERYTHING


def test_votes_are_lines(tmp_path):
    with pytest.raises(AccordError, match=r"written as \.jsonl"):
        write_votes(tmp_path / "a.csv", EVERYTHING)
    assert os.listdir(tmp_path) == []
