"""`accord grpo`."""

import typer

SUMMARY = "Train on samples and their rewards, relative to those of their group (Group Relative Policy Optimization)."


def command(ctx: typer.Context) -> None:
    from accord.cli.environment import environment
    from accord.cli.training import Method, train
    from accord.trainers import GRPOConfig, GRPOTrainer

    train(Method("grpo", SUMMARY, GRPOConfig, GRPOTrainer, environment=environment), ctx.args)
