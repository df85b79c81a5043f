"""`accord dpo`."""

import typer

SUMMARY = "Train on preference pairs (Direct Preference Optimization)."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import Method, train
    from accord.trainers import DPOConfig, DPOTrainer

    train(Method("dpo", SUMMARY, DPOConfig, DPOTrainer), ctx.args)
