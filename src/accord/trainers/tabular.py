"""PPO, RLOO and GRPO on tables: for environments of few states and actions, where all that is learnt can be looked at.

A policy is a logit for every state and action, a critic a value for every state. All else is what language models are
trained with: the methods' own `advantages`, and the loss of `online_objective`. An episode is a tree of one completion:
the rows of its states stand for the prompt, its actions for the completion.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from transformers import get_scheduler

from accord.losses.advantages import adapted, sums
from accord.rollout.choice import sample_key
from accord.rollout.environment import Decision, Environment, Episode, play_together
from accord.trainers.examples import Example
from accord.trainers.experience import Experience, learnable
from accord.trainers.grpo import GRPOTrainer
from accord.trainers.online import Online, OnlineTrainer
from accord.trainers.online_objective import online_objective
from accord.trainers.ppo import PPOTrainer
from accord.trainers.rloo import RLOOTrainer
from accord.trainers.scored import Scored, Tokens
from accord.tree import PromptTree

S = TypeVar("S")

TRAINERS: tuple[type[OnlineTrainer], ...] = (PPOTrainer, RLOOTrainer, GRPOTrainer)
#: By the class of a configuration: all in which its method differs from the others.
METHODS: dict[type, Online] = {trainer.method.config: trainer.online for trainer in TRAINERS}


class Learnt(NamedTuple):
    """What `learn` arrived at. Rows are states, in the order in which they were given.

    policy_SA  π(action | state)
    critic_S   V(state), the return expected from there on; 0 of methods without a critic
    returns    the mean return of each rollout's episodes: how learning went
    """

    policy_SA: Tensor
    critic_S: Tensor
    returns: list[float]


def learn(
    environment: Callable[[], Environment[S, int]],
    config: Any,
    *,
    states: Sequence[S],
    actions: int,
    rollouts: int,
    begin_SA: Tensor | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Learnt:
    """Learns from so many rollouts. The same arguments learn the same again.

    environment  makes one: as many are played side by side as a rollout has episodes
    config       a `PPOConfig`, `RLOOConfig` or `GRPOConfig`: method, rollouts, optimizer and seed. A completion is an
                 episode here, and a token a step: `per_device_train_batch_size` counts episodes. An episode is cut off
                 after `max_completion_length` steps, and its last state is then worth what the critic says. What is
                 about texts, precision and files means nothing here; nor does `kl_budget`
    states       all those in which the agent acts
    actions      how many there are: 0, 1, 2, …
    begin_SA     logits of the policy before it learns, which is also the reference of a KL penalty; −∞ for what shall
                 never be done. None for equal chances

    The `num_generations` episodes of a group share a seed: the same start, and the same luck.
    """
    begin_SA = torch.zeros(len(states), actions) if begin_SA is None else begin_SA
    learner = Learner(environment, config, states, begin_SA, rollouts)
    returns = []
    for number in range(rollouts):
        played = learner.play(number)
        learner.improve(played)
        returns.append(sum(episode.total for episode in played) / len(played))
        progress("learning", number + 1, rollouts)
    tables = learner.tables.requires_grad_(False)
    return Learnt(tables.logits_SA.softmax(-1), tables.critic_S, returns)


class Tables(nn.Module):
    """A policy and a critic that know nothing of one state from another."""

    def __init__(self, logits_SA: Tensor) -> None:
        super().__init__()
        self.logits_SA = nn.Parameter(logits_SA.double().clone())
        self.critic_S = nn.Parameter(torch.zeros(len(logits_SA), dtype=torch.float64))

    def forward(self, trees: Sequence[PromptTree]) -> Tokens:
        """What there is to say of the steps of these episodes."""
        states_N = torch.tensor([row for tree in trees for row in tree.prompt])
        actions_N = torch.tensor([action for tree in trees for action in tree.completions[0]])
        logps_NA = self.logits_SA[states_N].log_softmax(-1)
        return Tokens(
            logps_NA.gather(1, actions_N[:, None])[:, 0],
            torch.special.entr(logps_NA.detach().exp()).sum(-1),
            self.critic_S[states_N],
            torch.tensor([len(tree.prompt) for tree in trees]),
        )


class Learner(Generic[S]):
    """What `OnlineTrainer` is for language models, on tables. Its arguments are those of `learn`."""

    def __init__(
        self,
        environment: Callable[[], Environment[S, int]],
        config: Any,
        states: Sequence[S],
        begin_SA: Tensor,
        rollouts: int,
    ) -> None:
        self.config, self.method = config, METHODS[type(config)]
        self.rows = {state: row for row, state in enumerate(states)}
        self.tables, self.reference = Tables(begin_SA), Tables(begin_SA)
        self.batch = config.per_device_train_batch_size * config.gradient_accumulation_steps
        self.environments = [environment() for _ in range(self.batch * config.mini_batches)]
        self.chance = torch.Generator().manual_seed(config.seed)
        self.coefficient, self.step, updates = config.kl_coefficient, 0, rollouts * config.updates
        self.objectives = {warming: online_objective(config, {}, warming) for warming in (False, True)}
        self.optimizer = torch.optim.AdamW(
            self.tables.parameters(),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
        )
        warm_up = config.get_warmup_steps(updates)
        self.schedule = get_scheduler(config.lr_scheduler_type, self.optimizer, warm_up, updates)

    def play(self, number: int) -> list[Episode[S, int]]:
        """The episodes of a rollout, those of a group one after the other."""
        size, seed = self.config.num_generations, self.config.seed
        seeds = [sample_key(seed, number, place // size) & (2**63 - 1) for place in range(len(self.environments))]
        return play_together(self.environments, self._act, seeds=seeds, most=self.config.max_completion_length)

    def improve(self, played: Sequence[Episode[S, int]]) -> None:
        """Trains on a rollout."""
        trees = [
            PromptTree([self.rows[t.state] for t in e.transitions], [[t.action for t in e.transitions]]) for e in played
        ]
        experience = self._experience(played, trees)
        examples = self._examples(played, trees, experience)
        for _ in range(self.config.iterations):
            for some in self._batches(examples):
                self._update(some)
        if self.config.kl_horizon_gain is not None:
            kl = sums(experience.kl_N, experience.lengths_E).mean().item()
            gain = self.config.kl_horizon_gain
            self.coefficient = adapted(self.coefficient, kl, target=self.config.kl_target, gain=gain)

    def _act(self, states: Sequence[S]) -> list[Decision[int]]:
        logps_EA = self.tables.logits_SA.detach()[[self.rows[state] for state in states]].log_softmax(-1)
        actions_E1 = torch.multinomial(logps_EA.exp(), 1, generator=self.chance)
        decided = zip(actions_E1[:, 0].tolist(), logps_EA.gather(1, actions_E1)[:, 0].tolist(), strict=True)
        return [Decision(action, logp) for action, logp in decided]

    @torch.no_grad()
    def _experience(self, played: Sequence[Episode[S, int]], trees: Sequence[PromptTree]) -> Experience:
        tokens, values_S = self.tables(trees), self.tables.critic_S
        worth = [0.0 if told.ended else float(values_S[self.rows[told.last]]) for told in played]
        return Experience(
            tokens.lengths_E,
            torch.tensor([t.reward for told in played for t in told.transitions], dtype=torch.float64),
            tokens.logps_N,
            self.reference(trees).logps_N if self.config.needs_reference else None,
            tokens.values_N if self.method.critic else None,
            torch.tensor(worth, dtype=torch.float64),
            self.config.num_generations,
        )

    def _examples(
        self, played: Sequence[Episode[S, int]], trees: Sequence[PromptTree], experience: Experience
    ) -> list[Example]:
        """The episodes, each with what its loss needs."""
        credit = self.method.advantages(experience, self.config, self.coefficient)
        finished_E = torch.tensor([float(told.ended) for told in played])
        found = learnable(experience, credit, self.config, [[("", tree)] for tree in trees], finished_E)
        return [example for episode in found for example in episode]

    def _batches(self, examples: Sequence[Example]) -> Iterator[tuple[Example, ...]]:
        """Optimizer batches of whole groups."""
        size = self.config.num_generations
        order = torch.randperm(len(examples) // size, generator=self.chance).tolist()
        drawn = [examples[group * size + i] for group in order for i in range(size)]
        yield from (tuple(drawn[first : first + self.batch]) for first in range(0, len(drawn), self.batch))

    def _update(self, examples: tuple[Example, ...]) -> None:
        """One optimizer step."""
        tokens = self.tables([example.tree for example in examples])
        tokens = tokens if self.method.critic else tokens._replace(values_N=None)
        outputs_EK = sums(tokens.logps_N, tokens.lengths_E)[:, None]
        nothing_EK = torch.zeros_like(outputs_EK)
        scored = Scored(outputs_EK, nothing_EK, examples, nothing_EK, tokens=tokens)
        losses_E = self.objectives[self.step < getattr(self.config, "critic_warmup_steps", 0)].losses(scored)
        self.optimizer.zero_grad()
        (losses_E.sum() / sum(example.numbers["units"] for example in examples)).backward()
        if self.config.max_grad_norm:
            nn.utils.clip_grad_norm_(self.tables.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
