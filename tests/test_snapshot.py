"""Snapshots: same rows, same hash; a changed file is noticed; nothing is ever half there."""

import json
import subprocess
import sys
import textwrap

import pytest

from accord.exchange.snapshot import read_snapshot, write_snapshot
from accord.feedback import AccordError

ROWS = {
    "train": [{"id": "1", "prompt": "é \u2028", "chosen": "a", "p_chosen": 0.75}, {"id": "2", "prompt": "q"}],
    "test": [{"id": "3", "prompt": [{"role": "user", "content": "Hi"}]}],
}


def test_rows_come_back_as_they_were(tmp_path):
    write_snapshot(tmp_path / "s", "preference", ROWS, meta={"method": "majority"})
    snapshot = read_snapshot(tmp_path / "s")
    assert {split: list(snapshot.rows(split)) for split in ("train", "test")} == ROWS
    assert (snapshot.form, snapshot.counts) == ("preference", {"train": 2, "test": 1})
    assert snapshot.meta == {"method": "majority"}


def test_hash_is_of_the_content_alone(tmp_path):
    reordered_keys = {"test": ROWS["test"], "train": [dict(reversed(row.items())) for row in ROWS["train"]]}
    first = write_snapshot(tmp_path / "a", "preference", ROWS, meta={"when": 1})
    assert write_snapshot(tmp_path / "b", "preference", reordered_keys, meta={"when": 2}).hash == first.hash
    different = [
        ("unpaired", ROWS),
        ("preference", {**ROWS, "train": ROWS["train"][::-1]}),
        ("preference", {"train": ROWS["test"], "test": ROWS["train"]}),
        ("preference", {"train": ROWS["train"]}),
    ]
    hashes = {write_snapshot(tmp_path / str(i), form, rows).hash for i, (form, rows) in enumerate(different)}
    assert len(hashes | {first.hash}) == 5


def test_the_same_rows_again_touch_nothing(tmp_path):
    first = write_snapshot(tmp_path, "preference", ROWS)
    before = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert write_snapshot(tmp_path, "preference", {s: iter(rows) for s, rows in ROWS.items()}) == first
    assert {path.name: path.stat() for path in tmp_path.iterdir()} == before
    assert set(before) == {"manifest.json", "train.jsonl", "test.jsonl"}


def test_other_rows_are_refused(tmp_path):
    first = write_snapshot(tmp_path, "preference", ROWS)
    with pytest.raises(AccordError, match="never changed"):
        write_snapshot(tmp_path, "preference", {"train": ROWS["test"]})
    assert read_snapshot(tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
@pytest.mark.parametrize("harm", [lambda path: path.write_text(path.read_text() + "{}\n"), lambda path: path.unlink()])
def test_a_changed_file_is_named_and_can_be_made_again(tmp_path, name, harm):
    first = write_snapshot(tmp_path, "preference", ROWS)
    harm(tmp_path / name)
    with pytest.raises(AccordError, match=f"{name}: was changed after it was frozen") as error:
        read_snapshot(tmp_path)
    assert "\n" not in str(error.value)
    assert write_snapshot(tmp_path, "preference", ROWS).hash == first.hash
    assert list(read_snapshot(tmp_path).rows("train")) == ROWS["train"]


def test_a_changed_manifest_is_noticed(tmp_path):
    write_snapshot(tmp_path, "preference", ROWS)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "form": "unpaired"}))
    with pytest.raises(AccordError, match=r"manifest\.json: was changed"):
        read_snapshot(tmp_path)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(AccordError, match=r"manifest\.json: damaged"):
        read_snapshot(tmp_path)


def test_no_snapshot_is_one_line(tmp_path):
    with pytest.raises(AccordError, match=r"manifest\.json: not there"):
        read_snapshot(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "\ud800"])
def test_a_row_that_is_not_json_is_named_and_leaves_nothing(tmp_path, value):
    with pytest.raises(ValueError, match=r"train row 3 \(bad\) is not JSON"):
        write_snapshot(tmp_path, "sft", {"train": [*ROWS["train"], {"id": "bad", "prompt": value}]})
    assert list(tmp_path.iterdir()) == []


def test_killed_while_writing_there_is_no_snapshot(tmp_path):
    code = """
        import os, sys
        from accord.exchange.snapshot import write_snapshot
        def rows():
            yield {"id": "1"}
            os.kill(os.getpid(), 9)
        write_snapshot(sys.argv[1], "prompt", {"train": [{"id": "0"}], "test": rows()})
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert killed.returncode == -9
    with pytest.raises(AccordError, match="not there"):
        read_snapshot(tmp_path)
    assert write_snapshot(tmp_path, "prompt", ROWS).counts == {"train": 2, "test": 1}
