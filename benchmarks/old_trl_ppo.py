"""PPO by the last TRL that had it (1.12.0), for the bench: `OLD_PYTHON old_trl_ppo.py SPEC.json OUT.json`.

It runs in an environment of its own, with the same torch and Transformers as Accord's, and imports nothing of Accord:

    python3 -m venv ../old-trl
    grep -v '^trl==' constraints.txt > ../old-trl/constraints.txt
    ../old-trl/bin/python -m pip install -c ../old-trl/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu --no-deps torch
    ../old-trl/bin/python -m pip install -c ../old-trl/constraints.txt trl==1.12.0

The spec has the fields of `worker.py`'s that PPO needs, and two more:

    model, reward_model   folders: a causal model, and a sequence classifier with one label and the same tokenizer
    data                  rows {"id", "prompt": [message, …]}; each is one episode, so give `examples` of them
    examples, seed        how many episodes are timed, and the seed
    arguments             TRL's PPOConfig: micro-batch, accumulation, response_length, num_ppo_epochs …
    frozen_dtype          of the reference and the reward model: "float32" or "bfloat16"

TRL drops three of its own settings, and here they hold. `bf16` does not reach its Accelerator, which has to be told by
an environment variable. `gradient_checkpointing` is never switched on. At the last rollout of a pass over the data it
takes an optimizer step at every micro-batch, whatever `gradient_accumulation_steps` says.
"""

import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

#: A token that no chat uses. TRL takes every padding token for padding, and SmolLM2 pads with its end of turn.
PADDING = "<empty_output>"


class Stopwatch(TrainerCallback):
    """Seconds of sampling, of whole rollouts (sampling, reference, values and rewards), and of updates."""

    def __init__(self) -> None:
        self.seconds = {"sampling": 0.0, "rollout": 0.0, "update": 0.0}
        self.logs: list[dict[str, float]] = []
        self.since = 0.0
        self.updating = False

    def watch(self, trainer: PPOTrainer) -> None:
        """A rollout begins with its sampling and ends at the first micro-batch; the update ends where it is logged."""
        sample, accumulate = ppo_trainer.batch_generation, trainer.accelerator.accumulate

        def sampling(*args: Any) -> Any:
            self.since, self.updating = time.perf_counter(), False
            sampled = sample(*args)
            self.seconds["sampling"] += time.perf_counter() - self.since
            return sampled

        def accumulating(*models: Any) -> Any:
            if not self.updating:
                self.updating = True
                self.lap("rollout")
            return accumulate(*models)

        ppo_trainer.batch_generation, trainer.accelerator.accumulate = sampling, accumulating
        trainer.add_callback(self)

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] += now - self.since
        self.since = now

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.lap("update")
        self.logs.append(dict(logs or {}))


def prompts(path: str, tokenizer: Any) -> Dataset:
    """The rows' prompts as token ids, with the header of the answer."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    chats = (tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=True) for row in rows)
    return Dataset.from_dict({"input_ids": [chat["input_ids"] for chat in chats]})


def made(spec: dict[str, Any]) -> PPOTrainer:
    """The trainer, its policy and value model in float32, the value model begun as the reward model."""
    if spec["arguments"].get("bf16"):
        os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    tokenizer = AutoTokenizer.from_pretrained(spec["model"], padding_side="left", pad_token=PADDING)
    frozen = getattr(torch, spec["frozen_dtype"])
    policy = AutoModelForCausalLM.from_pretrained(spec["model"], dtype=torch.float32)
    value = AutoModelForSequenceClassification.from_pretrained(spec["reward_model"], dtype=torch.float32)
    args = PPOConfig(**spec["arguments"])
    if args.gradient_checkpointing:
        policy.gradient_checkpointing_enable()
        value.gradient_checkpointing_enable()
    trainer = PPOTrainer(
        args=args,
        processing_class=tokenizer,
        model=policy,
        ref_model=AutoModelForCausalLM.from_pretrained(spec["model"], dtype=frozen),
        reward_model=AutoModelForSequenceClassification.from_pretrained(spec["reward_model"], dtype=frozen),
        value_model=value,
        train_dataset=prompts(spec["data"], tokenizer),
    )
    trainer.accelerator.gradient_state.plugin_kwargs["sync_with_dataloader"] = False
    return trainer


def main(spec: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(spec["seed"])
    trainer, watch = made(spec), Stopwatch()
    watch.watch(trainer)
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    return {
        "version": version("trl"),
        "seconds": seconds,
        "throughput": spec["examples"] / seconds,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        **{f"{phase}_seconds": spent for phase, spent in watch.seconds.items()},
        "logs": watch.logs,
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
