"""The core's proof: for each family, log-probs and every gradient agree with the stock model on plain padded rows.

The oracle is a copy of the model that Accord never touched, with its stock attention (see `families.truth`).
"""

import copy
import inspect
import logging

import peft
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from accord.policy import forward
from accord.policy.forward import install
from accord.policy.gate import disable_dropout
from accord.tree import PromptTree, pack
from families import CASES, PACKED, PADDED, TREE, VOCAB, forest, stock_model, truth

TREE_CASES = [name for name, case in CASES.items() if case.layout is TREE]


@pytest.fixture
def used(monkeypatch):
    """The layouts that forwards went through."""
    layouts = []

    def noting(layout, run):
        return lambda *args: layouts.append(layout) or run(*args)

    for layout, run in forward.LAYOUTS.items():
        monkeypatch.setitem(forward.LAYOUTS, layout, noting(layout, run))
    return layouts


def gradients(model, logps_N):
    """Every trainable parameter's gradient of a fixed random combination of the log-probs."""
    upstream = torch.randn(len(logps_N), generator=torch.Generator().manual_seed(7))
    model.zero_grad()
    (logps_N * upstream).sum().backward()
    named = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in named}


def largest_error(ours, theirs):
    """The largest |a − b| / |b| over two models' gradients, and whose it is."""
    assert ours.keys() == theirs.keys()
    assert any(b.any() for b in theirs.values())
    errors = {name: ((ours[name] - b).norm() / b.norm().clamp(min=1e-9)).item() for name, b in theirs.items()}
    worst = max(errors, key=errors.__getitem__)
    return errors[worst], worst


def assert_agree(model, stock, trees=None):
    batch = pack(trees or forest())
    ours, theirs = model(tree=batch), truth(stock, batch)
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    error, name = largest_error(gradients(model, ours), gradients(stock, theirs))
    assert error < 1e-4, f"{name}: {error:.1e}"
    return error


def both(name):
    """A model to install into, and its stock copy."""
    stock = stock_model(name)
    return copy.deepcopy(stock), stock


@pytest.mark.parametrize("name", CASES)
def test_a_family_agrees_with_its_stock_model(name, used, caplog, record_property):
    model, stock = both(name)
    with caplog.at_level(logging.INFO, "accord"):
        install(model)
        record_property("error", assert_agree(model, stock))
        model(tree=pack(forest(seed=1)))
    said = [r for r in caplog.records if r.name.startswith("accord")]
    assert set(used) == {CASES[name].layout}
    assert f"'{CASES[name].layout}'" in said[-1].getMessage()
    slower = [r.getMessage() for r in said if r.levelno == logging.WARNING]
    assert len(slower) == (CASES[name].layout is not TREE)  # once, not at every batch
    assert CASES[name].said in " ".join(slower)


@pytest.mark.parametrize("layout", [PACKED, PADDED])
@pytest.mark.parametrize("name", TREE_CASES)
def test_slower_layouts_agree_too(name, layout, used):
    model, stock = both(name)
    install(model, layout)
    assert_agree(model, stock)
    assert used == [layout]


def test_a_window_pads_only_the_batches_that_exceed_it(used):
    model, stock = both("mistral, window")
    install(model)
    assert_agree(model, stock, [PromptTree([5, 6, 7], [[8, 9], [10, 11, 12, 13, 14]])])
    assert_agree(model, stock, [PromptTree([5, 6, 7, 3], [[8, 9], [10, 11, 12, 13, 14]])])
    assert used == [TREE, PADDED]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "qwen3_moe"])
def test_gradient_checkpointing_recomputes_with_the_right_segments(name, reentrant, monkeypatch):
    model, stock = both(name)
    install(model)
    calls = []
    plain = forward.tree_attention
    monkeypatch.setattr(forward, "tree_attention", lambda *args: calls.append(1) or plain(*args))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.train()
    first, second = (pack(forest(seed)) for seed in (0, 1))
    ours = [model(tree=batch) for batch in (first, second)]  # both are recomputed after the other's forward
    theirs = [truth(stock, batch) for batch in (first, second)]
    error, where = largest_error(gradients(model, torch.cat(ours)), gradients(stock, torch.cat(theirs)))
    assert error < 1e-4, f"{where}: {error:.1e}"
    assert len(calls) == 8  # two batches, two layers, forward and again


LORA = {
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "attention and head": {"target_modules": ["q_proj", "lm_head"]},
    "a head of its own": {"target_modules": ["k_proj"], "modules_to_save": ["lm_head"]},
    "embeddings": {"target_modules": ["embed_tokens", "down_proj"]},
}


@pytest.mark.parametrize("settings", LORA.values(), ids=LORA)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_agree(settings, checkpointing, used):
    torch.manual_seed(0)
    stock = peft.get_peft_model(stock_model("llama"), peft.LoraConfig(r=4, init_lora_weights=False, **settings)).eval()
    model = copy.deepcopy(stock)
    if checkpointing:
        model.enable_input_require_grads()
        model.get_base_model().gradient_checkpointing_enable()
        model.train()
    install(model)
    assert_agree(model, stock)
    with model.disable_adapter(), stock.disable_adapter():
        assert_close(model(tree=pack(forest())), truth(stock, pack(forest())), rtol=1e-4, atol=1e-4)
    assert set(used) == {TREE}


def test_a_head_with_a_bias_agrees():
    stock = stock_model("llama")
    torch.manual_seed(0)
    stock.lm_head = nn.Linear(32, VOCAB, bias=True)
    model = copy.deepcopy(stock)
    install(model)
    assert_agree(model, stock)


@pytest.mark.parametrize("name", ["llama", "llama, tied head", "gemma2", "gpt2", "qwen3"])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_bfloat16_is_as_near_the_fp32_truth_as_the_stock_model_in_bfloat16(name, weights):
    """Autocast over fp32 weights, and weights in bfloat16."""
    exact = stock_model(name)
    stock = copy.deepcopy(exact).to(weights)
    model = copy.deepcopy(stock)
    install(model)
    batch = pack(forest())
    with torch.autocast("cpu", torch.bfloat16, enabled=weights is torch.float32):
        ours, theirs = model(tree=batch), truth(stock, batch)
    real = truth(exact, batch)
    assert ours.dtype is torch.float32
    assert (ours - real).abs().mean() < 1.5 * (theirs - real).abs().mean() + 1e-3
    gradient = gradients(exact, real)
    mine, stocks = ({n: g.float() for n, g in gradients(m, l).items()} for m, l in ((model, ours), (stock, theirs)))
    assert largest_error(mine, gradient)[0] < 1.5 * largest_error(stocks, gradient)[0]


@pytest.mark.parametrize("name", TREE_CASES)
def test_generate_gives_what_the_stock_model_gives(name):
    model, stock = both(name)
    install(model)
    prompts = {
        "input_ids": torch.tensor([[0, 0, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6]),
    }
    settings = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, "output_logits": True}
    ours, theirs = (m.generate(**prompts, **settings, return_dict_in_generate=True) for m in (model, stock))
    assert ours.sequences.tolist() == theirs.sequences.tolist()
    assert_close(torch.stack(ours.logits), torch.stack(theirs.logits), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mistral, window"])
def test_plain_training_calls_are_untouched(name):
    model, stock = both(name)
    install(model)
    rows = {"input_ids": torch.tensor([[5, 6, 7, 8, 9, 0], [9, 10, 11, 12, 13, 14]])}
    rows |= {"attention_mask": (rows["input_ids"] != 0).long(), "labels": rows["input_ids"]}
    ours, theirs = (m(**rows).loss[None] for m in (model, stock))
    assert_close(ours, theirs)
    error, where = largest_error(gradients(model, ours), gradients(stock, theirs))
    assert error < 1e-4, f"{where}: {error:.1e}"


def test_with_dropout_every_completion_draws_its_own_sample(used):
    model, _ = both("gpt2, dropout")
    install(model)
    model.train()
    first, second = model(tree=pack([PromptTree([5, 6, 7], [[8], [8]])]))
    assert first != second
    disable_dropout(model)
    install(model)
    first, second = model(tree=pack([PromptTree([5, 6, 7], [[8], [8]])]))
    assert first == second
    assert used == [PACKED, TREE]


@pytest.mark.parametrize("name", ["llama, attention dropout", "gpt2, attention dropout"])
def test_attention_dropout_can_be_disabled(name, used):
    model, stock = both(name)
    disable_dropout(model)
    install(model)
    model.train()
    assert_agree(model, stock)
    assert used == [TREE]


def test_installing_leaves_signatures_copies_and_saved_models_as_they_were(tmp_path):
    model, stock = both("llama")
    other, other_stock = both("gpt2")
    install(model)
    install(other)
    assert inspect.signature(model.forward) == inspect.signature(stock.forward)
    assert inspect.signature(other.forward) == inspect.signature(other_stock.forward)

    batch = pack(forest())
    before = model(tree=batch)
    duplicate = copy.deepcopy(model)
    with torch.no_grad():
        duplicate.lm_head.weight.zero_()
    assert_close(duplicate(tree=batch), torch.full_like(before, -torch.log(torch.tensor(VOCAB)).item()))
    assert_close(model(tree=batch), before)

    model.save_pretrained(tmp_path)
    assert "accord" not in (tmp_path / "config.json").read_text()
    assert_close(truth(AutoModelForCausalLM.from_pretrained(tmp_path).eval(), batch), before, rtol=1e-4, atol=1e-4)
