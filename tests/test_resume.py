"""A run that was killed and resumed ends, bit for bit, where it would have ended."""

import os
import random
import signal
import time
import traceback

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import TrainerCallback

from accord.trainers import checkpoint
from accord.trainers.checkpoint import STAGING, last_checkpoint
from conftest import make_tiny_llama
from training_kit import KINDS, ONLINE, farthest, make, train, weights

ROWS = 10  # with batches of 4: steps of 4, 4 and 2 examples, so that epochs end within and without a checkpoint
EPOCHS = {"num_train_epochs": 3, "rows": ROWS, "save_strategy": "steps", "save_steps": 2}
STEPS = 9


class Killed(Exception):
    """As good as a kill: nothing after it is done."""


class Kill(TrainerCallback):
    """Ends a run within a step: its gradients are there, its optimizer has not seen them."""

    def __init__(self, step: int):
        self.step = step

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step + 1 == self.step:
            raise Killed


def logged(trainer):
    """What was logged at every step, but for the times that it took."""
    times = ("runtime", "per_second", "time/")
    return [
        {key: value for key, value in record.items() if not any(each in key for each in times)}
        for record in trainer.state.log_history
        if "train_loss" not in record
    ]


def killed(step, kind, folder, tokenizer, given=None, **changes):
    """A run that is killed in a step, and what resumes it with a fresh model amid other random numbers."""
    given = given or {}
    dying = make(kind, folder, tokenizer, given=given | {"callbacks": [Kill(step)]}, **changes)
    with pytest.raises(Killed):
        dying.train()
    torch.manual_seed(step)
    random.seed(step)
    resumed = make(kind, folder, tokenizer, given=given, **changes)
    resumed.train(resume_from_checkpoint=True)
    return resumed


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_killed_within_any_step(kind, lora, tmp_path, byte_tokenizer):
    whole = train(kind, tmp_path / "whole", byte_tokenizer, lora=lora, **EPOCHS)
    assert whole.state.global_step == STEPS
    for step in (3, 4, 9):
        resumed = killed(step, kind, tmp_path / str(step), byte_tokenizer, lora=lora, **EPOCHS)
        assert farthest(weights(resumed), weights(whole)) == 0
        assert logged(resumed) == logged(whole)


#: Two optimizer batches to a rollout, and each rollout gone through twice: most checkpoints fall amid a rollout.
UPDATES = {
    "grpo": {"steps_per_generation": 2, "num_iterations": 2, "beta": 0.1},
    "ppo": {"num_mini_batches": 2, "num_ppo_epochs": 2, "kl_target": 0.1, "kl_horizon": 100, "critic_warmup_steps": 1},
    "rloo": {"steps_per_generation": 2, "num_iterations": 2},
}


@pytest.mark.parametrize("kind", sorted(ONLINE))
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_killed_amid_a_rollout(kind, lora, tmp_path, byte_tokenizer):
    """With the rollout at hand, the critic and its optimizer, the KL coefficient, and the count of episodes."""
    settings = {"max_steps": 7, "rows": 18, "save_strategy": "steps", "save_steps": 3, **UPDATES[kind]}
    whole = train(kind, tmp_path / "whole", byte_tokenizer, lora=lora, **settings)
    for step in (4, 7):
        resumed = killed(step, kind, tmp_path / str(step), byte_tokenizer, lora=lora, **settings)
        assert farthest(weights(resumed), weights(whole)) == 0
        assert logged(resumed) == logged(whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_budget": 64},
        {"optim": "adamw_torch", "lr_scheduler_type": "cosine", "warmup_steps": 3},
        {"gradient_checkpointing": True},
        {"layout": "padded"},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        {"save_strategy": "epoch"},
        {"bf16": True},
    ],
)
def test_whatever_the_settings(changes, tmp_path, byte_tokenizer):
    settings = EPOCHS | changes
    whole = train("kto", tmp_path / "whole", byte_tokenizer, **settings)
    resumed = killed(5, "kto", tmp_path / "killed", byte_tokenizer, **settings)
    assert farthest(weights(resumed), weights(whole)) == 0


def test_with_dropout_in_the_adapter(tmp_path, byte_tokenizer):
    """The random numbers go on where they were."""
    adapter = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.3)
    given, settings = {"peft_config": adapter}, EPOCHS | {"disable_dropout": False}
    whole = train("dpo", tmp_path / "whole", byte_tokenizer, given=given, **settings)
    sober = train("dpo", tmp_path / "sober", byte_tokenizer, given=given, **EPOCHS)
    assert farthest(weights(sober), weights(whole)) > 1e-3
    for step in (4, 5):
        resumed = killed(step, "dpo", tmp_path / str(step), byte_tokenizer, given=given, **settings)
        assert farthest(weights(resumed), weights(whole)) == 0


def test_with_evaluation_in_between(tmp_path, byte_tokenizer):
    for kind in ("dpo", "kto"):
        given = {"eval_dataset": KINDS[kind].rows(4)}
        settings = EPOCHS | {"eval_strategy": "steps", "eval_steps": 2}
        whole = train(kind, tmp_path / kind, byte_tokenizer, given=given, **settings)
        resumed = killed(6, kind, tmp_path / f"{kind}-killed", byte_tokenizer, given=given, **settings)
        assert farthest(weights(resumed), weights(whole)) == 0
        assert logged(resumed) == logged(whole)


def test_a_run_made_longer_goes_on(tmp_path, byte_tokenizer):
    """Same schedule (constant), more epochs: as if it had been meant from the start."""
    settings = EPOCHS | {"lr_scheduler_type": "constant"}
    whole = train("dpo", tmp_path / "whole", byte_tokenizer, **settings)
    train("dpo", tmp_path, byte_tokenizer, **(settings | {"num_train_epochs": 2}))
    longer = make("dpo", tmp_path, byte_tokenizer, **settings)
    longer.train(resume_from_checkpoint=True)
    assert farthest(weights(longer), weights(whole)) == 0


def test_the_reference_is_the_model_before_training_also_after_resuming(tmp_path, byte_tokenizer):
    """Even where the cache was lost: the model is scored before the checkpoint is loaded into it."""
    whole = train("dpo", tmp_path / "whole", byte_tokenizer, **EPOCHS)
    with pytest.raises(Killed):
        make("dpo", tmp_path, byte_tokenizer, given={"callbacks": [Kill(6)]}, **EPOCHS).train()
    resumed = make("dpo", tmp_path, byte_tokenizer, reference_cache=str(tmp_path / "empty"), **EPOCHS)
    resumed.train(resume_from_checkpoint=True)
    assert farthest(weights(resumed), weights(whole)) == 0


def test_going_on_with_an_adapter_can_be_killed_too(tmp_path, byte_tokenizer):
    """Its reference is the adapter as it was, not as the checkpoint has it."""
    train("sft", tmp_path / "first", byte_tokenizer, lora=True).save_model(str(tmp_path / "adapter"))

    def again(name, **given):
        model = PeftModel.from_pretrained(make_tiny_llama(byte_tokenizer), tmp_path / "adapter", is_trainable=True)
        return make("dpo", tmp_path / name, byte_tokenizer, model=model, given=given, **EPOCHS)

    whole = again("whole")
    whole.train()
    with pytest.raises(Killed):
        again("killed", callbacks=[Kill(6)]).train()
    resumed = again("killed")
    resumed.train(resume_from_checkpoint=True)
    assert farthest(weights(resumed), weights(whole)) == 0
    assert logged(resumed) == logged(whole)


def test_stopped_by_sigterm(tmp_path, byte_tokenizer):
    settings = EPOCHS | {"save_strategy": "no", "enable_jit_checkpoint": True}
    whole = train("dpo", tmp_path / "whole", byte_tokenizer, **settings)
    stopped = make("dpo", tmp_path, byte_tokenizer, **settings)
    manager = next(c.jit_manager for c in stopped.callback_handler.callbacks if hasattr(c, "jit_manager"))

    class Ask(TrainerCallback):
        """Asks for a checkpoint, as the signal does after its waiting time."""

        def on_log(self, args, state, control, **kwargs):
            manager.is_checkpoint_requested = state.global_step == 4

    stopped.add_callback(Ask())
    stopped.train()
    assert stopped.state.global_step < STEPS
    resumed = make("dpo", tmp_path, byte_tokenizer, **settings)
    resumed.train(resume_from_checkpoint=True)
    assert farthest(weights(resumed), weights(whole)) == 0


# ---- kill -9


def train_or_resume(kind, folder, tokenizer, lora):
    """What a person does after every kill: the same again, from the last checkpoint where there is one."""
    trainer = make(kind, folder, tokenizer, lora=lora, **(EPOCHS | {"save_steps": 1}))
    trainer.train(resume_from_checkpoint=last_checkpoint(folder / "run") is not None)
    trainer.save_model(str(folder / "final"))


def in_a_process(work, *args) -> int:
    """`work(*args)` in a forked process, which ends without the parent's clean-up; its id."""
    child = os.fork()
    if child:
        return child
    try:
        work(*args)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def ended(child: int) -> bool:
    """Waits; whether the process came to its end, rather than being killed."""
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return not os.WIFSIGNALED(status)


def final(folder, lora):
    return load_file(folder / ("adapter_model.safetensors" if lora else "model.safetensors"))


@pytest.mark.parametrize(("kind", "lora"), [("dpo", False), ("kto", True), ("sft", True)])
def test_kill_nine_at_any_moment(kind, lora, tmp_path, byte_tokenizer):
    whole = train(kind, tmp_path / "whole", byte_tokenizer, lora=lora, **EPOCHS)
    whole.save_model(str(tmp_path / "expected"))
    draw = random.Random(f"{kind}{lora}")
    for _ in range(6):
        child = in_a_process(train_or_resume, kind, tmp_path, byte_tokenizer, lora)
        time.sleep(draw.uniform(0, 0.4))
        os.kill(child, signal.SIGKILL)
        ended(child)
    assert ended(in_a_process(train_or_resume, kind, tmp_path, byte_tokenizer, lora))
    assert farthest(final(tmp_path / "final", lora), final(tmp_path / "expected", lora)) == 0


def test_kill_nine_while_a_checkpoint_is_written(tmp_path, byte_tokenizer, monkeypatch):
    """At the n-th thing that writing one does: before its files are flushed, between two of them, before the manifest,
    before and after the folder is renamed."""
    whole = train("dpo", tmp_path / "whole", byte_tokenizer, lora=True, **EPOCHS)
    whole.save_model(str(tmp_path / "expected"))
    run, left, acts = tmp_path / "run", [], 0

    def dying_at(act):
        """Every act of writing counts; at the given one, the process is no more."""
        count = iter(range(1, 1000))

        def counted(of):
            def then(*args, **named):
                if next(count) == act:
                    os.kill(os.getpid(), signal.SIGKILL)
                return of(*args, **named)

            return then

        for name in ("_flush", "seal", "rotate_checkpoints"):
            monkeypatch.setattr(checkpoint, name, counted(getattr(checkpoint, name)))
        monkeypatch.setattr(checkpoint.os, "replace", counted(os.replace))
        train_or_resume("dpo", tmp_path, byte_tokenizer, True)

    for act in (1, 2, 5, 9, 11, 12, 13, 14, 15, 16, 40):
        acts += not ended(in_a_process(dying_at, act))
        left.append((run / STAGING).exists())
        found = last_checkpoint(run)
        assert found is None or checkpoint.whole(found)
    assert acts == 11
    assert any(left)
    assert ended(in_a_process(train_or_resume, "dpo", tmp_path, byte_tokenizer, True))
    assert farthest(final(tmp_path / "final", True), final(tmp_path / "expected", True)) == 0
    assert not (run / STAGING).exists()
