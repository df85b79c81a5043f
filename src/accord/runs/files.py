"""JSON on disk that survives a kill: whole files are replaced, lines are appended, a torn last line is dropped."""

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """`value` as JSON can say it: NaN and infinities become None, tensors and NumPy values their numbers."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and torch, scalars and arrays, without importing either
        return plain(value.tolist())
    return str(value)


def encode(value: Any, indent: int | None = None) -> bytes:
    """UTF-8 JSON. A lone surrogate, which UTF-8 cannot hold, is written as its JSON escape."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace")


def replace(path: Path, content: bytes) -> None:
    """Write the whole file beside `path`, then rename: a reader sees the old file or the new one, never a half."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON line, after cutting off what a killed writer may have left of its last one."""
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end and _byte(file, end - 1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.write(encode(record) + b"\n")


def _byte(file: Any, at: int) -> bytes:
    file.seek(at)
    return file.read(1)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines file ([] where there is none). A torn last line is left out.

    Raises ValueError, naming the line, where anything but the last line is damaged.
    """
    if not path.exists():
        return []
    *lines, _unfinished = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        elif number < len(lines):
            raise ValueError(f"{path}:{number}: not a JSON object; delete this line to go on without it")
    return records


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace the whole file by `records`, in one step."""
    replace(path, b"".join(encode(record) + b"\n" for record in records))


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, {} where there is no such file. Raises ValueError where it is something else."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); delete it or restore it") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not a JSON object; delete it or restore it")
    return value


def number(value: object) -> float | None:
    """`value`, as read from JSON, where it is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
