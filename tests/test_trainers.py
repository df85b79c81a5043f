"""The trainers: what a run computes, whatever the packing, against values computed independently."""

import math

import pytest
import torch

from accord.policy.forward import causal_lm
from accord.trainers import DPOConfig, DPOTrainer, SFTConfig
from conftest import make_tiny_llama
from training_kit import (
    KINDS,
    demonstrations,
    farthest,
    log_sigmoid,
    losses,
    make,
    pairs,
    plain_logps,
    train,
    unpaired,
    weights,
)

ALL = sorted(KINDS)
SGD = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}


# ---- The result does not depend on the packing


@pytest.mark.parametrize("kind", ALL)
def test_the_same_weights_whatever_the_token_budget(kind, tmp_path, byte_tokenizer):
    """With plain SGD: Adam divides by the root of gradients that are next to nothing, and so by their rounding."""
    runs = [train(kind, tmp_path, byte_tokenizer, token_budget=budget, **SGD) for budget in (64, 512, 100_000)]
    for run in runs[1:]:
        assert losses(run) == pytest.approx(losses(runs[0]), abs=1e-5)
        assert farthest(weights(run), weights(runs[0])) < 1e-5
    moved = farthest(weights(runs[0]), dict(KINDS[kind].model(byte_tokenizer).named_parameters()))
    assert moved > 1e-3


@pytest.mark.parametrize("kind", ALL)
def test_the_same_weights_however_the_batch_is_split(kind, tmp_path, byte_tokenizer):
    splits = [{"per_device_train_batch_size": b, "gradient_accumulation_steps": 8 // b} for b in (8, 2, 1)]
    runs = [train(kind, tmp_path, byte_tokenizer, **split) for split in splits]
    for run in runs[1:]:
        assert losses(run) == losses(runs[0])
        assert farthest(weights(run), weights(runs[0])) == 0


@pytest.mark.parametrize("kind", ALL)
def test_the_same_weights_in_every_layout(kind, tmp_path, byte_tokenizer):
    """With plain SGD: Adam divides by the root of gradients that are next to nothing, and so by their rounding."""
    runs = [train(kind, tmp_path, byte_tokenizer, layout=layout, **SGD) for layout in ("tree", "packed", "padded")]
    for run in runs[1:]:
        assert losses(run) == pytest.approx(losses(runs[0]), abs=1e-5)
        assert farthest(weights(run), weights(runs[0])) < 1e-5


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("lora", [False, True])
def test_gradient_checkpointing_changes_nothing(kind, lora, tmp_path, byte_tokenizer):
    plain = train(kind, tmp_path, byte_tokenizer, lora=lora, rows=8)
    for option in ("gradient_checkpointing", "activation_checkpointing"):
        saving = train(kind, tmp_path, byte_tokenizer, lora=lora, rows=8, **{option: True})
        assert all(layer.gradient_checkpointing for layer in causal_lm(saving.model).model.layers)
        assert losses(saving) == pytest.approx(losses(plain), abs=1e-6)
        assert farthest(weights(saving), weights(plain)) < 1e-6


# ---- Losses and gradients by independent computation


def test_dpos_first_loss_is_log_two(tmp_path, byte_tokenizer):
    """The reference runs in the policy's own precision path: every log-ratio is exactly 0."""
    for changes in ({}, {"lora": True}, {"layout": "padded"}, {"token_budget": 64}):
        first = train("dpo", tmp_path, byte_tokenizer, max_steps=1, **changes)
        assert losses(first) == [pytest.approx(math.log(2), abs=6e-8)], changes
        assert first.state.log_history[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_a_step_of_sgd_is_the_gradient_of_the_mean_loss(kind, tmp_path, byte_tokenizer):
    """θ − lr·∇L, with L from plain padded forwards and autograd."""
    rate, rows = 0.05, 4
    trainer = make(kind, tmp_path, byte_tokenizer, rows=rows, **(SGD | {"learning_rate": rate, "max_steps": 1}))
    trainer.args.lr_scheduler_type = "constant"
    model = KINDS[kind].model(byte_tokenizer)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.prepare_references()

    def logp(prompt, completion):
        at = len(byte_tokenizer(prompt)["input_ids"])
        ids = byte_tokenizer(prompt + completion + byte_tokenizer.eos_token, return_tensors="pt")["input_ids"]
        return model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[at - 1 :]

    data = KINDS[kind].rows(rows)
    if kind == "dpo":
        margin = [logp(r["prompt"], r["chosen"]).sum() - logp(r["prompt"], r["rejected"]).sum() for r in data]
        loss = -torch.stack([torch.nn.functional.logsigmoid(0.1 * (m - m.detach())) for m in margin]).mean()
    elif kind == "kto":  # z₀ = 0 and r = 0 before the first step
        ratios = [x - x.detach() for x in (logp(r["prompt"], r["completion"]).sum() for r in data)]
        signs = [1 if r["label"] else -1 for r in data]
        loss = torch.stack([1 - torch.sigmoid(0.1 * s * x) for s, x in zip(signs, ratios, strict=True)]).mean()
    elif kind == "reward":

        def score(prompt, answer):
            return model(**byte_tokenizer(prompt + answer + byte_tokenizer.eos_token, return_tensors="pt")).logits[0]

        margin = [score(r["prompt"], r["chosen"]) - score(r["prompt"], r["rejected"]) for r in data]
        loss = -torch.nn.functional.logsigmoid(torch.cat(margin)).mean()
    else:
        loss = -torch.cat([logp(r["prompt"], r["completion"]) for r in data]).mean()
    loss.backward()
    trainer.train()
    assert losses(trainer)[0] == pytest.approx(loss.item(), abs=1e-6)
    for name, p in model.named_parameters():
        torch.testing.assert_close(
            trainer.model.get_parameter(name).detach(), start[name] - rate * p.grad, atol=2e-6, rtol=1e-4
        )


def test_soft_labels_and_weights_reach_the_loss(tmp_path, byte_tokenizer):
    """Against a reference that prefers otherwise, so that margins are not zero."""
    rows = pairs(4)
    for row, p, weight in zip(rows, (1.0, 0.8, 0.5, 0.6), (1.0, 0.5, 2.0, 0.0), strict=True):
        row |= {"p_chosen": p, "weight": weight}
    model, other = make_tiny_llama(byte_tokenizer), make_tiny_llama(byte_tokenizer, seed=1)
    expected = 0.0
    for row in rows:
        ratios = [
            plain_logps(model, byte_tokenizer, row["prompt"], row[side])
            - plain_logps(other, byte_tokenizer, row["prompt"], row[side])
            for side in ("chosen", "rejected")
        ]
        delta, p = 0.1 * (ratios[0] - ratios[1]), row["p_chosen"]
        expected += row["weight"] * (-p * log_sigmoid(delta) - (1 - p) * log_sigmoid(-delta)) / 4
    trainer = train("dpo", tmp_path, byte_tokenizer, model=model, rows=rows, given={"ref_model": other}, max_steps=1)
    assert losses(trainer)[0] == pytest.approx(expected, rel=1e-5)


def test_a_weight_of_zero_is_as_good_as_no_row_but_for_the_mean(tmp_path, byte_tokenizer):
    silent = [row | {"weight": 0.0} for row in pairs(8)[4:]]
    both = train("dpo", tmp_path, byte_tokenizer, rows=pairs(4) + silent, per_device_train_batch_size=8, **SGD)
    alone = train("dpo", tmp_path, byte_tokenizer, rows=pairs(4), **(SGD | {"learning_rate": 0.05}))
    assert losses(both)[0] == pytest.approx(losses(alone)[0] / 2, abs=1e-6)
    assert farthest(weights(both), weights(alone)) < 1e-6


# ---- The reference


def test_the_reference_of_a_pretrained_adapter_is_that_adapter(tmp_path, byte_tokenizer):
    """Not its base: the first loss of going on with an adapter is log 2 again."""
    first = train("dpo", tmp_path / "first", byte_tokenizer, lora=True, learning_rate=3e-2, num_train_epochs=2)
    first.save_model(str(tmp_path / "adapter"))
    from peft import PeftModel

    def adapted():
        return PeftModel.from_pretrained(make_tiny_llama(byte_tokenizer), tmp_path / "adapter", is_trainable=True)

    again = train("dpo", tmp_path, byte_tokenizer, model=adapted(), max_steps=1)
    assert losses(again) == [pytest.approx(math.log(2), abs=6e-8)]
    base = {"ref_model": make_tiny_llama(byte_tokenizer)}
    from_base = train("dpo", tmp_path, byte_tokenizer, model=adapted(), max_steps=1, given=base)
    assert abs(losses(from_base)[0] - math.log(2)) > 1e-3


def test_a_second_run_asks_the_reference_nothing(tmp_path, byte_tokenizer, monkeypatch):
    """Neither again, nor with another β, nor another method on what the cache already holds."""
    asked = []
    score = DPOTrainer._score
    monkeypatch.setattr(DPOTrainer, "_score", lambda self, *a: asked.append(len(a[1])) or score(self, *a))
    first = train("dpo", tmp_path, byte_tokenizer, max_steps=2)
    assert sum(asked) > 0
    asked.clear()
    second = train("dpo", tmp_path, byte_tokenizer, max_steps=2)
    assert losses(second) == losses(first)
    for changes in ({"beta": 0.7}, {"label_smoothing": 0.1}, {"num_train_epochs": 2, "seed": 3}):
        train("dpo", tmp_path, byte_tokenizer, **changes)
    assert asked == []
    train("dpo", tmp_path, byte_tokenizer, model=make_tiny_llama(byte_tokenizer, seed=5), max_steps=2)
    assert sum(asked) > 0


# ---- Evaluation


def test_dpos_evaluation_is_what_plain_forwards_say(tmp_path, byte_tokenizer):
    held_out = pairs(17)[12:]
    trainer = train("dpo", tmp_path, byte_tokenizer, given={"eval_dataset": held_out}, learning_rate=3e-2)
    base, metrics = make_tiny_llama(byte_tokenizer), trainer.evaluate()
    rewards = [
        [
            0.1 * (plain_logps(trainer.model, byte_tokenizer, r["prompt"], r[side])
                   - plain_logps(base, byte_tokenizer, r["prompt"], r[side]))
            for side in ("chosen", "rejected")
        ]
        for r in held_out
    ]  # fmt: skip
    margins = [chosen - rejected for chosen, rejected in rewards]
    expected = {
        "eval_loss": -sum(map(log_sigmoid, margins)) / 5,
        "eval_rewards/chosen": sum(c for c, _ in rewards) / 5,
        "eval_rewards/rejected": sum(r for _, r in rewards) / 5,
        "eval_rewards/margins": sum(margins) / 5,
        "eval_rewards/accuracies": sum(m > 0 for m in margins) / 5,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert {"eval_logps/chosen", "eval_logps/rejected", "eval_runtime"} <= metrics.keys()


def test_ktos_evaluation_is_what_plain_forwards_say(tmp_path, byte_tokenizer):
    held_out = unpaired(17)[12:]
    trainer = train("kto", tmp_path, byte_tokenizer, given={"eval_dataset": held_out}, learning_rate=3e-2)
    base, metrics = make_tiny_llama(byte_tokenizer), trainer.evaluate()

    def ratio(prompt, completion):
        return plain_logps(trainer.model, byte_tokenizer, prompt, completion) - plain_logps(
            base, byte_tokenizer, prompt, completion
        )

    others = [
        byte_tokenizer.decode(e.tree.completions[0][:-1])
        for e in trainer.objective.preview.stand_ins(trainer.eval_examples)
    ]
    point = max(0.0, sum(ratio(r["prompt"], y) for r, y in zip(held_out, others, strict=True)) / 5)
    gains = [(1 if r["label"] else -1) * 0.1 * (ratio(r["prompt"], r["completion"]) - point) for r in held_out]
    assert metrics["eval_kl"] == pytest.approx(point, abs=1e-5)
    assert metrics["eval_loss"] == pytest.approx(sum(1 - math.exp(log_sigmoid(g)) for g in gains) / 5, abs=1e-5)


def test_sfts_evaluation_is_nats_a_token(tmp_path, byte_tokenizer):
    held_out = demonstrations(17)[12:]
    trainer = train("sft", tmp_path, byte_tokenizer, given={"eval_dataset": held_out})
    metrics = trainer.evaluate()
    logps = [plain_logps(trainer.model, byte_tokenizer, r["prompt"], r["completion"]) for r in held_out]
    tokens = sum(len(byte_tokenizer(r["completion"])["input_ids"]) + 1 for r in held_out)
    assert metrics["eval_loss"] == pytest.approx(-sum(logps) / tokens, abs=1e-5)
    assert metrics["eval_nats_per_token"] == pytest.approx(metrics["eval_loss"], abs=1e-6)


def evaluations(trainer):
    records = (record for record in trainer.state.log_history if "eval_loss" in record)
    return [{k: v for k, v in r.items() if "runtime" not in k and "per_second" not in k} for r in records]


@pytest.mark.parametrize("kind", ALL)
def test_evaluating_while_training_changes_nothing_and_reaches_callbacks(kind, tmp_path, byte_tokenizer):
    from transformers import EarlyStoppingCallback

    silent = train(kind, tmp_path, byte_tokenizer)
    given = {"eval_dataset": KINDS[kind].rows(5)}
    watched = train(
        kind, tmp_path, byte_tokenizer, given=given, eval_strategy="steps", eval_steps=1, eval_on_start=True
    )
    assert farthest(weights(watched), weights(silent)) == 0
    assert [r["step"] for r in watched.state.log_history if "eval_loss" in r] == [0, 1, 2, 3]
    seldom = train(
        kind, tmp_path, byte_tokenizer, given=given, eval_strategy="steps", eval_steps=1, eval_on_start=True,
        logging_steps=3,
    )  # fmt: skip
    for once, often in zip(evaluations(seldom), evaluations(watched), strict=True):
        assert once == often  # what was noted while training is not in it
    silent_log = train(kind, tmp_path, byte_tokenizer, logging_steps=3).state.log_history[0]
    for name in ("loss", "rewards/chosen", "logps/chosen", "nats_per_token"):
        (line,) = [record for record in seldom.state.log_history if "loss" in record]
        assert line.get(name) == silent_log.get(name)
    given |= {"callbacks": [EarlyStoppingCallback(1, early_stopping_threshold=1e9)]}
    stopped = train(
        kind, tmp_path, byte_tokenizer, given=given, eval_strategy="steps", eval_steps=1, num_train_epochs=3,
        metric_for_best_model="loss",
    )  # fmt: skip
    assert stopped.state.global_step == 2


def test_evaluate_leaves_the_model_as_it_was(tmp_path, byte_tokenizer):
    trainer = make("dpo", tmp_path, byte_tokenizer, given={"eval_dataset": pairs(3)})
    trainer.model.eval()
    trainer.evaluate()
    assert not trainer.model.training
    with pytest.raises(ValueError, match="accord evaluate"):
        trainer.evaluate(pairs(2))
    with pytest.raises(ValueError, match="no eval_dataset"):
        make("dpo", tmp_path, byte_tokenizer).evaluate()


# ---- What is logged


def test_the_metrics_have_trls_names(tmp_path, byte_tokenizer):
    shared = {"loss", "grad_norm", "learning_rate", "epoch", "step", "num_tokens"}
    rewards = {"rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"}
    expected = {"dpo": rewards | {"rewards/accuracies"}, "kto": rewards | {"kl"}, "sft": {"nats_per_token"}}
    for kind, names in expected.items():
        log = train(kind, tmp_path, byte_tokenizer).state.log_history[0]
        assert log.keys() == shared | names


def test_logged_means_are_over_all_examples_since_the_last_line(tmp_path, byte_tokenizer):
    often = train("dpo", tmp_path, byte_tokenizer, rows=12, token_budget=64)
    once = train("dpo", tmp_path, byte_tokenizer, rows=12, logging_steps=3)
    for name in ("loss", "rewards/margins", "logps/chosen"):
        lines = [line[name] for line in often.state.log_history if "loss" in line]
        assert once.state.log_history[0][name] == pytest.approx(sum(lines) / 3, abs=1e-5)


def test_the_token_count_goes_into_the_log(tmp_path, byte_tokenizer):
    trainer = train("sft", tmp_path, byte_tokenizer, rows=4, num_train_epochs=2, include_num_input_tokens_seen="all")
    rows = {
        r["prompt"]: {x["completion"] for x in demonstrations(4) if x["prompt"] == r["prompt"]}
        for r in demonstrations(4)
    }
    tokens = sum(len(p) + sum(len(c) + 1 for c in completions) for p, completions in rows.items())
    assert [r["num_tokens"] for r in trainer.state.log_history if "loss" in r] == [tokens, 2 * tokens]


def test_sft_of_messages_and_text(tmp_path, byte_tokenizer):
    """Of messages, the last turn is learnt; of a text, all but its first token (nothing predicts that)."""
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a hill"}]
    trainer = make("sft", tmp_path, byte_tokenizer, rows=[{"messages": turns}, {"text": "a cold lamp"}])
    chat, plain = trainer.train_examples
    assert byte_tokenizer.decode(chat.tree.completions[0]) == "a hill<|im_end|>\n"
    assert byte_tokenizer.decode(chat.tree.prompt) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert (
        byte_tokenizer.decode(plain.tree.prompt) + byte_tokenizer.decode(plain.tree.completions[0])
        == "a cold lamp<|im_end|>"
    )
    assert len(plain.tree.prompt) == 1


def test_a_row_that_is_longer_counts_more_in_sft_and_not_in_dpo(tmp_path, byte_tokenizer):
    trainer = make("sft", tmp_path, byte_tokenizer, rows=demonstrations(3))
    assert [trainer.objective.units(e) for e in trainer.train_examples] == [
        len(byte_tokenizer(r["completion"])["input_ids"]) + 1 for r in demonstrations(3)
    ]
    assert {make("dpo", tmp_path, byte_tokenizer).objective.units(e) for e in trainer.train_examples} == {1.0}


def test_defaults_are_trls():
    assert (DPOConfig("x").learning_rate, SFTConfig("x").learning_rate) == (1e-6, 2e-5)
    assert (DPOConfig("x").beta, DPOConfig("x").max_length, DPOConfig("x").bf16) == (0.1, 1024, True)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator, and it is used")
def test_where_there_is_no_accelerator_processes_share_the_cpu():
    """Else Transformers takes each of several processes for a run of its own."""
    assert DPOConfig("x", bf16=False).use_cpu
    assert DPOConfig("x").use_cpu
