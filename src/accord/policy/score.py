"""Scoring many completions without gradient: the plain question log π(completion | prompt), asked in packed batches."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from accord.policy.encode import encode
from accord.policy.forward import causal_lm, install
from accord.policy.gate import tokens
from accord.tree import PromptTree, cut, pack

#: Tokens in one forward, unless told otherwise.
TOKEN_BUDGET = 4096
#: Rows are cut into forwards within blocks of this many, so that many of them take no longer than in proportion.
BLOCK = 512


def score_trees(model: nn.Module, trees: Sequence[PromptTree]) -> Tensor:
    """[C] summed log-probs of all the trees' completions, in order, in one forward. Whoever calls decides on gradients
    and autocast."""
    batch = pack(trees).to(next(model.parameters()).device)
    return batch.sum_by_completion(model(tree=batch))


def score_rows(
    model: nn.Module,
    tokenizer,
    rows: Iterable[Mapping[str, Any]],
    completions: Sequence[str] = ("chosen", "rejected"),
    **options: Any,
) -> np.ndarray:
    """[rows, completions] summed log-probs of training rows; NaN where the length limit left nothing of a row.

    `options` are those of `answer_rows`.
    """
    return answer_rows(model, tokenizer, rows, completions, score_trees, **options)


def answer_rows(
    model: nn.Module,
    tokenizer,
    rows: Iterable[Mapping[str, Any]],
    completions: Sequence[str],
    ask: Callable[[nn.Module, Sequence[PromptTree]], Tensor],
    shape: tuple[int, ...] = (),
    *,
    max_length: int | None = 1024,
    truncation_mode: str = "keep_start",
    token_budget: int = TOKEN_BUDGET,
    bf16: bool = False,
    progress: Callable[[int], None] = lambda rows_done: None,
) -> np.ndarray:
    """[rows, completions, *shape] of what a model answers, without gradient, in forwards of `token_budget` tokens.

    ask       model, trees -> [C, *shape] answers for all the trees' completions, in one forward
    progress  called with the number of rows done
    """
    inner = causal_lm(model)
    if not hasattr(inner, "accord_choice"):
        install(model)
    encoded = list(encode(rows, tokenizer, completions, max_length=max_length, truncation_mode=truncation_mode))
    answers = np.full((len(encoded), len(completions), *shape), np.nan)
    kept = [(i, e.tree) for i, e in enumerate(encoded) if e.tree is not None]
    blocks = (kept[start : start + BLOCK] for start in range(0, len(kept), BLOCK))
    layout = inner.accord_choice.layout
    groups = (group for block in blocks for group in cut(block, lambda item: tokens(item[1], layout), token_budget))
    device = next(model.parameters()).device.type
    precision = torch.autocast(device, torch.bfloat16) if bf16 else nullcontext()
    was_training = model.training
    model.eval()
    done = len(encoded) - len(kept)
    with torch.inference_mode(), precision:
        for group in groups:
            answers_C = ask(model, [tree for _, tree in group])
            answers[[i for i, _ in group]] = answers_C.view(len(group), len(completions), *shape).cpu().numpy()
            done += len(group)
            progress(done)
    model.train(was_training)
    return answers
