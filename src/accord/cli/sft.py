"""`accord sft`."""

import typer

SUMMARY = "Fine-tune on demonstrations."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import Method, train
    from accord.trainers import SFTConfig, SFTTrainer

    train(Method("sft", SUMMARY, SFTConfig, SFTTrainer), ctx.args)
