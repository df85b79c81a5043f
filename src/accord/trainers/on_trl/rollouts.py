"""What is laid over those of TRL's trainers that sample, and Accord's sources of rewards as they call them."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from accord.rollout.rewards import RewardSource
from accord.rollout.sources import RewardLike, reward_models, source_of
from accord.trainers.episodes import SHOWN
from accord.trainers.on_trl.checkpoints import WholeCheckpoints

#: Prefix, in a checkpoint's own state, of what is left of the rollout at hand.
ROLLOUT = "rollout."
#: Of the arguments of Accord's trainers, those that TRL's have not.
LACKING = {
    "critic": "the group is its baseline",
    "ref_model": "its reference is the model as it was given",
    "reply": "no one answers its model's messages but tools",
}


class Rollouts(WholeCheckpoints):
    """Laid over a trainer of TRL's that samples: a run goes on in the middle of a rollout too, and rollouts are shown.

    on_rollout   as `OnlineTrainer`'s
    """

    on_rollout: Callable[[int, list[dict[str, Any]]], None] = staticmethod(lambda step, samples: None)
    args: Any
    model: Any
    num_iterations: int
    num_generations: int
    reward_weights: Tensor
    eos_token_ids: list[int]

    _step: int
    _buffered_inputs: list[dict[str, Any]] | None

    def own_state(self) -> dict[str, Tensor]:
        """TRL counts its steps from 0 in each process that it begins in, and forgets the rollout."""
        state = super().own_state() | {ROLLOUT + "step": torch.tensor(self._step)}
        left = self._step % (self.args.steps_per_generation * self.num_iterations)
        if not left or self.accelerator.num_processes > 1:  # only the main process saves: several sample anew
            return state
        batches = enumerate(self._buffered_inputs or [])
        return state | {
            f"{ROLLOUT}{place}.{name}": value.contiguous()
            for place, batch in batches
            for name, value in batch.items()
            if isinstance(value, Tensor)
        }

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_own_state({name: value for name, value in state.items() if not name.startswith(ROLLOUT)})
        kept = {name.removeprefix(ROLLOUT): value for name, value in state.items() if name.startswith(ROLLOUT)}
        self._step = int(kept.pop("step", self._step))
        batches: dict[str, dict[str, Tensor]] = {}
        for name, value in kept.items():
            place, _, column = name.partition(".")
            batches.setdefault(place, {})[column] = value.to(self.accelerator.device)
        self._buffered_inputs = [batches[str(place)] for place in range(len(batches))] or None

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)  # type: ignore[misc]
        if self.model.training and self.is_world_process_zero():
            total = (rewards * self.reward_weights.to(rewards.device)).nansum(1).tolist()
            firsts = range(0, len(prompts), self.num_generations)[:SHOWN]
            shown = [
                {
                    "prompt": prompts[i],
                    "completion": completions[i],
                    "reward": total[i],
                    "finished": completion_ids_list[i][-1] in self.eos_token_ids,
                }
                for i in firsts
            ]
            self.on_rollout(self.state.global_step, shown)
        return rewards


def sources_of(given: RewardLike | Sequence[RewardLike], args: Any, tokenizers: Any = None) -> list[RewardSource]:
    """A source each: TRL weighs and logs them one by one. Reward models score as Accord's trainers have them do."""
    each = list(given) if isinstance(given, list | tuple) else [given]
    known = list(tokenizers) if isinstance(tokenizers, list | tuple) else [tokenizers] * len(each)
    options = {"max_length": args.max_length, "bf16": bool(args.bf16)}
    return [
        source_of(one, tokenizers=tokenizer, disagreement_penalty=args.disagreement_penalty, options=options)
        for one, tokenizer in zip(each, known, strict=True)
    ]


def function_of(source: RewardSource) -> Callable[..., list[float]]:
    """A source as TRL calls it. Its further parts, such as how far a reward model's heads disagree, are logged."""

    def reward(prompts, completions, log_metric, **columns):
        found = source(prompts, completions, log_metric=log_metric, **columns)
        for part, values in found.parts.items():
            if part != source.name:
                log_metric(f"rewards/{part}/mean", sum(values) / len(values))
        return found.total

    reward.__name__ = source.name
    return reward


def move(sources: Sequence[RewardSource], device: torch.device) -> None:
    """Brings their reward models to where the policy is."""
    for source in sources:
        for each in reward_models(source):
            each.model.to(device)


def check_arguments(trainer: type, named: Mapping[str, Any]) -> None:
    """Raises ValueError for what TRL's trainer cannot be made of."""
    known = inspect.signature(trainer).parameters
    for name, value in named.items():
        if name not in known and value is not None:
            why = LACKING.get(name, "it has no such argument")
            raise ValueError(f"{name}: TRL's {trainer.__name__} takes none: {why}; leave out --backend trl")


@contextmanager
def reference_is(model: Any, trainer: type) -> Iterator[None]:
    """Within it, TRL's trainer makes its reference a copy of the model. It would load that by the model's name: in
    another revision, or not at all where the model was never saved."""
    module: Any = sys.modules[trainer.__module__]
    load = module.create_model_from_path
    module.create_model_from_path = lambda *_, **__: deepcopy(model)
    try:
        yield
    finally:
        module.create_model_from_path = load
