"""The files of a run's folder as the web app reads them: all that can be read, and a line on what cannot.

Whoever made the folder may have put anything into it, and a run that trains adds to it at any moment. A file is read
once until it changes.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

OBJECT_LIMIT = 2**22  # bytes of a file of one object
TEXTS_LIMIT = 2**22  # bytes of samples or rollouts that are read at the beginning, and at the end
METRICS_LIMIT = 2**28  # bytes of metrics
TAIL = 2**16  # bytes at the end of the metrics that hold the last lines
MOST_LINES = 4000  # of a kind that are read of the metrics: more do not show in a picture
LAST = 20  # lines at the end that are read in any case: they say where a run stands
DEEPEST = 30  # levels of lists and objects

Record = dict[str, Any]


class Object(NamedTuple):
    """What a file of one JSON object holds; `note` says what is wrong with it."""

    record: Record
    note: str = ""


class Records(NamedTuple):
    """What a file of lines holds. `every`: only each so many-th line of training was read; `note`: what is wrong."""

    records: Sequence[Record] = ()
    lines: int = 0
    every: int = 1
    note: str = ""


class Memory:
    """What was last read in each of some files."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, Any], tuple[Any, Any]] = OrderedDict()

    def read(self, path: Path, how: Callable[[Path], Any], otherwise: Any) -> Any:
        """`how(path)`; `otherwise` where there is no file, or none that can be read."""
        mark, key = stamp(path), (path, how)
        if mark is None:
            return otherwise
        with self._lock:
            seen, made = self._kept.get(key, (None, None))
            if seen != mark:
                try:
                    made = how(path)
                except OSError as error:
                    made = otherwise._replace(note=_nothing(path, error.strerror or "cannot be read"))
                self._kept[key] = mark, made
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made


#: Of many runs the little that a list shows; of few all that they logged and said.
_small, _large = Memory(1000), Memory(16)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Another one when the file has changed: when it was written in nanoseconds, its size, its number."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def one_object(path: Path) -> Object:
    """A file of one JSON object."""
    return _small.read(path, _one_object, Object({}))


def last_records(path: Path) -> Records:
    """The records of a file's last lines."""
    return _small.read(path, _last_records, Records())


def metrics(path: Path) -> Records:
    """All of metrics.jsonl; of more than MOST_LINES each so many-th line, and all that stand out."""
    return _large.read(path, _metrics, Records())


def texts(path: Path) -> Records:
    """Samples or rollouts: all, or the beginning and the end of very much."""
    return _large.read(path, _texts, Records())


def _one_object(path: Path) -> Object:
    if path.stat().st_size > OBJECT_LIMIT:
        return Object({}, _nothing(path, "far larger than Accord writes it"))
    found = parsed(path.read_bytes())
    return Object({}, _nothing(path, "not a JSON object")) if found is None else Object(found)


def _last_records(path: Path) -> Records:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL))
        *lines, _unfinished = file.read().split(b"\n")
    return Records([record for line in lines if (record := parsed(line)) is not None])


def _metrics(path: Path) -> Records:
    if path.stat().st_size > METRICS_LIMIT:
        return Records(note=_nothing(path, "far larger than Accord writes it"))
    *lines, _unfinished = path.read_bytes().split(b"\n")
    every = -(-len(lines) // MOST_LINES) or 1
    chosen: Sequence[int] = range(len(lines))
    if every > 1:
        odd = [
            at for at, line in enumerate(lines) if b'"eval_' in line or b"null" in line or line[:1] + line[-1:] != b"{}"
        ]
        last = range(len(lines) - LAST, len(lines))
        chosen = sorted({*range(0, len(lines), every), *odd[:: -(-len(odd) // MOST_LINES) or 1], *last})
    found = [parsed(lines[at]) for at in chosen]
    return Records(_whole(found), len(lines), every, _damage(path, found, chosen))


def _texts(path: Path) -> Records:
    note = ""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= 2 * TEXTS_LIMIT:
            *lines, _unfinished = file.read().split(b"\n")
        else:
            *lines, _torn = file.read(TEXTS_LIMIT).split(b"\n")
            file.seek(size - TEXTS_LIMIT)
            lines += file.read().split(b"\n")[1:-1]
            note = f"{path.name}: it is long, so only its beginning and its end are looked at"
    found = [parsed(line) for line in lines]
    return Records(_whole(found), len(lines), note=note or _damage(path, found, range(len(lines))))


def _whole(found: Sequence[Record | None]) -> list[Record]:
    return [record for record in found if record is not None]


def _damage(path: Path, found: Sequence[Record | None], at: Sequence[int]) -> str:
    """Which lines are damaged; the last may be what a killed writer left."""
    bad = [at[i] + 1 for i, record in enumerate(found[:-1]) if record is None]
    if not bad:
        return ""
    which = f"line {bad[0]} is" if len(bad) == 1 else f"{len(bad):,} lines, the first of them line {bad[0]}, are"
    return f"{path.name}: {which} damaged and left out"


def _nothing(path: Path, why: str) -> str:
    return f"{path.name}: {why}, so nothing of it is shown"


def parsed(text: bytes) -> Record | None:
    """The JSON object that `text` is, None for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or (text.count(b"[") + text.count(b"{") > DEEPEST and _too_deep(found)):
        return None
    return found


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [part for each in level for part in _parts(each)]
    return bool(level)


def _parts(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()
