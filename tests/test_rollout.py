"""What the sampler says is what the model would have said, however it was batched."""

import copy

import pytest
import torch
from transformers import set_seed

from accord.feedback import Message
from accord.rollout import Sampler
from accord.rollout.gate import Choice
from accord.rollout.slots import Slots

PROMPTS = ["Hello", "A rather longer prompt than the first, so that rows differ", "x", "What is 2 + 2?"]


@pytest.fixture
def sampler(tiny_llama, byte_tokenizer):
    return Sampler(tiny_llama, byte_tokenizer)


def ordered(samples):
    return sorted(samples, key=lambda s: (s.prompt, s.sample))


def generated(model, ids, length):
    ids = torch.tensor([ids])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False)
    return out[0, ids.shape[1] :].tolist()


def scored(model, prompt, tokens, temperature=1.0):
    with torch.no_grad():
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]


@pytest.mark.parametrize("rows", [1, 2, 3, 64])
def test_greedy_is_generate_token_for_token(sampler, rows):
    found = ordered(sampler.sample(PROMPTS, n=2, max_new_tokens=40, temperature=0, max_rows=rows, prefill_tokens=20))
    assert [(s.prompt, s.sample) for s in found] == [(p, s) for p in range(4) for s in range(2)]
    for s in found:
        assert s.tokens == generated(sampler.model, sampler.prompt_ids(PROMPTS[s.prompt]), 40)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_a_scoring_forward(sampler, temperature):
    for s in sampler.sample(PROMPTS, n=3, max_new_tokens=30, temperature=temperature, top_p=0.9, max_rows=5):
        expected = scored(sampler.model, sampler.prompt_ids(PROMPTS[s.prompt]), s.tokens, temperature)
        assert torch.allclose(torch.tensor(s.logps), expected, atol=1e-3)


def test_a_seed_gives_the_same_samples_whatever_the_batching(sampler):
    settings = {"n": 5, "max_new_tokens": 30, "seed": 11}
    reference = ordered(sampler.sample(PROMPTS, **settings))
    for batching in ({"max_rows": 1}, {"max_rows": 3, "prefill_tokens": 1}, {"max_rows": 7, "prefill_tokens": 80}):
        again = ordered(sampler.sample(PROMPTS, **settings, **batching))
        assert [s.tokens for s in again] == [s.tokens for s in reference]
    assert len({tuple(s.tokens) for s in reference}) == 20  # no two samples share their randomness
    other = ordered(sampler.sample(PROMPTS, **settings | {"seed": 12}))
    assert all(a.tokens != b.tokens for a, b in zip(reference, other, strict=True))


def test_prompts_are_drawn_by_their_names(sampler):
    """Two processes that share the prompts out, and name them as one would, draw what it would."""
    settings = {"n": 2, "max_new_tokens": 20, "seed": 3}
    together = {(s.prompt, s.sample): s.tokens for s in sampler.sample(PROMPTS, **settings)}
    for shared in ([0, 2], [3, 1]):
        for s in sampler.sample([PROMPTS[i] for i in shared], names=shared, **settings):
            assert s.tokens == together[shared[s.prompt], s.sample]
    with pytest.raises(ValueError, match="3 names for 4 prompts"):
        list(sampler.sample(PROMPTS, names=[1, 2, 3]))


@pytest.mark.parametrize("in_slots", [True, False])
def test_it_computes_in_another_precision_and_gives_the_weights_back(sampler, in_slots, monkeypatch):
    if not in_slots:
        monkeypatch.setattr("accord.rollout.sample.choose", lambda model, tokens: Choice(None, "the test says so"))
    model = sampler.model.train()
    own = {name: weight.data_ptr() for name, weight in model.named_parameters()}
    cast = copy.deepcopy(model)
    for weight in cast.parameters():  # not the rotary frequencies: what is loaded in bfloat16 keeps them in float32
        weight.data = weight.data.bfloat16()
    expected = ordered(Sampler(cast, sampler.tokenizer).sample(PROMPTS, n=2, max_new_tokens=20, seed=1))
    found = []
    for s in sampler.sample(PROMPTS, n=2, max_new_tokens=20, seed=1, dtype=torch.bfloat16):
        assert {name: weight.data_ptr() for name, weight in model.named_parameters()} == own
        assert model.dtype == torch.float32
        found.append(s)
    assert [(s.tokens, s.logps) for s in ordered(found)] == [(s.tokens, s.logps) for s in expected]


def test_samples_end_at_an_end_token_or_are_cut(sampler):
    common = torch.tensor(sampler.prompt_ids("e"))[0].item()
    sampler.ends = frozenset({common, 200, 201, 202, 203, 204, 205})
    samples = list(sampler.sample(PROMPTS, n=20, max_new_tokens=25))
    assert {s.finished for s in samples} == {True, False}
    for s in samples:
        assert s.finished == (s.tokens[-1] in sampler.ends)
        assert not sampler.ends & set(s.tokens[:-1])
        assert s.finished or len(s.tokens) == 25
        assert len(s.logps) == len(s.tokens)
        assert s.text == sampler.tokenizer.decode(s.tokens, skip_special_tokens=True)


def test_end_tokens_are_the_generation_config_s_then_the_tokenizer_s(tiny_llama, byte_tokenizer):
    tiny_llama.generation_config.eos_token_id = [3, 9]
    assert Sampler(tiny_llama, byte_tokenizer).ends == {3, 9}
    tiny_llama.generation_config.eos_token_id = None
    assert Sampler(tiny_llama, byte_tokenizer).ends == {byte_tokenizer.eos_token_id}


def test_prompts_are_ids_text_or_messages(sampler):
    chat = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    ids = sampler.tokenizer(chat)["input_ids"]
    assert sampler.prompt_ids(chat) == ids
    assert sampler.prompt_ids([{"role": "user", "content": "Hi"}]) == ids
    assert sampler.prompt_ids((Message("user", "Hi"),)) == ids
    assert sampler.prompt_ids(ids) == ids
    with pytest.raises(ValueError, match="no tokens"):
        list(sampler.sample([""]))


def test_it_samples_from_the_weights_as_they_are_now(sampler):
    before = next(sampler.sample(["Hello"], max_new_tokens=20, temperature=0)).tokens
    with torch.no_grad():
        for p in sampler.model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    after = next(sampler.sample(["Hello"], max_new_tokens=20, temperature=0)).tokens
    assert after != before
    assert after == generated(sampler.model, sampler.prompt_ids("Hello"), 20)


def test_the_model_is_left_as_it_was_between_samples(sampler):
    model = sampler.model.train()
    attention = model.config._attn_implementation
    for _ in sampler.sample(PROMPTS, n=2, max_new_tokens=5):
        assert model.training
        assert model.config._attn_implementation == attention
        model(torch.tensor([[5, 6, 7]])).logits.sum().backward()  # gradients flow while the sampler waits


def test_an_adapter_is_sampled_from(tiny_llama, byte_tokenizer):
    from peft import LoraConfig, get_peft_model

    set_seed(0)
    model = get_peft_model(tiny_llama, LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear")).eval()
    found = next(Sampler(model, byte_tokenizer).sample(["Hello"], max_new_tokens=20, temperature=0)).tokens
    ids = byte_tokenizer("Hello")["input_ids"]
    assert found == generated(model, ids, 20)
    with model.disable_adapter():
        assert found != generated(model, ids, 20)


def test_progress_counts_new_tokens(sampler):
    seen = []
    samples = list(sampler.sample(PROMPTS, n=2, max_new_tokens=6, progress=seen.append))
    assert sum(seen) == sum(len(s.tokens) for s in samples)


def test_slots_grow_with_the_longest_row_and_keep_what_they_hold(sampler):
    found = next(sampler.sample(["Hello"], max_new_tokens=300, temperature=0))
    assert found.tokens == generated(sampler.model, sampler.prompt_ids("Hello"), 300)


def test_rows_end_after_the_slots_have_grown(sampler):
    """What a growing step makes is written to between steps too, when a row takes the place of one that ended."""
    samples = list(sampler.sample(["Why?"], n=24, max_new_tokens=200, seed=0))
    late = sorted(len(sample.tokens) for sample in samples if len(sample.tokens) > 130)
    assert late[0] < late[-1]
    assert [(s.prompt, s.sample) for s in sorted(samples, key=lambda s: s.sample)] == [(0, i) for i in range(24)]


def test_rows_that_end_make_room_at_once(sampler, monkeypatch):
    """20 samples of very different length in 4 rows take about a quarter of their tokens in steps."""
    steps = []
    begin = Slots.begin_step
    monkeypatch.setattr(Slots, "begin_step", lambda self, at: (steps.append(len(at)), begin(self, at))[1])
    sampler.ends = frozenset(range(100, 110))
    list(sampler.sample(PROMPTS, max_new_tokens=1))  # tries once whether slots fit
    steps.clear()
    samples = list(sampler.sample(PROMPTS, n=20, max_new_tokens=60, max_rows=4))
    assert sum(steps) == sum(len(s.tokens) for s in samples)
    assert max(steps) == 4
    assert sum(count == 4 for count in steps) > 0.8 * len(steps)


def test_generate_draws_the_same_samples(sampler, monkeypatch):
    """The way out for other architectures: the same seed, the same tokens, the same log-probs."""
    settings = {"n": 3, "max_new_tokens": 20, "temperature": 0.9, "top_p": 0.95, "seed": 5}
    sampler.ends = frozenset(range(100, 110))
    reference = ordered(sampler.sample(PROMPTS, **settings))
    assert {s.finished for s in reference} == {True, False}
    monkeypatch.setattr("accord.rollout.sample.choose", lambda model, tokens: Choice(None, "the test says so"))
    other = Sampler(sampler.model, sampler.tokenizer)
    other.ends = sampler.ends
    for a, b in zip(reference, ordered(other.sample(PROMPTS, max_rows=5, **settings)), strict=True):
        assert (a.tokens, a.text, a.finished) == (b.tokens, b.text, b.finished)
        assert b.logps == pytest.approx(a.logps, abs=1e-4)


@pytest.mark.smollm2
def test_greedy_is_generate_on_smollm2():
    from accord.policy.load import load_policy

    policy = load_policy("smollm2")
    sampler = Sampler(policy.model, policy.tokenizer)
    questions = ["What is the capital of France?", "Name three colours.", "Tell me about rain.", "Hi"]
    prompts = [[{"role": "user", "content": q}] for q in questions]
    for s in sampler.sample(prompts, max_new_tokens=24, temperature=0):
        assert s.tokens == generated(policy.model, sampler.prompt_ids(prompts[s.prompt]), 24)
        expected = scored(policy.model, sampler.prompt_ids(prompts[s.prompt]), s.tokens)
        assert torch.allclose(torch.tensor(s.logps), expected, atol=1e-3)
