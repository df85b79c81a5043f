"""Checkpoints that are whole or absent.

A checkpoint is written to `.incomplete/checkpoint-N`, flushed to disk, given a manifest of its files, and renamed into
place. A folder `checkpoint-N` without a manifest, or whose files do not match it, is never resumed from.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

MANIFEST = "manifest.json"
STAGING = ".incomplete"
OWN_STATE = "accord_state.safetensors"


def whole(checkpoint: Path) -> bool:
    """Whether every file of the manifest is there, in its full length."""
    try:
        sizes = json.loads((checkpoint / MANIFEST).read_text())["files"]
        return bool(sizes) and all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def last_checkpoint(run: str | Path) -> Path | None:
    """The whole checkpoint with the highest step in a run's folder, or None."""
    numbered = (
        (int(path.name.rpartition("-")[2]), path)
        for path in Path(run).glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if path.name.rpartition("-")[2].isdigit()
    )
    return next((path for _, path in sorted(numbered, reverse=True) if whole(path)), None)


def seal(checkpoint: Path) -> None:
    """Flushes every file to disk and writes the manifest last."""
    files = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != MANIFEST)
    for path in files:
        _flush(path)
    manifest = checkpoint / MANIFEST
    manifest.write_text(
        json.dumps({"files": {str(p.relative_to(checkpoint)): p.stat().st_size for p in files}}, indent=1)
    )
    _flush(manifest)
    _flush(checkpoint)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class AtomicCheckpoints(Trainer):
    """A Trainer whose checkpoints appear whole, with what `own_state` gives."""

    _staging = False

    def own_state(self) -> dict[str, Tensor]:
        """Tensors that a resumed run goes on from, beside those that Transformers saves."""
        return {}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes what `own_state` gave when the checkpoint was written."""

    def _get_output_dir(self, trial):
        folder = super()._get_output_dir(trial)
        return os.path.join(folder, STAGING) if self._staging else folder

    def _save_checkpoint(self, model, trial):
        final = Path(self._get_output_dir(trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        staged = final / STAGING / name
        if self.is_world_process_zero():
            shutil.rmtree(final / STAGING, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._staging = True
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staging = False
        best = self.state.best_model_checkpoint
        if best is not None and STAGING in Path(best).parts:
            self.state.best_model_checkpoint = str(final / name)
            if self.is_world_process_zero():
                self.state.save_to_json(str(staged / "trainer_state.json"))
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            if state := self.own_state():
                save_file(state, staged / OWN_STATE)
            seal(staged)
            shutil.rmtree(final / name, ignore_errors=True)
            os.replace(staged, final / name)
            _flush(final)
            shutil.rmtree(final / STAGING, ignore_errors=True)
            rotate_checkpoints(str(final), self.args.save_total_limit, self.state.best_model_checkpoint, use_mtime=True)
        self.accelerator.wait_for_everyone()

    def train(self, resume_from_checkpoint=None, *args, **kwargs):
        """`resume_from_checkpoint=True` takes the last whole checkpoint; a named one must be whole."""
        if resume_from_checkpoint is True:
            found = last_checkpoint(str(self.args.output_dir))
            if found is None:
                raise ValueError(f"{self.args.output_dir}: no whole checkpoint to resume from: start without resuming")
            resume_from_checkpoint = str(found)
        elif resume_from_checkpoint and not whole(Path(resume_from_checkpoint)):
            raise ValueError(f"{resume_from_checkpoint}: not a whole checkpoint: resume from another, or start anew")
        if resume_from_checkpoint and not any(Path(resume_from_checkpoint).glob("rng_state*")):
            raise ValueError(f"{resume_from_checkpoint}: saved with save_only_model, so nothing can resume from it")
        if resume_from_checkpoint:
            own = Path(resume_from_checkpoint) / OWN_STATE
            self.load_own_state(load_file(own) if own.is_file() else {})
        return super().train(resume_from_checkpoint or None, *args, **kwargs)
