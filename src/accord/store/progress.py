"""How far campaigns have come, and what annotators decided."""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Text, and_, case, cast, func, select

from accord.feedback import Assignment, Turn
from accord.store import web_rows
from accord.store.rows import aware
from accord.store.store import BATCH, Store
from accord.store.web_tables import assignments, flags, questions


class Totals(NamedTuple):
    """Of one campaign. Control questions count in `controls` alone.

    questions  that are asked, or were answered often enough
    done       of these, answered often enough
    wanted     answers that they need in all
    answers    answers that they have, those beyond a question's overlap left out
    flags      that nobody has dealt with
    named      questions in which a response tells its model
    """

    questions: int = 0
    done: int = 0
    wanted: int = 0
    answers: int = 0
    controls: int = 0
    flags: int = 0
    named: int = 0


class Decision(NamedTuple):
    """What somebody decided of a question; fields as in `Assignment`, of which this is quicker to read."""

    question_id: str
    annotator_id: str
    answered: bool
    at: datetime
    seconds: float | None
    passed: bool | None
    shown: Sequence[str]
    answer: Mapping[str, Any]


class Progress:
    """Figures of a store's campaigns."""

    def __init__(self, store: Store):
        self._store = store

    def totals(self, campaign_id: str | None = None) -> dict[str, Totals]:
        """By campaign id, of all campaigns or of one; a campaign without questions is left out."""
        done = questions.c.answered >= questions.c.overlap
        asked = and_(questions.c.right_answer.is_(None), questions.c.open | done)
        sums = [
            func.sum(case((condition, value), else_=0))
            for condition, value in (
                (asked, 1),
                (and_(asked, done), 1),
                (asked, questions.c.overlap),
                (and_(asked, done), questions.c.overlap),
                (and_(asked, ~done), questions.c.answered),
                (questions.c.right_answer.is_not(None), 1),
                (questions.c.named != "", 1),
            )
        ]
        waiting = select(flags.c.campaign_id, func.count()).where(~flags.c.resolved).group_by(flags.c.campaign_id)
        with self._store.reading() as connection:
            flagged = {row[0]: row[1] for row in connection.execute(waiting)}
            chosen = select(questions.c.campaign_id, *sums).group_by(questions.c.campaign_id)
            if campaign_id is not None:
                chosen = chosen.where(questions.c.campaign_id == campaign_id)
            rows = connection.execute(chosen)
            return {
                row[0]: Totals(row[1], row[2], row[3], row[4] + row[5], row[6], flagged.get(row[0], 0), row[7])
                for row in rows
            }

    def mine(self, campaign_id: str, annotator_id: str) -> int:
        """How many questions of a campaign somebody has answered."""
        with self._store.reading() as connection:
            return connection.execute(
                select(func.count()).where(
                    assignments.c.campaign_id == campaign_id,
                    assignments.c.annotator_id == annotator_id,
                    assignments.c.turn == Turn.ANSWERED,
                )
            ).scalar_one()

    def left(self, campaign_id: str, annotator_id: str, most: int = 1000) -> int:
        """How many questions still need an answer that the annotator could give; counted up to `most`."""
        decided = select(assignments.c.question_id).where(
            assignments.c.question_id == questions.c.id,
            assignments.c.annotator_id == annotator_id,
            assignments.c.turn != Turn.LEASED,
        )
        wanted = (
            select(questions.c.id)
            .where(
                questions.c.campaign_id == campaign_id,
                questions.c.open,
                questions.c.right_answer.is_(None),
                questions.c.answered < questions.c.overlap,
                ~decided.exists(),
            )
            .limit(most)
        )
        with self._store.reading() as connection:
            return connection.execute(select(func.count()).select_from(wanted.subquery())).scalar_one()

    def decisions(self, campaign_id: str) -> Iterator[Decision]:
        """Everything that was answered or skipped, in no order."""
        columns = [assignments.c[name] for name in ("question_id", "annotator_id", "turn", "at", "seconds", "passed")]
        json_columns = (cast(assignments.c[name], Text) for name in ("shown", "answer"))
        chosen = select(*columns, *json_columns).where(
            assignments.c.campaign_id == campaign_id, assignments.c.turn != Turn.LEASED
        )
        decoded = lru_cache(2**16)(json.loads)  # most answers are like many others
        with self._store.reading() as connection:
            rows = connection.execution_options(yield_per=BATCH).execute(chosen)
            for question, annotator, turn, at, seconds, passed, shown, answer in rows:
                yield Decision(
                    question,
                    annotator,
                    turn == Turn.ANSWERED,
                    aware(at),
                    seconds,
                    passed,
                    decoded(shown),
                    decoded(answer),
                )

    def stamp(self, campaign_id: str) -> Hashable:
        """Something that is another whenever `decisions` would be."""
        made = select(func.count(), func.max(assignments.c.at)).where(
            assignments.c.campaign_id == campaign_id, assignments.c.turn != Turn.LEASED
        )
        controls = select(questions.c.id, questions.c.right_answer).where(
            questions.c.campaign_id == campaign_id, questions.c.right_answer.is_not(None)
        )
        with self._store.reading() as connection:
            return tuple(connection.execute(made).one()), *map(tuple, connection.execute(controls.order_by("id")))

    def on_question(self, question_id: str) -> list[Assignment]:
        """What was answered or skipped of one question, in the order of time."""
        chosen = select(assignments).where(assignments.c.question_id == question_id, assignments.c.turn != Turn.LEASED)
        with self._store.reading() as connection:
            rows = connection.execute(chosen.order_by(assignments.c.at, assignments.c.annotator_id))
            return [web_rows.assignment(row) for row in rows]
