"""RLOO and GRPO beside TRL's, PPO beside the last TRL that had it: whole steps, rollouts and updates told apart.

    .venv/bin/python benchmarks/online.py                                  # RLOO and GRPO
    .venv/bin/python benchmarks/online.py --methods ppo --old-python ../old-trl/bin/python

Each run is a process of its own, and the tools take turns (A B A B). Same model (SmolLM2-135M-Instruct in float32, bf16
mixed precision), same prompts (hh-rlhf's, the first that have at most 256 tokens), 8 samples of each with at most 48
tokens at temperature 1, optimizer steps on 32 completions. Every tool draws its own samples, so no losses are compared
here: tests/test_trl_parity_online.py does that on equal samples. Adds to results.json.
"""

import argparse
import json
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rows import asked, default_data
from run import LORA, RESULTS, Setting, keep, machine, note, ran
from tables import write_docs

from accord.policy.gguf import embedded_gguf, unpacked_model

GROUP, NEW_TOKENS, LONGEST_PROMPT = 8, 48, 256
UNIT = "completions/s"
#: What costs no option: TRL's defaults, but for GRPO's reference, which it would not have.
BETA = {"rloo": 0.05, "grpo": 0.04}
#: Old TRL's PPO has a critic of its own and goes through each rollout four times; so does Accord's here.
PPO_EPOCHS = 4


class Bench:
    """Runs workers on one model and its prompts."""

    def __init__(self, scratch: Path, asked_for: argparse.Namespace) -> None:
        self.scratch, self.asked = scratch, asked_for
        self.model = asked_for.model or str(unpacked_model(embedded_gguf()))

    def prompts(self, count: int) -> str:
        path = self.scratch / f"prompts-{count}.jsonl"
        if not path.exists():
            rows = asked(self.asked.data, self.model, count, LONGEST_PROMPT)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    def reward_model(self) -> str:
        """PPO's, with a fresh head: what it says is of no interest here."""
        from accord.policy.reward_model import load_reward_model

        folder = self.scratch / "reward-model"
        if not folder.exists():
            made = load_reward_model(self.model, heads=1)
            made.model.save_pretrained(folder)
            made.tokenizer.save_pretrained(folder)
        return str(folder)

    def run(self, tool: str, method: str, mode: str, steps: int, setting: Setting) -> dict[str, Any]:
        completions = steps * self.asked.batch
        spec: dict[str, Any] = {
            "tool": "accord" if tool == "accord" else "trl",
            "method": method,
            "mode": mode,
            "model": self.model,
            "examples": completions,
            "seed": 0,
            "lora": LORA,
            "same_mismatches": False,
            "data": self.prompts(completions if method == "ppo" else completions // GROUP),
            "arguments": self.arguments(tool, method, steps, setting),
        }
        if method == "ppo":
            spec |= {"reward_model": self.reward_model(), "frozen_dtype": "bfloat16"}  # its fastest
        spec_file, out = self.scratch / "spec.json", self.scratch / "out.json"
        spec_file.write_text(json.dumps(spec))
        out.unlink(missing_ok=True)
        other = {"python": self.asked.old_python, "worker": "old_trl_ppo.py"} if tool == "old trl" else {}
        result = ran(spec_file, out, f"{tool}, {method} {mode}", **other)
        note(
            f"    {tool:8} {result['throughput']:8.3f} {UNIT}  rollouts {result['rollout_seconds']:6.1f} s  "
            f"updates {result['update_seconds']:6.1f} s  {result['peak_memory_gb']:6.2f} GB"
        )
        return result

    def arguments(self, tool: str, method: str, steps: int, setting: Setting) -> dict[str, Any]:
        """What both are told alike, and how each is told its batch."""
        alike: dict[str, Any] = {
            "output_dir": tempfile.mkdtemp(dir=self.scratch),
            "learning_rate": 1e-6,
            "lr_scheduler_type": "constant",
            "temperature": 1.0,
            "bf16": True,
            "use_cpu": True,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 0,
        }
        batch = self.asked.batch
        if tool == "old trl":
            return alike | {
                "total_episodes": steps * batch,
                "response_length": NEW_TOKENS,
                "num_ppo_epochs": PPO_EPOCHS,
                "num_mini_batches": 1,
                "num_sample_generations": 0,
                "per_device_train_batch_size": setting.micro,
                "gradient_accumulation_steps": batch // setting.micro,
                "local_rollout_forward_batch_size": batch,
                "gradient_checkpointing": setting.checkpointing,
            }
        alike |= {"max_completion_length": NEW_TOKENS}
        if method == "ppo":
            alike |= {
                "max_steps": steps * PPO_EPOCHS,
                "num_ppo_epochs": PPO_EPOCHS,
                "num_generations": 1,
                "critic": "separate",
            }
        else:
            alike |= {"max_steps": steps, "num_generations": GROUP, "beta": BETA[method]}
        if tool == "accord":
            return alike | {
                "per_device_train_batch_size": batch,
                "max_length": LONGEST_PROMPT + NEW_TOKENS,
                "train_sampling_strategy": "sequential",
                "gradient_checkpointing": self.asked.accord_checkpointing,
            }
        return alike | setting.arguments(batch) | {"shuffle_dataset": False, "dataloader_pin_memory": False}


def measure(bench: Bench, method: str, mode: str, asked_for: argparse.Namespace) -> dict[str, Any]:
    """One entry of results.json."""
    peer = "old trl" if method == "ppo" else "trl"
    settings = [Setting(micro, checkpointing) for micro in (8, 16, 32) for checkpointing in (False, True)]
    if asked_for.micro:
        settings = [Setting(asked_for.micro, asked_for.checkpointing)]
    tried = []
    for setting in settings if len(settings) > 1 else ():
        note(f"  TRL with {setting}")
        tried.append((setting, bench.run(peer, method, mode, 1, setting)))
    best = max(tried, key=lambda each: each[1]["throughput"])[0] if tried else settings[0]
    runs: dict[str, list[dict[str, Any]]] = {"accord": [], peer: []}
    for turn in range(asked_for.repeats):
        note(f"  turn {turn + 1} of {asked_for.repeats}")
        for tool, results in runs.items():
            results.append(bench.run(tool, method, mode, asked_for.steps, best))

    def mean(tool: str, name: str) -> float:
        return statistics.mean(result[name] for result in runs[tool])

    peaks = {tool: max(result["peak_memory_gb"] for result in results) for tool, results in runs.items()}
    return {
        "method": method,
        "mode": mode,
        "dtype": "bf16",
        "peer": peer,
        "peer_version": runs[peer][0]["version"],
        "throughput": mean("accord", "throughput"),
        "peer_throughput": mean(peer, "throughput"),
        "ratio": mean("accord", "throughput") / mean(peer, "throughput"),
        "rollout_ratio": mean(peer, "rollout_seconds") / mean("accord", "rollout_seconds"),
        "update_ratio": mean(peer, "update_seconds") / mean("accord", "update_seconds"),
        "rollout_share": mean("accord", "rollout_seconds") / mean("accord", "seconds"),
        "peak_memory_gb": peaks["accord"],
        "peer_peak_memory_gb": peaks[peer],
        "memory_ratio": peaks["accord"] / peaks[peer],
        "unit": UNIT,
        "steps": asked_for.steps,
        "batch": asked_for.batch,
        "gradient_checkpointing": asked_for.accord_checkpointing,
        "turns": {tool: [result["throughput"] for result in results] for tool, results in runs.items()},
        "peer_setting": str(best),
        "peer_tried": [
            {"setting": str(setting), **{name: result[name] for name in ("throughput", "peak_memory_gb")}}
            for setting, result in tried
        ],
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["rloo", "grpo"], choices=["rloo", "grpo", "ppo"])
    parser.add_argument("--modes", nargs="+", default=["full"], choices=["full", "lora"])
    parser.add_argument("--steps", type=int, default=4, help="rollouts of a timed run")
    parser.add_argument("--batch", type=int, default=32, help="completions in a rollout")
    parser.add_argument("--repeats", type=int, default=2, help="turns: Accord, TRL, Accord, TRL …")
    parser.add_argument("--micro", type=int, help="do not try: TRL's per_device_train_batch_size")
    parser.add_argument("--checkpointing", action="store_true", help="with --micro: TRL's gradient_checkpointing")
    parser.add_argument("--accord-checkpointing", action="store_true", help="Accord's gradient_checkpointing")
    parser.add_argument("--old-python", help="the Python of old_trl_ppo.py's environment, which PPO needs")
    parser.add_argument("--data", type=Path, default=default_data(), help="hh-rlhf's harmless-base.jsonl.gz")
    parser.add_argument("--model", help="a folder, to try the bench itself on; default: SmolLM2")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked_for = parser.parse_args()
    if "ppo" in asked_for.methods and not asked_for.old_python:
        parser.error("PPO's peer needs an environment of its own: see old_trl_ppo.py, and give --old-python")
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), asked_for)
        for method in asked_for.methods:
            for mode in asked_for.modes:
                note(f"{method} {mode}")
                entry = measure(bench, method, mode, asked_for)
                keep(entry, asked_for.out)
                note(
                    f"  {entry['ratio']:.2f} times the peer's throughput (rollouts {entry['rollout_ratio']:.2f}, "
                    f"updates {entry['update_ratio']:.2f}) at {entry['memory_ratio']:.2f} of its memory"
                )
    write_docs()


if __name__ == "__main__":
    main()
