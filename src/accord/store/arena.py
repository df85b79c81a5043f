"""Votes that were cast in the Arena: they are in the table of all comparisons, and marked in `extra`."""

from typing import Any, NamedTuple

from sqlalchemy import String, case, cast, exists, func, select

from accord.feedback import Choice, Comparison
from accord.store.rows import MAPPERS
from accord.store.store import Store
from accord.store.tables import comparisons, responses

#: true, as SQLite and PostgreSQL give it from JSON.
TRUE = ("1", "true")


class Tally(NamedTuple):
    """How often somebody said the same of two sources' answers; of these votes, `named` have an answer that tells its
    model."""

    left: str
    right: str
    choice: Choice
    annotator_id: str
    votes: int
    named: int


class ArenaVotes:
    """The Arena's part of a store."""

    def __init__(self, store: Store):
        self._store = store

    def get(self, id: str) -> Comparison | None:
        """The comparison of that id, wherever it was cast."""
        with self._store.reading() as connection:
            row = connection.execute(select(comparisons).where(comparisons.c.id == id)).first()
        found: Any = None if row is None else MAPPERS[Comparison].to_noun(row)
        return found

    def tallies(self) -> list[Tally]:
        """All votes of the Arena that stand, in no order."""
        left, right, later = responses.alias("left_one"), responses.alias("right_one"), comparisons.alias("later")
        named = case((comparisons.c.extra["named"].as_string().is_not(None), 1), else_=0)
        columns = (left.c.source, right.c.source, comparisons.c.choice, comparisons.c.annotator_id)
        chosen = (
            select(*columns, func.count(), func.sum(named))
            .select_from(comparisons)
            .join(left, left.c.id == comparisons.c.left_id)
            .join(right, right.c.id == comparisons.c.right_id)
            .where(
                cast(comparisons.c.extra["arena"].as_string(), String).in_(TRUE),
                ~comparisons.c.withdrawn,
                ~exists().where(later.c.supersedes == comparisons.c.id),
            )
            .group_by(*columns)
        )
        with self._store.reading() as connection:
            rows = connection.execute(chosen).all()
        return [Tally(row[0], row[1], Choice(row[2]), *row[3:]) for row in rows]
