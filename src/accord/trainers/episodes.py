"""A rollout's episodes, each with what is known of its tokens; and how what is left of a rollout is saved."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from accord.rollout.conversation import Conversation
from accord.rollout.rewards import Rewards, Text
from accord.trainers.examples import Example
from accord.trainers.prompts import Prompt
from accord.tree import PromptTree

#: How many of a rollout's prompts are shown to whoever watches, one completion each.
SHOWN = 4


@dataclass
class Episode:
    """position, sample   the place of its prompt in the rollout over all processes, and which of the prompt's episodes
    examples           one for each turn: the state as a prompt, and the action as its completion
    reward, parts      what it earned, penalties taken off, and what that was made of before them
    finished           whether the model ended its last turn by itself
    prompt, said       for people to read
    """

    position: int
    sample: int
    examples: list[Example]
    reward: float
    parts: dict[str, float]
    finished: bool
    prompt: Text
    said: Text

    def columns(self) -> dict[str, Tensor]:
        """What is known of its tokens, turn after turn."""
        turns = [example.tokens for example in self.examples]
        return {name: torch.cat([turn[name] for turn in turns]) for name in turns[0]}


def episodes_of(
    conversations: Sequence[Conversation], prompts: Sequence[Prompt], rewards: Rewards, missing_eos_penalty: float
) -> list[Episode]:
    """Conversations with their rewards, at the places of their prompts. Of a token the sampler's log-prob is known:
    `sampled`, and `logps` until the policy is asked."""
    found = []
    for i, each in enumerate(conversations):
        prompt = prompts[each.prompt]
        sampled = [torch.tensor(turn.logps) for turn in each.turns]
        examples = [
            Example(prompt.id, PromptTree(turn.prompt, [turn.tokens]), tokens={"sampled": logps, "logps": logps})
            for turn, logps in zip(each.turns, sampled, strict=True)
        ]
        penalty = 0.0 if each.finished else missing_eos_penalty
        parts = {name: values[i] for name, values in rewards.parts.items()}
        found.append(
            Episode(
                each.prompt,
                each.sample,
                examples,
                rewards.total[i] - penalty,
                parts,
                each.finished,
                prompt.text,
                each.said,
            )
        )
    return found


def shown(told: Sequence[Episode]) -> list[dict[str, Any]]:
    """A few episodes as JSON: a completion of each of the first prompts."""
    firsts = [episode for episode in told if episode.sample == 0][:SHOWN]
    return [
        {"prompt": each.prompt, "completion": each.said, "reward": each.reward, "finished": each.finished}
        for each in firsts
    ]


#: Names in a checkpoint's own state.
ROLLOUT, TOKENS = "rollout", "rollout.tokens."


def packed_state(groups: Sequence[Sequence[Example]]) -> dict[str, Tensor]:
    """A rollout's examples as tensors: columns of tokens end to end, and the rest as the bytes of a JSON text."""
    examples = [example for group in groups for example in group]
    told = {
        "groups": list(map(len, groups)),
        "examples": [[e.id, list(e.tree.prompt), list(e.tree.completions[0]), dict(e.numbers)] for e in examples],
    }
    text = torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8)
    columns = examples[0].tokens
    return {ROLLOUT: text} | {TOKENS + name: torch.cat([e.tokens[name] for e in examples]) for name in columns}


def unpacked_state(state: Mapping[str, Tensor]) -> list[list[Example]]:
    """What `packed_state` was given; nothing where the checkpoint has none."""
    if ROLLOUT not in state:
        return []
    told = json.loads(bytes(state[ROLLOUT].tolist()))
    lengths = [len(completion) for _, _, completion, _ in told["examples"]]
    columns = {
        name.removeprefix(TOKENS): iter(values.split(lengths))
        for name, values in state.items()
        if name.startswith(TOKENS)
    }
    examples = iter(
        Example(
            name,
            PromptTree(prompt, [completion]),
            numbers=numbers,
            tokens={column: next(values) for column, values in columns.items()},
        )
        for name, prompt, completion, numbers in told["examples"]
    )
    return [[next(examples) for _ in range(size)] for size in told["groups"]]
