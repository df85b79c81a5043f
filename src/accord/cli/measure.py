"""The work of `accord evaluate`: two models, held-out rows and prompts in; figures, notes and samples out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from accord.cli.bars import Track
from accord.cli.held_out import Asked, prompt_id
from accord.cli.judging import Scorer, by_known
from accord.cli.run_models import base_of, trained
from accord.evaluation import (
    histogram,
    kl_report,
    length_report,
    preference_report,
    unpaired_report,
    win_rate_report,
)
from accord.evaluation.interval import Floats, weighted_mean
from accord.evaluation.models import answer, score_answers
from accord.evaluation.preferences import named
from accord.feedback import text_of, to_json
from accord.policy.score import score_rows
from accord.runs import Run

#: Which columns hold what is scored, by the form of the rows.
COMPLETIONS = {"preference": ("chosen", "rejected"), "unpaired": ("completion",)}


class Measured(NamedTuple):
    """Figures for summary.json, records for samples.jsonl, and what the user should know beside them."""

    figures: dict[str, Any]
    samples: list[dict[str, Any]]
    notes: list[str]


def evaluate(run: Run, asked: Asked, track: Track = lambda title, total: lambda done: None) -> Measured:
    """Measure the run's model and its base on what is asked. Nothing is written; `record` does that."""
    config = run.config()
    policy = trained(run)
    contents = [question.content for question in asked.prompts]
    limit = {key: config[key] for key in ("max_length", "truncation_mode") if key in config}

    def rows_by(model: Any, who: str):
        progress = track(f"Scoring, {who}", len(asked.scored))
        return score_rows(model, policy.tokenizer, asked.scored, COMPLETIONS[asked.form], **limit, progress=progress)

    def answers_by(model: Any, who: str):
        progress = track(f"Answering, {who}", len(contents) * asked.samples)
        return answer(model, policy.tokenizer, contents, n=asked.samples, progress=progress, **asked.decoding)

    policy_rows = rows_by(policy.model, "trained") if asked.scored else None
    after = answers_by(policy.model, "trained") if contents else []
    drawn_as_is = asked.decoding.get("temperature", 1.0) == 1.0
    policy_answers = score_answers(policy.model, policy.tokenizer, contents, after) if drawn_as_is else np.empty(0)
    with base_of(policy, run) as base:
        base_rows = rows_by(base, "base") if asked.scored else None
        before = answers_by(base, "base") if contents else []
        base_answers = score_answers(base, policy.tokenizer, contents, after) if drawn_as_is else np.empty(0)

    figures, notes = preferences(asked, policy_rows, base_rows, config.get("beta") or 0.1)
    if not contents:
        return Measured(figures, [], notes)
    told, samples = comparison(asked, before, after)
    figures |= told
    if drawn_as_is:
        lengths = [len(each.tokens) for each in after]
        ids = [asked.prompts[each.prompt].id for each in after]
        figures |= kl_report(policy_answers, base_answers, ids, lengths, seed=asked.seed).to_summary()
    else:
        notes.append("no KL: it is estimated on answers drawn at --temperature 1")
    return Measured(figures, samples, notes)


def preferences(asked: Asked, policy: Any, base: Any, beta: float) -> tuple[dict[str, Any], list[str]]:
    """The figures of the held-out rows, from their log-probabilities under both models."""
    if not asked.scored:
        return {}, []
    whole = np.isfinite(policy).all(1) & np.isfinite(base).all(1)
    rows = [row for row, fits in zip(asked.scored, whole, strict=True) if fits]
    notes = [] if whole.all() else [f"{(~whole).sum()} of {len(whole)} rows do not fit max_length: left out"]
    if not rows:
        return {}, notes
    ids = [prompt_id(row["prompt"]) for row in rows]
    weights = [row.get("weight", 1.0) for row in rows]
    logps = {"policy_logps": policy[whole], "reference_logps": base[whole], "weights": weights, "beta": beta}
    if asked.form == "unpaired":
        wanted = [row.get("p_desirable", float(row["label"])) for row in rows]
        if len(set(wanted)) == 1:
            return {}, [*notes, "no accuracy: all held-out answers have one label"]
        return unpaired_report(**logps, p_desirable=wanted, prompt_ids=ids, seed=asked.seed).to_summary(), notes
    chosen = [row.get("p_chosen", 1.0) for row in rows]
    report = preference_report(**logps, p_chosen=chosen, prompt_ids=ids, seed=asked.seed)
    margins = {
        "reward": histogram(after=report.margins),
        "likelihood": histogram(before=report.base_likelihood_margins, after=report.likelihood_margins),
    }
    return report.to_summary() | {"margins": margins}, notes


def comparison(
    asked: Asked, before: Sequence[Any], after: Sequence[Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures of the answers, and the answers side by side."""
    texts = [text_of(asked.prompts[each.prompt].content) for each in after]
    ids = [asked.prompts[each.prompt].id for each in after]
    old, new = [each.text for each in before], [each.text for each in after]
    scores = {scorer.column: scored(scorer, asked, before, after) for scorer in asked.scorers}
    judge = asked.judge
    if judge is None and scores:
        known = zip(texts * 2, old + new, np.concatenate(next(iter(scores.values()))), strict=True)
        judge = by_known({(text, said): score for text, said, score in known})
    verdicts: list[float | None] = [None] * len(after)
    if judge:
        report = win_rate_report(texts, old, new, judge, judge_name=asked.judge_name, prompt_ids=ids, seed=asked.seed)
        figures, verdicts = report.to_summary(), list(report.verdicts)
    else:
        figures = length_report(old, new, prompt_ids=ids, seed=asked.seed).to_summary()
    for column, (old_N, new_N) in scores.items():
        for name, values_N in (("before", old_N), ("after", new_N), ("difference", new_N - old_N)):
            found = weighted_mean(values_N, np.ones(len(values_N)), ids, seed=asked.seed)
            figures |= named(f"{column}_{name}", found)
    samples = [
        {
            "prompt": to_json(asked.prompts[a.prompt].content),
            "before": b.text,
            "after": a.text,
            "verdict": verdict,
            "finished": [b.finished, a.finished],
            **{column: [two[0][i], two[1][i]] for column, two in scores.items()},
        }
        for i, (b, a, verdict) in enumerate(zip(before, after, verdicts, strict=True))
    ]
    return figures | {"n_answers": len(after)}, samples


def scored(scorer: Scorer, asked: Asked, before: Sequence[Any], after: Sequence[Any]) -> tuple[Floats, Floats]:
    """The scores of the answers, before and after. An answer's two stand together: their prompt is read once."""
    prompts, completions = [], []
    for pair in zip(before, after, strict=True):
        for each in pair:
            prompt = asked.prompts[each.prompt].content
            prompts.append(to_json(prompt))
            completions.append(each.text if isinstance(prompt, str) else [{"role": "assistant", "content": each.text}])
    scores = np.asarray(scorer.score(prompts, completions), np.float64)
    return scores[::2], scores[1::2]


def record(run: Run, measured: Measured, settings: Mapping[str, Any]) -> None:
    """Put a new evaluation in the place of the last one, in summary.json and samples.jsonl."""
    last = run.summary().get("evaluation") or {}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    evaluation = {"at": at, **settings, "figures": sorted(measured.figures)}
    run.update_summary({**measured.figures, "evaluation": evaluation}, forget=last.get("figures", []))
    run.replace_samples([sample for sample in run.samples() if "before" not in sample] + measured.samples)
