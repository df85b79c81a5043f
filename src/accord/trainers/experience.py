"""What a rollout gave, as flat tensors: what a method's `advantages` are found from.

Suffixes: E episodes, those of one prompt one after the other; N tokens (or other actions) of all episodes, one episode
after the other; P prompts, G episodes of each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from accord.losses.advantages import Credit, at_ends, k1, sums
from accord.losses.policy_gradient import WEIGHTS
from accord.trainers.examples import Example
from accord.tree import PromptTree


class Experience(NamedTuple):
    """A whole rollout, over all processes.

    lengths_E         tokens of each episode
    rewards_N         what each token earned: in texts 0, and the reward on an episode's last
    logps_N           log π of the policy that acted
    reference_logps_N log π_ref; None without a reference
    values_N          V of the state before each token; None without a critic
    bootstrap_E       V of the state after each episode: 0 where it was over, not where a time limit cut it
    group             G
    """

    lengths_E: Tensor
    rewards_N: Tensor
    logps_N: Tensor
    reference_logps_N: Tensor | None = None
    values_N: Tensor | None = None
    bootstrap_E: Tensor | float = 0.0
    group: int = 1

    @property
    def kl_N(self) -> Tensor:
        """log π − log π_ref of each token, 0 without a reference: an unbiased estimate of the KL, in nats."""
        if self.reference_logps_N is None:
            return torch.zeros_like(self.logps_N)
        return k1(self.logps_N, self.reference_logps_N)

    def less_kl(self, coefficient: float) -> Tensor:
        """[N] rewards r − β·(log π − log π_ref): in sum an unbiased estimate of E[r] − β·KL(π‖π_ref) (Stiennon et al.
        2020, arXiv:2009.01325, section 3.4)."""
        return self.rewards_N - coefficient * self.kl_N

    def per_prompt(self, rewards_N: Tensor) -> Tensor:
        """[P, G] sums of tokens' rewards over each episode."""
        return sums(rewards_N, self.lengths_E).view(-1, self.group)

    def per_token(self, advantages_PG: Tensor) -> Tensor:
        """[N]: each token is as good as its episode."""
        return advantages_PG.flatten().repeat_interleave(self.lengths_E)


#: (experience, configuration, KL coefficient) -> advantages: in which methods differ.
Advantages = Callable[[Experience, Any, float], Credit]


def experience_of(
    episodes: list[dict[str, Tensor]], rewards_E: Tensor, *, group: int, reference: bool, critic: bool
) -> Experience:
    """Episodes that are rewarded at their end. Each has columns of its tokens: `logps`, and `reference_logps` and
    `values` where there are a reference and a critic."""

    def column(name: str) -> Tensor:
        return torch.cat([episode[name] for episode in episodes])

    lengths_E = torch.tensor([len(episode["logps"]) for episode in episodes])
    return Experience(
        lengths_E,
        at_ends(rewards_E, lengths_E),
        column("logps"),
        column("reference_logps") if reference else None,
        column("values") if critic else None,
        group=group,
    )


def learnable(
    experience: Experience,
    credit: Credit,
    config: Any,
    turns: Sequence[Sequence[tuple[str, PromptTree]]],
    finished_E: Tensor,
    further: Mapping[str, Tensor] | None = None,
) -> list[list[Example]]:
    """For each episode its examples, one a turn, with what their loss needs: the columns that `online_objective` reads.

    turns       of each episode: an id, and a state with the action taken in it as its only completion
    finished_E  1 where an episode ended by itself; others teach nothing with `mask_truncated_completions`
    further     more columns of tokens, [N] each
    """
    columns = {
        "advantages": credit.advantages_N,
        "returns": credit.returns_N,
        "values": experience.values_N,
        "logps": experience.logps_N,
        "reference_logps": experience.reference_logps_N,
        **(further or {}),
    }
    lengths = [len(tree.completions[0]) for episode in turns for _, tree in episode]
    split = {name: iter(of_N.split(lengths)) for name, of_N in columns.items() if of_N is not None}
    counted_E = finished_E if config.mask_truncated_completions else torch.ones_like(finished_E)
    inside_E, units_E = WEIGHTS[config.surrogate().loss_type](
        experience.lengths_E, counted_E, config.max_completion_length
    )

    def example(name: str, tree: PromptTree, inside: float, units_a_token: float) -> Example:
        # An episode's units are shared by its turns.
        numbers = {"inside": inside, "units": units_a_token * len(tree.completions[0])}
        return Example(name, tree, numbers=numbers, tokens={column: next(parts) for column, parts in split.items()})

    rows = zip(turns, inside_E.tolist(), (units_E / experience.lengths_E).tolist(), strict=True)
    return [[example(*turn, inside, units) for turn in episode] for episode, inside, units in rows]
