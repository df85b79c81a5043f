"""What `accord ppo|rloo|grpo` can be told of the environment: who rewards what the model says, and who replies."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class EnvironmentOptions:
    """Sources of rewards, and replies. One source at least is needed: see `accord.cli.environment`."""

    reward_model_name_or_path: list[str] | None = field(
        default=None, metadata={"help": "Reward models: runs of accord reward, folders or hub names."}
    )
    reward_functions: list[str] | None = field(
        default=None,
        metadata={"help": "Python functions, module:function, in the form that TRL's GRPOTrainer takes them."},
    )
    judge_url: str | None = field(
        default=None, metadata={"help": "A language model that grades answers: an OpenAI-compatible address, with /v1."}
    )
    judge_model: str | None = field(default=None, metadata={"help": "The name that the address knows it by."})
    judge_question: Path | None = field(
        default=None, metadata={"help": "A file with what it is asked: {prompt}, {completion}, {low}, {high}."}
    )
    reply: str | None = field(
        default=None,
        metadata={"help": "A Python function, module:function, that replies to the model: see turns."},
    )


@dataclass
class CriticOptions(EnvironmentOptions):
    """PPO's, which has a critic beside the rewards."""

    critic_model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "What a separate critic begins as. Default: the reward model, where there is just one."},
    )


#: Methods that sample -> what they are told of their environment.
OPTIONS: dict[str, type[EnvironmentOptions]] = {
    "ppo": CriticOptions,
    "rloo": EnvironmentOptions,
    "grpo": EnvironmentOptions,
}
