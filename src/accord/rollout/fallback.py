"""For models that cannot be sampled from in slots: Transformers' own `generate`, drawing as we do."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from accord.rollout.choice import Decoding, position_keys


class _Draw(LogitsProcessor):
    """Draws each row's next token, and leaves `generate` no other: its greedy choice is then the draw."""

    def __init__(self, decoding: Decoding, keys_R: Tensor) -> None:
        self.decoding, self.keys_R = decoding, keys_R
        self.tokens: list[list[int]] = []  # one a step
        self.logps: list[list[float]] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        drawn = torch.full_like(self.keys_R, len(self.tokens))
        chosen = self.decoding.choose(scores, position_keys(self.keys_R, drawn))
        self.tokens.append(chosen.tokens_R.tolist())
        self.logps.append(chosen.logps_R.tolist())
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen.tokens_R[:, None], 0.0)


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[int],
    decoding: Decoding,
    length: int,
    ends: frozenset[int],
) -> list[tuple[list[int], list[float]]]:
    """For each prompt a completion of at most `length` tokens, up to its end token, and the tokens' log-probs.

    The model is in eval mode, and gradients are off.
    """
    width = max(map(len, prompts))
    pad = min(ends, default=0)
    ids_RT = torch.tensor([[pad] * (width - len(tokens)) + list(tokens) for tokens in prompts], device=model.device)
    mask_RT = torch.tensor([[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in prompts], device=model.device)
    draw = _Draw(decoding, torch.tensor(keys, device=model.device))
    model.generate(
        input_ids=ids_RT,
        attention_mask=mask_RT,
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=length,
            eos_token_id=sorted(ends) or None,
            pad_token_id=pad,
        ),
        logits_processor=LogitsProcessorList([draw]),
    )
    tokens_of, logps_of = zip(*draw.tokens, strict=True), zip(*draw.logps, strict=True)
    return [_cut(tokens, logps, ends) for tokens, logps in zip(tokens_of, logps_of, strict=True)]


def _cut(tokens: Sequence[int], logps: Sequence[float], ends: frozenset[int]) -> tuple[list[int], list[float]]:
    length = next((i + 1 for i, token in enumerate(tokens) if token in ends), len(tokens))
    return list(tokens[:length]), list(logps[:length])
