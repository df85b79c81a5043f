"""Rankings: several completions of one prompt, each with a score, as in UltraFeedback (Cui et al. 2023).

Every pair of them is a comparison that the higher score has won; equal scores are a tie. Scores have no unit: only
their order counts, and both are kept beside the comparison as `score_chosen` and `score_rejected`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from accord.exchange import conversation
from accord.exchange.formats.form import Format
from accord.exchange.formats.trl import JUDGED
from accord.exchange.judgements import Votes, by_row
from accord.exchange.source import Record, kind
from accord.feedback import Choice, Content, Noun


def _rows(record: Record, votes: Votes) -> Iterator[Noun]:
    asked = conversation.prompt(record)
    said, scores = _completions(record, asked), _scores(record)
    if len(said) != len(scores):
        raise record.bad("scores", f"has {len(scores)} for {len(said)} completions (give each completion one)")
    extra = record.others("prompt", "completions", "scores")
    for first, second in combinations(zip(scores, said, strict=True), 2):
        (high, better), (low, worse) = (second, first) if second[0] > first[0] else (first, second)
        choice = Choice.TIE if high == low else Choice.LEFT
        scored = extra | {"score_chosen": high, "score_rejected": low}
        yield from votes.comparison(record, asked, better, worse, scored, choice)


def _completions(record: Record, asked: Content) -> list[Content]:
    values = _list(record, "completions")
    if len(values) < 2:
        raise record.bad("completions", f"has {len(values)}, expected 2 or more to compare (or remove the row)")
    places = {f"completions[{place}]": value for place, value in enumerate(values)}
    each = replace(record, values=places)
    return [conversation.answer(each, place, asked) for place in places]


def _scores(record: Record) -> list[float]:
    for place, value in enumerate(found := _list(record, "scores")):
        if type(value) not in (int, float) or not math.isfinite(value):
            raise record.bad(f"scores[{place}]", f"is {kind(value)}, expected a number")
    return found


def _list(record: Record, field: str) -> list[Any]:
    value = record.present(field)
    if not isinstance(value, list):
        hint = "" if record.source.typed else " (CSV has none: write .jsonl)"
        raise record.bad(field, f"is {kind(value)}, expected a list{hint}")
    return value


RANKING = Format(
    "prompt, completions, scores (lists)", lambda row: JUDGED & row.keys() == {"completions"}, by_row(_rows)
)
