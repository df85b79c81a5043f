"""The same rows out of every kind of file, a step at a time."""

import csv
import gzip
import json
import subprocess
import sys

import pytest

from accord.exchange import read
from accord.exchange.containers import size, sources
from accord.feedback import Comparison, Prompt

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"“{i}”?\nSay: = 1"}],
        "chosen": f"a{i}",
        "rejected": 'b, "c"\n',
        "n": i / 4,
    }
    for i in range(30)
]
for row in ROWS:
    row["chosen"] = [{"role": "assistant", "content": row["chosen"]}]
    row["rejected"] = [{"role": "assistant", "content": row["rejected"]}]


def as_csv(path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in ROWS)


def as_parquet(path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=7)


def as_dataset(path):
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(path, num_shards=2)


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


WRITE = {
    "a.jsonl": lambda path: path.write_text(lines(ROWS)),
    "a.ndjson": lambda path: path.write_text("\n" + lines(ROWS).replace("\n", "\r\n\r\n")),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(lines(ROWS).encode())),
    "packed.jsonl": lambda path: path.write_bytes(gzip.compress(lines(ROWS).encode())),
    "array.jsonl": lambda path: path.write_text(json.dumps(ROWS)),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "pretty.json": lambda path: path.write_text(json.dumps(ROWS, indent=2)),
    "utf8.json": lambda path: path.write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8"),
    "lines.json": lambda path: path.write_text(lines(ROWS)),
    "a.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "a.csv": as_csv,
    "a.parquet": as_parquet,
    "folder": as_dataset,
}


@pytest.mark.parametrize("name", WRITE)
def test_rows_are_the_same_from_every_container(tmp_path, monkeypatch, name):
    monkeypatch.setattr("accord.exchange.json_text.STEP", 700)  # so that rows and characters are cut by steps
    WRITE[name](tmp_path / name)
    read_bytes = []
    (source,) = sources(tmp_path / name, read_bytes.append)
    found = [{key: record.values[key] for key in ROWS[0]} for record in source.records()]
    if name == "a.csv":
        found = [row | {"n": float(row["n"])} for row in found]
    assert found == ROWS
    assert abs(sum(read_bytes) - size(tmp_path / name)) < 10 or name == "folder"


@pytest.mark.parametrize(
    ("name", "line"), [("a.jsonl", 3), ("pretty.json", 2 + 2 * 21), ("a.csv", 4), ("a.parquet", 3)]
)
def test_rows_are_numbered_as_an_editor_does(tmp_path, name, line):
    WRITE[name](tmp_path / name)
    third = list(sources(tmp_path / name)[0].records())[2]
    assert third.line == line
    if name == "pretty.json":
        assert (tmp_path / name).read_text().splitlines()[line - 1] == "  {"


def test_saved_dataset_dict_has_its_splits(tmp_path):
    from datasets import Dataset, DatasetDict

    parts = {"train": ROWS[:20], "validation": ROWS[20:25], "extra": ROWS[25:]}
    DatasetDict({name: Dataset.from_list(rows) for name, rows in parts.items()}).save_to_disk(tmp_path / "mine")
    nouns = list(read(tmp_path / "mine"))
    splits = [noun.split for noun in nouns if isinstance(noun, Prompt)]
    assert splits == ["train"] * 20 + ["test"] * 5 + [""] * 5
    assert {noun.annotator_id for noun in nouns if isinstance(noun, Comparison)} == {"dataset:mine"}


def test_values_that_only_parquet_has_become_json(tmp_path):
    import datetime
    import decimal

    import pyarrow
    import pyarrow.parquet

    row = {"prompt": "a", "day": datetime.date(2026, 1, 31), "cost": decimal.Decimal("1.50"), "n": float("nan")}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == [Prompt("a", extra={"day": "2026-01-31", "cost": "1.50"})]


def test_text_files_need_no_pyarrow(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,completion\na,b\n")
    code = f"import sys; from accord.exchange import read; list(read({str(tmp_path / 'a.csv')!r})); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "pyarrow", "datasets", "pandas", "numpy"}.isdisjoint(loaded)
