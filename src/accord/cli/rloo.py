"""`accord rloo`."""

import typer

SUMMARY = "Train on samples and their rewards, each against the others of its prompt (REINFORCE Leave-One-Out)."


def command(ctx: typer.Context) -> None:
    from accord.cli.environment import environment
    from accord.cli.training import Method, train
    from accord.trainers import RLOOConfig, RLOOTrainer

    train(Method("rloo", SUMMARY, RLOOConfig, RLOOTrainer, environment=environment), ctx.args)
