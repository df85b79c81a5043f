"""`accord ppo`."""

import typer

SUMMARY = "Train on samples and their rewards, with a critic (Proximal Policy Optimization)."


def command(ctx: typer.Context) -> None:
    from accord.cli.environment import environment
    from accord.cli.training import Method, train
    from accord.trainers import PPOConfig, PPOTrainer

    train(Method("ppo", SUMMARY, PPOConfig, PPOTrainer, environment=environment), ctx.args)
