"""Control questions: those whose right answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from accord.feedback import AccordError, Campaign, Control, Form, Question, Turn
from accord.feedback.answers import answer_of, passed
from accord.store import web_rows
from accord.store.campaigns import insert_questions
from accord.store.store import Store
from accord.store.web_tables import assignments, campaigns, questions


class Marked(NamedTuple):
    """What became of a list of control questions: how many are new, and how many were there and have been marked."""

    added: int
    marked: int


class Controls:
    """The control questions of a store. What was answered before is judged anew whenever a right answer changes."""

    def __init__(self, store: Store):
        self._store = store

    def set(self, question_id: str, control: Control | None) -> Question:
        """Says what the right answer to a question is; with None it is an ordinary question again.

        Raises KeyError, and AccordError where that is no answer to it.
        """
        with self._store.writing() as connection:
            return _mark(connection, question_id, control)

    def add(self, wanted: Sequence[Question]) -> Marked:
        """Adds control questions to a campaign, all or none; those that are there get their right answers.

        Raises AccordError as `set` and `Campaigns.add_questions` do.
        """
        with self._store.writing() as connection:
            added = insert_questions(connection, wanted)
            for question in wanted:
                _mark(connection, question.id, question.control)
        return Marked(added, len(wanted) - added)

    def outcomes(self) -> dict[str, tuple[int, int]]:
        """How many control questions each annotator has passed, and failed; those who had none are left out."""
        answered = (
            select(assignments.c.annotator_id, assignments.c.passed, func.count())
            .where(assignments.c.turn == Turn.ANSWERED, assignments.c.passed.is_not(None))
            .group_by(assignments.c.annotator_id, assignments.c.passed)
        )
        found: dict[str, tuple[int, int]] = {}
        with self._store.reading() as connection:
            for annotator_id, right, n in connection.execute(answered):
                before = found.get(annotator_id, (0, 0))
                found[annotator_id] = (before[0] + n, before[1]) if right else (before[0], before[1] + n)
        return found


def _check(campaign: Campaign, question: Question, control: Control | None) -> None:
    if control is None:
        return
    allowed = {
        Form.PAIR: (*question.response_ids, "tie"),
        Form.THUMB: ("up", "down"),
        Form.RANKING: question.response_ids,
    }[campaign.form]
    if control.right not in allowed:
        raise AccordError(f"right: {control.right} is none of {', '.join(allowed)}")


def _mark(connection: Connection, question_id: str, control: Control | None) -> Question:
    row = connection.execute(select(questions).where(questions.c.id == question_id).with_for_update()).first()
    if row is None:
        raise KeyError(question_id)
    question = web_rows.question(row)
    campaign = web_rows.campaign(
        connection.execute(select(campaigns).where(campaigns.c.id == question.campaign_id)).one()
    )
    _check(campaign, question, control)
    connection.execute(
        update(questions)
        .where(questions.c.id == question_id)
        .values(right_answer=control and control.right, reason=control.reason if control else "")
    )
    given = connection.execute(
        select(assignments).where(assignments.c.question_id == question_id, assignments.c.turn == Turn.ANSWERED)
    )
    for one in map(web_rows.assignment, given.all()):
        answer = answer_of(campaign.form, one.answer, len(one.shown))
        connection.execute(
            update(assignments)
            .where(assignments.c.question_id == question_id, assignments.c.annotator_id == one.annotator_id)
            .values(passed=passed(answer, one.shown, control) if control else None)
        )
    return replace(question, control=control)
