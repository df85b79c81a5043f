"""Reward models: their scores on prompt trees are Transformers' own, and what is saved gives them again."""

import copy
import json
import logging
from dataclasses import replace

import numpy as np
import peft
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from accord.policy import forward
from accord.policy.encode import encode
from accord.policy.forward import install
from accord.policy.reward_model import load_reward_model, reward_rows
from accord.policy.rewards import last_tokens, rewards
from accord.policy.verify import verify
from accord.tree import PromptTree, expand, pack
from accord.tree.attention import tree_attention
from families import CASES, PACKED, PADDED, TREE, forest

FAMILIES = [name for name in CASES if name not in ("mamba", "granite")]  # these two have no sequence classifier
PAD = 0
ROWS = [
    {"prompt": "tea or sun: " * (1 + n % 3), "chosen": "tea" * (n % 4), "rejected": f"the sun, {n} times"}
    for n in range(9)
]
CHATS = [
    {name: [{"role": "user" if name == "prompt" else "assistant", "content": row[name]}] for name in row}
    for row in ROWS[:4]
]


def stock_model(name, heads=2):
    """A random sequence classifier in fp32, whose norms and biases are not at their neutral values."""
    torch.manual_seed(0)
    config = copy.deepcopy(CASES[name].config)
    config.num_labels, config.pad_token_id = heads, PAD
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn_like(parameter)
    return model


def both(name):
    stock = stock_model(name)
    return copy.deepcopy(stock), stock


def truth(stock, batch):
    """[C, M] scores by the stock model's own forward on padded rows."""
    padded = expand(batch, PAD)
    return stock(input_ids=padded.input_ids_CL, attention_mask=padded.attention_mask_CL).logits


def gradients(model, scores_CM):
    upstream = torch.randn(scores_CM.shape, generator=torch.Generator().manual_seed(7))
    model.zero_grad()
    (scores_CM * upstream).sum().backward()
    named = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in named}


def assert_agree(model, stock, trees=None):
    batch = pack(trees or forest())
    ours, theirs = model(tree=batch), truth(stock, batch)
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    mine, stocks = gradients(model, ours), gradients(stock, theirs)
    assert any(b.any() for b in stocks.values())
    for name, b in stocks.items():
        assert (mine[name] - b).norm() <= 1e-4 * b.norm().clamp(min=1e-5), name


# ---- Scores and gradients


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_agrees_with_its_stock_model(name):
    model, stock = both(name)
    assert install(model).layout is CASES[name].layout or "window" in CASES[name].said
    assert_agree(model, stock)


@pytest.mark.parametrize("layout", [TREE, PACKED, PADDED])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mixtral"])
def test_scores_are_read_where_transformers_reads_them(name, layout):
    """Completions that end in padding, hold some, or are nothing else; and prompts that end in it."""
    model, stock = both(name)
    install(model, layout)
    trees = [
        PromptTree([5, 6, PAD], [[7, PAD], [PAD], [8, PAD, 9], [PAD, PAD]]),
        PromptTree([PAD], [[PAD], [4]]),
        PromptTree([PAD, 3], [[5, 6]]),
    ]
    assert_agree(model, stock, trees)


def test_last_tokens_by_hand():
    """Flat row 5 6 0 | 7 0 | 0 | 8 0 9, then 0 | 0 | 4."""
    trees = [PromptTree([5, 6, 0], [[7, 0], [0], [8, 0, 9]]), PromptTree([0], [[0], [4]])]
    assert list(last_tokens(trees, 0)) == [3, 1, 8, 9, 11]
    assert list(last_tokens(trees, None)) == [4, 5, 8, 10, 11]


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_gradient_checkpointing_recomputes_the_same(name):
    model, stock = both(name)
    install(model)
    model.gradient_checkpointing_enable()
    model.train()
    assert_agree(model, stock)


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], "all-linear"])
def test_adapters_agree(targets):
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, init_lora_weights=False, target_modules=targets, task_type="SEQ_CLS")
    stock = peft.get_peft_model(stock_model("llama"), config).eval()
    model = copy.deepcopy(stock)
    install(model)
    assert_agree(model, stock)
    assert any("score" in name for name, p in model.named_parameters() if p.requires_grad)


def test_heads_are_computed_in_fp32_under_autocast():
    model, stock = both("llama")
    install(model)
    batch = pack(forest())
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = model(tree=batch), truth(stock, batch)
    exact = truth(stock, batch)
    assert ours.dtype is torch.float32
    assert not torch.equal(ours, ours.bfloat16().float())
    assert (ours - exact).abs().mean() < (theirs - exact).abs().mean() + 1e-3


def test_other_calls_are_as_before():
    model, stock = both("llama")
    install(model)
    rows = {"input_ids": torch.tensor([[5, 6, 7, PAD], [8, 9, 10, 11]])}
    rows |= {"attention_mask": (rows["input_ids"] != PAD).long(), "labels": torch.tensor([0, 1])}
    ours, theirs = model(**rows), stock(**rows)
    assert_close(ours.logits, theirs.logits)
    assert_close(ours.loss, theirs.loss)


# ---- The check of a first batch


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_layout_is_checked_before_the_heads_have_learnt_anything(name, bf16, monkeypatch, caplog):
    model, stock = both(name)
    install(model)
    with torch.no_grad():
        model.score.weight.zero_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        assert verify(model, forest()).layout is TREE

    def forgets_the_prompt(q, k, v, segments, *rest):
        return tree_attention(q, k, v, replace(segments, rows=segments.rows[:0]), *rest)

    monkeypatch.setattr(forward, "tree_attention", forgets_the_prompt)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        assert verify(model, forest()).layout is PADDED
    assert "hidden states" in caplog.text
    model.score.load_state_dict(stock.score.state_dict())
    assert_close(model(tree=pack(forest())), truth(stock, pack(forest())))


# ---- Loading and saving


@pytest.fixture
def tokenizer_that_pads_with_its_end(byte_tokenizer):
    """As SmolLM2's does."""
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def paths(tokenizer, rows):
    return [[*e.tree.prompt, *c] for e in encode(rows, tokenizer, ("chosen", "rejected")) for c in e.tree.completions]


def assert_transformers_gives(folder, expected_RKM, rows):
    """The scores of a saved model by Transformers alone: one row after the other, and as a right-padded batch."""
    stock = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    ids = paths(tokenizer, rows)
    with torch.no_grad():
        alone = torch.cat([stock(torch.tensor([each])).logits for each in ids])
        batch = stock(**tokenizer.pad({"input_ids": ids}, return_tensors="pt")).logits
    expected = torch.tensor(expected_RKM).flatten(0, 1).float()
    assert expected.std() > 0.01
    assert_close(alone, expected, rtol=1e-4, atol=1e-4)
    assert_close(batch, expected, rtol=1e-4, atol=1e-4)


def move_heads(model):
    """As training does: away from what is drawn at loading."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "score" in name:
                parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("rows", [ROWS, CHATS], ids=["plain", "chats"])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("padding", ["byte_tokenizer", "tokenizer_that_pads_with_its_end"])
def test_what_is_saved_gives_the_same_scores(padding, heads, rows, request, tiny_llama, tmp_path):
    tokenizer = request.getfixturevalue(padding)
    for each in (tiny_llama, tokenizer):
        each.save_pretrained(tmp_path / "causal")
    model, tokenizer, source = load_reward_model(tmp_path / "causal", heads=heads)
    assert source == str(tmp_path / "causal")
    move_heads(model)
    scores = reward_rows(model, tokenizer, rows)
    assert scores.shape == (len(rows), 2, heads)
    for each in (model, tokenizer):
        each.save_pretrained(tmp_path / "reward")
    assert_transformers_gives(tmp_path / "reward", scores, rows)
    again = load_reward_model(tmp_path / "reward")
    assert torch.equal(again.model.score.weight, model.score.weight)
    np.testing.assert_allclose(reward_rows(again.model, again.tokenizer, rows), scores, rtol=1e-5)


def test_an_adapter_is_saved_with_its_heads(tiny_model_dir, tmp_path):
    model, tokenizer, _ = load_reward_model(tiny_model_dir, heads=2)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="SEQ_CLS")
    model = peft.get_peft_model(model, config)
    move_heads(model)
    scores = reward_rows(model, tokenizer, ROWS)
    for each in (model, tokenizer):
        each.save_pretrained(tmp_path)
    for options in ({"name_or_path": tmp_path}, {"name_or_path": tiny_model_dir, "adapter": tmp_path}):
        again = load_reward_model(**options)
        np.testing.assert_allclose(reward_rows(again.model, again.tokenizer, ROWS), scores, rtol=1e-6)
    assert not any(p.requires_grad for p in again.model.parameters())
    learning = [n for n, p in load_reward_model(tmp_path, trainable=True).model.named_parameters() if p.requires_grad]
    assert any("score" in name for name in learning)
    merged = again.model.merge_and_unload()
    for each in (merged, tokenizer):
        each.save_pretrained(tmp_path / "merged")
    assert_transformers_gives(tmp_path / "merged", scores, ROWS)


def test_fresh_heads_depend_on_the_seed_alone_and_are_small(tiny_model_dir):
    def heads(seed):
        torch.manual_seed(seed + 10)  # of no account
        return load_reward_model(tiny_model_dir, heads=4, seed=seed).model.score.weight

    assert torch.equal(heads(0), heads(0))
    assert not torch.equal(heads(0), heads(1))
    assert heads(0).std().item() == pytest.approx(0.2, rel=0.2)  # the tiny model's initializer_range
    assert load_reward_model(tiny_model_dir).model.config.num_labels == 1


def test_the_tokenizer_pads_with_what_a_saved_model_skips(tiny_model_dir, byte_tokenizer, tmp_path):
    """A saved model knows where its scores were read; its tokenizer may be another than in training."""
    model, tokenizer, _ = load_reward_model(tiny_model_dir)
    assert model.config.pad_token_id == tokenizer.pad_token_id == byte_tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.eos_token_id
    for each in (model, tokenizer):
        each.save_pretrained(tmp_path)
    again = load_reward_model(tmp_path)
    assert again.tokenizer.pad_token_id == again.model.config.pad_token_id == tokenizer.eos_token_id


def test_what_cannot_be_loaded_is_one_line(tiny_llama, tiny_model_dir, byte_tokenizer, tmp_path):
    model, tokenizer, _ = load_reward_model(tiny_model_dir, heads=2)
    for each in (model, tokenizer):
        each.save_pretrained(tmp_path / "two")
    with pytest.raises(ValueError, match="saved with 2 heads, not 3"):
        load_reward_model(tmp_path / "two", heads=3)

    tiny_llama.name_or_path = str(tiny_model_dir)
    policy = peft.get_peft_model(tiny_llama, peft.LoraConfig(r=1, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    policy.save_pretrained(tmp_path / "policy")
    with pytest.raises(ValueError, match=r"CAUSAL_LM.*without a reward head: merge") as error:
        load_reward_model(tmp_path / "policy")
    assert "\n" not in str(error.value)

    AutoModelForCausalLM.from_config(CASES["mamba"].config).save_pretrained(tmp_path / "mamba")
    byte_tokenizer.save_pretrained(tmp_path / "mamba")
    with pytest.raises(ValueError, match="mamba") as error:
        load_reward_model(tmp_path / "mamba")
    assert "\n" not in str(error.value)


def test_a_model_with_parts_missing_is_refused(tiny_llama, byte_tokenizer, tmp_path):
    tiny_llama.save_pretrained(tmp_path)
    byte_tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"no weights for model\.layers\.2"):
        load_reward_model(tmp_path)


def test_loading_is_quiet(tiny_model_dir, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        load_reward_model(tiny_model_dir)
    assert not caplog.text
    assert "MISSING" not in "".join(capfd.readouterr())


# ---- Rows


def test_rows_of_which_nothing_is_left_are_nan(tiny_model_dir):
    model, tokenizer, _ = load_reward_model(tiny_model_dir, heads=2)
    long = {"prompt": "x" * 100, "chosen": "a", "rejected": "b"}
    scores = reward_rows(model, tokenizer, [ROWS[0], long, ROWS[1]], max_length=80)
    assert np.isnan(scores).all((1, 2)).tolist() == [False, True, False]
    np.testing.assert_allclose(scores[[0, 2]], reward_rows(model, tokenizer, ROWS[:2]), rtol=1e-5)


def test_rewards_is_what_install_calls(tiny_model_dir):
    model, _, _ = load_reward_model(tiny_model_dir)
    install(model)
    batch = pack(forest())
    assert_close(model(tree=batch), rewards(model, batch, TREE))


@pytest.mark.smollm2
def test_smollm2_whose_padding_is_its_end_of_turn(tmp_path):
    model, tokenizer, _ = load_reward_model(heads=2)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == model.config.pad_token_id
    assert reward_rows(model, tokenizer, ROWS[:3]).std() < 1
    move_heads(model)
    for rows in (ROWS[:3], CHATS[:2]):
        scores = reward_rows(model, tokenizer, rows)
        for each in (model, tokenizer):
            each.save_pretrained(tmp_path)
        assert_transformers_gives(tmp_path, scores, rows)
