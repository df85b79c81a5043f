"""Builds TRL's trainer of a method. It runs as it is; only its checkpoints are written Accord's way."""

import logging
import os
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import huggingface_hub
from datasets import Dataset, disable_progress_bars
from peft import PeftModel
from torch import Tensor
from transformers import Trainer

from accord.policy.gate import disable_dropout
from accord.trainers.checkpoint import AtomicCheckpoints
from accord.trainers.on_trl.config import NOT_USED
from accord.trainers.on_trl.peers import PEERS
from accord.trainers.on_trl.rows import FORMS

log = logging.getLogger(__name__)

if "HF_HUB_DISABLE_TELEMETRY" not in os.environ:  # TRL tells its makers of every training
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True


class WholeCheckpoints(AtomicCheckpoints):
    """Laid over a trainer of TRL's: checkpoints appear whole, and hold a reference that moves with the model."""

    ref_model: Any

    def own_state(self) -> dict[str, Tensor]:
        if not self._moves:
            return {}
        return {name: weight.clone().contiguous() for name, weight in self._reference.state_dict().items()}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        if self._moves:
            self._reference.load_state_dict(state)

    @property
    def _moves(self) -> bool:
        return getattr(self.args, "sync_ref_model", False)

    @property
    def _reference(self) -> Any:
        return self.accelerator.unwrap_model(self.ref_model)


def build(
    method: str, *, model: Any, args: Any, train_dataset: Dataset, eval_dataset: Dataset | None, processing_class: Any,
    peft_config: Any = None, progress: Any = None,
) -> Trainer:  # fmt: skip
    """TRL's trainer of `method`, a key of PEERS, on Accord's rows; `args` of the class that `config_of` gives.

    The reference is the model as it is given. Rows that TRL leaves out are counted and logged. `progress` is not
    called: TRL has no such hook. Raises ValueError, of one line, for what TRL refuses.
    """
    for name in args.changed():
        if name in NOT_USED:
            log.warning("%s is not used: %s", name, NOT_USED[name])
    if args.attn_implementation:
        model.set_attn_implementation(args.attn_implementation)
    disable_progress_bars()
    given = {"train": train_dataset, "eval": eval_dataset}
    prepared = {name: rows and _rows(rows, method, args) for name, rows in given.items()}
    peer = PEERS[method]
    try:
        trainer = type(peer.trainer.__name__, (WholeCheckpoints, peer.trainer), {})(
            model=model,
            args=args,
            train_dataset=prepared["train"],
            eval_dataset=prepared["eval"],
            processing_class=processing_class,
            peft_config=peft_config,
            **({"ref_model": deepcopy(model)} if _needs_copy(peer.reference, model, args, peft_config) else {}),
        )
    except (ImportError, NotImplementedError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if args.disable_dropout:
        disable_dropout(trainer.model)
    for name, rows in given.items():
        _tell_left_out(name, rows, getattr(trainer, f"{name}_dataset"), args)
    return trainer


def _needs_copy(reference: bool, model: Any, args: Any, peft_config: Any) -> bool:
    """With an adapter the reference is in the model already, and log-probs made beforehand need none."""
    adapted = peft_config is not None or isinstance(model, PeftModel)
    return reference and not adapted and not args.precompute_ref_log_probs


def _rows(rows: Dataset, method: str, args: Any) -> Dataset:
    """The rows in TRL's form; whole conversations where the loss is wanted on all of the assistant's turns."""
    if getattr(args, "assistant_only_loss", False) and "messages" in rows.column_names:
        return rows.select_columns("messages")
    return Dataset.from_list([FORMS[method](row) for row in rows])


def _tell_left_out(name: str, given: Dataset | None, kept: Any, args: Any) -> None:
    if given is None or getattr(args, "packing", False):
        return
    if not len(kept):
        raise ValueError(f"TRL leaves out every {name} row within max_length={args.max_length}: raise it")
    if len(kept) < len(given):
        left = len(given) - len(kept)
        log.warning("TRL left out %d of %d %s rows for max_length=%s", left, len(given), name, args.max_length)
