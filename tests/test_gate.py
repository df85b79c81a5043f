"""Which layout a model gets, and the check that unseats it when it lies."""

import copy
import logging
from dataclasses import replace

import peft
import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from accord.policy import forward
from accord.policy.forward import install
from accord.policy.gate import Layout, choose_for, tokens, window
from accord.policy.verify import PIECE, probe, verify
from accord.tree import PromptTree, expand, pack
from accord.tree.attention import tree_attention
from accord.tree.batch import Segments, Spans
from families import CASES, PADDED, TREE, forest, small, stock_model, truth

TREE_CASES = [name for name, case in CASES.items() if case.layout is TREE]


@pytest.mark.parametrize(
    ("config", "width"),
    [
        (small("Llama"), None),
        (small("Mistral", sliding_window=16), 16),
        (small("Mistral", sliding_window=None), None),
        (small("Qwen2", sliding_window=16), None),  # use_sliding_window is False
        (small("Qwen2", sliding_window=16, use_sliding_window=True, max_window_layers=1), 16),
        (small("Gemma2", sliding_window=16), 16),
        (small("Gemma3Text", sliding_window=16, layer_types=["full_attention"] * 2), None),
    ],
)
def test_the_window_is_what_some_layer_sees(config, width):
    assert window(config) == width


def test_the_longest_path_decides_not_the_sum():
    general = forward.Choice(TREE)
    config = small("Mistral", sliding_window=5)
    assert choose_for([PromptTree([1, 2, 3], [[4, 5], [6, 7], [8]])], config, general) == general
    assert choose_for([PromptTree([1, 2], [[3]]), PromptTree([1, 2, 3], [[4, 5, 6]])], config, general).layout is PADDED


def test_tokens_are_counted_as_the_layout_lays_them_out():
    tree = PromptTree([1, 2, 3], [[4], [5, 6, 7]])
    counted = {layout: tokens(tree, layout) for layout in Layout}
    assert counted == {"tree": 7, "packed": 10, "padded": 12}
    assert counted["tree"] == len(pack([tree]).input_ids_T)
    assert counted["packed"] == len(pack([tree], share=False).input_ids_T)
    assert counted["padded"] == expand(pack([tree])).input_ids_CL.numel()


# ---- The check of a first batch


def flat_row(segments: Segments) -> Segments:
    """What a model sees that knows of no trees: every token, all before it."""
    return replace(segments, own=Spans.of([segments.blocks[-1][1]], [segments.blocks[-1][1]]), rows=segments.rows[:0])


def forgotten_prompt(segments: Segments) -> Segments:
    return replace(segments, rows=segments.rows[:0])


@pytest.mark.parametrize("name", TREE_CASES)
@pytest.mark.parametrize("bf16", [False, True])
def test_honest_families_pass_the_check(name, bf16, caplog):
    model = stock_model(name).train()
    choice = install(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        assert verify(model, forest()) == choice
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert model.training


@pytest.mark.parametrize("lie", [flat_row, forgotten_prompt])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("bf16", [False, True])
def test_attention_that_misreads_the_segments_is_found_out(name, lie, bf16, monkeypatch, caplog):
    monkeypatch.setattr(forward, "tree_attention", lambda q, k, v, s, *rest: tree_attention(q, k, v, lie(s), *rest))
    stock = stock_model(name)
    model = copy.deepcopy(stock)
    install(model)
    batch = pack(forest())
    assert (model(tree=batch) - truth(stock, batch)).abs().max() > 0.5
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        assert verify(model, forest()).layout is PADDED
    assert "nats a token" in caplog.text
    assert_close(model(tree=batch), truth(stock, batch))


def test_a_model_that_ignores_positions_is_found_out(monkeypatch):
    model = stock_model("llama")
    install(model)
    inner = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda position_ids=None, **kwargs: inner(**kwargs))
    assert verify(model, forest()).layout is PADDED


def test_a_model_that_looks_ahead_is_found_out():
    """Gemma 3 has a setting that turns it into an encoder."""
    model = AutoModelForCausalLM.from_config(
        small("Gemma3Text", use_bidirectional_attention=True, layer_types=["sliding_attention", "full_attention"])
    )
    assert install(model).layout is TREE
    assert verify(model, forest()).layout is PADDED


def test_not_a_number_disagrees():
    model = stock_model("llama")
    install(model)
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    assert verify(model, forest()).layout is PADDED


def test_an_adapter_passes_the_check(caplog):
    model = peft.get_peft_model(stock_model("llama"), peft.LoraConfig(r=4, init_lora_weights=False))
    install(model)
    assert verify(model, forest()).layout is TREE
    assert not caplog.text


def test_the_check_costs_at_most_512_padded_tokens_and_stays_within_a_window():
    long = [PromptTree([1] * 900, [[2] * 500, [3] * 800, [4] * 10]), PromptTree([5] * 700, [[6] * 900])]
    assert expand(pack(probe(long))).input_ids_CL.numel() == 8 * PIECE == 512
    model = stock_model("mistral, window")
    install(model)
    assert all(tree.longest <= 8 for tree in probe(long, 8))
    assert verify(model, long).layout is TREE


def test_single_completions_are_probed_with_a_shared_prompt():
    """As SFT and KTO bring them: else sharing would go unchecked."""
    one, other = probe([PromptTree([1, 2], [[3]]), PromptTree([4], [[5, 6]])])
    assert one == PromptTree([1, 2], [[3], [5, 6]])
    assert other == PromptTree([4], [[3], [5, 6]])
    assert probe([PromptTree([1, 2], [[3]])]) == [PromptTree([1, 2], [[3], [3]])] * 2
