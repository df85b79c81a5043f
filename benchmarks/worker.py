"""One training by one tool in a process of its own: `python worker.py SPEC.json OUT.json`.

Accord's trainers construct like TRL's, so the two differ in the module they come from and in `arguments` alone.
`run.py` writes the spec: tool, method, mode, model, data, examples, arguments, lora, seed, same_mismatches.
"""

import hashlib
import importlib
import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    TrainerCallback,
)

MODULES = {"accord": "accord.trainers", "trl": "trl"}
NAMES = {"sft": "SFT", "dpo": "DPO", "kto": "KTO", "reward": "Reward", "rloo": "RLOO", "grpo": "GRPO", "ppo": "PPO"}
#: What makes a whole rollout, in the trainers of methods that sample: its time is told apart from the updates'.
ROLLOUT = {"accord": "_begin_rollout", "trl": "_generate_and_score_completions"}


class Losses(TrainerCallback):
    """What was logged as loss, step by step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            self.values.append(float(logs["loss"]))


def loaded(spec: dict[str, Any]) -> PreTrainedModel:
    """The model in float32. A reward model's head is drawn here, so that both tools begin with the same."""
    if spec["method"] != "reward":
        return AutoModelForCausalLM.from_pretrained(spec["model"], dtype=torch.float32)
    model = AutoModelForSequenceClassification.from_pretrained(spec["model"], dtype=torch.float32, num_labels=1)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(spec["seed"])
        model.score.weight.normal_(0, model.config.initializer_range, generator=draw)
    return model


def brevity(completions: list[Any], **columns: Any) -> list[float]:
    """A reward that costs no time: about a hundred characters are best."""
    return [-abs(len(said[0]["content"]) - 100) / 100 for said in completions]


def rewards(spec: dict[str, Any]) -> dict[str, Any]:
    """What a trainer that samples is given besides."""
    if spec["method"] not in ("rloo", "grpo", "ppo"):
        return {}
    return {"reward_funcs": spec.get("reward_model") or brevity}


class Stopwatch:
    """Seconds spent inside one method of an object."""

    def __init__(self, owner: Any, name: str) -> None:
        self.seconds, inner = 0.0, getattr(owner, name)

        def timed(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            found = inner(*args, **named)
            self.seconds += time.perf_counter() - began
            return found

        setattr(owner, name, timed)


def same_adapter(model: torch.nn.Module, seed: int) -> None:
    """Give every LoRA matrix A values that depend on its name alone: both tools then start from the same adapter."""
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            layer = name.partition("layers.")[2]
            draw = torch.Generator().manual_seed(seed + int(hashlib.sha256(layer.encode()).hexdigest()[:8], 16))
            with torch.no_grad():
                weight.uniform_(-1, 1, generator=draw).mul_(weight.shape[1] ** -0.5)


def same_mismatches(trainer: Any, seed: int) -> None:
    """Let TRL's KTOTrainer estimate its reference point from the completions that Accord would take.

    By itself it takes, in batches that never change, the left neighbour's (which is why TRL cannot shuffle KTO data).
    """
    from accord.trainers.examples import Example
    from accord.trainers.reference_point import mismatch
    from accord.tree import PromptTree

    rows = trainer.train_dataset
    examples = [Example(str(i), PromptTree(r["prompt_ids"], [r["completion_ids"]])) for i, r in enumerate(rows)]
    others = [list(example.tree.completions[0]) for example in mismatch(examples, seed)]
    trainer.train_dataset = rows.remove_columns("KL_completion_ids").add_column("KL_completion_ids", others)


def main(spec: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(spec["seed"])
    tool = importlib.import_module(MODULES[spec["tool"]])
    name = NAMES[spec["method"]]
    task = "SEQ_CLS" if spec["method"] == "reward" else "CAUSAL_LM"
    losses = Losses()
    trainer = getattr(tool, f"{name}Trainer")(
        model=loaded(spec),
        args=getattr(tool, f"{name}Config")(**spec["arguments"]),
        train_dataset=Dataset.from_json(spec["data"]),
        processing_class=AutoTokenizer.from_pretrained(spec["model"]),
        callbacks=[losses],
        peft_config=LoraConfig(task_type=task, **spec["lora"]) if spec["mode"] == "lora" else None,
        **rewards(spec),
    )
    watch = Stopwatch(trainer, ROLLOUT[spec["tool"]]) if rewards(spec) else None
    same_adapter(trainer.model, spec["seed"])
    if spec["same_mismatches"] and spec["tool"] == "trl" and spec["method"] == "kto":
        same_mismatches(trainer, spec["seed"])
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    return {
        "version": version(spec["tool"]),
        "seconds": seconds,
        "throughput": spec["examples"] / seconds,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "losses": losses.values,
        **({"rollout_seconds": watch.seconds, "update_seconds": seconds - watch.seconds} if watch else {}),
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
