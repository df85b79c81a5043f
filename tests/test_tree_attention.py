"""Tree attention against plain softmax attention, forward and gradients, in fp32."""

import pytest
import torch
from torch.testing import assert_close

from accord.tree import PromptTree, expand, pack
from accord.tree.attention import eager_tree_attention, tree_attention, visible

FORESTS = {
    "one completion": [PromptTree([1, 2, 3], [[4, 5]])],
    "two completions": [PromptTree([1, 2, 3], [[4, 5], [6]])],
    "a forest": [
        PromptTree([1], [[2], [3, 4, 5], [6, 7]]),
        PromptTree(list(range(40)), [[9] * 33, [8] * 2]),
        PromptTree([5, 6], []),
        PromptTree([7, 7], [[1, 2, 3, 4]]),
    ],
}


def inputs(batch, heads=6, key_heads=2, size=8):
    torch.manual_seed(0)
    tokens = len(batch.input_ids_T)
    return [torch.randn(tokens, h, size, requires_grad=True) for h in (heads, key_heads, key_heads)]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("trees", FORESTS.values(), ids=FORESTS)
def test_the_kernel_agrees_with_whole_score_matrices(trees, share):
    batch = pack(trees, share=share)
    qkv = inputs(batch)
    weight = torch.randn(len(batch.input_ids_T), 6, 8)
    fast = tree_attention(*qkv, batch.segments, 0.3)
    slow = eager_tree_attention(*qkv, batch.segments, 0.3)
    assert_close(fast, slow, rtol=1e-5, atol=1e-6)
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), qkv) for x in (fast, slow)), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_visibility_is_the_prompt_and_ones_own_past():
    batch = pack([PromptTree([1, 2], [[3, 4], [5]])])
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    assert visible(batch.segments).int().tolist() == expected


def test_softcap_bounds_the_scores():
    batch = pack(FORESTS["two completions"])
    q, k, v = inputs(batch)
    capped = tree_attention(100 * q, 100 * k, v, batch.segments, 1.0, softcap=1e-3)
    uniform = tree_attention(0 * q, k, v, batch.segments, 1.0)
    assert_close(capped, uniform, atol=5e-3, rtol=1e-2)


def test_packing_places_every_token_where_its_path_puts_it():
    batch = pack([PromptTree([10, 11], [[12, 13], [14]]), PromptTree([20], [[21]])])
    assert batch.input_ids_T.tolist() == [10, 11, 12, 13, 14, 20, 21]
    assert batch.position_ids_T.tolist() == [0, 1, 2, 3, 2, 0, 1]
    assert batch.source_N.tolist() == [1, 2, 1, 5]  # a first token is predicted by the prompt's last
    assert batch.target_N.tolist() == [12, 13, 14, 21]
    assert batch.completion_N.tolist() == [0, 0, 1, 2]
    assert batch.sum_by_completion(torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [3.0, 3.0, 4.0]


def test_expanding_gives_one_padded_row_a_completion():
    padded = expand(pack([PromptTree([10, 11], [[12, 13], [14]])]), pad_id=0)
    assert padded.input_ids_CL.tolist() == [[10, 11, 12, 13], [10, 11, 14, 0]]
    assert padded.attention_mask_CL.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert padded.source_N.tolist() == [1, 2, 5]


@pytest.mark.parametrize("bad", [([], [[1]]), ([1], [[]])])
def test_empty_parts_are_refused(bad):
    with pytest.raises(ValueError, match="without tokens"):
        PromptTree(*bad)
