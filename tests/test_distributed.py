"""Two processes compute what one does: with unequal shares, and with batches smaller than their number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training_kit import KINDS, ONLINE, farthest, make

#: In one worker: the processes are launched once, and never by two workers at a time.
pytestmark = pytest.mark.xdist_group("processes")

#: Examples of very different lengths, cut into many micro-batches: one process has more of them than the other. The
#: last optimizer batch is a single example, so that one process has none.
SETTINGS = {
    "rows": 9,
    "token_budget": 64,
    "num_train_epochs": 2,
    "optim": "sgd",
    "learning_rate": 0.1,
    "save_strategy": "steps",
    "save_steps": 3,
    "eval_strategy": "epoch",
}
BATCH = 4


def run(kind: str, folder: Path, processes: int, resume: bool = False, **changes) -> None:
    """Trains and leaves the final weights and the log."""
    from conftest import byte_tokenizer

    tokenizer = byte_tokenizer._get_wrapped_function()() if processes > 1 else changes.pop("tokenizer")
    given = {"eval_dataset": (KINDS | ONLINE)[kind].rows(3)[: 3 if kind == "kto" else 1]}
    batch = changes.pop("batch", BATCH)
    settings = SETTINGS | changes | {"per_device_train_batch_size": batch // processes}
    trainer = make(kind, folder, tokenizer, given=given, **settings)
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model(str(folder / "final"))
    if trainer.is_world_process_zero():
        (folder / "log.json").write_text(json.dumps(trainer.state.log_history))


def launch(folder: Path, *jobs) -> None:
    """Runs `jobs` one after the other in two processes, started by torchrun (gloo)."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        __file__, str(folder), json.dumps(jobs),
    ]  # fmt: skip
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


#: Name, method, settings. The losses and reference points that look at the whole optimizer batch are among them.
ALIKE = [
    ("dpo", "dpo", {}),
    ("kto", "kto", {}),
    ("sft", "sft", {"lora": True}),
    ("reward", "reward", {"lora": True}),
    ("aot", "dpo", {"loss_type": "aot_unpaired"}),
    ("following", "dpo", {"sync_ref_model": True, "ref_model_sync_steps": 2}),
    ("batch", "kto", {"reference_point": "batch"}),
    ("ema", "kto", {"reference_point": "ema"}),
    ("rloo", "rloo", {"batch": 12, "normalize_advantages": True}),  # three prompts: one process has one of them
    (
        "grpo",
        "grpo",
        {"scale_rewards": "batch", "beta": 0.1, "steps_per_generation": 2, "mask_truncated_completions": True},
    ),
    ("ppo", "ppo", {"batch": 8, "num_mini_batches": 2, "kl_target": 0.1, "missing_eos_penalty": 1.0, "save_steps": 2}),
]
#: Optimizer steps of both epochs, where they are not 6.
STEPS = {"grpo": 4 * 2 * 2, "ppo": 2 * 4 * 2}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    launch(
        folder,
        *([name, kind, changes] for name, kind, changes in ALIKE),
        ["stopped", "kto", {"max_steps": 3, "lr_scheduler_type": "constant"}],
        ["stopped", "kto", {"lr_scheduler_type": "constant", "resume": True}],
        ["straight", "kto", {"lr_scheduler_type": "constant"}],
    )
    return folder


def log(folder: Path) -> list[dict]:
    """What was logged but for the times that it took."""
    records = json.loads((folder / "log.json").read_text())
    assert "train_loss" in records.pop()
    times = ("runtime", "per_second", "time/")
    return [{k: v for k, v in r.items() if not any(each in k for each in times)} for r in records]


@pytest.mark.parametrize(("name", "kind", "changes"), ALIKE)
def test_two_processes_are_as_one(name, kind, changes, two, tmp_path, byte_tokenizer):
    run(kind, tmp_path, 1, tokenizer=byte_tokenizer, **changes)
    one, both = log(tmp_path), log(two / name)
    assert len(one) == len(both) == STEPS.get(name, 6) + 2
    for alone, together in zip(one, both, strict=True):
        assert alone.keys() == together.keys()
        assert together == pytest.approx(alone, abs=2e-5)
    (weights,) = [p.name for p in (tmp_path / "final").glob("*.safetensors")]
    ends = [load_file(folder / "final" / weights) for folder in (tmp_path, two / name)]
    assert farthest(*ends) < 1e-5


def test_two_processes_resume_to_where_they_would_have_ended(two):
    ends = [load_file(two / name / "final" / "model.safetensors") for name in ("stopped", "straight")]
    assert farthest(*ends) == 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    base, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
    for name, kind, changes in jobs:
        run(kind, base / name, 2, **changes)
    torch.distributed.destroy_process_group()  # or gloo's threads may be running when the process ends: an abort
