"""A run as the web app sees it."""

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accord import __version__
from accord.report.facts import Facts
from accord.runs.files import number
from accord.runs.state import Signs, State, state_of
from accord.web.runs.files import Record, Records, last_records, metrics, one_object, stamp, texts

MANIFEST = Path("data") / "manifest.json"
DAY = 86_400.0
FILES = (
    "run.json",
    "metrics.jsonl",
    "summary.json",
    "progress.json",
    "samples.jsonl",
    "rollouts.jsonl",
    "quality.json",
    MANIFEST,
)


@dataclass(frozen=True)
class Folder:
    """A run. `made` is when it began, `notes` tell what could not be read, a line each; of the `lines` of its metrics
    each `every`-th was read."""

    facts: Facts
    signs: Signs
    made: datetime
    notes: tuple[str, ...] = ()
    lines: int = 0
    every: int = 1

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def state(self) -> State:
        """Where it stands now."""
        return state_of(self.signs, time.time())


def read_folder(path: Path) -> Folder:
    """Everything in the folder of a run."""
    return _read(path, metrics(path / "metrics.jsonl"), texts(path / "samples.jsonl"), texts(path / "rollouts.jsonl"))


def glance(path: Path) -> Folder:
    """As much of it as a list of many runs shows: of the metrics the last lines, and nothing that the model said."""
    return _read(path, last_records(path / "metrics.jsonl"), Records(), Records())


def fingerprint(path: Path, state: State) -> str:
    """Another one as soon as the page of the run would be another."""
    marks = [stamp(path / name) for name in FILES]
    return hashlib.sha256(repr((__version__, marks, state)).encode()).hexdigest()[:24]


def standing(path: Path) -> State:
    """Where the run stands, without reading more than that takes."""
    return state_of(_signs(path), time.time())


def _read(path: Path, logged: Records, samples: Records, rollouts: Records) -> Folder:
    objects = [one_object(path / name) for name in ("run.json", "summary.json", MANIFEST, "quality.json")]
    info, summary, frozen, quality = (found.record for found in objects)
    signs = _signs(path)
    facts = Facts(
        path,
        path.name,
        info,
        {**frozen, **_mapping(frozen.get("meta")), **_mapping(info.get("data"))},
        _mapping(info.get("config")),
        summary,
        list(logged.records),
        list(samples.records),
        list(rollouts.records),
        quality,
    )
    notes = [each.note for each in objects] + [each.note for each in (logged, samples, rollouts)]
    made = datetime.fromtimestamp(signs.started or 0, UTC)
    return Folder(facts, signs, made, tuple(filter(None, notes)), logged.lines, logged.every)


def _signs(path: Path) -> Signs:
    info, summary, progress = (one_object(path / name).record for name in ("run.json", "summary.json", "progress.json"))
    file = path / "metrics.jsonl"
    last = last_records(file).records
    steps = [step for record in reversed(last) if (step := number(record.get("step"))) is not None]
    mark = stamp(file)
    written = mark[0] / 1e9 if mark and last else None
    return Signs(summary, progress, _started(path, info), written, tuple(dict.fromkeys(steps))[:2])


def _started(path: Path, info: Record) -> float | None:
    """When it says that it began; where it says nothing that can be, when the folder was made."""
    try:
        told = datetime.fromisoformat(str(info.get("started")))
        began = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        began = -1.0
    mark = stamp(path / "run.json")
    if 0 <= began <= time.time() + DAY:
        return began
    return mark[0] / 1e9 if mark else None


def _mapping(value: Any) -> Record:
    return value if isinstance(value, dict) else {}
