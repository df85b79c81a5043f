"""Weights taken out of a model's modules give the logits that its modules give."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from accord.rollout import Sampler
from accord.rollout.gate import choose
from accord.rollout.modules import Modules
from accord.rollout.packed import Packed, Unpackable
from accord.rollout.slots import Slots
from families import CASES, stock_model

PROMPTS = [[5, 6, 7, 8, 9, 10], [20, 3, 44]]
PACKED = [name for name in CASES if name.split(",")[0] in ("llama", "mistral", "qwen2", "qwen3")]


def steps(decoder, prompts=PROMPTS, new=(30, 40)):
    """Logits [steps, rows, V] after each prompt and after each of the same new tokens."""
    slots, found = Slots(rows=len(prompts)), []
    cache = decoder.prefill([prompt[:-1] for prompt in prompts])
    for row, prompt in enumerate(prompts):
        slots.place(row, cache, row, len(prompt) - 1)
    newest = torch.tensor([prompt[-1] for prompt in prompts])
    positions = torch.tensor([len(prompt) - 1 for prompt in prompts])
    for step, token in enumerate([None, *new]):
        tokens = newest if token is None else torch.full_like(newest, token)
        found.append(decoder.decode(slots, tokens, positions + step))
    return torch.stack(found)


def plain(model, prompts=PROMPTS, new=(30, 40)):
    with torch.no_grad():
        rows = [model(torch.tensor([[*p, *new]])).logits[0, len(p) - 1 :] for p in prompts]
    return torch.stack(rows, 1)


def adapted(model, **changes):
    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear", **changes))


@pytest.mark.parametrize("name", PACKED)
def test_a_family_is_packed_and_gives_its_own_logits(name):
    model = stock_model(name)
    assert choose(model, PROMPTS[0]).decoder is Packed
    assert torch.allclose(steps(Packed(model)), plain(model), atol=1e-4)


@pytest.mark.parametrize("name", ["gemma", "phi3", "mixtral", "gpt2"])
def test_other_families_are_left_to_their_modules(name):
    assert choose(stock_model(name), PROMPTS[0]).decoder is Modules
    with pytest.raises(Unpackable, match=name):
        Packed(stock_model(name))


def test_adapters_that_are_on_are_merged_and_the_model_is_not_touched():
    model = adapted(stock_model("qwen2"), use_rslora=True).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    on = plain(model)
    assert torch.allclose(steps(Packed(model)), on, atol=1e-4)
    with model.disable_adapter():
        off = plain(model)
        assert torch.allclose(steps(Packed(model)), off, atol=1e-4)
    assert (on - off).abs().max() > 0.1
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    model.merge_adapter()
    assert torch.allclose(steps(Packed(model)), on, atol=1e-3)


@pytest.mark.parametrize(
    "changes", [{"use_dora": True}, {"modules_to_save": ["lm_head"], "target_modules": ["q_proj"]}]
)
def test_an_adapter_that_is_no_product_is_left_to_the_modules(changes):
    torch.manual_seed(0)
    config = {"target_modules": "all-linear", "init_lora_weights": False} | changes
    model = get_peft_model(stock_model("llama"), LoraConfig(r=4, **config)).eval()
    assert choose(model, PROMPTS[0]).decoder is Modules


def test_an_adapter_may_come_between_two_calls(byte_tokenizer):
    model = stock_model("llama")
    sampler = Sampler(model, byte_tokenizer)
    before = next(sampler.sample([PROMPTS[0]], max_new_tokens=8, temperature=0)).tokens
    dora = adapted(model, use_dora=True).eval()  # puts its layers into the model itself
    after = next(sampler.sample([PROMPTS[0]], max_new_tokens=8, temperature=0)).tokens
    assert after != before
    assert after == dora.generate(torch.tensor([PROMPTS[0]]), max_new_tokens=8, do_sample=False)[0, 6:].tolist()


def test_half_precision_out_of_full_is_as_near_as_the_modules_are():
    """Their errors against float32 are rounding of the same size."""
    model = stock_model("llama")
    truth = plain(model)
    packed, modules = steps(Packed(model, torch.bfloat16)), steps(Modules(model, torch.bfloat16))
    assert packed.dtype == modules.dtype == torch.bfloat16
    error = (packed.float() - truth).abs().mean()
    assert 0 < error < 1.5 * (modules.float() - truth).abs().mean()
