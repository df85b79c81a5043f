"""The check of a first batch: a faster layout is believed when it agrees with the padded way on this very model."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from accord.policy.forward import LAYOUTS, Asked, causal_lm
from accord.policy.gate import Choice, Layout, window
from accord.policy.rewards import gives_rewards, last_hidden_states
from accord.tree import PromptTree, TreeBatch, pack

log = logging.getLogger(__name__)

#: Most tokens taken of a prompt and of a completion: the padded way computes eight such pieces.
PIECE = 64
#: How far rounding may move log-probs (root mean square), relative to how much they vary from token to token, by the
#: precision of the computation. On SmolLM2-135M and hh-rlhf it is 1e-6 in fp32 and 0.02 in bf16; with attention that
#: forgets the tree, 0.5 and more. (Of a reward model hidden states are compared: 1e-6, 0.01; 0.2 and more.)
TOLERANCE = {torch.float64: 2e-3, torch.float32: 2e-3, torch.float16: 9e-3, torch.bfloat16: 0.07}
#: What they are taken to vary at least: a model that has learnt nothing finds all tokens as likely.
LEAST_SPREAD = 0.1


def verify(model: nn.Module, trees: Sequence[PromptTree]) -> Choice:
    """Compares the model's layout with the padded one on a `probe` of `trees`; where they disagree, changes it to
    padded and warns with the numbers. Returns the layout that the model now has.

    Costs two forwards of at most 512 tokens, in the precision that the caller has set (autocast). To be called after
    `install`, before the model is wrapped in anything but PEFT.
    """
    inner = causal_lm(model)
    choice: Choice = inner.accord_choice
    if choice.layout is Layout.PADDED:
        return choice
    batch = pack(probe(trees, window(inner.config))).to(next(model.parameters()).device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        ours, truth = (_answer(inner, batch, layout).float() for layout in (choice.layout, Layout.PADDED))
    model.train(was_training)
    difference = (ours - truth).square().mean().sqrt().item()
    tolerance = TOLERANCE[precision(inner)] * max(truth.std(correction=0).item(), LEAST_SPREAD)
    if not difference <= tolerance:  # so written, NaN disagrees
        what = "hidden states" if gives_rewards(inner) else "log-probs (nats a token)"
        log.warning(
            "%s of the %r layout differ from the padded way's by %.2g (rounding explains %.2g): "
            "this model is trained padded, which is right, and slower",
            what, choice.layout.value, difference, tolerance,
        )  # fmt: skip
        inner.accord_choice = Choice(Layout.PADDED, f"the {choice.layout.value} layout disagreed on the first batch")
    return inner.accord_choice


def _answer(inner: nn.Module, batch: TreeBatch, layout: Layout) -> Tensor:
    """Log-probs; of a reward model the hidden states before its heads, which may be fresh, and say nothing yet."""
    if gives_rewards(inner):
        return last_hidden_states(inner, batch, layout)
    return LAYOUTS[layout](inner, batch, Asked()).logps_N


def probe(trees: Sequence[PromptTree], width: int | None = None) -> list[PromptTree]:
    """Two short trees made of pieces of those given, with two completions each where they are to be had: what is wrong
    with sharing a prompt, or with telling trees apart, shows on them."""
    piece = PIECE if width is None else min(PIECE, width // 2)
    ends = (trees[0], trees[-1])
    leaves = [list(leaf[:piece]) for tree in ends for leaf in tree.completions]
    return [
        PromptTree(list(tree.prompt[-piece:]), some) for tree, some in zip(ends, (leaves[:2], leaves[-2:]), strict=True)
    ]


def precision(model: Any) -> torch.dtype:
    """What the model computes in: autocast's type, or that of its weights."""
    weight = model.get_input_embeddings().weight
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
