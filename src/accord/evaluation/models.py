"""What a model says on held-out prompts, and how likely a model finds what was said."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from accord.evaluation.interval import Floats
from accord.feedback import Content
from accord.policy.forward import causal_lm, install
from accord.policy.score import TOKEN_BUDGET, score_trees
from accord.rollout.sample import Sampled, Sampler
from accord.tree import PromptTree, cut


def answer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Content],
    *,
    n: int = 1,
    progress: Callable[[int], None] = lambda answers_done: None,
    **decoding: Any,
) -> list[Sampled]:
    """n answers to each prompt, in the order of the prompts. `decoding` goes to `Sampler.sample`."""
    answers = []
    for sampled in Sampler(model, tokenizer).sample(prompts, n=n, **decoding):
        answers.append(sampled)
        progress(len(answers))
    return sorted(answers, key=lambda sampled: (sampled.prompt, sampled.sample))


def score_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Content],
    answers: Sequence[Sampled],
    *,
    token_budget: int = TOKEN_BUDGET,
) -> Floats:
    """[answers] log π(answer | prompt) in nats, summed over the very tokens that were sampled.

    An answer that was cut off ends where it was cut: no end-of-text token is scored that was never drawn.
    """
    if not hasattr(causal_lm(model), "accord_choice"):
        install(model)
    sampler = Sampler(model, tokenizer)
    trees = [PromptTree(sampler.prompt_ids(prompts[each.prompt]), [each.tokens]) for each in answers]
    logps = np.empty(len(trees))
    with torch.inference_mode():
        for group in cut(list(enumerate(trees)), lambda item: len(item[1]), token_budget):
            indices, some = zip(*group, strict=True)
            logps[list(indices)] = score_trees(model, some).double().cpu().numpy()
    return logps
