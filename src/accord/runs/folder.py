"""One run: what was asked, what was measured, what the model says."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accord.runs import files
from accord.runs.process import this_process
from accord.runs.versions import versions

#: Files of records that have a `step`: a resumed run forgets the later ones.
DATED = ("metrics.jsonl", "samples.jsonl", "rollouts.jsonl")
#: What summary.json says of how a training ended: no longer true when it goes on.
ENDED = ("seconds", "finished", "stopped", "error")


class Run:
    """A folder `runs/NAME/`. Every write is whole or absent, so that a killed run can be read and resumed.

    run.json       what was asked, written once: `Run.info`
    metrics.jsonl  one object a log step, under TRL's names, with `step`
    samples.jsonl  what the model says: `prompt`, `before`, `after`, or whatever a recorder adds
    rollouts.jsonl a few of the samples that a method learnt from: `step`, `prompt`, `completion`, `reward`, `finished`
    summary.json   the figures that a person or a script asks for
    progress.json  which process trains, since when, from which step to which: `Run.begin`
    data/          the snapshot that it was trained on
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.info = files.read_object(self.path / "run.json")
        if not self.info:
            raise ValueError(f"{self.path}: no run.json, so this is no run folder; name one that training made")

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        config: Mapping[str, Any],
        command: str,
        method: str = "",
        base_model: str = "",
        base_model_hash: str = "",
        snapshot_hash: str = "",
        data: Mapping[str, Any] | None = None,
        seed: int | None = None,
        device: str = "",
        overwrite: bool = False,
        **more: Any,
    ) -> "Run":
        """Make the folder and its run.json.

        config   every option as it was resolved
        command  the command line, as it can be typed again
        method   "sft", "dpo", "kto", …
        data     what the snapshot says of itself: form, counts, annotators by kind (`{"simulated": 5}`), …

        Raises ValueError where a run is there already; `overwrite` forgets its records (checkpoints stay).
        """
        path = Path(path)
        if (path / "run.json").exists() and not overwrite:
            raise ValueError(f"{path}: there is a run already; resume it, or choose another output_dir")
        path.mkdir(parents=True, exist_ok=True)
        for name in (*DATED, "summary.json", "progress.json", "quality.json", "report.html"):
            (path / name).unlink(missing_ok=True)
        info = {
            "name": path.resolve().name,
            "method": method,
            "command": command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "base_model": base_model,
            "base_model_hash": base_model_hash,
            "snapshot_hash": snapshot_hash,
            "data": dict(data or {}),
            "seed": seed,
            "device": device,
            "versions": versions(),
            **more,
            "config": dict(config),
        }
        files.replace(path / "run.json", files.encode(info, indent=2) + b"\n")
        return cls(path)

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """The run in `path`. Raises ValueError where there is none."""
        return cls(path)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def data(self) -> Path:
        """Where the snapshot lies that it was trained on."""
        return self.path / "data"

    def manifest(self) -> dict[str, Any]:
        """What the snapshot in `data/` says of itself (form, counts, meta), {} where there is none."""
        return files.read_object(self.data / "manifest.json")

    def config(self) -> dict[str, Any]:
        """The resolved options."""
        return self.info.get("config", {})

    def begin(self, step: int | None = None, max_steps: int | None = None) -> None:
        """Say that this process trains here from now on; once it takes steps, after which one and to which."""
        if step is not None and set(ENDED) & self.summary().keys():
            self.update_summary({}, forget=ENDED)
        progress = {**this_process(), "began": time.time(), "step": step, "max_steps": max_steps}
        files.replace(self.path / "progress.json", files.encode(progress, indent=2) + b"\n")

    def progress(self) -> dict[str, Any]:
        """What `begin` said last, {} where nobody did."""
        return files.read_object(self.path / "progress.json")

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Record what was measured at optimizer step `step`. NaN is written as null."""
        files.append_line(self.path / "metrics.jsonl", {"step": step, **metrics})

    def metrics(self) -> list[dict[str, Any]]:
        """What was logged, in the order of logging."""
        return files.read_lines(self.path / "metrics.jsonl")

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`: a resumed run will measure it again."""
        for name in DATED:
            records = files.read_lines(self.path / name)
            kept = [record for record in records if record.get("step", 0) <= step]
            if len(kept) < len(records):
                files.write_lines(self.path / name, kept)

    def add_sample(self, record: Mapping[str, Any]) -> None:
        """Record something that the model said; with a `step`, `rewind` forgets it again."""
        files.append_line(self.path / "samples.jsonl", record)

    def replace_samples(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Put `records` in the place of all samples."""
        files.write_lines(self.path / "samples.jsonl", records)

    def samples(self) -> list[dict[str, Any]]:
        """What was recorded with `add_sample`, in order."""
        return files.read_lines(self.path / "samples.jsonl")

    def log_rollout(self, step: int, samples: Iterable[Mapping[str, Any]]) -> None:
        """Record some of what the model sampled to learn from in the steps after `step`; see rollouts.jsonl above."""
        for sample in samples:  # its step is the first that learns from it, as that of the metrics
            files.append_line(self.path / "rollouts.jsonl", {"step": step + 1, **sample})

    def rollouts(self) -> list[dict[str, Any]]:
        """What was recorded with `log_rollout`, in order."""
        return files.read_lines(self.path / "rollouts.jsonl")

    def keep_quality(self, found: Mapping[str, Any]) -> None:
        """Record what is known of the votes that it is trained on."""
        files.replace(self.path / "quality.json", files.encode(found) + b"\n")

    def quality(self) -> dict[str, Any]:
        """What `keep_quality` kept, {} where it kept nothing."""
        return files.read_object(self.path / "quality.json")

    def update_summary(self, figures: Mapping[str, Any], forget: Iterable[str] = ()) -> None:
        """Merge `figures` into summary.json; those that are there under other names stay, but for `forget`."""
        merged = {name: figure for name, figure in self.summary().items() if name not in set(forget)} | dict(figures)
        files.replace(self.path / "summary.json", files.encode(merged, indent=2) + b"\n")

    def summary(self) -> dict[str, Any]:
        """The figures so far, {} before the first."""
        return files.read_object(self.path / "summary.json")
