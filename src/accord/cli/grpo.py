"""`accord grpo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from accord.cli.training import Method

SUMMARY = "Train on samples and their rewards, relative to those of their group (Group Relative Policy Optimization)."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import train

    train(method(), ctx.args)


def method() -> Method:
    """What `accord grpo` is made of."""
    from accord.cli.environment import environment
    from accord.cli.training import Method
    from accord.trainers import GRPOConfig, GRPOTrainer

    return Method("grpo", SUMMARY, GRPOConfig, GRPOTrainer, environment=environment)
