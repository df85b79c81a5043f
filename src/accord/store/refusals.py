"""Why the database would not take a row, in words."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, select
from sqlalchemy.exc import SQLAlchemyError

from accord.feedback import AccordError, AnnotatorKind, Choice, Sides
from accord.store import tables
from accord.store.rows import Row

#: What a database driver raises for one bad value, beside SQLAlchemy's own.
REFUSALS = (SQLAlchemyError, UnicodeError, OverflowError, ValueError, TypeError)

CLOSED = {"choice": tuple(Choice), "sides": tuple(Sides), "kind": tuple(AnnotatorKind), "strength": (1, 2, 3, None)}


def explain(connection: Connection, statement: Any, table: Table, rows: list[Row]) -> AccordError | None:
    """Inserts `rows` one by one until one is refused; says which and why. None if all are taken this time."""
    for row in rows:
        try:
            with connection.begin_nested():
                connection.execute(statement, row)
        except REFUSALS as error:
            why = next(_reasons(connection, table, row), None) or _first_line(error)
            return AccordError(f"{_kind(table)} {_printable(row['id'])}: {why}")
    return None


def wrong_correction(connection: Connection, table: Table, ids: list[str]) -> AccordError | None:
    """The first of the votes `ids` that corrects somebody else's vote, or a vote on another prompt."""
    new, old = table.alias("new"), table.alias("old")
    differs = (new.c.annotator_id != old.c.annotator_id) | (new.c.prompt_id != old.c.prompt_id)
    found = connection.execute(
        select(new.c.id, old.c.id, new.c.annotator_id, old.c.annotator_id)
        .join(old, new.c.supersedes == old.c.id)
        .where(new.c.id.in_(ids), differs)
        .order_by(new.c.id)
    ).first()
    if found is None:
        return None
    vote, earlier, annotator, owner = found
    why = (
        f"it is on another prompt than {earlier}, which it supersedes (record it as a new vote)"
        if annotator == owner
        else f"{annotator} cannot supersede {earlier}, a vote of {owner} (only its own annotator can)"
    )
    return AccordError(f"{_kind(table)} {vote}: {why}")


def _kind(table: Table) -> str:
    return table.name.removesuffix("s")


def _printable(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _reasons(connection: Connection, table: Table, row: Row) -> Iterator[str]:
    yield from _bad_values(row)
    yield from _missing(connection, row)
    if row.get("supersedes"):
        yield from _uncorrectable(connection, table, row)


def _bad_values(row: Row) -> Iterator[str]:
    if not row["id"]:
        yield "id: empty (give each its own)"
    for name, value in row.items():
        if name in CLOSED and value not in CLOSED[name]:
            yield f"{name}: {value!r} is none of {', '.join(map(str, CLOSED[name]))}"
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False, default=str if name == "at" else None).encode()
        except UnicodeEncodeError:
            yield f"{name}: half of a surrogate pair, not Unicode text (read its source as UTF-8)"
        except (TypeError, ValueError, RecursionError) as error:
            yield f"{name}: cannot be written as JSON: {error}"


def _missing(connection: Connection, row: Row) -> Iterator[str]:
    def find(wanted: Column, id: str) -> str | None:
        return connection.scalar(select(wanted).where(wanted.table.c.id == id))

    if "annotator_id" in row and find(tables.annotators.c.id, row["annotator_id"]) is None:
        yield f"annotator {row['annotator_id']} is not in the store (add the annotator before the vote)"
    if "prompt_id" in row and find(tables.prompts.c.id, row["prompt_id"]) is None:
        yield f"prompt {row['prompt_id']} is not in the store (add the prompt first)"
    for name in ("left_id", "right_id", "response_id"):
        if name not in row:
            continue
        answered = find(tables.responses.c.prompt_id, row[name])
        if answered is None:
            yield f"{name}: response {row[name]} is not in the store (add the response before the vote)"
        elif answered != row["prompt_id"]:
            yield f"{name}: response {row[name]} answers prompt {answered}, not {row['prompt_id']}"


def _uncorrectable(connection: Connection, table: Table, row: Row) -> Iterator[str]:
    old = row["supersedes"]
    if old == row["id"]:
        yield "it supersedes itself"
    if connection.scalar(select(table.c.id).where(table.c.id == old)) is None:
        yield f"it supersedes {old}, which is not in the store (add the older vote first)"
    later = connection.scalar(select(table.c.id).where(table.c.supersedes == old))
    if later is not None:
        yield f"it supersedes {old}, which {later} has superseded already (supersede {later})"
