"""Scoring rows in packed batches against one row after the other by a stock model."""

import copy

import numpy as np
import pytest
import torch

from accord.policy.encode import encode
from accord.policy.forward import install
from accord.policy.gate import Layout
from accord.policy.score import score_rows
from conftest import make_tiny_llama

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "sleeps"]
ROWS = [
    {
        "prompt": " ".join(WORDS[: 1 + n % 9]),
        "chosen": " " + " ".join(WORDS[n % 5 :]),
        "rejected": WORDS[n % len(WORDS)],
    }
    for n in range(30)
]
CHATS = [
    {name: [{"role": "user" if name == "prompt" else "assistant", "content": row[name]}] for name in row}
    for row in ROWS[:5]
]


def naive(model, tokenizer, rows, completions=("chosen", "rejected"), **settings):
    """Each completion alone: a forward without padding, log_softmax, and a sum over its tokens in float64."""
    scores = []
    for encoded in encode(rows, tokenizer, completions, **settings):
        for completion in encoded.tree.completions:
            path = torch.tensor([*encoded.tree.prompt, *completion])
            with torch.no_grad():
                table = model(input_ids=path[None]).logits[0].log_softmax(-1)
            places = range(len(encoded.tree.prompt) - 1, len(path) - 1)
            scores.append(sum(table[place, path[place + 1]].item() for place in places))
    return np.array(scores).reshape(len(rows), -1)


@pytest.mark.parametrize("budget", [1, 300, 4096])
@pytest.mark.parametrize("rows", [ROWS, CHATS], ids=["plain", "chats"])
def test_scores_are_those_of_a_loop(tiny_llama, byte_tokenizer, rows, budget):
    expected = naive(copy.deepcopy(tiny_llama), byte_tokenizer, rows)
    scores = score_rows(tiny_llama, byte_tokenizer, rows, token_budget=budget)
    assert scores.shape == (len(rows), 2)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_keeps_to_the_budget_as_it_counts_tokens(tiny_llama, byte_tokenizer, layout, monkeypatch):
    from accord.policy import score

    groups = []
    plain = score.score_trees
    monkeypatch.setattr(score, "score_trees", lambda model, trees: groups.append(trees) or plain(model, trees))
    expected = naive(copy.deepcopy(tiny_llama), byte_tokenizer, ROWS)
    install(tiny_llama, layout)
    np.testing.assert_allclose(score_rows(tiny_llama, byte_tokenizer, ROWS, token_budget=400), expected, rtol=1e-5)
    assert all(sum(score.tokens(tree, layout) for tree in trees) <= 400 for trees in groups)
    assert len(groups) > 1


def test_one_completion_a_row(tiny_llama, byte_tokenizer):
    rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in ROWS]
    expected = naive(copy.deepcopy(tiny_llama), byte_tokenizer, rows, ["completion"])
    assert score_rows(tiny_llama, byte_tokenizer, rows, ["completion"]) == pytest.approx(expected, rel=1e-5)


def test_rows_of_which_nothing_is_left_are_nan_in_their_place(tiny_llama, byte_tokenizer):
    long = {"prompt": "x" * 100, "chosen": "a", "rejected": "b"}
    rows = [ROWS[0], long, *ROWS[1:4], long]
    done = []
    scores = score_rows(tiny_llama, byte_tokenizer, rows, max_length=80, progress=done.append)
    assert np.isnan(scores).all(1).tolist() == [False, True, False, False, False, True]
    kept = [row for row in rows if row is not long]
    np.testing.assert_allclose(
        scores[~np.isnan(scores)].reshape(-1, 2), naive(tiny_llama, byte_tokenizer, kept, max_length=80), rtol=1e-5
    )
    assert done == sorted(done)
    assert done[-1] == len(rows)


def test_more_rows_than_a_block_come_back_in_order(tiny_llama, byte_tokenizer, monkeypatch):
    monkeypatch.setattr("accord.policy.score.BLOCK", 7)
    seen = []
    scores = score_rows(tiny_llama, byte_tokenizer, ROWS, progress=seen.append)
    np.testing.assert_allclose(scores, naive(tiny_llama, byte_tokenizer, ROWS), rtol=1e-5)
    assert seen == [7, 14, 21, 28, 30]


def test_no_rows(tiny_llama, byte_tokenizer):
    assert score_rows(tiny_llama, byte_tokenizer, []).shape == (0, 2)


def test_dropout_is_off_while_scoring_and_the_mode_comes_back(byte_tokenizer):
    model = make_tiny_llama(byte_tokenizer, attention_dropout=0.5).train()
    first, second = (score_rows(model, byte_tokenizer, ROWS) for _ in range(2))
    assert np.array_equal(first, second)
    assert model.training


def test_bfloat16_is_near(tiny_llama, byte_tokenizer):
    exact = score_rows(tiny_llama, byte_tokenizer, ROWS)
    near = score_rows(tiny_llama, byte_tokenizer, ROWS, bf16=True)
    assert not np.array_equal(near, exact)
    np.testing.assert_allclose(near, exact, rtol=0.01)
