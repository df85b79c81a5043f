"""Reward models: from comparisons, a score of how good an answer is."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from accord.losses import reward
from accord.policy.forward import causal_lm
from accord.policy.load import Policy
from accord.policy.reward_model import load_reward_model, use_padding
from accord.policy.rewards import gives_rewards
from accord.trainers import rows
from accord.trainers.base import AccordTrainer
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example, stable_hash
from accord.trainers.objective import Column, Method, Metric, Objective, mean
from accord.trainers.scored import Scored, read_scores


@dataclass
class RewardConfig(AccordConfig):
    """Configuration of `RewardTrainer`; names and defaults are TRL's where TRL has them."""

    learning_rate: float = field(default=1e-4, metadata={"help": "The initial learning rate."})
    center_rewards_coefficient: float | None = field(
        default=None, metadata={"help": "How strongly rewards are drawn to a mean of zero; 0.01 is usual."}
    )
    ties: str = field(
        default="none",
        metadata={"help": "How ties are modelled: `none` (half a win), `rao_kupper` or `davidson`; see p_tie."},
    )
    tie_probability: float = field(
        default=0.3, metadata={"help": "With ties modelled: how likely people find equally good answers alike."}
    )
    reward_heads: int | None = field(
        default=None,
        metadata={"help": "Heads of a fresh model; they learn from different samples of the examples. Default: 1."},
    )
    prompt_group_size: int = field(
        default=64,
        metadata={"help": "Examples of one prompt that are drawn together, so that its tokens are computed once."},
    )

    def __post_init__(self):
        super().__post_init__()
        if self.ties not in reward.LOSSES:
            raise ValueError(f"ties is {self.ties!r}: use one of {', '.join(reward.LOSSES)}")
        if not 0 < self.tie_probability < 1:
            raise ValueError(f"tie_probability is {self.tie_probability}: use a number between 0 and 1")
        if self.center_rewards_coefficient is not None and self.center_rewards_coefficient < 0:
            raise ValueError(f"center_rewards_coefficient is {self.center_rewards_coefficient}: use 0 or more")
        if self.reward_heads is not None and self.reward_heads < 1:
            raise ValueError(f"reward_heads is {self.reward_heads}: use 1 or more")


def objective(config: RewardConfig, examples: Sequence[Example]) -> Objective:
    """The loss under `ties`, of each head and averaged over the heads, and TRL's metrics of the mean reward."""
    loss, center = reward.LOSSES[config.ties], config.center_rewards_coefficient or 0.0
    needs = inspect.signature(loss).parameters

    def losses(scored: Scored) -> Tensor:
        chosen_EM, rejected_EM = scored.outputs_EK.unbind(1)
        known = {
            "p_chosen": scored.p_E[:, None],
            "p_tie": scored.number("p_tie")[:, None],
            "margin": scored.number("margin")[:, None],
            "tie_probability": config.tie_probability,
        }
        losses_EM = loss(chosen_EM, rejected_EM, **{name: known[name] for name in known.keys() & needs.keys()})
        losses_EM = losses_EM + center * reward.centering(chosen_EM, rejected_EM)
        heads = losses_EM.shape[1]
        if heads > 1 and torch.is_grad_enabled():  # evaluation shows every head every example
            drawn = [[bootstrap(config.seed, head, e.id) for head in range(heads)] for e in scored.examples]
            losses_EM = losses_EM * losses_EM.new_tensor(drawn)
        return losses_EM.mean(1)

    def metrics(scored: Scored, losses_E: Tensor) -> dict[str, Metric]:
        scores_EKM = scored.outputs_EK.detach()
        chosen, rejected = scores_EKM.mean(-1).unbind(1)
        margins, counted = chosen - rejected, scored.weight_E > 0
        found = {
            "accuracy": mean(margins * (scored.p_E - 0.5) > 0, counted & (scored.p_E != 0.5)),
            "margin": mean(margins, counted),
            "mean_reward": mean((chosen + rejected) / 2, counted),
            "min_reward": mean(torch.minimum(chosen, rejected), counted),
            "max_reward": mean(torch.maximum(chosen, rejected), counted),
        }
        if scores_EKM.shape[-1] > 1:
            margins_EM = scores_EKM[:, 0] - scores_EKM[:, 1]
            found["disagreement"] = mean(margins_EM.std(-1, correction=0), counted)
        return found

    return Objective(losses, lambda example: 1.0, metrics, reference=False)


def bootstrap(seed: int, head: int, example: str) -> int:
    """How often a head of an ensemble sees an example: a draw from Poisson(1), the same in every epoch, order and
    process, as if each head had a sample of its own, drawn with replacement (Oza & Russell 2001, online bagging)."""
    uniform = int.from_bytes(stable_hash(seed, head, example)) / 2**64
    times, below = 0, math.exp(-1)
    density = below
    while uniform >= below and density > 0:
        times += 1
        density /= times
        below += density
    return times


def check_margins(config: RewardConfig, examples: Sequence[Example]) -> None:
    """A model of ties has a threshold already."""
    for example in examples if config.ties != "none" else ():
        if example.numbers["margin"]:
            raise ValueError(
                f"row {example.id}: margin is {example.numbers['margin']:g}, and ties {config.ties!r} has its own "
                "threshold: leave out the margin column, or use ties none"
            )


def _load(name: Any, config: RewardConfig) -> Policy:
    return load_reward_model(name, heads=config.reward_heads, seed=config.seed, trainable=True)


class RewardTrainer(AccordTrainer):
    """Trains a reward model on rows of `prompt`, `chosen`, `rejected`, and optionally `p_chosen` and `p_tie` in [0, 1],
    `margin` and `weight`; or on rankings, see `accord.trainers.rows.ranking`.

    Constructs like TRL's: `model` is a name or folder, or a model as `accord.policy.reward_model.load_reward_model`
    gives it. With `reward_heads` above 1, each head learns from its own bootstrap sample of the examples. Losses and
    soft labels: see `accord.losses.reward`.

    Metrics are of the reward, the mean over heads. `accuracy` is that of the pairs which people decide (p_chosen other
    than ½). `min_reward` and `max_reward` are of a pair's two, averaged; TRL's are of a micro-batch's, and so depend on
    its size. `disagreement` is the standard deviation over heads of a pair's margin, averaged: of single rewards it
    would count each head's arbitrary zero.
    """

    method = Method(
        RewardConfig,
        ("chosen", "rejected"),
        "p_chosen",
        rows.ranking,
        objective,
        numbers={"margin": Column(0.0, -math.inf, math.inf), "p_tie": Column(0.0, 0.0, 1.0)},
        read=read_scores,
        check=check_margins,
        load=_load,
    )

    def __init__(
        self,
        model,
        args: RewardConfig | None = None,
        data_collator: None = None,
        train_dataset=None,
        eval_dataset=None,
        processing_class=None,
        **named,
    ):
        if isinstance(model, nn.Module):
            _check_model(causal_lm(model), args)
        super().__init__(model, None, args, data_collator, train_dataset, eval_dataset, processing_class, **named)
        use_padding(self.model, self.tokenizer)


def _check_model(model: Any, args: RewardConfig | None) -> None:
    if not gives_rewards(model):
        raise ValueError(
            f"a {type(model).__name__} gives no rewards: pass its name or folder, or load_reward_model(...).model"
        )
    heads = None if args is None else args.reward_heads
    if heads not in (None, model.config.num_labels):
        raise ValueError(f"reward_heads is {heads}, and the model has {model.config.num_labels}: leave it out")
