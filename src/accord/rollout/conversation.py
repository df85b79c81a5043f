"""What a policy says to many prompts at once: whole episodes of text, one answer each or with replies between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from accord.rollout.choice import sample_key
from accord.rollout.rewards import Text
from accord.rollout.sample import Sampled, Sampler

#: Answers the conversation so far with the next message, or with None where it is over.
Reply = Callable[[Sequence[Mapping[str, str]]], Mapping[str, str] | None]


class Turn(NamedTuple):
    """A completion as an action: the state in which it was taken, as token ids, and what was drawn there.

    tokens    token ids, with the end token where the model wrote one
    logps     log π_T of each, as it was drawn
    finished  whether the model ended by itself
    """

    prompt: list[int]
    tokens: list[int]
    logps: list[float]
    finished: bool


@dataclass
class Conversation:
    """An episode: the policy's turns, and all that was said after the prompt, as sources of rewards are shown it.

    prompt, sample  which of the prompts given, and which of its n episodes
    """

    prompt: int
    sample: int
    turns: list[Turn]
    said: Text

    @property
    def finished(self) -> bool:
        """Whether the model ended its last turn by itself."""
        return self.turns[-1].finished


def converse(
    sampler: Sampler,
    prompts: Sequence[Text],
    *,
    n: int = 1,
    names: Sequence[int] | None = None,
    reply: Reply | None = None,
    turns: int = 8,
    longest: int | None = None,
    seed: int = 0,
    **options: Any,
) -> list[Conversation]:
    """n episodes of each prompt, in the order of prompts and samples.

    names    what each prompt is called in its draws (see `Sampler.sample`)
    reply    a tool, a simulated user: answers, and the episode goes on. It needs prompts that are messages
    turns    most completions in an episode
    longest  most tokens of a state with a completion: an episode whose next turn would not fit is over
    options  those of `Sampler.sample`

    An episode is one that `TextGeneration` would give; here all prompts' first turns are drawn together, and so are all
    second ones.
    """
    names = range(len(prompts)) if names is None else names
    states = [sampler.prompt_ids(prompt) for prompt in prompts]
    first = sampler.sample(states, n=n, names=names, seed=seed, **options)
    found = [
        Conversation(each.prompt, each.sample, [_turn(states[each.prompt], each)], _said(prompts[each.prompt], each))
        for each in sorted(first, key=lambda each: (each.prompt, each.sample))
    ]
    going = found
    for turn in range(1, turns if reply is not None else 1):
        going = [each for each in going if _answered(each, prompts[each.prompt], reply)]
        states = [sampler.prompt_ids([*prompts[each.prompt], *each.said]) for each in going]
        if longest is not None:
            most = longest - options["max_new_tokens"]
            fits = [len(state) <= most for state in states]
            for each, fit in zip(going, fits, strict=True):
                if not fit:
                    each.said = each.said[:-1]  # nobody heard the reply
            going = [each for each, fit in zip(going, fits, strict=True) if fit]
            states = [state for state, fit in zip(states, fits, strict=True) if fit]
        if not going:
            break
        unique = [names[each.prompt] * n + each.sample for each in going]
        for sampled in sampler.sample(states, names=unique, seed=sample_key(seed, turn), **options):
            each = going[sampled.prompt]
            each.turns.append(_turn(states[sampled.prompt], sampled))
            each.said = [*each.said, _message(sampled)]
    return found


def _answered(each: Conversation, prompt: Text, reply: Any) -> bool:
    """Lets `reply` answer; whether it did."""
    message = reply([*prompt, *each.said])
    if message:
        each.said = [*each.said, dict(message)]
    return bool(message)


def _turn(state: list[int], sampled: Sampled) -> Turn:
    return Turn(state, sampled.tokens, sampled.logps, sampled.finished)


def _said(prompt: Text, sampled: Sampled) -> Text:
    """A completion in its prompt's form: a text, or messages."""
    return sampled.text if isinstance(prompt, str) else [_message(sampled)]


def _message(sampled: Sampled) -> dict[str, str]:
    return {"role": "assistant", "content": sampled.text}
