"""From answers to figures: each model against the base, and every two models against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accord.cli.ask_models import Questions
from accord.cli.contenders import Contender
from accord.cli.judging import Judging, by_known
from accord.cli.kept_answers import Answer
from accord.evaluation import Match, kl_report, round_robin
from accord.evaluation.interval import Floats, weighted_mean
from accord.evaluation.judges import words
from accord.evaluation.preferences import named
from accord.feedback import text_of, to_json

#: Score's name -> [models, answers]
Scores = Mapping[str, Floats]


def standings(
    field: Sequence[Contender],
    asked: Questions,
    answers: Mapping[str, Sequence[Answer]],
    judging: Judging,
    seed: int,
) -> dict[str, Any]:
    """What the report is made of: `models`, the base first, `matches`, and `prompts` with their answers."""
    scores = scored(asked, answers, judging)
    matches = played(asked, answers, judging, scores, seed)
    against_base = {match.first: match for match in matches if match.second == field[0].name}
    models = []
    for m, contender in enumerate(field):
        figures = measured(asked, answers[contender.name], {name: column[m] for name, column in scores.items()}, seed)
        if contender.name in against_base:
            figures |= against_base[contender.name].report.to_summary()
        models.append({"name": contender.name, "method": contender.method, "source": contender.source, **figures})
    return {
        "models": models,
        "matches": list(map(match_record, matches)),
        "prompts": side_by_side(asked, answers, scores, against_base),
    }


def scored(asked: Questions, answers: Mapping[str, Sequence[Answer]], judging: Judging) -> dict[str, Floats]:
    """Every answer's scores. Answers to one prompt stand together: a model that scores them reads it once."""
    found = {}
    for scorer in judging.scorers:
        prompts, completions = [], []
        for prompt, *said in zip(asked.each, *answers.values(), strict=True):
            prompts += [to_json(prompt.content)] * len(said)
            plain = isinstance(prompt.content, str)
            completions += [each.text if plain else [{"role": "assistant", "content": each.text}] for each in said]
        scores = np.asarray(scorer.score(prompts, completions), np.float64)
        found[scorer.column] = scores.reshape(-1, len(answers)).T
    return found


def played(
    asked: Questions, answers: Mapping[str, Sequence[Answer]], judging: Judging, scores: Scores, seed: int
) -> list[Match]:
    """All matches; none where nobody judges."""
    judge = judging.judge
    prompts = [text_of(prompt.content) for prompt in asked.each]
    texts = {name: [answer.text for answer in given] for name, given in answers.items()}
    if not judge and not judging.scorers:
        return []
    if not judge:
        rows = zip(texts.values(), scores[judging.scorers[0].column], strict=True)
        judge = by_known(
            {(p, text): score for said, row in rows for p, text, score in zip(prompts, said, row, strict=True)}
        )
    ids = [prompt.id for prompt in asked.each]
    return round_robin(prompts, texts, judge, judge_name=judging.name, prompt_ids=ids, seed=seed)


def measured(asked: Questions, answers: Sequence[Answer], scores: Mapping[str, Floats], seed: int) -> dict[str, Any]:
    """One model's own figures: length, scores, how many answers ended by themselves, KL from the base."""
    ids, ones = [prompt.id for prompt in asked.each], np.ones(len(answers))
    figures: dict[str, Any] = {"n_answers": len(answers), "finished": np.mean([each.finished for each in answers])}
    columns: dict[str, ArrayLike] = {"words": [words(each.text) for each in answers], **scores}
    for name, column in columns.items():
        figures |= named(name, weighted_mean(column, ones, ids, seed=seed))
    pairs = [(each.logp, each.base_logp) for each in answers if each.logp is not None]
    if pairs:
        (logps, base_logps), tokens = np.array(pairs).T, [each.tokens for each in answers]
        figures |= kl_report(logps, base_logps, ids, tokens, seed=seed).to_summary()
    return figures


def match_record(match: Match) -> dict[str, Any]:
    """As JSON has it."""
    report = match.report
    return {
        "first": match.first,
        "second": match.second,
        **named("win_rate", report.win_rate),
        **{name: getattr(report, name) for name in ("wins", "ties", "losses")},
        "p": match.p,
        "p_holm": match.p_holm,
    }


def side_by_side(
    asked: Questions, answers: Mapping[str, Sequence[Answer]], scores: Scores, against_base: Mapping[str, Match]
) -> list[dict[str, Any]]:
    """A record for each question, with one answer of every model: `verdict` is 1 where it beats the base's, 0 where
    the base's beats it."""
    return [
        {
            "prompt": to_json(prompt.content),
            "answers": {
                name: {
                    "text": given[i].text,
                    "finished": given[i].finished,
                    **{column: values[m, i] for column, values in scores.items()},
                    **({"verdict": against_base[name].report.verdicts[i]} if name in against_base else {}),
                }
                for m, (name, given) in enumerate(answers.items())
            },
        }
        for i, prompt in enumerate(asked.each)
    ]
