"""Broken files: each is refused with one line that says where and what, and leaves the store as it was."""

import pytest

from accord.exchange import BadInput, read
from accord.feedback import AccordError, Prompt
from accord.store import Store
from bad_files import BAD, CROWD, GOOD, PAIR, TEXTS, rows, second


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("store") / "votes.db") as store:
        store.add([Prompt("What stood here before")])
        yield store


def refused(store, paths, **options):
    """The message with which importing `paths` fails; that nothing was written is checked."""
    before = store.counts()
    with pytest.raises(AccordError) as error:
        store.add(read(paths, **options))
    assert store.counts() == before
    message = str(error.value)
    assert message.isprintable(), "one line, fit for a terminal"
    return error.value


@pytest.mark.parametrize(("name", "content", "where", "why"), BAD.values(), ids=BAD)
def test_bad_file_is_refused(tmp_path, store, name, content, where, why):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    error = refused(store, path)
    assert isinstance(error, BadInput)
    assert str(error).startswith(f"{path}:{where}"), error
    assert why in str(error)


CROWD_ROWS = {
    "unknown pair": ("2,1,2,5,left", "2: id: ", "'2' is no pair of the texts"),
    "unknown winner": ("1,1,2,5,both", "2: winner: ", "is 'both', expected one of left, right, tie"),
    "no worker": ("1,1,2,,left", "2: worker: ", "is empty"),
}


@pytest.mark.parametrize(("row", "where", "why"), CROWD_ROWS.values(), ids=CROWD_ROWS)
def test_bad_crowd_vote_is_refused(tmp_path, store, row, where, why):
    votes, texts = tmp_path / "votes.csv", tmp_path / "pairs.jsonl"
    votes.write_text(f"{CROWD}{row}\n")
    texts.write_text(rows(TEXTS))
    error = refused(store, [votes, texts])
    assert str(error).startswith(f"{votes}:{where}")
    assert why in str(error)


def test_pair_that_stands_twice_is_refused(tmp_path, store):
    (tmp_path / "votes.csv").write_text(f"{CROWD}1,1,2,5,left\n")
    (tmp_path / "pairs.jsonl").write_text(rows(TEXTS, TEXTS))
    error = refused(store, [tmp_path / "votes.csv", tmp_path / "pairs.jsonl"])
    assert str(error).startswith(f"{tmp_path / 'pairs.jsonl'}:2: id: '1' stands twice")


def test_one_bad_file_among_good_ones_stops_all(tmp_path, store):
    (tmp_path / "good.jsonl").write_text(GOOD * 6000)  # more than the store writes at a time
    (tmp_path / "bad.jsonl").write_text(second(chosen=None))
    error = refused(store, [tmp_path / "good.jsonl", tmp_path / "bad.jsonl"])
    assert str(error).startswith(f"{tmp_path / 'bad.jsonl'}:2: chosen: is null")


def test_file_that_is_not_there(tmp_path, store):
    assert str(refused(store, tmp_path / "a.jsonl")) == f"{tmp_path / 'a.jsonl'}:1: file: does not exist"


def test_folder_that_is_no_dataset(tmp_path, store):
    assert "is a folder that save_to_disk did not write" in str(refused(store, tmp_path))


FOLDERS = {
    "state that is not JSON": ({"state.json": "{"}, "state.json:1: file: is missing or not JSON"),
    "state without files": ({"state.json": "{}"}, "state.json:1: _data_files: is missing"),
    "state that leads outside": (
        {"state.json": '{"_data_files": [{"filename": "../a.arrow"}]}'},
        "state.json:1: _data_files: names a file outside the folder: '../a.arrow'",
    ),
    "data that is missing": (
        {"state.json": '{"_data_files": [{"filename": "a.arrow"}]}'},
        "a.arrow:1: file: is not an Arrow",
    ),
    "data that is broken": (
        {"state.json": '{"_data_files": [{"filename": "a.arrow"}]}', "a.arrow": "ARROW1"},
        "a.arrow:1: file: is not an Arrow file",
    ),
    "splits that are not a list": (
        {"dataset_dict.json": '{"splits": 1}'},
        "dataset_dict.json:1: splits: is not a list",
    ),
    "split that is missing": ({"dataset_dict.json": '{"splits": ["train"]}'}, "train:1: file: does not exist"),
}


@pytest.mark.parametrize(("files", "message"), FOLDERS.values(), ids=FOLDERS)
def test_bad_folder_is_refused(tmp_path, store, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert str(refused(store, tmp_path)).startswith(f"{tmp_path}/{message}")


def test_parquet_with_a_bad_row(tmp_path, store):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([PAIR, PAIR | {"chosen": None}])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert str(refused(store, tmp_path / "a.parquet")).startswith(f"{tmp_path / 'a.parquet'}:2: chosen: is null")
    images = pyarrow.table({"prompt": ["a"], "image": [b"\0"]})
    pyarrow.parquet.write_table(images, tmp_path / "b.parquet")
    assert ":1: image: is bytes, which cannot be kept" in str(refused(store, tmp_path / "b.parquet"))
    twice = pyarrow.table([["a"], ["b"]], names=["prompt", "prompt"])
    pyarrow.parquet.write_table(twice, tmp_path / "c.parquet")
    assert ":1: prompt: is the name of two columns" in str(refused(store, tmp_path / "c.parquet"))


def test_unknown_format_names_the_nearest(tmp_path, store):
    (tmp_path / "a.jsonl").write_text(GOOD)
    error = refused(store, tmp_path / "a.jsonl", format="preferences")
    assert str(error) == "--format: no format is called 'preferences' (do you mean preference?)"
    assert "use one of preference, unpaired" in str(refused(store, tmp_path / "a.jsonl", format="xyz"))


def test_unknown_split_is_refused(tmp_path, store):
    (tmp_path / "a.jsonl").write_text(GOOD)
    assert str(refused(store, tmp_path / "a.jsonl", split="dev")) == "--split: 'dev' is neither train nor test"


def test_hostile_file_name_stays_on_one_line(tmp_path, store):
    path = tmp_path / "a\n\x1b[31m.jsonl"
    path.write_text("")
    assert str(refused(store, path)).endswith("a\\n\\x1b[31m.jsonl:1: file: is empty")


def test_byte_order_mark_is_no_error(tmp_path, store):
    for name, text in {"a.jsonl": GOOD, "a.json": f"[{GOOD}]", "a.csv": "prompt,completion\na,b\n"}.items():
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert list(read(tmp_path / name))
