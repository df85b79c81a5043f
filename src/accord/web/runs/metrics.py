"""Metrics for scripts: what was logged after a step, without reading what was logged before."""

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from accord.runs.files import number
from accord.web.runs.files import METRICS_LIMIT, Record, parsed


class Logged(NamedTuple):
    """Records in the order of logging; `more` where the limit left some out."""

    records: list[Record]
    more: bool


def logged(path: Path, after: float | None, limit: int) -> Logged:
    """What the run in `path` logged after step `after`, from the beginning where that is None: `limit` records, and
    those of the last one's step. Damaged lines are left out. Raises ValueError where the file is far too large."""
    file = path / "metrics.jsonl"
    if not file.is_file():
        return Logged([], False)
    if file.stat().st_size > METRICS_LIMIT:
        raise ValueError("metrics.jsonl: far larger than Accord writes it")
    *lines, _unfinished = file.read_bytes().split(b"\n")
    first = 0
    if after is not None:  # steps only grow: a resumed run forgets those that it takes again
        first = bisect_right(range(len(lines)), after, key=lambda at: _step_at(lines, at))
    records: list[Record] = []
    for at in range(first, len(lines)):
        record = parsed(lines[at])
        if record is None:
            continue
        if len(records) >= limit and record.get("step") != records[-1].get("step"):
            return Logged(records, True)
        records.append(record)
    return Logged(records, False)


def _step_at(lines: Sequence[bytes], at: int) -> float:
    """The step of a line; of one that has none, that of the line before."""
    for line in reversed(lines[: at + 1]):
        step = number((parsed(line) or {}).get("step"))
        if step is not None:
            return step
    return float("-inf")
