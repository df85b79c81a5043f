"""`accord reward`."""

from functools import partial

import typer

SUMMARY = "Train a reward model on preference pairs: a score of how good an answer is."


def command(ctx: typer.Context) -> None:
    from accord.cli.training import Method, train
    from accord.policy.reward_model import load_reward_model
    from accord.trainers import RewardConfig, RewardTrainer

    def loader(config: RewardConfig):
        return partial(load_reward_model, heads=config.reward_heads, seed=config.seed)

    train(Method("reward", SUMMARY, RewardConfig, RewardTrainer, loader=loader, task="SEQ_CLS"), ctx.args)
