"""Runs that must not go on: losses and gradients that are not numbers, weights that do not change, settings that would
be ignored."""

import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback, TrainingArguments

from accord.trainers import DPOConfig, DPOTrainer
from accord.trainers.checkpoint import last_checkpoint
from conftest import make_tiny_llama
from training_kit import KINDS, farthest, losses, make, pairs, quick, train, weights


class Spoil(TrainerCallback):
    """Makes a weight, or a gradient, NaN at a step."""

    def __init__(self, step: int, gradient: bool = False):
        self.step, self.gradient = step, gradient

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step + 1 == self.step and not self.gradient:
            model.get_input_embeddings().weight.data[:] = torch.nan
        if state.global_step + 1 == self.step and self.gradient:
            model.get_input_embeddings().weight.register_hook(lambda grad: grad * torch.nan)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_loss_that_is_not_a_number_stops_the_run(kind, tmp_path, byte_tokenizer):
    trainer = make(
        kind, tmp_path, byte_tokenizer, given={"callbacks": [Spoil(3)]}, save_strategy="steps", save_steps=1,
        per_device_train_batch_size=2,
    )  # fmt: skip
    name = {"kto": "answer-", "sft": "answer-"}.get(kind, "pair-")
    with pytest.raises(
        FloatingPointError, match=rf"loss is not finite at step 3, examples {name}\d+, {name}\d+: lower"
    ):
        trainer.train()
    kept = last_checkpoint(trainer.args.output_dir)
    assert kept.name == "checkpoint-2"
    saved = type(trainer.model).from_pretrained(kept)
    assert all(p.isfinite().all() for p in saved.parameters())


@pytest.mark.parametrize("clip", [1.0, 0.0])
def test_a_gradient_that_is_not_a_number_stops_the_run(clip, tmp_path, byte_tokenizer):
    """Also without clipping, and before the optimizer spreads it over the weights."""
    trainer = make("dpo", tmp_path, byte_tokenizer, given={"callbacks": [Spoil(2, gradient=True)]}, max_grad_norm=clip)
    with pytest.raises(
        FloatingPointError, match=r"gradient is not finite at step 2, among examples pair-\d+.*pair-\d+"
    ):
        trainer.train()
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    assert trainer.state.global_step == 1


def test_a_reference_that_is_not_a_number_stops_the_run(tmp_path, byte_tokenizer):
    broken = make_tiny_llama(byte_tokenizer)
    broken.lm_head.weight.data[byte_tokenizer("z")["input_ids"][0]] = torch.nan  # then every log-prob is
    trainer = make("dpo", tmp_path, byte_tokenizer, rows=2, given={"ref_model": broken})
    with pytest.raises(FloatingPointError, match="reference gives log-probs that are not finite"):
        trainer.train()


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("lora", [False, True])
def test_a_run_that_changes_no_weight_fails(kind, lora, tmp_path, byte_tokenizer):
    with pytest.raises(RuntimeError, match="changed no weight"):
        train(kind, tmp_path, byte_tokenizer, rows=4, lora=lora, learning_rate=0.0)


def test_a_model_with_every_weight_frozen_is_refused(tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match="every weight is frozen: pass a peft_config"):
        make("dpo", tmp_path, byte_tokenizer, model=make_tiny_llama(byte_tokenizer).requires_grad_(False))


def test_a_frozen_part_is_left_alone(tmp_path, byte_tokenizer):
    model = make_tiny_llama(byte_tokenizer)
    model.model.embed_tokens.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = train("dpo", tmp_path, byte_tokenizer, model=model)
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == before.keys() - {"model.embed_tokens.weight"}


# ---- Settings


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor is not supported: it smooths over tokens"),
        ({"neftune_noise_alpha": 5.0}, "neftune_noise_alpha is not supported"),
        ({"auto_find_batch_size": True}, "auto_find_batch_size is not supported: .* token_budget"),
        ({"torch_compile": True}, "torch_compile is not supported"),
        ({"use_liger_kernel": True}, "use_liger_kernel is not supported"),
        ({"include_for_metrics": ["loss"]}, "include_for_metrics is not supported"),
        ({"batch_eval_metrics": True}, "batch_eval_metrics is not supported"),
        ({"average_tokens_across_devices": False}, "always normalised over all processes"),
        ({"save_on_each_node": True}, "one output_dir"),
        ({"bf16_full_eval": True}, "use bf16"),
        ({"train_sampling_strategy": "group_by_length"}, "use random or sequential"),
        ({"accelerator_config": {"split_batches": True}}, "split_batches is not supported"),
        ({"token_budget": 0}, "token_budget is 0: use 1 or more"),
        ({"beta": 0}, "beta is 0: use a positive number"),
        ({"loss_type": "hing"}, "loss_type is 'hing': use one of sigmoid"),
        ({"label_smoothing": 0.5}, "label_smoothing is 0.5"),
        ({"layout": "flat"}, "layout is 'flat': use auto, tree, packed or padded"),
        ({"truncation_mode": "middle"}, "truncation_mode is 'middle': use keep_start or keep_end"),
        ({"max_length": 1}, "max_length is 1: use 2 or more, or None"),
    ],
)
def test_settings_that_would_be_ignored_or_wrong_are_refused(setting, why, tmp_path):
    with pytest.raises(ValueError, match=why) as error:
        quick(DPOConfig, tmp_path, **setting)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"dataloader_num_workers": 2},
        {"dataloader_num_workers": 2, "dataloader_prefetch_factor": 4, "dataloader_persistent_workers": True},
        {"eval_accumulation_steps": 2},
        {"torch_empty_cache_steps": 5},
    ],
)
def test_settings_with_nothing_to_spare_are_said_to_do_nothing(setting, tmp_path, byte_tokenizer, caplog):
    with caplog.at_level(logging.WARNING):
        told = train("kto", tmp_path, byte_tokenizer, rows=4, **setting)
    assert all(f"{name} does nothing: " in caplog.text for name in setting)
    assert losses(told) == losses(train("kto", tmp_path, byte_tokenizer, rows=4))


@pytest.mark.parametrize(
    "setting",
    [
        {"full_determinism": True},
        {"dataloader_pin_memory": False},
        {"prediction_loss_only": True},
        {"remove_unused_columns": True},
        {"label_names": ["labels"]},
        {"use_cache": True},
        {"logging_nan_inf_filter": False},
        {"skip_memory_metrics": False},
        {"per_device_eval_batch_size": 1},
        {"debug": "underflow_overflow"},
    ],
)
def test_settings_that_change_nothing_change_nothing(setting, tmp_path, byte_tokenizer):
    plain, other = (train("dpo", tmp_path, byte_tokenizer, rows=4, **each) for each in ({}, setting))
    torch.use_deterministic_algorithms(False)
    assert losses(plain) == losses(other)
    assert farthest(weights(plain), weights(other)) == 0


def test_transformers_own_settings_work(tmp_path, byte_tokenizer):
    """Optimizers, schedules, warm-up and decay are Transformers' and arrive at the weights."""
    plain = train("dpo", tmp_path, byte_tokenizer)
    for setting in (
        {"optim": "adafactor"},
        {"weight_decay": 0.5},
        {"lr_scheduler_type": "cosine"},
        {"warmup_steps": 2},
    ):
        assert farthest(weights(train("dpo", tmp_path, byte_tokenizer, **setting)), weights(plain)) > 1e-5, setting
    kind = (torch.optim.SGD, {"lr": 0.1})
    by_class = train("dpo", tmp_path, byte_tokenizer, given={"optimizer_cls_and_kwargs": kind})
    assert isinstance(by_class.optimizer.optimizer, torch.optim.SGD)
    model = make_tiny_llama(byte_tokenizer)
    own = torch.optim.SGD(model.parameters(), 0.1)
    by_hand = train("dpo", tmp_path, byte_tokenizer, model=model, given={"optimizers": (own, None)})
    assert farthest(weights(by_class), weights(by_hand)) == 0


# ---- Construction


def test_trainers_construct_in_trls_order(tmp_path, byte_tokenizer):
    for kind, method in KINDS.items():
        rows, args = method.rows(4), quick(method.config, tmp_path)
        reference = () if kind in ("sft", "reward") else (None,)
        trainer = method.trainer(method.model(byte_tokenizer), *reference, args, None, rows, rows[:3], byte_tokenizer)
        assert (len(trainer.train_examples), len(trainer.eval_examples)) == (4, 3)


def test_the_parameters_are_trls():
    trl = pytest.importorskip("trl")
    from inspect import signature

    from accord.trainers.refusals import CONSTRUCTION

    for ours in (method.trainer for method in KINDS.values()):
        theirs = getattr(trl, ours.__name__)
        known = signature(ours.__init__).parameters.keys() | signature(DPOTrainer.__init__).parameters.keys()
        assert signature(theirs.__init__).parameters.keys() <= known | CONSTRUCTION.keys()
        count = 7 if "ref_model" in signature(ours.__init__).parameters else 6
        named = [list(signature(t.__init__).parameters)[: count + 1] for t in (ours, theirs)]
        assert named[0] == named[1]


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"data_collator": lambda rows: rows}, ValueError, "takes no data_collator: examples are packed by tokens"),
        ({"compute_metrics": lambda p: {}}, ValueError, "takes no compute_metrics: logits never exist at once"),
        ({"quantization_config": object()}, ValueError, "takes no quantization_config: load the model with"),
        ({"model_init": make_tiny_llama}, ValueError, "takes no model_init"),
        ({"tokenizer": object()}, TypeError, "takes no 'tokenizer'"),
        ({"ref_model": DPOConfig}, TypeError, "ref_model is a type: pass a model"),
    ],
)
def test_what_a_trainer_does_not_take_is_refused_with_the_reason(given, error, why, tmp_path, byte_tokenizer):
    with pytest.raises(error, match=why):
        make("dpo", tmp_path, byte_tokenizer, rows=2, given=given)
    assert make("dpo", tmp_path, byte_tokenizer, rows=2, given={"compute_metrics": None})


def test_a_strange_configuration_is_refused(tmp_path, byte_tokenizer):
    for args in (TrainingArguments(str(tmp_path), use_cpu=True), quick(KINDS["kto"].config, tmp_path)):
        with pytest.raises(TypeError, match="DPOTrainer takes a DPOConfig"):
            DPOTrainer(
                make_tiny_llama(byte_tokenizer), args=args, train_dataset=pairs(2), processing_class=byte_tokenizer
            )


def test_training_without_data_is_refused(tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match="there is no train_dataset"):
        make("dpo", tmp_path, byte_tokenizer, rows=None).train()


def test_several_gpus_in_one_process_are_refused(tmp_path, byte_tokenizer):
    args = quick(DPOConfig, tmp_path)
    args._n_gpu = 2
    with pytest.raises(ValueError, match="2 GPUs in one process: start with `accelerate launch`"):
        DPOTrainer(make_tiny_llama(byte_tokenizer), args=args, train_dataset=pairs(2), processing_class=byte_tokenizer)


def test_a_model_and_tokenizer_by_folder(tmp_path, tiny_model_dir, byte_tokenizer):
    by_name = DPOTrainer(str(tiny_model_dir), args=quick(DPOConfig, tmp_path), train_dataset=pairs(4))
    by_name.train()
    by_object = train("dpo", tmp_path, byte_tokenizer, rows=4)
    assert losses(by_name) == losses(by_object)
    with pytest.raises(ValueError, match="processing_class"):
        DPOTrainer(make_tiny_llama(byte_tokenizer), args=quick(DPOConfig, tmp_path), train_dataset=pairs(4))


def test_an_adapters_folder_goes_on_training_that_adapter(tmp_path, tiny_model_dir, byte_tokenizer):
    model = DPOTrainer(
        str(tiny_model_dir), args=quick(DPOConfig, tmp_path), train_dataset=pairs(4),
        peft_config=LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    model.train()
    model.save_model(str(tmp_path / "adapter"))
    again = DPOTrainer(str(tmp_path / "adapter"), args=quick(DPOConfig, tmp_path), train_dataset=pairs(4))
    start = weights(again)
    assert all("lora_" in name for name in start)
    again.train()
    assert farthest(weights(again), start) > 1e-4


def test_an_adapter_on_an_adapter_is_refused(tmp_path, byte_tokenizer):
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(make_tiny_llama(byte_tokenizer), config)
    with pytest.raises(ValueError, match="has an adapter already"):
        make("dpo", tmp_path, byte_tokenizer, model=adapted, lora=True)


def test_a_fresh_adapter_depends_on_the_seed_alone(tmp_path, byte_tokenizer):
    one = make("dpo", tmp_path, byte_tokenizer, rows=2, lora=True)
    torch.rand(7)
    same = make("dpo", tmp_path, byte_tokenizer, rows=2, lora=True)
    other = make("dpo", tmp_path, byte_tokenizer, rows=2, lora=True, seed=1)
    assert farthest(weights(one), weights(same)) == 0
    assert farthest(weights(one), weights(other)) > 0
