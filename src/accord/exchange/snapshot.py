"""Snapshots: the rows that a training run reads, frozen in a folder and named by the hash of their content.

manifest.json   form, hash, counts, meta, created, and each file's hash; written last, so that a folder without it
                is no snapshot
train.jsonl     one row a line, keys sorted
test.jsonl
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accord.feedback import AccordError

SPLITS = ("train", "test")
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Snapshot:
    """A frozen set of training rows.

    form    which rows they are: `preference`, `unpaired`, `sft` or `prompt`
    hash    64 hex digits over the form and the rows: the same rows in the same order have the same hash, whenever
            and wherever they were written
    counts  rows by split
    meta    what the writer wanted to be remembered; not part of the hash
    """

    directory: Path
    form: str
    hash: str
    counts: Mapping[str, int]
    meta: Mapping[str, Any]
    created: str

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows of `train` or `test`, in the order in which they were written."""
        with (self.directory / f"{split}.jsonl").open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def write_snapshot(
    directory: str | Path,
    form: str,
    rows: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    meta: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Freezes `rows` ({"train": …, "test": …}, either may be missing) in `directory`, which is made if need be.

    Rows stream through; nothing is kept in memory. Where the same rows are frozen there already, that snapshot is
    returned and no file is touched. Raises AccordError where others are: a snapshot is never changed. Raises
    ValueError for a row that is not JSON, such as one with a NaN.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    beside = {split: directory / f".{split}.jsonl.{os.getpid()}" for split in SPLITS}
    try:
        written = {split: _write_rows(beside[split], split, rows.get(split, ())) for split in SPLITS}
        hashes = {split: digest for split, (_, digest) in written.items()}
        frozen = _frozen(directory)
        if frozen and frozen.hash == _content_hash(form, hashes):
            return frozen
        if frozen:
            raise AccordError(
                f"{directory}: holds a snapshot of other rows ({frozen.hash[:12]}), and a snapshot is never changed: "
                "choose another folder"
            )
        (directory / MANIFEST).unlink(missing_ok=True)
        for split, path in beside.items():
            path.replace(directory / f"{split}.jsonl")
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)
    manifest = {
        "form": form,
        "hash": _content_hash(form, hashes),
        "counts": {split: count for split, (count, _) in written.items()},
        "files": {f"{split}.jsonl": digest for split, digest in hashes.items()},
        "meta": dict(meta or {}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _write_manifest(directory / MANIFEST, manifest)
    return _as_snapshot(directory, manifest)


def read_snapshot(directory: str | Path) -> Snapshot:
    """The snapshot in `directory`. Raises AccordError where there is none, or where a file is not as it was frozen."""
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        snapshot, files = _as_snapshot(directory, manifest), manifest["files"]
    except OSError:
        raise AccordError(f"{directory / MANIFEST}: not there: this is no snapshot, or one never finished") from None
    except (ValueError, KeyError, TypeError):
        raise AccordError(f"{directory / MANIFEST}: damaged: make the snapshot again") from None
    hashes = {}
    for split in SPLITS:
        path = directory / f"{split}.jsonl"
        hashes[split] = _file_hash(path)
        if hashes[split] != files.get(path.name):
            raise AccordError(f"{path}: was changed after it was frozen: restore it, or make the snapshot again")
    if _content_hash(snapshot.form, hashes) != snapshot.hash:
        raise AccordError(f"{directory / MANIFEST}: was changed after it was frozen: make the snapshot again")
    return snapshot


def _frozen(directory: Path) -> Snapshot | None:
    """The sound snapshot that is there already, if one is. A damaged one is there to be written again."""
    try:
        return read_snapshot(directory)
    except AccordError:
        return None


def _write_rows(path: Path, split: str, rows: Iterable[Mapping[str, Any]]) -> tuple[int, str]:
    """Writes the rows in their one canonical form. Returns how many there were and the file's hash."""
    count, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        for count, row in enumerate(rows, start=1):
            try:
                line = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
                encoded = line.encode("utf-8") + b"\n"
            except (TypeError, ValueError) as error:
                raise ValueError(f"{split} row {count} ({row.get('id', 'no id')}) is not JSON: {error}") from None
            digest.update(encoded)
            file.write(encoded)
        file.flush()
        os.fsync(file.fileno())
    return count, digest.hexdigest()


def _write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, indent=2, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _content_hash(form: str, hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([form, dict(hashes)], sort_keys=True).encode()).hexdigest()


def _as_snapshot(directory: Path, manifest: Mapping[str, Any]) -> Snapshot:
    return Snapshot(directory, *(manifest[key] for key in ("form", "hash", "counts", "meta", "created")))
