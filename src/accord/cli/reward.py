"""`accord reward`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from accord.cli.training import Method

SUMMARY = "Train a reward model on preference pairs: a score of how good an answer is."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import train

    train(method(), ctx.args)


def method() -> Method:
    """What `accord reward` is made of."""
    from accord.cli.training import Method
    from accord.policy.reward_model import load_reward_model
    from accord.trainers import RewardConfig, RewardTrainer

    def loader(config: RewardConfig):
        return partial(load_reward_model, heads=config.reward_heads, seed=config.seed)

    return Method("reward", SUMMARY, RewardConfig, RewardTrainer, loader=loader, task="SEQ_CLS")
