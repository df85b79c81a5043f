"""How a file is stored: which reader gives its rows. What the rows mean is for `formats` to say."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from accord.exchange.arrow import folder_lines, parquet_lines, splits
from accord.exchange.bad_input import BadInput, shown
from accord.exchange.csv_text import csv_lines
from accord.exchange.json_text import json_lines, json_stream
from accord.exchange.source import Line, Progress, Source

TextReader = Callable[[Path, IO[bytes]], Iterator[Line]]
TEXT: dict[str, TextReader] = {".jsonl": json_lines, ".ndjson": json_lines, ".json": json_stream, ".csv": csv_lines}
PARQUET = {".parquet", ".pq"}
GZIP = b"\x1f\x8b"
#: How the splits of data sets are called, by their first part: `test_prefs`, `validation` …
SPLITS = {"train": "train", "test": "test", "validation": "test", "valid": "test", "val": "test", "eval": "test"}


def sources(path: Path, progress: Progress = lambda _: None) -> list[Source]:
    """What there is to read at `path`: the file, or each split of a folder. Raises BadInput where nothing can be."""
    if not path.exists():
        raise BadInput(path, 1, "file", "does not exist")
    if path.is_dir():
        return _folder(path, progress)
    suffix = path.with_suffix("").suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if suffix in PARQUET:
        return [_source(path, partial(parquet_lines, path), progress)]
    if suffix not in TEXT:
        known = " ".join([*TEXT, *sorted(PARQUET)])
        raise BadInput(path, 1, "file", f"has the suffix {shown(suffix)}, and not one of {known} (rename it)")
    return [_source(path, partial(_text, path, TEXT[suffix]), progress, typed=suffix != ".csv")]


def size(path: Path) -> int:
    """Bytes at `path`, folders included: what progress adds up to, nearly."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*.arrow")))


def split_named(name: str) -> str:
    """`train` or `test` for the names that splits go by; empty for any other."""
    return SPLITS.get(name.lower().partition("_")[0], "")


def _source(
    path: Path,
    lines: Callable[[Progress], Iterator[Line]],
    progress: Progress,
    *,
    stem: str = "",
    split: str = "",
    typed: bool = True,
) -> Source:
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Source(path, stem or path.name.partition(".")[0] or path.name, at, lines, split, typed, progress)


def _folder(path: Path, progress: Progress) -> list[Source]:
    if (path / "state.json").exists():
        return [_source(path, partial(folder_lines, path), progress)]
    if not (path / "dataset_dict.json").exists():
        raise BadInput(path, 1, "file", "is a folder that save_to_disk did not write (name the files in it instead)")
    parts = [path / name for name in splits(path)]
    for part in parts:
        if not part.is_dir():
            raise BadInput(
                part, 1, "file", "does not exist, though dataset_dict.json names it (save the dataset again)"
            )
    return [
        _source(part, partial(folder_lines, part), progress, stem=path.name, split=split_named(part.name))
        for part in parts
    ]


class _Watched(io.FileIO):
    """A file that tells how much of it was read."""

    progress: Progress

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer)
        self.progress(count or 0)
        return count or 0


def _text(path: Path, reader: TextReader, progress: Progress) -> Iterator[Line]:
    """The rows of a text file, gzipped or not: its first bytes tell, whatever it is called."""
    try:
        raw = _Watched(path)
        raw.progress = progress
        with io.BufferedReader(raw, 2**18) as file:
            if file.peek(2)[:2] == GZIP:
                with gzip.GzipFile(fileobj=file) as unpacked, io.BufferedReader(unpacked) as text:
                    yield from _rows(path, text, reader)
            else:
                yield from _rows(path, file, reader)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(path, 1, "file", f"is not a whole gzip file: {error} (fetch it again)") from None
    except OSError as error:
        raise BadInput(path, 1, "file", f"cannot be read: {error.strerror or error}") from None


def _rows(path: Path, file: "io.BufferedReader[Any]", reader: TextReader) -> Iterator[Line]:
    beginning = file.peek(2**12).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not beginning and not file.peek(1):
        raise BadInput(path, 1, "file", "is empty")
    if beginning[:1] == b"[" and reader is json_lines:
        reader = json_stream  # an array that is called .jsonl
    return reader(path, file)
