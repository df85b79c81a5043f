"""Who says which of two answers is better, and what scores stand beside: a rule, a language model, a reward model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from accord.cli.which_run import reward_run
from accord.evaluation import JUDGES, Judge, by_score
from accord.feedback import AccordError, from_json, text_of
from accord.quality.tastes import TASTES

#: By length, or by the taste of a simulated annotator.
NAMED: dict[str, Judge] = JUDGES | {taste: by_score(score) for taste, score in TASTES.items()}


def named_judge(name: str | None) -> Judge | None:
    """The judge of that name. Raises AccordError naming those that there are."""
    if name is not None and name not in NAMED:
        raise AccordError(f"--judge {name}: the judges are {', '.join(NAMED)}")
    return NAMED[name] if name else None


#: (prompts, completions), each a text or role/content objects, as reward sources take them -> a score each
Score = Callable[[Sequence[Any], Sequence[Any]], Sequence[float]]


class Scorer(NamedTuple):
    """Gives answers a score each; the higher one of two is the better answer.

    column  what the scores are called in the figures: `score` of the judge, `reward` of a reward model
    score   may load a model: ask it once
    """

    column: str
    name: str
    score: Score


class Judging(NamedTuple):
    """How answers are compared. `kind` is rule, taste, model or reward_model; `scorers` come with scores.

    judge  None where the first of `scorers` decides
    """

    name: str
    kind: str
    judge: Judge | None
    scorers: list[Scorer]


def judging(
    judge: str | None, url: str | None, model: str | None, reward_model: str | None, project: Path | None
) -> Judging:
    """Who judges, by the options of `accord compare`: a judge before a reward model. Nobody where none is given.

    Raises AccordError where they exclude each other, or name what gives no scores.
    """
    if judge and url:
        raise AccordError("--judge and --judge-url exclude each other: choose one")
    if bool(url) != bool(model):
        raise AccordError("--judge-url and --judge-model belong together: give both")
    named_judge(judge)
    if reward_model:
        reward_run(reward_model, project)
    rewards = [Scorer("reward", reward_model, _reward_model(reward_model, project))] if reward_model else []
    if judge in TASTES:
        return Judging(judge, "taste", NAMED[judge], [Scorer("score", judge, _taste(judge)), *rewards])
    if judge:
        return Judging(judge, "rule", NAMED[judge], rewards)
    if url and model:
        return Judging(model, "model", None, [Scorer("score", model, _language_model(url, model)), *rewards])
    return Judging(reward_model or "", "reward_model" if reward_model else "", None, rewards)


def by_known(scores: Mapping[tuple[str, str], float]) -> Judge:
    """The judge for whom, of two answers that were scored, the higher one is better: (prompt, answer) -> score."""
    return by_score(lambda prompt, answer: scores[prompt, answer])


def _taste(name: str) -> Score:
    def score(prompts: Sequence[Any], completions: Sequence[Any]) -> list[float]:
        texts = ([text_of(from_json(each)) for each in column] for column in (prompts, completions))
        return list(map(TASTES[name], *texts))

    return score


def _language_model(url: str, model: str) -> Score:
    def score(prompts: Sequence[Any], completions: Sequence[Any]) -> list[float]:
        from accord.rollout.judge import Judge as LanguageModel

        return LanguageModel(url, model)(prompts, completions).total

    return score


def _reward_model(name: str, project: Path | None) -> Score:
    def score(prompts: Sequence[Any], completions: Sequence[Any]) -> list[float]:
        from accord.cli.scoring import load_scorer
        from accord.rollout.rewards import RewardModel

        (model, tokenizer, _), _, limit = load_scorer(name, project)
        return RewardModel(model, tokenizer, name, options=limit)(prompts, completions).total

    return score
