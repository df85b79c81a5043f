"""How many questions people have answered, and how fast."""

from datetime import UTC, datetime, timedelta
from statistics import median
from typing import NamedTuple

from sqlalchemy import func, select

from accord.feedback import Turn
from accord.store.rows import aware
from accord.store.store import Store
from accord.store.web_tables import assignments

#: The latest answers, of which the pace is told.
LATEST = 200


class Pace(NamedTuple):
    """Of one annotator, over all campaigns.

    answers  that stand
    week     of these, given within the last seven days
    seconds  that an answer takes: the median of the latest; None where no times are known
    last     when the latest was given
    """

    answers: int = 0
    week: int = 0
    seconds: float | None = None
    last: datetime | None = None


def pace(store: Store, annotator_id: str) -> Pace:
    """How somebody is getting on."""
    own = assignments.c.annotator_id == annotator_id, assignments.c.turn == Turn.ANSWERED
    since = datetime.now(UTC) - timedelta(days=7)
    with store.reading() as connection:
        answers, last = connection.execute(select(func.count(), func.max(assignments.c.at)).where(*own)).one()
        week = connection.execute(select(func.count()).where(*own, assignments.c.at > since)).scalar_one()
        took = connection.scalars(
            select(assignments.c.seconds)
            .where(*own, assignments.c.seconds.is_not(None))
            .order_by(assignments.c.at.desc())
            .limit(LATEST)
        ).all()
    return Pace(answers, week, median(took) if took else None, last and aware(last))


def answers(store: Store) -> dict[str, int]:
    """How many questions each annotator has answered, by annotator id; who has answered none is left out."""
    counted = select(assignments.c.annotator_id, func.count()).where(assignments.c.turn == Turn.ANSWERED)
    with store.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(counted.group_by(assignments.c.annotator_id))}
