"""Accord and TRL on the same work, each run in a process of its own, in turn (A B A B): `make bench`.

Same model (SmolLM2-135M-Instruct in float32), same rows (hh-rlhf), same optimizer batch, same precision, same order of
rows. TRL is first tried in several settings, and its fastest is the one that is compared with. Writes results.json.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from rows import default_data, fitting
from tables import write_docs

from accord.policy.gguf import embedded_gguf, unpacked_model

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
UNITS = {"sft": "examples/s", "dpo": "pairs/s", "kto": "examples/s", "reward": "pairs/s"}
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
MAX_LENGTH = 512
LOSS_STEPS, LOSS_BATCH = 8, 2


@dataclass(frozen=True)
class Setting:
    """How TRL is run: in micro-batches of `micro` rows, with or without gradient checkpointing and padding."""

    micro: int
    checkpointing: bool
    padding_free: bool = False

    def __str__(self) -> str:
        told = f"per_device_train_batch_size {self.micro}, gradient_checkpointing {str(self.checkpointing).lower()}"
        return told + ", padding_free true" * self.padding_free

    def arguments(self, batch: int) -> dict[str, Any]:
        """What TRL is told. Its `padding_free` excludes a length limit; the rows are within it anyway."""
        return {
            "per_device_train_batch_size": self.micro,
            "gradient_accumulation_steps": batch // self.micro,
            "gradient_checkpointing": self.checkpointing,
            **({"padding_free": True, "max_length": None} if self.padding_free else {}),
        }


#: Methods whose TRL trainer can do without padding.
PADDING_FREE = ("sft",)


@dataclass(frozen=True)
class Work:
    """One line of the table."""

    method: str
    mode: str
    dtype: str
    steps: int
    batch: int
    checkpointing: bool = False  # Accord's; TRL's is part of its `Setting`


class Bench:
    """Runs workers, and remembers where the model, the rows and the scratch files are."""

    def __init__(self, scratch: Path, data: Path, model: str) -> None:
        self.scratch, self.data, self.model = scratch, data, model

    def rows(self, method: str, count: int) -> Path:
        """The first `count` rows that fit whole into MAX_LENGTH, so that neither tool cuts or drops any."""
        path = self.scratch / f"{method}-{count}.jsonl"
        if not path.exists():
            rows = fitting(method, self.data, self.model, count, MAX_LENGTH)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def run(self, tool: str, work: Work, setting: Setting, exact: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One worker. `exact` changes arguments of a run whose losses are compared rather than its time."""
        examples = work.steps * work.batch
        out_dir = tempfile.mkdtemp(dir=self.scratch)  # a new one, so that no reference log-prob is known from before
        spec = {
            "tool": tool,
            "method": work.method,
            "mode": work.mode,
            "model": self.model,
            "data": str(self.rows(work.method, examples)),
            "examples": examples,
            "lora": LORA,
            "seed": 0,
            "same_mismatches": exact is not None,
            "arguments": arguments(tool, work, setting, out_dir, exact),
        }
        spec_file, out = self.scratch / "spec.json", self.scratch / "out.json"
        spec_file.write_text(json.dumps(spec))
        out.unlink(missing_ok=True)
        result = ran(spec_file, out, f"{tool}, {work}")
        note(f"    {tool:6} {result['throughput']:8.3f} {UNITS[work.method]}  {result['peak_memory_gb']:6.2f} GB")
        return result


def ran(spec: Path, out: Path, name: str, python: str = sys.executable, worker: str = "worker.py") -> dict[str, Any]:
    """What a worker wrote, in a process of its own."""
    done = subprocess.run(
        [python, str(HERE / worker), str(spec), str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode or not out.exists():
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(out.read_text())


def arguments(
    tool: str, work: Work, setting: Setting, output_dir: str, exact: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What both tools are told alike, and how each is told its batch."""
    alike = {
        "output_dir": output_dir,
        "max_steps": work.steps,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "max_length": MAX_LENGTH,
        "bf16": work.dtype == "bf16",
        "use_cpu": True,
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
        **(exact or {}),
    }
    if tool == "accord":
        grouped = {"prompt_group_size": 1} if exact is not None else {}  # the order of the rows stays as it is
        own = {"per_device_train_batch_size": work.batch, "reference_cache": output_dir}
        return alike | grouped | own | {"gradient_checkpointing": work.checkpointing}
    return alike | setting.arguments(work.batch)


def fastest(bench: Bench, work: Work, tries: int) -> tuple[Setting, list[dict[str, Any]]]:
    """TRL's fastest setting of four (eight where it can do without padding), by a short run of each."""
    short = Work(work.method, work.mode, work.dtype, tries, work.batch)
    tried = []
    for settings in product((4, 8), (False, True), (False, True) if work.method in PADDING_FREE else (False,)):
        setting = Setting(*settings)
        note(f"  TRL with {setting}")
        result = bench.run("trl", short, setting)
        tried.append({"setting": setting, **{k: result[k] for k in ("throughput", "peak_memory_gb")}})
    best = max(tried, key=lambda t: t["throughput"])["setting"]
    return best, [{**t, "setting": str(t["setting"])} for t in tried]


def loss_difference(bench: Bench, work: Work) -> float:
    """The largest difference of the first 8 losses in float32, the same rows in the same order in both."""
    exact = Work(work.method, work.mode, "fp32", LOSS_STEPS, LOSS_BATCH, work.checkpointing)
    rate = 1e-5 if work.mode == "full" else 1e-3  # large enough that a wrong gradient shows within eight steps
    setting = Setting(LOSS_BATCH, checkpointing=False)
    note("  first losses in fp32")
    ours, theirs = (bench.run(tool, exact, setting, {"learning_rate": rate})["losses"] for tool in ("accord", "trl"))
    if not len(ours) == len(theirs) == LOSS_STEPS:
        raise SystemExit(f"{work}: {len(ours)} and {len(theirs)} losses were logged, expected {LOSS_STEPS}")
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def measure(bench: Bench, work: Work, repeats: int, tries: int, setting: Setting | None) -> dict[str, Any]:
    """One entry of results.json."""
    tried: list[dict[str, Any]] = []
    if setting is None:
        setting, tried = fastest(bench, work, tries)
    runs: dict[str, list[dict[str, Any]]] = {"accord": [], "trl": []}
    for turn in range(repeats):
        note(f"  turn {turn + 1} of {repeats}")
        for tool, results in runs.items():
            results.append(bench.run(tool, work, setting))
    speed = {tool: statistics.mean(r["throughput"] for r in results) for tool, results in runs.items()}
    peak = {tool: max(r["peak_memory_gb"] for r in results) for tool, results in runs.items()}
    return {
        "method": work.method,
        "mode": work.mode,
        "dtype": work.dtype,
        "peer": "trl",
        "peer_version": runs["trl"][0]["version"],
        "throughput": speed["accord"],
        "peer_throughput": speed["trl"],
        "ratio": speed["accord"] / speed["trl"],
        "peak_memory_gb": peak["accord"],
        "peer_peak_memory_gb": peak["trl"],
        "memory_ratio": peak["accord"] / peak["trl"],
        "max_loss_difference": loss_difference(bench, work),
        "unit": UNITS[work.method],
        "steps": work.steps,
        "batch": work.batch,
        "gradient_checkpointing": work.checkpointing,
        "turns": {tool: [r["throughput"] for r in results] for tool, results in runs.items()},
        "peer_setting": str(setting),
        "peer_tried": tried,
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def machine() -> dict[str, Any]:
    """Where it was measured."""
    import torch

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    packages = {name: version(name) for name in ("torch", "transformers", "accord")}
    return {"cpu": cpu, "threads": torch.get_num_threads(), "python": platform.python_version(), **packages}


def keep(entry: dict[str, Any], path: Path) -> None:
    """Put `entry` in the place of the one for the same work."""
    key = ("method", "mode", "dtype", "peer", "gradient_checkpointing")
    entries = json.loads(path.read_text()) if path.exists() else []
    others = [e for e in entries if any(e[k] != entry[k] for k in key)]
    entries = sorted([*others, entry], key=lambda e: [e[k] for k in key])
    path.write_text(json.dumps(entries, indent=2) + "\n")


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=list(UNITS), choices=list(UNITS))
    parser.add_argument("--modes", nargs="+", default=["full", "lora"], choices=["full", "lora"])
    parser.add_argument("--dtypes", nargs="+", default=["bf16"], choices=["bf16", "fp32"])
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of a timed run")
    parser.add_argument("--batch", type=int, default=16, help="examples in an optimizer step")
    parser.add_argument("--repeats", type=int, default=2, help="turns: Accord, TRL, Accord, TRL …")
    parser.add_argument("--tries", type=int, default=1, help="steps of each trial of a TRL setting")
    parser.add_argument("--micro", type=int, help="do not try: TRL's per_device_train_batch_size")
    parser.add_argument("--checkpointing", action="store_true", help="with --micro: TRL's gradient_checkpointing")
    parser.add_argument("--accord-checkpointing", action="store_true", help="Accord's gradient_checkpointing")
    parser.add_argument("--quick", action="store_true", help="2 steps, 1 turn, no trials: does it run?")
    parser.add_argument("--data", type=Path, default=default_data(), help="hh-rlhf's harmless-base.jsonl.gz")
    parser.add_argument("--model", help="a folder, to try the bench itself on; default: SmolLM2")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true", help="only write docs/benchmarks.md from the results")
    asked = parser.parse_args()
    if asked.write_docs:
        return write_docs(asked.out)
    setting = Setting(asked.micro, asked.checkpointing) if asked.micro else None
    if asked.quick:
        asked.steps, asked.repeats, setting = 2, 1, setting or Setting(8, checkpointing=False)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), asked.data, asked.model or str(unpacked_model(embedded_gguf())))
        for method, mode, dtype in product(asked.methods, asked.modes, asked.dtypes):
            note(f"{method} {mode} {dtype}")
            work = Work(method, mode, dtype, asked.steps, asked.batch, asked.accord_checkpointing)
            entry = measure(bench, work, asked.repeats, asked.tries, setting)
            keep(entry, asked.out)
            note(
                f"  {entry['ratio']:.2f} times TRL's throughput at {entry['memory_ratio']:.2f} of its memory; "
                f"losses differ by {entry['max_loss_difference']:.1e}"
            )
    return None


if __name__ == "__main__":
    main()
