"""Our RMSNorm against Transformers' own, values and gradients."""

import pytest
import torch
from torch.testing import assert_close
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from accord.policy.norm import install, rms_norm


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    norm = LlamaRMSNorm(24, eps=1e-5)
    norm.weight.data.uniform_(0.5, 2)
    return norm


def gradients(function, x, weight, upstream):
    return torch.autograd.grad(function(x), (x, weight), upstream)


@pytest.mark.parametrize("rows", [1, 128, 300])
def test_values_and_gradients_agree_in_fp32(theirs, rows):
    x = torch.randn(2, rows, 24, requires_grad=True)
    upstream = torch.randn(2, rows, 24)

    def ours(x):
        return rms_norm(x, theirs.weight, 1e-5)

    assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-6)
    pairs = zip(gradients(ours, x, theirs.weight, upstream), gradients(theirs, x, theirs.weight, upstream), strict=True)
    for a, b in pairs:
        assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_under_autocast_it_is_the_same_value_cast_once(theirs):
    x = torch.randn(5, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rms_norm(x, theirs.weight, 1e-5), theirs(x).bfloat16())


def test_a_vector_of_equal_numbers_becomes_the_weight(theirs):
    assert_close(rms_norm(torch.full((1, 24), 3.0), theirs.weight, 0.0)[0], theirs.weight.data)


def test_other_dtypes_go_to_the_models_own_forward(theirs):
    model = torch.nn.Sequential(theirs)
    x = torch.randn(4, 24, dtype=torch.float64)
    before = model(x)
    install(model)
    assert torch.equal(model(x), before)
