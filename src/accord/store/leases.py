"""Which question is next, and for whom it is reserved."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from accord.feedback import Assignment, Campaign, Turn
from accord.store import web_rows
from accord.store.web_tables import ASKED, assignments, questions

# Statements are built once: building them anew takes longer than running them.
_TO_SHOW = questions.c.id, questions.c.response_ids
_OTHERS, _MINE = assignments.alias("others"), assignments.alias("mine")

#: How many others hold a lease on the question.
AT_WORK = (
    select(func.count())
    .where(
        _OTHERS.c.question_id == questions.c.id,
        _OTHERS.c.annotator_id != bindparam("the_annotator"),
        _OTHERS.c.turn == Turn.LEASED,
        _OTHERS.c.until > bindparam("now"),
    )
    .scalar_subquery()
)
#: Whether the annotator has been given the question.
HAD = (
    select(_MINE.c.question_id)
    .where(_MINE.c.question_id == questions.c.id, _MINE.c.annotator_id == bindparam("the_annotator"))
    .exists()
)
CONTROL = (
    select(*_TO_SHOW)
    .where(
        questions.c.campaign_id == bindparam("the_campaign"),
        questions.c.open,
        questions.c.right_answer.is_not(None),
        ~HAD,
    )
    .order_by(questions.c.rank, questions.c.id)
    .limit(1)
)
#: The first question that needs another answer and that the annotator has not been given.
WANTED = (
    select(*_TO_SHOW)
    .where(
        questions.c.campaign_id == bindparam("the_campaign"),
        ASKED,
        ~HAD,
        questions.c.answered + AT_WORK < questions.c.overlap,
    )
    .order_by(questions.c.rank, questions.c.id)
    .limit(1)
)
#: The same, locked until the transaction ends; those that others have locked are passed over.
WANTED_AND_FREE = WANTED.where(questions.c.id.not_in(bindparam("passed_over", expanding=True))).with_for_update(
    of=questions, skip_locked=True
)
STILL_WANTED = WANTED.where(questions.c.id == bindparam("the_question"))
#: What was leased to the annotator and is not on their page, and whether anybody is needed for it.
LEFT_OPEN = (
    select(
        assignments,
        or_(
            questions.c.right_answer.is_not(None),
            and_(questions.c.open, questions.c.answered + AT_WORK < questions.c.overlap),
        ).label("needed"),
    )
    .join(questions, questions.c.id == assignments.c.question_id)
    .where(
        assignments.c.campaign_id == bindparam("the_campaign"),
        assignments.c.annotator_id == bindparam("the_annotator"),
        assignments.c.turn == Turn.LEASED,
        assignments.c.question_id.not_in(bindparam("held", expanding=True)),
    )
    .order_by(assignments.c.at, questions.c.rank, questions.c.id)
)
_KEY = assignments.c.question_id == bindparam("the_question"), assignments.c.annotator_id == bindparam("the_annotator")
RENEW = update(assignments).where(*_KEY).values(until=bindparam("end"))
GIVE_BACK = delete(assignments).where(*_KEY)
GIVE = insert(assignments)


def lease(
    connection: Connection,
    campaign: Campaign,
    annotator_id: str,
    want: int,
    held: Sequence[str] | None,
    rng: random.Random,
) -> list[Assignment]:
    """Up to `want` questions, leased to the annotator: those first that were leased before and are not `held`.

    held  what the annotator's page holds; None where it holds all that was leased, so that only new ones are wanted
    """
    now = datetime.now(UTC)
    end = until(campaign, now)
    about = {"the_campaign": campaign.id, "the_annotator": annotator_id, "now": now}
    given = [] if held is None else _left_open(connection, about, want, held)
    for one in given:
        connection.execute(RENEW, _key(one) | {"end": end})
    for _ in range(want - len(given)):
        found = _control(connection, campaign, about, rng) or _wanted(connection, about)
        if found is None:
            break
        shown = list(found.response_ids)
        rng.shuffle(shown)
        fresh = Assignment(found.id, annotator_id, campaign.id, tuple(shown), Turn.LEASED, end, now)
        connection.execute(GIVE, web_rows.assignment_row(fresh))
        given.append(fresh)
    return given


def until(campaign: Campaign, now: datetime) -> datetime:
    """When a lease ends that is given now."""
    return now + timedelta(minutes=campaign.lease_minutes)


def _control(connection: Connection, campaign: Campaign, about: dict[str, Any], rng: random.Random) -> Any:
    """Now and then a control question that the annotator has not had."""
    if rng.random() >= campaign.control_share:
        return None
    return connection.execute(CONTROL, about).first()


def _wanted(connection: Connection, about: dict[str, Any]) -> Any:
    """The next question. On PostgreSQL several ask at a time; SQLite has one writer, which needs no locks."""
    if connection.dialect.name == "sqlite":
        return connection.execute(WANTED, about).first()
    passed_over: list[str] = []
    while row := connection.execute(WANTED_AND_FREE, about | {"passed_over": passed_over}).first():
        # A lease may have been written between that statement's look and its lock: look again, now that it is held.
        if connection.execute(STILL_WANTED, about | {"the_question": row.id}).first():
            return row
        passed_over.append(row.id)
    return None


def _left_open(connection: Connection, about: dict[str, Any], want: int, held: Sequence[str]) -> list[Assignment]:
    """What was leased and is not held; what needs nobody any more is given back."""
    found: list[Assignment] = []
    for row in connection.execute(LEFT_OPEN, about | {"held": list(held)}).all():
        one = web_rows.assignment(row)
        if not row.needed:
            connection.execute(GIVE_BACK, _key(one))
        elif len(found) < want:
            found.append(one)
    return found


def _key(given: Assignment) -> dict[str, str]:
    return {"the_question": given.question_id, "the_annotator": given.annotator_id}
