"""How a rollout comes about: prompts → episodes with rewards → what policy, critic and reference say of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import nn

from accord.policy.forward import Asked
from accord.policy.values import without_critic
from accord.rollout.conversation import Conversation, Reply, converse
from accord.rollout.rewards import Rewards, RewardSource
from accord.rollout.sample import Sampler
from accord.trainers.episodes import Episode, episodes_of
from accord.trainers.experience import Experience, experience_of
from accord.trainers.prompts import Prompt
from accord.trainers.references import WithReference
from accord.trainers.scored import Wanted, read_tokens
from accord.trainers.standing_reference import StandingReference


class WithRollouts(WithReference):
    """The part of the trainers that sample which plays episodes.

    source      where rewards come from
    sampler     draws from the policy's live weights
    reply       answers the policy, or None
    has_critic  whether the policy has a critic
    """

    source: RewardSource
    sampler: Sampler
    reply: Reply | None
    has_critic: bool
    _standing: StandingReference | None = None

    def play(self, prompts: Sequence[Prompt], *, seed: int, n: int) -> list[Episode]:
        """n rewarded episodes of each prompt, and what policy, reference and critic say of their tokens: those of all
        processes, in one order."""
        args = self.args
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        with without_critic(self.model), without_autocast(self.model):
            conversations = converse(
                self.sampler,
                [prompt.text for prompt in prompts],
                n=n,
                names=[rank + processes * i for i in range(len(prompts))],
                reply=self.reply,
                turns=args.turns,
                longest=args.max_length,
                seed=seed,
                max_new_tokens=args.max_completion_length,
                temperature=args.temperature,
                top_p=args.top_p,
                top_k=args.top_k,
                min_p=args.min_p,
                max_rows=args.rollout_rows,
                dtype=torch.bfloat16 if args.bf16 else None,
            )
        rewards = self._rewards(prompts, conversations)
        episodes = episodes_of(conversations, prompts, rewards, args.missing_eos_penalty or 0.0)
        for episode in episodes:
            episode.position = rank + processes * episode.position
        self._ask(episodes)
        everyone = [episode for part in gather_object([episodes]) for episode in part]
        return sorted(everyone, key=lambda episode: (episode.position, episode.sample))

    def _rewards(self, prompts: Sequence[Prompt], conversations: Sequence[Conversation]) -> Rewards:
        if not conversations:  # a process without prompts
            return Rewards([], {})
        asked = [prompts[each.prompt] for each in conversations]
        columns = {name: [prompt.columns.get(name) for prompt in asked] for name in _names(prompts)}
        return self.source([prompt.text for prompt in asked], [each.said for each in conversations], **columns)

    def _ask(self, episodes: Sequence[Episode]) -> None:
        """Has policy, critic and reference say what they make of the episodes' tokens. Where nothing depends on that,
        the sampler's log-probs do."""
        args = self.args
        if args.updates > 1 or self.has_critic or args.needs_reference:
            asked = Asked(values=self.has_critic, temperature=args.temperature)
            self._ask_one(self.model, episodes, asked, {"logps": "logps_N", "values": "values_N"})
        if not args.needs_reference:
            return
        asked, names = Asked(temperature=args.temperature), {"reference_logps": "logps_N"}
        if self.ref_model is not None:
            self._ask_one(self.ref_model, episodes, asked, names)
            return
        assert self._standing is not None  # since prepare_references
        with self._standing.standing_in() as reference:
            self._ask_one(reference, episodes, asked, names)

    def _ask_one(self, model: nn.Module, episodes: Sequence[Episode], asked: Asked, names: Mapping[str, str]) -> None:
        """Adds columns to the tokens of the episodes' examples: their names, and those in `Tokens`."""
        examples = [example for episode in episodes for example in episode.examples]
        was_training = model.training
        model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            for group in self._micro_batches(examples):
                tokens = read_tokens(model, group, Wanted(asked=asked)).tokens
                assert tokens is not None
                lengths = tokens.lengths_E.tolist()
                some = [example for merged in group for example in merged.examples]
                for name, field in names.items():
                    values_N = getattr(tokens, field)
                    if values_N is not None:
                        for example, part in zip(some, values_N.float().cpu().split(lengths), strict=True):
                            example.tokens[name] = part  # type: ignore[index]
        model.train(was_training)

    def experience(self, told: Sequence[Episode]) -> Experience:
        return experience_of(
            [episode.columns() for episode in told],
            torch.tensor([episode.reward for episode in told]),
            group=self.args.num_generations,
            reference=self.args.needs_reference,
            critic=self.has_critic,
        )

    def prepare_references(self) -> None:
        """The reference is the policy as it stands now, or `ref_model`."""
        self._verify_layout()
        if not self.args.needs_reference:
            return
        if self.ref_model is not None:
            self.ref_model.to(self.accelerator.device).requires_grad_(False)
        elif self._standing is None:
            with without_critic(self.model):
                self._standing = StandingReference(self.model)


@contextmanager
def without_autocast(model: Any) -> Iterator[None]:
    """Within it, the model computes in its weights' precision. Accelerate has put mixed precision around its forward,
    and the sampler chooses its own."""
    around = vars(model).get("forward")
    if not hasattr(model, "_original_forward"):
        yield
        return
    model.forward = model._original_forward
    try:
        yield
    finally:
        model.forward = around


def _names(prompts: Sequence[Prompt]) -> list[str]:
    return sorted({name for prompt in prompts for name in prompt.columns})
