"""`accord kto`."""

import typer

SUMMARY = "Train on thumbs up and down (Kahneman-Tversky Optimization)."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import Method, train
    from accord.trainers import KTOConfig, KTOTrainer

    train(Method("kto", SUMMARY, KTOConfig, KTOTrainer), ctx.args)
