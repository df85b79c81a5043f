"""The work of `accord score`: a reward model's scores of the answers in rows, with its heads' disagreement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from accord.cli.answers import Answered, columns, plain
from accord.cli.run_models import on_gpu, trained
from accord.cli.which_run import reward_run
from accord.evaluation.interval import Floats
from accord.feedback import AccordError
from accord.policy.forward import causal_lm
from accord.policy.load import Policy
from accord.policy.reward_model import load_reward_model, reward_rows

BLOCK = 512  # rows that are scored together
Progress = Callable[[int], object]


class Scorer(NamedTuple):
    """A reward model ready to score. `limit` says how long rows may be: `max_length`, `truncation_mode`."""

    policy: Policy
    heads: int
    limit: dict[str, Any]


def load_scorer(name: str, project: Path | None = None, max_length: int | None = None) -> Scorer:
    """The reward model of a run, or any of Transformers' sequence-classification models with one label.

    Raises AccordError where it is none.
    """
    run = reward_run(name, project)
    if run is None:
        return _foreign(name, max_length)
    config = run.config()
    limit: dict[str, Any] = {key: config[key] for key in ("max_length", "truncation_mode") if key in config}
    policy = trained(run)
    return Scorer(policy, _config(policy).num_labels, limit | ({"max_length": max_length} if max_length else {}))


def _foreign(name: str, max_length: int | None) -> Scorer:
    policy = load_reward_model(name)
    config = _config(policy)
    adapted = hasattr(policy.model, "peft_config")  # its head was saved with it, or it would not have been loaded
    if not adapted and not any(kind.endswith("ForSequenceClassification") for kind in config.architectures or ()):
        raise AccordError(f"{name}: a language model, which gives no scores; train a reward model with `accord reward`")
    if config.num_labels > 1:
        raise AccordError(
            f"{name}: a classifier with {config.num_labels} labels, and a reward model has one (an ensemble of heads "
            "needs the run.json beside it)"
        )
    if torch.cuda.is_available():
        on_gpu(policy.model)
    longest = getattr(config.get_text_config(), "max_position_embeddings", None)
    return Scorer(policy, 1, {"max_length": max_length or longest})


def _config(policy: Policy) -> Any:
    return causal_lm(policy.model).config


@dataclass
class Tally:
    """What was scored so far: numbers of rows, of answers and of those that got no score, and the scores' range."""

    heads: int = 1
    rows: int = 0
    answers: int = 0
    not_scored: int = 0
    total: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    pairs: int = 0
    chosen_ahead: float = 0

    def add(self, column: str, scores: Floats) -> None:
        """The scores of one row, [answers], NaN where there is none."""
        self.rows += 1
        self.answers += len(scores)
        if not np.isfinite(scores).all():
            self.not_scored += len(scores)
            return
        self.total += scores.sum()
        self.lowest, self.highest = min(self.lowest, scores.min()), max(self.highest, scores.max())
        if column == "chosen":
            self.pairs += 1
            self.chosen_ahead += (np.sign(scores[0] - scores[1]) + 1) / 2

    def figures(self) -> dict[str, Any]:
        """As `--json` prints them: `mean_score`, `chosen_ahead` (share of the pairs) … where there are any."""
        found: dict[str, Any] = {
            "heads": self.heads,
            "rows": self.rows,
            "answers": self.answers,
            "not_scored": self.not_scored,
        }
        if scored := self.answers - self.not_scored:
            range_ = {"lowest_score": self.lowest, "mean_score": self.total / scored, "highest_score": self.highest}
            found |= {name: plain(value) for name, value in range_.items()}
        if self.pairs:
            found |= {"pairs": self.pairs, "chosen_ahead": self.chosen_ahead / self.pairs}
        return found


def scored(
    scorer: Scorer, rows: Iterable[Answered], name: str, tally: Tally, progress: Progress = lambda rows_done: None
) -> Iterator[dict[str, Any]]:
    """The rows as they were, in their order, with their scores in columns called after `name`."""
    rows, tally.heads = iter(rows), scorer.heads
    while block := list(islice(rows, BLOCK)):
        scores = score_block(scorer, block, _after(tally.rows, progress))
        for row, scores_KM in zip(block, scores, strict=True):
            tally.add(row.column, scores_KM.mean(1))
            yield row.record.values | columns(row, name, scores_KM)


def score_block(scorer: Scorer, block: Sequence[Answered], progress: Progress) -> list[Floats]:
    """[answers, heads] of each row. Those with equally many answers are asked together, each prompt once."""
    found: list[Floats] = [np.empty(0)] * len(block)
    model, tokenizer, _ = scorer.policy
    done = 0
    for count in {len(row.answers) for row in block}:
        places = [i for i, row in enumerate(block) if len(row.answers) == count]
        names = [str(i) for i in range(count)]
        asked = [{"prompt": block[i].prompt, **dict(zip(names, block[i].answers, strict=True))} for i in places]
        scores = reward_rows(model, tokenizer, asked, names, **scorer.limit, progress=_after(done, progress))
        done += len(places)
        for i, scores_KM in zip(places, scores, strict=True):
            found[i] = scores_KM
    return found


def _after(done: int, progress: Progress) -> Progress:
    """Counts on from `done`."""
    return lambda more: progress(done + more)
