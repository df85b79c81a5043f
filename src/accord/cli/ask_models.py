"""The same prompts, seeds and decoding for every model: each is asked once, and what it answered is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from accord.cli.bars import Track
from accord.cli.contenders import Contender
from accord.cli.held_out import Question
from accord.cli.kept_answers import Answer, KeptAnswers, Key
from accord.feedback import AccordError, fingerprint
from accord.policy.load import Policy

ROWS = 32  # answers that are sampled together, and kept when all of them have ended


@dataclass(frozen=True)
class Questions:
    """What every model is asked. `decoding` goes to `Sampler.sample`, seed and all."""

    prompts: Sequence[Question]
    samples: int
    decoding: dict[str, Any]

    @property
    def each(self) -> list[Question]:
        """The prompt of every answer: each as often as it is answered."""
        return [prompt for prompt in self.prompts for _ in range(self.samples)]

    @property
    def measures_distance(self) -> bool:
        """KL is estimated on answers that were drawn as the model would."""
        return self.decoding["temperature"] == 1

    def key(self, contender: Contender, base: Contender, prompt: Question, sample: int) -> Key:
        """By what an answer is known again."""
        return Key(contender.id, base.id, fingerprint(self.decoding), prompt.id, sample)

    def keys(self, contender: Contender, base: Contender) -> list[Key]:
        """One for each answer, prompt by prompt."""
        return [self.key(contender, base, prompt, i) for prompt in self.prompts for i in range(self.samples)]


def draw_name(question: Question) -> int:
    """What a prompt is called in its draws: after itself, so that they are the same whatever else is asked."""
    return int(fingerprint(question.id)[:15], 16)


class Loaded:
    """A contender whose model is loaded when it is first asked for."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender

    @cached_property
    def policy(self) -> Policy:
        return self.contender.load()


def ask_all(field: Sequence[Contender], asked: Questions, kept: KeptAnswers, track: Track) -> dict[str, list[Answer]]:
    """name -> the contender's answers, prompt by prompt; the first is the base. Only what is not kept yet is sampled.

    The base stays loaded beside one other model, whose answers it scores. Raises AccordError where a model's tokenizer
    is not the base's.
    """
    base, answers = Loaded(field[0]), {}
    for contender in field:
        keys = asked.keys(contender, field[0])
        progress = track(f"Answering, {contender.name}", len(keys))
        if any(key not in kept for key in keys):
            ask(base if contender is field[0] else Loaded(contender), base, asked, kept, progress)
        progress(len(keys))
        answers[contender.name] = [kept[key] for key in keys]
    return answers


def ask(asking: Loaded, base: Loaded, asked: Questions, kept: KeptAnswers, progress: Callable[[int], None]) -> None:
    """Sample what is missing of one contender's answers, score it, and keep it block by block."""
    contender, keys = asking.contender, asked.keys(asking.contender, base.contender)
    missing = {key.prompt for key in keys if key not in kept}
    waiting = [prompt for prompt in asked.prompts if prompt.id in missing]
    distance = asked.measures_distance and asking is not base
    if distance and asking.policy.tokenizer.get_vocab() != base.policy.tokenizer.get_vocab():
        raise AccordError(
            f"{contender.name}: its tokenizer is not the base's, so that its answers have no probability there; "
            "compare models of one family"
        )
    done = sum(key in kept for key in keys)
    at_once = max(1, ROWS // asked.samples)
    for start in range(0, len(waiting), at_once):
        block = waiting[start : start + at_once]
        kept.add(contender.name, _answers(asking, base, asked, block, distance))
        progress(min(len(keys), done + (start + len(block)) * asked.samples))


def _answers(
    asking: Loaded, base: Loaded, asked: Questions, block: Sequence[Question], distance: bool
) -> list[tuple[Key, Answer]]:
    from accord.evaluation.models import answer, score_answers  # torch

    model, tokenizer, _ = asking.policy
    contents = [question.content for question in block]
    names = [draw_name(question) for question in block]
    sampled = answer(model, tokenizer, contents, n=asked.samples, names=names, **asked.decoding)
    logps: list[tuple[float | None, ...]] = [(None, None)] * len(sampled)
    if distance:
        under = [score_answers(each, tokenizer, contents, sampled).tolist() for each in (model, base.policy.model)]
        logps = list(zip(*under, strict=True))
    return [
        (
            asked.key(asking.contender, base.contender, block[each.prompt], each.sample),
            Answer(each.text, len(each.tokens), each.finished, *logp),
        )
        for each, logp in zip(sampled, logps, strict=True)
    ]
