"""Reward models: rankings and ties, ensembles, what is saved, and TRL's trainer beside."""

import copy
import math
from itertools import combinations

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close
from transformers import AutoModelForSequenceClassification

from accord.losses import reward
from accord.policy.reward_model import load_reward_model, reward_rows
from accord.trainers import RewardConfig
from accord.trainers.reward import bootstrap
from training_kit import farthest, losses, make, make_tiny_reward_model, pairs, quick, train, weights

RANKING = {"id": "r", "prompt": "Say tea: ", "completions": ["tea", "the sun", "moss", "a lamp"]}


def first(*args, **changes):
    """What is logged of the first step, of all rows at once."""
    return train("reward", *args, per_device_train_batch_size=64, max_steps=1, **changes).state.log_history[0]


def rewards_of(tokenizer, rows, heads=1):
    """[rows, (chosen, rejected), heads] rewards before training."""
    return torch.tensor(reward_rows(make_tiny_reward_model(tokenizer, heads=heads), tokenizer, rows))


# ---- What reaches the loss


def test_soft_labels_margins_and_weights_reach_the_loss(tmp_path, byte_tokenizer):
    rows = pairs(4)
    columns = {"p_chosen": [1.0, 0.8, 0.5, 0.6], "weight": [1.0, 0.5, 2.0, 0.0], "margin": [0.5, 0.0, -1.0, 2.0]}
    for index, row in enumerate(rows):
        row |= {name: values[index] for name, values in columns.items()}
    p, weight, margin = (torch.tensor(values) for values in columns.values())
    chosen, rejected = rewards_of(byte_tokenizer, rows)[:, :, 0].unbind(1)
    each = reward.bradley_terry(chosen, rejected, p_chosen=p, margin=margin)
    each = each + 0.01 * reward.centering(chosen, rejected)
    logged = first(tmp_path, byte_tokenizer, rows=rows, center_rewards_coefficient=0.01)
    assert logged["loss"] == pytest.approx((each * weight).mean().item(), abs=1e-5)
    assert logged["margin"] == pytest.approx((chosen - rejected)[:3].mean().item(), abs=1e-5)
    assert logged["mean_reward"] == pytest.approx((chosen + rejected)[:3].mean().item() / 2, abs=1e-5)
    assert logged["min_reward"] == pytest.approx(torch.minimum(chosen, rejected)[:3].mean().item(), abs=1e-5)
    assert logged["max_reward"] == pytest.approx(torch.maximum(chosen, rejected)[:3].mean().item(), abs=1e-5)
    assert logged["accuracy"] == (chosen > rejected)[:2].float().mean()  # nobody decides the third


@pytest.mark.parametrize("ties", ["rao_kupper", "davidson"])
def test_ties_reach_the_loss(ties, tmp_path, byte_tokenizer):
    rows = [row | {"p_chosen": p, "p_tie": t} for row, p, t in zip(pairs(3), (1.0, 0.5, 0.7), (0, 1, 0.4), strict=True)]
    chosen, rejected = rewards_of(byte_tokenizer, rows)[:, :, 0].unbind(1)
    p, t = torch.tensor([1.0, 0.5, 0.7]), torch.tensor([0.0, 1.0, 0.4])
    expected = reward.LOSSES[ties](chosen, rejected, p_chosen=p, p_tie=t, tie_probability=0.2).mean().item()
    logged = first(tmp_path, byte_tokenizer, rows=rows, ties=ties, tie_probability=0.2)
    assert logged["loss"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_trained_to_the_end_rewards_differ_as_people_do(p, tmp_path, byte_tokenizer):
    """By the log-odds of what people prefer."""
    assert margin_at_the_end(tmp_path, byte_tokenizer, p_chosen=p) == pytest.approx(math.log(p / (1 - p)), abs=0.02)


def test_also_where_they_find_answers_alike(tmp_path, byte_tokenizer):
    """Davidson's model can say exactly P(win), P(tie), P(loss) = 0.75, 0.2, 0.05: then Δ = log(0.75/0.05), and
    ν = P(tie)/√(P(win)·P(loss))."""
    nu = 0.2 / math.sqrt(0.75 * 0.05)
    ties = {"ties": "davidson", "tie_probability": nu / (2 + nu)}
    margin = margin_at_the_end(tmp_path, byte_tokenizer, p_chosen=0.75 + 0.2 / 2, p_tie=0.2, **ties)
    assert margin == pytest.approx(math.log(15), abs=0.02)


def margin_at_the_end(folder, tokenizer, ties="none", tie_probability=0.3, **label):
    settings = {"ties": ties, "tie_probability": tie_probability, "max_steps": 200}
    trainer = train("reward", folder, tokenizer, rows=pairs(1, **label), **settings)
    chosen, rejected = reward_rows(trainer.model, tokenizer, pairs(1))[0, :, 0]
    return chosen - rejected


# ---- Rankings


def test_scores_give_every_pair_and_equal_ones_tie(tmp_path, byte_tokenizer):
    trainer = make("reward", tmp_path, byte_tokenizer, rows=[RANKING | {"scores": [1, 3, 2, 3], "weight": 0.5}])
    found = {
        e.id: ([byte_tokenizer.decode(c[:-1]) for c in e.tree.completions], e.p, e.weight, e.numbers["p_tie"])
        for e in trainer.train_examples
    }
    assert found == {
        "r/1>0": (["the sun", "tea"], 1.0, 0.5, 0.0),
        "r/2>0": (["moss", "tea"], 1.0, 0.5, 0.0),
        "r/3>0": (["a lamp", "tea"], 1.0, 0.5, 0.0),
        "r/1>2": (["the sun", "moss"], 1.0, 0.5, 0.0),
        "r/1=3": (["the sun", "a lamp"], 0.5, 0.5, 1.0),
        "r/3>2": (["a lamp", "moss"], 1.0, 0.5, 0.0),
    }


def test_a_list_of_pairs_is_taken_as_it_is(tmp_path, byte_tokenizer):
    trainer = make("reward", tmp_path, byte_tokenizer, rows=[RANKING | {"pairs": [[3, 0], [2, 1]], "scores": None}])
    assert [e.id for e in trainer.train_examples] == ["r/3>0", "r/2>1"]


def test_every_answer_of_a_ranking_is_computed_once(tmp_path, byte_tokenizer):
    """Six pairs of four answers, in a batch that could hold more: one tree."""
    rows = [RANKING | {"scores": [1, 2, 3, 4]}]
    logged = first(tmp_path, byte_tokenizer, rows=rows)
    prompt, *answers = (len(byte_tokenizer(text)["input_ids"]) for text in (RANKING["prompt"], *RANKING["completions"]))
    assert logged["num_tokens"] == prompt + sum(answers) + 4  # and an end token each

    alone = [{"prompt": RANKING["prompt"], "chosen": text, "rejected": text} for text in RANKING["completions"]]
    scores = rewards_of(byte_tokenizer, alone)[:, 0, 0]
    worse, better = zip(*combinations(scores, 2), strict=True)
    expected = reward.bradley_terry(torch.stack(better), torch.stack(worse)).mean().item()
    assert logged["loss"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["plain", "chat"])
def test_rankings_come_as_texts_or_as_messages(kind, tmp_path, byte_tokenizer):
    row = RANKING | {"scores": [4, 3, 2, 1]}
    if kind == "chat":
        row["prompt"] = [{"role": "user", "content": "Say tea"}]
        row["completions"] = [[{"role": "assistant", "content": text}] for text in RANKING["completions"]]
    trainer = make("reward", tmp_path, byte_tokenizer, rows=[row])
    assert len(trainer.train_examples) == 6
    assert len({tuple(e.tree.prompt) for e in trainer.train_examples}) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "row r: completions need one of the columns scores and pairs"),
        ({"scores": [1, 2, 3, 4], "pairs": [[0, 1]]}, "row r: completions need one of"),
        ({"scores": [1, 2, 3]}, "row r: 3 scores for 4 completions: give one for each"),
        ({"scores": [1, 2, 3, None]}, "row r: scores is None: use a finite number"),
        ({"scores": [1, 2, 3, "good"]}, "row r: scores is 'good': use a finite number"),
        ({"pairs": [[0, 4]]}, r"row r: pairs has \[0, 4\]: use two places from 0 to 3"),
        ({"pairs": [[1, 1]]}, r"row r: pairs has \[1, 1\]"),
        ({"pairs": [0, 1]}, "row r: pairs has 0"),
        ({"completions": ["tea"], "scores": [1]}, r"row r: completions is \['tea'\]: use a list of 2 or more"),
        ({"completions": "tea", "scores": [1]}, "row r: completions is 'tea'"),
        ({"completions": ["tea", 3], "scores": [1, 2]}, "row r/1>0: chosen is 3: use a text or a list of messages"),
        ({"prompt": None, "scores": [1, 2, 3, 4]}, "row r/1>0: prompt is None"),
    ],
)
def test_a_ranking_that_cannot_be_used_is_named_in_one_line(changes, why, tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match=why) as error:
        make("reward", tmp_path, byte_tokenizer, rows=[RANKING | changes])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"p_chosen": 0.9, "p_tie": 0.3}, "row pair-0: p_tie is 0.3: use at most 0.2 with this p_chosen"),
        ({"p_tie": 0.5}, "row pair-0: p_tie is 0.5: use at most 0 "),
        ({"p_tie": -0.1}, "row pair-0: p_tie is -0.1: use a number from 0 to 1"),
        ({"margin": "wide"}, "row pair-0: margin is 'wide': use a finite number"),
    ],
)
def test_a_label_that_means_nothing_is_named_in_one_line(columns, why, tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match=why) as error:
        make("reward", tmp_path, byte_tokenizer, rows=pairs(2, **columns))
    assert "\n" not in str(error.value)


# ---- Ensembles


def test_a_bootstrap_is_poisson_and_fixed():
    drawn = [bootstrap(0, 1, f"row-{i}") for i in range(20_000)]
    assert drawn[:50] == [bootstrap(0, 1, f"row-{i}") for i in range(50)]
    assert drawn != [bootstrap(0, 2, f"row-{i}") for i in range(20_000)]
    assert drawn != [bootstrap(1, 1, f"row-{i}") for i in range(20_000)]
    for times in range(5):  # e⁻¹/k!, to three standard errors and more
        assert drawn.count(times) / 20_000 == pytest.approx(math.exp(-1) / math.factorial(times), abs=0.012)


def test_each_head_has_a_sample_of_its_own(tmp_path, byte_tokenizer):
    """The loss is the mean over heads of each one's own; heads that begin alike part."""
    rows = pairs(12)
    model = make_tiny_reward_model(byte_tokenizer, heads=3)
    with torch.no_grad():
        model.score.weight[1:] = model.score.weight[0]
    scores = torch.tensor(reward_rows(copy.deepcopy(model), byte_tokenizer, rows))
    each = reward.bradley_terry(*scores.unbind(1))
    times = torch.tensor([[bootstrap(42, head, row["id"]) for head in range(3)] for row in rows])
    trainer = make("reward", tmp_path, byte_tokenizer, model=model, rows=rows, per_device_train_batch_size=12)
    assert trainer.args.seed == 42
    trainer.train()
    assert losses(trainer) == [pytest.approx((each * times).mean().item(), abs=1e-5)]
    assert trainer.state.log_history[0]["disagreement"] == pytest.approx(0, abs=1e-5)
    heads = trainer.model.score.weight
    assert min((heads[i] - heads[j]).abs().max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_in_evaluation_every_head_sees_every_example(tmp_path, byte_tokenizer):
    rows, model = pairs(9), make_tiny_reward_model(byte_tokenizer, heads=2)
    scores = torch.tensor(reward_rows(copy.deepcopy(model), byte_tokenizer, rows))
    found = make("reward", tmp_path, byte_tokenizer, model=model, given={"eval_dataset": rows}).evaluate()
    assert found["eval_loss"] == pytest.approx(reward.bradley_terry(*scores.unbind(1)).mean().item(), abs=1e-5)
    margins = scores[:, 0] - scores[:, 1]
    assert found["eval_disagreement"] == pytest.approx(margins.std(-1, correction=0).mean().item(), abs=1e-5)
    assert found["eval_accuracy"] == pytest.approx((margins.mean(-1) > 0).double().mean().item())


# ---- Models and what is saved


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_trained_model_is_loaded_as_it_ended(lora, bf16, tmp_path, tiny_model_dir, byte_tokenizer):
    """From a causal model's folder; the heads that were trained, not those that were drawn."""
    settings = {"model": str(tiny_model_dir), "lora": lora, "bf16": bf16, "reward_heads": 2}
    trainer = train("reward", tmp_path, byte_tokenizer, **settings)
    assert {p.dtype for p in trainer.model.parameters() if p.requires_grad} == {torch.float32}
    trainer.save_model(tmp_path / "saved")
    loaded = load_reward_model(tmp_path / "saved")
    fresh = load_reward_model(tiny_model_dir, heads=2, seed=trainer.args.seed).model.score.weight
    assert (loaded.model.get_submodule("base_model.model" if lora else "").score.weight - fresh).abs().max() > 1e-3
    expected = reward_rows(trainer.model, byte_tokenizer, pairs(6))
    scores = reward_rows(loaded.model, loaded.tokenizer, pairs(6), bf16=bf16)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    if not lora:
        stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
        for row, expected_KM in zip(pairs(6), reward_rows(loaded.model, loaded.tokenizer, pairs(6)), strict=True):
            ids = byte_tokenizer(row["prompt"] + row["chosen"] + byte_tokenizer.eos_token, return_tensors="pt")
            assert_close(stock(**ids).logits[0].detach(), torch.tensor(expected_KM[0]).float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_an_ensemble_resumes_where_it_was(lora, tmp_path, tiny_model_dir, byte_tokenizer):
    settings = {
        "model": str(tiny_model_dir),
        "lora": lora,
        "reward_heads": 3,
        "save_strategy": "steps",
        "save_steps": 2,
    }
    whole = train("reward", tmp_path / "whole", byte_tokenizer, **settings)
    train("reward", tmp_path / "part", byte_tokenizer, max_steps=2, lr_scheduler_type="constant", **settings)
    straight = train("reward", tmp_path / "straight", byte_tokenizer, lr_scheduler_type="constant", **settings)
    resumed = make("reward", tmp_path / "part", byte_tokenizer, lr_scheduler_type="constant", **settings)
    resumed.train(resume_from_checkpoint=True)
    assert farthest(weights(resumed), weights(straight)) == 0
    assert farthest(weights(whole), weights(straight)) > 0
    assert any("score" in name for name in weights(resumed))


def test_a_reward_model_is_trained_on(tmp_path, tiny_model_dir, byte_tokenizer):
    """A saved one, with its heads; and an adapter that was trained as one."""
    for lora in (False, True):
        begun = train("reward", tmp_path, byte_tokenizer, model=str(tiny_model_dir), lora=lora, reward_heads=2, rows=4)
        begun.save_model(tmp_path / "begun")
        further = make("reward", tmp_path, byte_tokenizer, model=str(tmp_path / "begun"), rows=4)
        assert farthest(weights(further), weights(begun)) == 0
        further.train()
        assert farthest(weights(further), weights(begun)) > 0


def test_the_model_skips_what_the_tokenizer_pads_with(tmp_path, byte_tokenizer):
    model = make_tiny_reward_model(byte_tokenizer)
    model.config.pad_token_id = None
    make("reward", tmp_path, byte_tokenizer, model=model)
    assert model.config.pad_token_id == byte_tokenizer.pad_token_id


def test_what_cannot_be_trained_is_one_line(tmp_path, tiny_llama, byte_tokenizer):
    two = make_tiny_reward_model(byte_tokenizer, heads=2)
    for given, why in (
        ({"model": tiny_llama}, "a LlamaForCausalLM gives no rewards: pass its name or folder, or load_reward_model"),
        ({"model": two, "reward_heads": 3}, "reward_heads is 3, and the model has 2"),
        ({"rows": pairs(2, margin=0.5), "ties": "davidson"}, "row pair-0: margin is 0.5, and ties 'davidson'"),
    ):
        with pytest.raises(ValueError, match=why) as error:
            make("reward", tmp_path, byte_tokenizer, **given)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"ties": "some"}, "ties is 'some': use one of none, rao_kupper, davidson"),
        ({"tie_probability": 1.0}, "tie_probability is 1.0: use a number between 0 and 1"),
        ({"center_rewards_coefficient": -1.0}, "center_rewards_coefficient is -1.0: use 0 or more"),
        ({"reward_heads": 0}, "reward_heads is 0: use 1 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, why, tmp_path):
    with pytest.raises(ValueError, match=why):
        quick(RewardConfig, tmp_path, **setting)


@pytest.mark.parametrize("changes", [{}, {"center_rewards_coefficient": 0.01}])
@pytest.mark.parametrize("margins", [False, True])
def test_trls_trainer_gets_the_same(changes, margins, tmp_path, byte_tokenizer):
    """Losses, metrics and final weights of eight steps. TRL's micro-batches are of one pair, as its extremes are then
    what Accord's always are."""
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    rows = pairs(16)
    for index, row in enumerate(rows if margins else ()):
        row["margin"] = (index % 3) / 2
    changes = changes | {"num_train_epochs": 2, "train_sampling_strategy": "sequential", "learning_rate": 5e-3}
    theirs = trl.RewardConfig(
        str(tmp_path / "trl"), bf16=False, use_cpu=True, report_to="none", logging_steps=1, save_strategy="no",
        per_device_train_batch_size=1, gradient_accumulation_steps=4, gradient_checkpointing=False, **changes,
    )  # fmt: skip
    peer = trl.RewardTrainer(
        make_tiny_reward_model(byte_tokenizer), theirs, train_dataset=Dataset.from_list(rows),
        processing_class=byte_tokenizer,
    )  # fmt: skip
    peer.train()
    mine = train("reward", tmp_path, byte_tokenizer, rows=rows, prompt_group_size=1, **changes)
    names = ("loss", "grad_norm", "accuracy", "margin", "mean_reward", "min_reward", "max_reward")
    assert len(losses(mine)) == 8
    for ours, other in zip(mine.state.log_history[:-1], peer.state.log_history[:-1], strict=True):
        assert {n: ours[n] for n in names} == pytest.approx({n: other[n] for n in names}, rel=1e-3, abs=1e-4)
    assert farthest(*(dict(t.model.named_parameters()) for t in (mine, peer))) < 1e-4
