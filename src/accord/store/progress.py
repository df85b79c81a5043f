"""How far campaigns have come, and what annotators decided."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import and_, case, func, select

from accord.feedback import Assignment, Turn
from accord.store import web_rows
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


class Progress:
    """Figures of a store's campaigns."""

    def __init__(self, store: Store):
        self._store = store

    def totals(self) -> dict[str, Totals]:
        """By campaign id; a campaign without questions is left out."""
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
            rows = connection.execute(select(questions.c.campaign_id, *sums).group_by(questions.c.campaign_id))
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

    def decisions(self, campaign_id: str) -> Iterator[Assignment]:
        """Everything that was answered or skipped, in the order of time."""
        chosen = select(assignments).where(assignments.c.campaign_id == campaign_id, assignments.c.turn != Turn.LEASED)
        with self._store.reading() as connection:
            rows = connection.execution_options(yield_per=BATCH).execute(
                chosen.order_by(assignments.c.at, assignments.c.question_id)
            )
            yield from map(web_rows.assignment, rows)
