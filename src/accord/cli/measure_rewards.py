"""The work of `accord evaluate` for a reward model: held-out pairs in; figures and notes out."""

from __future__ import annotations

import math

import numpy as np
import torch

from accord.cli.bars import Track
from accord.cli.held_out import Asked, prompt_id
from accord.cli.measure import Measured
from accord.cli.run_models import trained
from accord.evaluation import histogram, reward_report
from accord.evaluation.interval import Floats
from accord.feedback import from_json, text_of
from accord.losses.reward import davidson_outcomes, rao_kupper_outcomes
from accord.policy.reward_model import reward_rows
from accord.runs import Run

#: Models of ties -> log-probabilities of a win, a tie and a loss.
OUTCOMES = {"rao_kupper": rao_kupper_outcomes, "davidson": davidson_outcomes}


def evaluate_rewards(run: Run, asked: Asked, track: Track = lambda title, total: lambda done: None) -> Measured:
    """Measure the run's reward model on the held-out pairs. Nothing is written; `record` does that."""
    config = run.config()
    policy = trained(run)
    limit = {key: config[key] for key in ("max_length", "truncation_mode") if key in config}
    progress = track("Scoring", len(asked.rows))
    scores = reward_rows(policy.model, policy.tokenizer, asked.rows, **limit, progress=progress)
    whole = np.isfinite(scores).all((1, 2))
    rows = [row for row, fits in zip(asked.rows, whole, strict=True) if fits]
    notes = [] if whole.all() else [f"{(~whole).sum()} of {len(whole)} rows do not fit max_length: left out"]
    if not rows:
        return Measured({}, [], notes)
    margins = (scores[whole, 0] - scores[whole, 1]).mean(1)
    report = reward_report(
        scores[whole],
        lengths=[[len(text_of(from_json(row[side]))) for side in ("chosen", "rejected")] for row in rows],
        p_chosen=[row.get("p_chosen", 1.0) for row in rows],
        weights=[row.get("weight", 1.0) for row in rows],
        logits=log_odds(margins, config.get("ties") or "none", config.get("tie_probability") or 0.0),
        prompt_ids=[prompt_id(row["prompt"]) for row in rows],
        seed=asked.seed,
    )
    return Measured(report.to_summary() | {"margins": {"reward": histogram(after=report.margins)}}, [], notes)


def log_odds(margins: Floats, ties: str, tie_probability: float) -> Floats:
    """log P / (1 − P) with P = P(win) + ½·P(tie), what a model that was taught about `ties` says of people's choice."""
    if ties not in OUTCOMES:
        return margins
    outcomes = OUTCOMES[ties](torch.as_tensor(margins), tie_probability)
    half = outcomes.tie - math.log(2)
    return (torch.logaddexp(outcomes.win, half) - torch.logaddexp(outcomes.loss, half)).numpy()
