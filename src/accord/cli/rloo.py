"""`accord rloo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from accord.cli.training import Method

SUMMARY = "Train on samples and their rewards, each against the others of its prompt (REINFORCE Leave-One-Out)."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import train

    train(method(), ctx.args)


def method() -> Method:
    """What `accord rloo` is made of."""
    from accord.cli.environment import environment
    from accord.cli.training import Method
    from accord.trainers import RLOOConfig, RLOOTrainer

    return Method("rloo", SUMMARY, RLOOConfig, RLOOTrainer, environment=environment)
