"""What KTO counts gains and losses from: z₀, one number for an optimizer batch, without gradient."""

from collections.abc import Callable, Sequence
from typing import Any

from accord.losses.kto import kl_reference_point
from accord.trainers.examples import Example, stable_hash
from accord.trainers.kto_config import KTOConfig
from accord.trainers.objective import Preview, Previewed
from accord.tree import PromptTree


def kl_point(config: KTOConfig) -> dict[str, Any]:
    """max(0, mean log-ratio of mismatched completions): an estimate of KL(π‖π_ref), for a pass over these."""

    def summary(batch: Previewed):
        return kl_reference_point(batch.logratios_EK).expand_as(batch.logratios_EK)

    return {"preview": Preview(summary, lambda examples: mismatch(examples, config.seed, config.max_length))}


def batch_point(config: KTOConfig) -> dict[str, Any]:
    """The mean log-ratio of the optimizer batch itself, for a pass over it without gradient."""
    return {"preview": Preview(lambda batch: batch.logratios_EK.mean().expand_as(batch.logratios_EK))}


def ema_point(config: KTOConfig) -> dict[str, Any]:
    """The moving average of earlier batches' mean log-ratios; 0 at first, as if the policy were the reference."""
    stays = config.ema_decay
    return {"carry": lambda average, batch_mean: stays * average + (1 - stays) * batch_mean}


def zero_point(config: KTOConfig) -> dict[str, Any]:
    """0: gains and losses are counted from the reference model."""
    return {}


#: Configuration -> what the objective needs to find its reference point, one number for each example.
REFERENCE_POINTS: dict[str, Callable[[KTOConfig], dict[str, Any]]] = {
    "kl": kl_point,
    "batch": batch_point,
    "ema": ema_point,
    "zero": zero_point,
}


def mismatch(examples: Sequence[Example], seed: int, max_length: int | None = None) -> list[Example]:
    """For each example, its prompt with the completion of another prompt's example: y' of the KL estimate.

    Which one is decided by content and seed alone: not by the order of the data nor by the batch, so that data can be
    shuffled, a batch of one has its estimate, and the reference's log-prob of the pair is computed once. A pair that
    is longer than `max_length` is cut at its end.
    """
    ring = sorted(examples, key=lambda e: stable_hash(seed, e.tree.prompt, e.tree.completions[0]))
    prompts = [tuple(example.tree.prompt) for example in ring]
    if len(set(prompts)) < 2:
        raise ValueError(
            "KTO's reference point needs completions of other prompts, but all examples have the same prompt: "
            "add prompts (also to eval_dataset)"
        )
    start = next(place for place in range(len(ring)) if prompts[place - 1] != prompts[place])
    pairs: dict[int, Example] = {}
    for place in range(start - 1, start - 1 - len(ring), -1):  # backwards, from where the prompt changes
        if prompts[place] != prompts[place + 1]:
            other = ring[place + 1].tree.completions[0]
        room = None if max_length is None else max_length - len(prompts[place])
        pairs[id(ring[place])] = Example(ring[place].id, PromptTree(ring[place].tree.prompt, [other[:room]]))
    return [pairs[id(example)] for example in examples]
