"""Builds TRL's trainer of a method. It runs as it is; only its checkpoints are written Accord's way."""

import logging
import os
from copy import deepcopy
from typing import Any

import huggingface_hub
from datasets import Dataset, disable_progress_bars
from peft import PeftModel
from transformers import Trainer

from accord.policy.gate import disable_dropout
from accord.trainers.on_trl.checkpoints import WholeCheckpoints
from accord.trainers.on_trl.config import NOT_USED
from accord.trainers.on_trl.peers import PEERS, Peer
from accord.trainers.on_trl.rollouts import Rollouts, check_arguments, function_of, move, reference_is, sources_of
from accord.trainers.on_trl.rows import FORMS, prompts

log = logging.getLogger(__name__)

if "HF_HUB_DISABLE_TELEMETRY" not in os.environ:  # TRL tells its makers of every training
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True


def build(
    method: str, *, model: Any, args: Any, train_dataset: Dataset, eval_dataset: Dataset | None, processing_class: Any,
    peft_config: Any = None, progress: Any = None, **named: Any,
) -> Trainer:  # fmt: skip
    """TRL's trainer of `method`, a key of PEERS, on Accord's rows; `args` of the class that `config_of` gives.

    The reference is the model as it is given. Rows that TRL leaves out are counted and logged. `progress` is not
    called: TRL has no such hook. `named` are further arguments of the trainer: `reward_funcs` and `on_rollout` are
    Accord's, those that TRL's trainer has are passed on. Raises ValueError, of one line, for what TRL refuses.
    """
    for name in args.changed():
        if name in NOT_USED:
            log.warning("%s is not used: %s", name, NOT_USED[name])
    if args.attn_implementation:
        model.set_attn_implementation(args.attn_implementation)
    disable_progress_bars()
    peer = PEERS[method]
    given = {"train": train_dataset, "eval": eval_dataset}
    prepared = {name: rows and _rows(rows, name, method, args, processing_class) for name, rows in given.items()}
    if _needs_copy(peer.reference, model, args, peft_config):
        named["ref_model"] = deepcopy(model)
    known = {
        "model": model,
        "args": args,
        "train_dataset": prepared["train"],
        "eval_dataset": prepared["eval"],
        "processing_class": processing_class,
        "peft_config": peft_config,
    }
    try:
        trainer = _sampling(peer, known, named) if peer.samples else _over(WholeCheckpoints, peer)(**known, **named)
    except (ImportError, NotImplementedError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if args.disable_dropout:
        disable_dropout(trainer.model)
    for name, rows in prepared.items():
        _tell_left_out(name, rows, getattr(trainer, f"{name}_dataset"), args)
    return trainer


def _over(overlay: type[Trainer], peer: Peer) -> Any:
    """TRL's trainer under Accord's overlay, with its own name."""
    return type(peer.trainer.__name__, (overlay, peer.trainer), {})


def _sampling(peer: Peer, known: dict[str, Any], named: dict[str, Any]) -> Any:
    """TRL's trainer of a method that samples, rewarded by Accord's sources."""
    tokenizers, on_rollout = named.pop("reward_processing_classes", None), named.pop("on_rollout", None)
    check_arguments(peer.trainer, named)
    sources = sources_of(named.pop("reward_funcs"), known["args"], tokenizers)
    further = {name: value for name, value in named.items() if value is not None}
    with reference_is(known["model"], peer.trainer):
        trainer = _over(Rollouts, peer)(reward_funcs=[function_of(source) for source in sources], **known, **further)
    move(sources, trainer.accelerator.device)
    if on_rollout is not None:
        trainer.on_rollout = on_rollout
    return trainer


def _needs_copy(reference: bool, model: Any, args: Any, peft_config: Any) -> bool:
    """With an adapter the reference is in the model already, and log-probs made beforehand need none."""
    adapted = peft_config is not None or isinstance(model, PeftModel)
    return reference and not adapted and not args.precompute_ref_log_probs


def _rows(rows: Dataset, name: str, method: str, args: Any, tokenizer: Any) -> Dataset:
    """The rows in TRL's form; whole conversations where the loss is wanted on all of the assistant's turns."""
    if PEERS[method].samples:
        return Dataset.from_list(prompts(rows, name, tokenizer, args))
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
