"""What a model can be sampled from by: asked of its configuration, then tried."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from accord.policy.forward import causal_lm
from accord.policy.gate import window
from accord.rollout.modules import Modules
from accord.rollout.packed import Packed
from accord.rollout.slots import Slots

log = logging.getLogger(__name__)

#: Mean difference of logits, in their standard deviations, that rounding explains.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.1}


class Choice(NamedTuple):
    """What computes a model's prompts and steps, or None and why it must be left to `generate`."""

    decoder: type[Packed] | type[Modules] | None
    reason: str = ""


def choose(model: Any, tokens: Sequence[int]) -> Choice:
    """The fastest way to sample from `model`.

    Its configuration is asked first; then two short prompts of different length are prefilled and continued in slots,
    and must give the logits of a plain forward.
    """
    inner = causal_lm(model)
    if inner.config.is_encoder_decoder:
        return Choice(None, "it is an encoder-decoder")
    if getattr(inner, "_is_stateful", False):
        return Choice(None, "its state is not keys and values")
    odd = {type(layer) for layer in DynamicCache(config=inner.config).layers} - {
        DynamicLayer,
        DynamicSlidingWindowLayer,
    }
    if odd:
        return Choice(None, f"its cache has {', '.join(sorted(each.__name__ for each in odd))}")
    probe, why_not = _probe(tokens, window(inner.config)), ""
    for decoder in (Packed, Modules):
        if not (why_not := _why_not(decoder, model, probe)):
            return Choice(decoder)
        log.debug("not sampled from by %s: %s", decoder.__name__, why_not)
    return Choice(None, why_not)


def _why_not(decoder: type[Packed] | type[Modules], model: Any, tokens: list[int]) -> str:
    try:
        difference = _difference(decoder(model), model, tokens)
    except Exception as error:  # whatever a modelling file does with a cache and a mask that it does not know
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    if difference <= TOLERANCE.get(model.dtype, 0.1):
        return ""
    return f"slots change its logits by {difference:.2g} standard deviations"


def _probe(tokens: Sequence[int], width: int | None) -> list[int]:
    """6 to 12 tokens out of a prompt (repeated where it is shorter), within the attention window."""
    most = min(12, width or 12)
    return (list(tokens) * 12)[:most]


def _difference(decoder: Packed | Modules, model: Any, tokens: list[int]) -> float:
    short = len(tokens) // 2 + 1
    ids_1T = torch.tensor([tokens], device=model.device)
    with torch.inference_mode():
        truth_2V = model(ids_1T, use_cache=False).logits[0, [len(tokens) - 1, short - 1]].float()
    slots = Slots(rows=2)
    cache = decoder.prefill([tokens[:-1], tokens[: short - 1]])
    slots.place(0, cache, 0, len(tokens) - 1)
    slots.place(1, cache, 1, short - 1)
    positions_R = torch.tensor([len(tokens) - 1, short - 1], device=model.device)
    ours_2V = decoder.decode(slots, ids_1T[0, positions_R], positions_R).float()
    return ((ours_2V - truth_2V).abs().mean() / truth_2V.std()).item()
