"""What the two trainings of `accord rlhf` are told: its own settings, and the user's over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accord.feedback import AccordError

#: Methods that can follow the reward model.
METHODS = ("ppo", "rloo", "grpo")

_BOTH = {"dtype": "bfloat16", "use_peft": "true", "logging_steps": "1", "save_total_limit": "1"}
_ONLINE = {
    "max_completion_length": "128",
    "max_length": "256",
    "lr_scheduler_type": "constant",
    "kl_budget": "4",  # nats a completion; well beyond it answers shrink to a few words that the reward model likes
    "per_device_train_batch_size": "32",  # completions of an optimizer batch, and here of a rollout
    "missing_eos_penalty": "1",
    "save_steps": "8",
}
_GROUPS = {"num_generations": "4", "beta": "0.1", "num_train_epochs": "2", "learning_rate": "2e-4"}
#: Where the user says nothing: for SmolLM2-135M, some hundred votes and two cores.
DEFAULTS: dict[str, dict[str, str]] = {
    "reward": {
        **_BOTH,
        "reward_heads": "3",  # where they disagree, the reward is in doubt
        "center_rewards_coefficient": "0.01",
        "max_length": "256",
        "test_fraction": "0.2",  # few votes: a tenth of them would leave the accuracy in the dark
        "learning_rate": "1e-3",  # fresh heads, and a LoRA adapter, on few votes
        "num_train_epochs": "4",
        "per_device_train_batch_size": "8",
        "save_steps": "20",
    },
    "ppo": {
        **_BOTH,
        **_ONLINE,
        "num_train_epochs": "8",  # of few rollouts each: PPO asks a prompt once
        "num_ppo_epochs": "2",
        "learning_rate": "1e-4",
        "kl_coef": "0.1",
    },
    "rloo": {**_BOTH, **_ONLINE, **_GROUPS},
    "grpo": {**_BOTH, **_ONLINE, **_GROUPS, "kl_in": "reward"},
}


def sections(argv: Sequence[str], method: str) -> dict[str, list[str]]:
    """`--reward.KEY value … --METHOD.KEY value …` as the words of each training. AccordError for anything else."""
    from accord.cli.arguments import command_line

    found: dict[str, list[str]] = {"reward": [], method: []}
    for given in command_line(argv):
        section, _, key = given.key.partition(".")
        if section not in found or not key:
            raise AccordError(
                f"--{given.key}: no such option; a setting of the trainings is --reward.KEY or --{method}.KEY"
            )
        found[section] += [f"--{key}", *given.value]
    return found


def words(method: str, said: Sequence[str], fixed: Mapping[str, str | Sequence[str]]) -> list[str]:
    """The command line of one training: the defaults that the user does not change, the user's words, and what follows
    from the whole."""
    from accord.cli.arguments import command_line
    from accord.cli.beginning import written

    if double := [given.key for given in command_line(said) if given.key in fixed]:
        raise AccordError(f"--{method}.{double[0]}: accord rlhf sets it itself, see accord rlhf --help")
    changed = {given.key for given in written(said)}
    kept = {key: value for key, value in DEFAULTS[method].items() if key not in changed}
    return [*_written(kept), *said, *_written(fixed)]


def _written(settings: Mapping[str, str | Sequence[str]]) -> list[str]:
    return [
        word
        for key, value in settings.items()
        for word in (f"--{key}", *([value] if isinstance(value, str) else value))
    ]
