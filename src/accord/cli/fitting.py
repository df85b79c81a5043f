"""A conversation as the tokens that a model is given: without its oldest turns, where it could not see them all."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from accord.feedback import AccordError, Message

if TYPE_CHECKING:
    from accord.rollout import Sampler


class Fitted(NamedTuple):
    """A prompt's token ids, and the messages that were not forgotten."""

    ids: list[int]
    messages: tuple[Message, ...]


def fitted(sampler: "Sampler", messages: Sequence[Message], max_new_tokens: int) -> Fitted:
    """The conversation, with room for an answer of `max_new_tokens`. Its system message and its last one stay.

    A model without chat template is given the last message's text alone, to continue it. Raises AccordError where what
    must stay is too long.
    """
    kept = list(messages)
    limit = getattr(sampler.model.config, "max_position_embeddings", None) or float("inf")
    template = sampler.tokenizer.chat_template is not None
    oldest = 1 if kept[0].role == "system" else 0
    while True:
        ids = sampler.prompt_ids(tuple(kept) if template else kept[-1].content)
        if len(ids) + max_new_tokens <= limit:
            return Fitted(ids, tuple(kept))
        if not template or len(kept) - oldest < 3:
            raise AccordError(f"message and answer exceed the {limit} tokens that the model sees: shorten them")
        del kept[oldest : oldest + 2]
