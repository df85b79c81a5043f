"""Tokens are drawn from the distribution that they should be drawn from, and from nothing else."""

import math

import pytest
import torch

from accord.rollout.choice import Decoding, exponentials, position_keys, sample_key


def keys(count, *numbers):
    return position_keys(torch.full((count,), sample_key(*numbers)), torch.arange(count))


def frequencies(decoding, logits, draws=200_000):
    tokens = decoding.choose(logits.expand(draws, -1), keys(draws, 7)).tokens_R
    return torch.bincount(tokens, minlength=len(logits)) / draws


def test_tokens_come_as_often_as_softmax_says():
    logits = torch.linspace(-4, 3, 100)
    p = (logits / 0.8).softmax(-1)
    observed = frequencies(Decoding(temperature=0.8), logits)
    chi_squared = 200_000 * ((observed - p) ** 2 / p).sum()
    assert chi_squared < 149  # 99 degrees of freedom: one in a thousand lies above 148.2


def test_a_vocabulary_of_many_blocks_is_drawn_from_in_proportion():
    """300 tokens are five blocks, the last not full; one whole block is not possible."""
    logits = torch.sin(torch.arange(300.0) / 7) * 3
    logits[128:192] = -torch.inf
    p = logits.softmax(-1)
    observed = frequencies(Decoding(), logits)
    assert observed[128:192].sum() == 0
    possible = p > 0
    chi_squared = 200_000 * ((observed - p) ** 2 / p)[possible].sum()
    assert chi_squared < 305  # 235 degrees of freedom: one in a thousand lies above 307.7


def test_exponentials_have_mean_and_variance_one_and_no_neighbours():
    draws = exponentials(keys(4000, 1), torch.arange(500)).double()
    assert draws.mean().item() == pytest.approx(1, abs=4 / math.sqrt(draws.numel()))
    assert draws.var().item() == pytest.approx(1, abs=12 / math.sqrt(draws.numel()))
    uniform = 1 - (-draws).exp()
    for a, b in ((uniform[:, :-1], uniform[:, 1:]), (uniform[:-1], uniform[1:])):  # next column, next position
        assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.004


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_every_number_of_a_key_counts(numbers):
    assert sample_key(*numbers) != sample_key(1, 2, 30)
    assert torch.equal(
        exponentials(keys(1, *numbers), torch.arange(8)), exponentials(keys(1, *numbers), torch.arange(8))
    )
    assert (exponentials(keys(1, *numbers), torch.arange(8)) != exponentials(keys(1, 1, 2, 30), torch.arange(8))).all()


#                                     p = .5   .25   .125  .0625 .0625
LOGITS = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625]).log()


@pytest.mark.parametrize(
    ("decoding", "kept"),
    [
        (Decoding(top_k=2), [0, 1]),
        (Decoding(top_p=0.75), [0, 1]),  # the two hold it exactly
        (Decoding(top_p=0.76), [0, 1, 2]),
        (Decoding(top_p=0.01), [0]),
        (Decoding(min_p=0.25), [0, 1, 2]),
        (Decoding(min_p=0.26), [0, 1]),
        (Decoding(top_k=3, top_p=0.86), [0, 1, 2]),  # of the three that are left, two hold 6/7 = 0.857
        (Decoding(top_k=3, top_p=0.85), [0, 1]),
        (Decoding(top_k=5), [0, 1, 2, 3, 4]),
    ],
)
def test_filters_keep_these_tokens_in_proportion(decoding, kept):
    expected = torch.zeros(5).index_copy(0, torch.tensor(kept), LOGITS.exp()[kept])
    expected /= expected.sum()
    assert torch.allclose(frequencies(decoding, LOGITS), expected, atol=0.005)


def test_a_wide_nucleus_is_found_beyond_the_first_look():
    logits = torch.linspace(1, 0, 600)
    seen = frequencies(Decoding(top_p=0.9), logits, 20_000) > 0
    assert seen.nonzero().max() == (logits.softmax(-1).cumsum(0) < 0.9).sum() > 256


def test_log_probs_are_those_of_the_tempered_distribution_before_filters():
    logits = torch.randn(64, 300)
    chosen = Decoding(temperature=0.5, top_k=5).choose(logits, keys(64, 1))
    expected = (logits / 0.5).log_softmax(-1).gather(1, chosen.tokens_R[:, None])[:, 0]
    assert torch.allclose(chosen.logps_R, expected, atol=1e-5)


def test_temperature_zero_is_argmax_with_the_untempered_log_prob():
    logits = torch.randn(9, 300)
    chosen = Decoding(temperature=0).choose(logits, keys(9, 1))
    assert torch.equal(chosen.tokens_R, logits.argmax(-1))
    assert torch.allclose(chosen.logps_R, logits.log_softmax(-1).amax(-1))


def test_rounding_changes_few_draws():
    logits = torch.randn(20_000, 300) * 2
    before = Decoding().choose(logits, keys(20_000, 3)).tokens_R
    after = Decoding().choose(logits + 1e-4 * torch.randn_like(logits), keys(20_000, 3)).tokens_R
    assert (before != after).float().mean() < 1e-3


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 1.5}, {"min_p": -0.1}, {"top_k": -1}])
def test_nonsense_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Decoding(**wrong)
