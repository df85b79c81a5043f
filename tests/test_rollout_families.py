"""Every family is sampled from as its own `generate` would: in slots where they fit it, otherwise by `generate`."""

import copy

import pytest
import torch

from accord.policy.forward import install
from accord.rollout import Sampler
from families import CASES, stock_model

PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [20, 3, 44], [50], [60, 61, 62, 63, 64]]
LENGTH = 12
#: Families left to `generate` whatever the length, and what the log says of them.
BY_GENERATE = {"mamba": "its state is not keys and values", "bloom": "ValueError"}


def greedy(model, prompt):
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=LENGTH, do_sample=False)
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize(
    ("name", "installed"),
    [*((name, False) for name in CASES), *((name, True) for name in ("llama", "gemma2", "gpt2", "mamba"))],
)
def test_a_family_says_what_generate_says(name, installed, byte_tokenizer, caplog):
    stock = stock_model(name)
    model = copy.deepcopy(stock)
    if installed:
        install(model)
    caplog.clear()
    sampler = Sampler(model, byte_tokenizer)
    settings = {"max_new_tokens": LENGTH, "temperature": 0}
    for s in [*sampler.sample(PROMPTS, max_rows=3, **settings), *sampler.sample(PROMPTS, **settings)]:
        assert s.tokens == greedy(stock, PROMPTS[s.prompt])
        with torch.no_grad():
            logits = stock(torch.tensor([PROMPTS[s.prompt] + s.tokens])).logits[0, len(PROMPTS[s.prompt]) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(s.tokens)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(s.logps), expected, atol=1e-3)
    said = [r.getMessage() for r in caplog.records if r.name.startswith("accord.rollout")]
    expected_reason = BY_GENERATE.get(name) or ("attention window" if "attention window" in CASES[name].said else "")
    assert len(said) == bool(expected_reason)  # once for two calls
    assert all(expected_reason in line for line in said)
