"""Checkpoints that are whole or absent, and what Transformers builds on them."""

import json
import shutil

import pytest
from transformers import TrainerCallback

from accord.trainers.checkpoint import MANIFEST, STAGING, last_checkpoint, seal, whole
from conftest import make_tiny_llama
from training_kit import farthest, losses, make, pairs, train, weights

STEPS = {"save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, byte_tokenizer):
    """A run of three steps with a checkpoint after each; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    trainer = train("dpo", folder, byte_tokenizer, **STEPS)
    return folder / "run", weights(trainer)


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def numbers(run):
    return sorted(int(path.name.rpartition("-")[2]) for path in run.glob("checkpoint-*"))


def test_a_checkpoint_has_a_manifest_of_every_file_and_nothing_is_left_over(run):
    assert numbers(run) == [1, 2, 3]
    assert not (run / STAGING).exists()
    for path in run.glob("checkpoint-*"):
        sizes = json.loads((path / MANIFEST).read_text())["files"]
        assert sizes == {f.name: f.stat().st_size for f in path.iterdir() if f.name != MANIFEST}
        assert {
            "model.safetensors",
            "optimizer.pt",
            "scheduler.pt",
            "rng_state.pth",
            "trainer_state.json",
        } <= sizes.keys()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = {
    "no manifest": lambda c: (c / MANIFEST).unlink(),
    "half a manifest": lambda c: truncate(c / MANIFEST),
    "an empty manifest": lambda c: (c / MANIFEST).write_text('{"files": {}}'),
    "a manifest of something else": lambda c: (c / MANIFEST).write_text('{"files": ["model.safetensors"]}'),
    "a byte short": lambda c: truncate(c / "optimizer.pt"),
    "an empty file": lambda c: (c / "model.safetensors").write_bytes(b""),
    "a file missing": lambda c: (c / "rng_state.pth").unlink(),
    "an empty folder": lambda c: [f.unlink() for f in c.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_partial_checkpoint_is_never_resumed_from(damage, run, finished, tmp_path, byte_tokenizer):
    """The last whole one is, and the run still ends where it would have."""
    DAMAGE[damage](run / "checkpoint-3")
    assert not whole(run / "checkpoint-3")
    assert last_checkpoint(run) == run / "checkpoint-2"
    trainer = make("dpo", tmp_path, byte_tokenizer, **STEPS)
    with pytest.raises(ValueError, match=r"checkpoint-3: not a whole checkpoint"):
        trainer.train(resume_from_checkpoint=str(run / "checkpoint-3"))
    trainer.train(resume_from_checkpoint=True)
    assert farthest(weights(trainer), finished[1]) == 0
    assert whole(run / "checkpoint-3")


def test_what_a_killed_write_leaves_is_passed_over_and_cleared(run, finished, tmp_path, byte_tokenizer):
    shutil.copytree(run / "checkpoint-3", run / STAGING / "checkpoint-3")
    (run / STAGING / "checkpoint-3" / MANIFEST).unlink()
    shutil.rmtree(run / "checkpoint-3")
    trainer = make("dpo", tmp_path, byte_tokenizer, **STEPS)
    trainer.train(resume_from_checkpoint=True)
    assert farthest(weights(trainer), finished[1]) == 0
    assert not (run / STAGING).exists()


def test_the_last_checkpoint_is_by_number_not_by_name(tmp_path):
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-x", "checkpoint-11"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("1")
        seal(tmp_path / name)
    (tmp_path / "checkpoint-11" / "weights").write_text("")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_checkpoint(tmp_path / "nothing") is None


def test_resuming_from_nothing_is_refused(tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match="no whole checkpoint to resume from"):
        make("dpo", tmp_path, byte_tokenizer).train(resume_from_checkpoint=True)


def test_a_checkpoint_without_optimizer_state_is_refused(tmp_path, byte_tokenizer):
    train("dpo", tmp_path, byte_tokenizer, save_only_model=True, **STEPS)
    with pytest.raises(ValueError, match="save_only_model"):
        make("dpo", tmp_path, byte_tokenizer, **STEPS).train(resume_from_checkpoint=True)


def test_only_so_many_checkpoints_are_kept(tmp_path, byte_tokenizer):
    train("dpo", tmp_path, byte_tokenizer, rows=20, save_total_limit=2, **STEPS)
    assert numbers(tmp_path / "run") == [4, 5]


class Worsen(TrainerCallback):
    """Says after each evaluation how good it was, as if by the list given."""

    def __init__(self, scores):
        self.scores = iter(scores)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        metrics["eval_loss"] = next(self.scores)


def test_the_best_model_is_kept_and_loaded_at_the_end(tmp_path, byte_tokenizer):
    every = train("dpo", tmp_path / "every", byte_tokenizer, rows=20, **STEPS)
    given = {"eval_dataset": pairs(3), "callbacks": [Worsen([0.5, 0.3, 0.4, 0.6, 0.5])]}
    trainer = train(
        "dpo", tmp_path, byte_tokenizer, rows=20, given=given, save_total_limit=1, load_best_model_at_end=True,
        eval_strategy="steps", eval_steps=1, **STEPS,
    )  # fmt: skip
    run = tmp_path / "run"
    assert trainer.state.best_model_checkpoint == str(run / "checkpoint-2")
    assert numbers(run) == [2]
    best = type(trainer.model).from_pretrained(tmp_path / "every" / "run" / "checkpoint-2")
    assert farthest(weights(trainer), dict(best.named_parameters())) == 0
    assert farthest(weights(trainer), weights(every)) > 0


def test_the_best_checkpoint_is_known_after_resuming(tmp_path, byte_tokenizer):
    """And its path in the saved state is where it lies, not where it was written."""
    options = {"eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True, "rows": 20, **STEPS}
    scores = [0.5, 0.3, 0.4, 0.6, 0.5]
    given = {"eval_dataset": pairs(3), "callbacks": [Worsen(scores), Stop(3)]}
    train("dpo", tmp_path, byte_tokenizer, given=given, **options)
    for number in (2, 3):
        state = json.loads((tmp_path / "run" / f"checkpoint-{number}" / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == str(tmp_path / "run" / "checkpoint-2")
    trainer = make(
        "dpo", tmp_path, byte_tokenizer, given={"eval_dataset": pairs(3), "callbacks": [Worsen(scores[3:])]}, **options
    )
    trainer.train(resume_from_checkpoint=True)
    best = make_tiny_llama(byte_tokenizer).from_pretrained(tmp_path / "run" / "checkpoint-2")
    assert farthest(weights(trainer), dict(best.named_parameters())) == 0


class Stop(TrainerCallback):
    """Ends a run after a step, as if it had been interrupted there."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def test_saving_at_epochs_and_at_the_best(tmp_path, byte_tokenizer):
    train("dpo", tmp_path / "epochs", byte_tokenizer, num_train_epochs=2, save_strategy="epoch")
    assert numbers(tmp_path / "epochs" / "run") == [3, 6]
    given = {"eval_dataset": pairs(3), "callbacks": [Worsen([0.5, 0.6, 0.4])]}
    train(
        "dpo", tmp_path, byte_tokenizer, given=given, save_strategy="best", eval_strategy="steps", eval_steps=1,
        metric_for_best_model="loss",
    )  # fmt: skip
    assert numbers(tmp_path / "run") == [1, 3]


def test_a_finished_run_resumes_to_itself(run, finished, tmp_path, byte_tokenizer):
    trainer = make("dpo", tmp_path, byte_tokenizer, **STEPS)
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 3
    assert len(losses(trainer)) == 3  # as logged before
    assert farthest(weights(trainer), finished[1]) == 0
