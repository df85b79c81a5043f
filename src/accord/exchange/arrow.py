"""Parquet files and folders that `datasets` saved, a batch at a time. Only this module needs pyarrow."""

import json
import math
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from accord.exchange.bad_input import BadInput, shown
from accord.exchange.source import Line, Progress

BATCH = 1024


def parquet_lines(path: Path, progress: Progress) -> Iterator[Line]:
    """The rows of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            step = path.stat().st_size / max(file.metadata.num_rows, 1)
            yield from _numbered(path, file.iter_batches(BATCH), step, progress)
    except (pyarrow.ArrowException, OSError) as error:
        raise _broken(path, "a Parquet file", error) from None


def folder_lines(path: Path, progress: Progress) -> Iterator[Line]:
    """The rows of a `Dataset` that `save_to_disk` wrote: Arrow streams that `state.json` lists."""
    import pyarrow

    row = 0
    for name in data_files(path):
        part = path / name
        try:
            with pyarrow.memory_map(str(part)) as file, pyarrow.ipc.open_stream(file) as stream:
                for number, values in _numbered(path, stream, 0, progress):
                    yield row + number, values
                row += number
        except (pyarrow.ArrowException, OSError) as error:
            raise _broken(part, "an Arrow file", error) from None
        progress(part.stat().st_size)


def data_files(path: Path) -> list[str]:
    """The Arrow files of a saved dataset. Raises BadInput where `state.json` does not say, or points elsewhere."""
    state = _json(path / "state.json")
    try:
        names = [entry["filename"] for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise BadInput(path / "state.json", 1, "_data_files", "is missing (save the dataset again)") from None
    for name in names:
        if not _plain_name(name):
            raise BadInput(path / "state.json", 1, "_data_files", f"names a file outside the folder: {shown(name)}")
    return names


def splits(path: Path) -> list[str]:
    """The splits of a saved `DatasetDict`, each a folder of its own."""
    names = _json(path / "dataset_dict.json")
    wanted = names.get("splits") if isinstance(names, dict) else None
    if not isinstance(wanted, list) or not all(map(_plain_name, wanted)):
        raise BadInput(path / "dataset_dict.json", 1, "splits", "is not a list of folder names (save it again)")
    return wanted


def _plain_name(name: object) -> bool:
    """Whether `name` is one step down a folder, and no way out of it."""
    return isinstance(name, str) and Path(name).name == name and name != ".."


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise BadInput(path, 1, "file", "is missing or not JSON (save the dataset again with save_to_disk)") from None


def _numbered(path: Path, batches: Any, step: float, progress: Progress) -> Iterator[Line]:
    number = 0
    for batch in batches:
        names = batch.schema.names
        if len(set(names)) < len(names):
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise BadInput(path, 1, twice, "is the name of two columns (rename or remove one)")
        for row in batch.to_pylist():
            number += 1
            yield number, {name: _plain(value) for name, value in row.items()}
        progress(int(step * batch.num_rows))


def _plain(value: Any) -> Any:
    """`value` as JSON would have it. Pandas writes what is missing in a column of numbers as NaN."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | timedelta) else value


def _broken(path: Path, what: str, error: Exception) -> BadInput:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return BadInput(path, 1, "file", f"is not {what} that can be read: {shown(reason, 100)} (fetch it again)")
