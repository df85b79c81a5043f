"""The chunked head against log_softmax over the whole table."""

import pytest
import torch
from torch.testing import assert_close

from accord.tree import target_logps


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_values_and_gradients_agree_with_the_whole_table(chunk, bias):
    torch.manual_seed(0)
    hidden, weight = torch.randn(23, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    offset = torch.randn(50, requires_grad=True) if bias else None
    target, upstream = torch.randint(50, (23,)), torch.randn(23)
    leaves = [x for x in (hidden, weight, offset) if x is not None]

    fast = target_logps(hidden, weight, target, offset, chunk=chunk).logps_N
    slow = torch.nn.functional.linear(hidden, weight, offset).log_softmax(-1)[torch.arange(23), target]
    assert_close(fast, slow)
    for a, b in zip(*(torch.autograd.grad(x, leaves, upstream) for x in (fast, slow)), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_frozen_head_gets_no_gradient():
    hidden, weight = torch.randn(5, 4, requires_grad=True), torch.randn(9, 4)
    target_logps(hidden, weight, torch.tensor([0, 1, 2, 3, 8])).logps_N.sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_uniform_logits_give_log_one_over_the_vocabulary():
    logps = target_logps(torch.zeros(3, 4), torch.randn(16, 4), torch.tensor([0, 7, 15])).logps_N
    assert_close(logps, torch.full((3,), -2.7725887))  # -log 16


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_collisions_are_the_log_of_the_summed_squares(chunk):
    torch.manual_seed(0)
    hidden, weight, target = torch.randn(23, 8), torch.randn(50, 8), torch.randint(50, (23,))
    found = target_logps(hidden, weight, target, chunk=chunk, statistic="collision")
    assert_close(found.statistic_N, (hidden @ weight.T).softmax(-1).square().sum(-1).log())
    assert_close(found.logps_N, target_logps(hidden, weight, target).logps_N)


def test_of_equally_likely_tokens_the_collision_is_one_over_their_number():
    found = target_logps(torch.zeros(3, 4), torch.randn(16, 4), torch.tensor([0, 7, 15]), statistic="collision")
    assert_close(found.statistic_N, torch.full((3,), -2.7725887))  # log(16 / 16²)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_entropy_is_that_of_the_whole_distribution(chunk):
    torch.manual_seed(0)
    hidden, weight, target = torch.randn(23, 8), torch.randn(50, 8), torch.randint(50, (23,))
    found = target_logps(hidden, weight, target, chunk=chunk, statistic="entropy")
    assert_close(found.statistic_N, torch.distributions.Categorical(logits=hidden @ weight.T).entropy())


def test_of_equally_likely_tokens_the_entropy_is_the_log_of_their_number():
    found = target_logps(torch.zeros(3, 4), torch.randn(16, 4), torch.tensor([0, 7, 15]), statistic="entropy")
    assert_close(found.statistic_N, torch.full((3,), 2.7725887))  # log 16
