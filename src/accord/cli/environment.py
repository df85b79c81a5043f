"""From options to the environment that a method samples in: who rewards what the model says, and who replies."""

from typing import Any

from accord.cli.arguments import Arguments
from accord.cli.environment_options import CriticOptions, EnvironmentOptions
from accord.cli.which_run import reward_run
from accord.feedback import AccordError
from accord.rollout.judge import QUESTION, Judge
from accord.rollout.rewards import Function, named_function


def environment(arguments: Arguments) -> dict[str, Any]:
    """What the trainer is given beside model, data and settings. Functions are looked up here, so that a wrong name
    is told before anything is written; models are named, and loaded by the trainer.

    Raises AccordError where nothing rewards, or what was said does not go together.
    """
    told: EnvironmentOptions = arguments.environment
    given: dict[str, Any] = {"reward_funcs": reward_sources(told, arguments.config.reward_weights)}
    if told.reply:
        given["reply"] = named_function(told.reply, "reply")
    if isinstance(told, CriticOptions) and (critic := critic_model(told, arguments.config.critic)):
        given["critic"] = critic
    return given


def reward_sources(told: EnvironmentOptions, weights: list[float] | None) -> list[Any]:
    """Reward models, then functions, then the judge: the order of `reward_weights`."""
    if bool(told.judge_url) != bool(told.judge_model):
        raise AccordError("judge_url and judge_model belong together: give both")
    if told.judge_question and not told.judge_url:
        raise AccordError("judge_question: there is no judge; give judge_url and judge_model")
    sources: list[Any] = [folder_of(name) for name in told.reward_model_name_or_path or []]
    sources += map(Function.load, told.reward_functions or [])
    if told.judge_url and told.judge_model:
        question = told.judge_question.read_text("utf-8") if told.judge_question else QUESTION
        sources.append(Judge(told.judge_url, told.judge_model, question=question))
    if not sources:
        raise AccordError(
            "nothing gives rewards: give reward_model_name_or_path FOLDER (accord reward trains one), reward_functions "
            "module:function, or judge_url and judge_model"
        )
    if weights is not None and len(weights) != len(sources):
        raise AccordError(f"reward_weights: {len(weights)} weights for {len(sources)} sources: give one for each")
    return sources


def critic_model(told: CriticOptions, kind: str) -> str | None:
    """What PPO's critic begins as; None for a fresh head on the policy.

    A separate critic begins as the reward model where there is one: it knows already how good an answer will be
    (Stiennon et al. 2020, arXiv:2009.01325, section 3.4).
    """
    if kind != "separate":
        if told.critic_model_name_or_path:
            raise AccordError("critic_model_name_or_path: the critic is shared with the policy; say critic: separate")
        return None
    models = told.reward_model_name_or_path or []
    name = told.critic_model_name_or_path or (models[0] if len(models) == 1 else None)
    return folder_of(name) if name else None


def folder_of(name: str) -> str:
    """The folder of the reward run `name`; the name itself where no run is called so."""
    run = reward_run(name)
    return str(run.path) if run else name
