"""What Transformers and TRL offer and these trainers do not, each with the reason: refused in one line, never ignored
in silence."""

import logging
import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from torch import nn
from transformers import TrainingArguments

log = logging.getLogger(__name__)

#: TrainingArguments that would change what is learnt or saved.
ARGUMENTS = {
    "label_smoothing_factor": "it smooths over tokens; say how sure a label is in the data (p_chosen, p_desirable)",
    "neftune_noise_alpha": "its noise depends on a row's length, and packed rows have any length",
    "auto_find_batch_size": "memory depends on token_budget alone: lower that",
    "torch_compile": "packed batches change their shape at every step and would be compiled anew each time",
    "use_liger_kernel": "it replaces the forward pass that packing needs; logits never exist at once here anyway",
    "bf16_full_eval": "evaluation has the precision of training: use bf16",
    "fp16_full_eval": "evaluation has the precision of training: use fp16",
    "include_for_metrics": "the metrics are the method's; `accord evaluate` has more",
    "batch_eval_metrics": "the metrics are the method's; `accord evaluate` has more",
    "average_tokens_across_devices": "the loss is always normalised over all processes",
    "save_on_each_node": "a checkpoint is sealed once: give all nodes one output_dir",
    "parallelism_config": "a packed row cannot be divided among processes: use FSDP or DeepSpeed",
}
#: TrainingArguments that could only spare time or memory, and have nothing to spare here.
NEEDLESS = {
    "dataloader_num_workers": "examples are token ids in memory, so nothing is left for workers to do",
    "dataloader_persistent_workers": "there are no workers",
    "dataloader_prefetch_factor": "there are no workers",
    "eval_accumulation_steps": "evaluation keeps no logits",
    "torch_empty_cache_steps": "lower token_budget if memory runs out",
}
#: What TRL's trainers are constructed with.
CONSTRUCTION = {
    "data_collator": "examples are packed by tokens, and there is nothing to pad",
    "compute_metrics": "logits never exist at once; see the logged metrics, and `accord evaluate`",
    "preprocess_logits_for_metrics": "logits never exist at once",
    "compute_loss_func": "the loss is the method's: choose it with loss_type",
    "quantization_config": "load the model with `load_policy(..., load_in_4bit=True)` and pass that",
    "formatting_func": "format the rows before: dataset.map(...)",
    "model_init": "pass the model itself",
    "tools": "a `reply` answers the model's messages, and may call them",
    "rollout_func": "the trainer samples by itself; a `reply` answers the model's messages",
    "environment_factory": "a `reply` answers the model's messages",
    "reward_model": "pass it as reward_funcs",
    "value_model": "pass it as critic",
}
DEFAULTS = {f.name: f.default for f in fields(TrainingArguments) if f.default is not MISSING}


def check_arguments(args: TrainingArguments) -> None:
    """Raises ValueError for an argument that would be ignored though it matters; says so of one that does not."""
    for name in ARGUMENTS | NEEDLESS:
        default = DEFAULTS.get(name, [])
        if getattr(args, name, default) == default:
            continue
        if name in ARGUMENTS:
            raise ValueError(f"{name} is not supported: {ARGUMENTS[name]}")
        log.warning("%s does nothing: %s", name, NEEDLESS[name])
    if getattr(args.accelerator_config, "split_batches", False):
        raise ValueError("split_batches is not supported: per_device_train_batch_size counts what each process takes")
    if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ and args.world_size == 1:
        log.warning(
            "`accelerate launch --cpu` starts one process unless MPI does; for more: torchrun --nproc-per-node N"
        )


def check_construction(trainer: type, ref_model: Any, args: TrainingArguments, others: Mapping[str, Any]) -> None:
    """Raises for what a trainer cannot be made of. In `others`, None is as good as nothing."""
    for name, value in others.items():
        if name not in CONSTRUCTION:
            raise TypeError(f"{trainer.__name__} takes no {name!r}")
        if value is not None:
            raise ValueError(f"{trainer.__name__} takes no {name}: {CONSTRUCTION[name]}")
    wanted = trainer.method.config  # type: ignore[attr-defined]
    if not isinstance(args, wanted):
        raise TypeError(f"args is a {type(args).__name__}: {trainer.__name__} takes a {wanted.__name__}")
    if ref_model is not None and not isinstance(ref_model, nn.Module):
        raise TypeError(f"ref_model is a {type(ref_model).__name__}: pass a model, or None for the policy as it stands")
    if args.n_gpu > 1:
        raise ValueError(
            f"{args.n_gpu} GPUs in one process: start with `accelerate launch`, or set CUDA_VISIBLE_DEVICES"
        )
