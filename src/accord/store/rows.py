"""Nouns to rows and back. A row is a dict of column values; times are UTC."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Table

from accord.feedback import (
    AccordError,
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Noun,
    Prompt,
    Rating,
    Response,
    Sides,
    Vote,
    from_json,
    to_json,
)
from accord.store import tables

Row = dict[str, Any]


class Mapper(NamedTuple):
    """How one kind of noun is written to its table and read from it."""

    table: Table
    to_row: Callable[[Any], Row]
    to_noun: Callable[[Any], Noun]  # of a row as SQLAlchemy gives it, its columns as attributes


def _utc(vote: Vote) -> datetime:
    if vote.at.tzinfo is None:
        kind = type(vote).__name__.lower()
        raise AccordError(f"{kind} {vote.id}: at: {vote.at.isoformat()} has no time zone (append +00:00 if it is UTC)")
    return vote.at.astimezone(UTC)


def aware(at: datetime) -> datetime:
    """SQLite keeps no time zone, PostgreSQL answers in the session's."""
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    return extra if type(extra) is dict else dict(extra)


def _annotator_row(noun: Annotator) -> Row:
    return {"id": noun.id, "kind": str(noun.kind), "extra": _plain(noun.extra)}


def _annotator(row: Any) -> Annotator:
    return Annotator(row.id, AnnotatorKind(row.kind), row.extra)


def _prompt_row(noun: Prompt) -> Row:
    return {"id": noun.id, "content": to_json(noun.content), "split": noun.split, "extra": _plain(noun.extra)}


def _prompt(row: Any) -> Prompt:
    return Prompt(from_json(row.content), row.split, row.extra, row.id)


def _response_row(noun: Response) -> Row:
    return {
        "id": noun.id,
        "prompt_id": noun.prompt_id,
        "content": to_json(noun.content),
        "source": noun.source,
        "demonstration": noun.demonstration,
        "extra": _plain(noun.extra),
    }


def _response(row: Any) -> Response:
    return Response(row.prompt_id, from_json(row.content), row.source, row.demonstration, row.extra, row.id)


def _vote_row(vote: Vote) -> Row:
    return {
        "id": vote.id,
        "annotator_id": vote.annotator_id,
        "prompt_id": vote.prompt_id,
        "at": _utc(vote),
        "comment": vote.comment,
        "seconds": vote.seconds,
        "guideline": vote.guideline,
        "supersedes": vote.supersedes,
        "extra": _plain(vote.extra),
        "withdrawn": vote.withdrawn,
    }


def _comparison_row(vote: Comparison) -> Row:
    row = _vote_row(vote)
    row["left_id"] = vote.left_id
    row["right_id"] = vote.right_id
    row["choice"] = str(vote.choice)
    row["sides"] = str(vote.sides)
    row["strength"] = vote.strength
    return row


def _comparison(row: Any) -> Comparison:
    return Comparison(
        id=row.id,
        annotator_id=row.annotator_id,
        prompt_id=row.prompt_id,
        left_id=row.left_id,
        right_id=row.right_id,
        choice=Choice(row.choice),
        at=aware(row.at),
        sides=Sides(row.sides),
        strength=row.strength,
        comment=row.comment,
        seconds=row.seconds,
        guideline=row.guideline,
        supersedes=row.supersedes,
        extra=row.extra,
        withdrawn=row.withdrawn,
    )


def _rating_row(vote: Rating) -> Row:
    return {**_vote_row(vote), "response_id": vote.response_id, "desirable": vote.desirable}


def _rating(row: Any) -> Rating:
    return Rating(
        id=row.id,
        annotator_id=row.annotator_id,
        prompt_id=row.prompt_id,
        response_id=row.response_id,
        desirable=row.desirable,
        at=aware(row.at),
        comment=row.comment,
        seconds=row.seconds,
        guideline=row.guideline,
        supersedes=row.supersedes,
        extra=row.extra,
        withdrawn=row.withdrawn,
    )


#: In the order in which tables may be filled: each names only what stands before it.
MAPPERS: dict[type, Mapper] = {
    Annotator: Mapper(tables.annotators, _annotator_row, _annotator),
    Prompt: Mapper(tables.prompts, _prompt_row, _prompt),
    Response: Mapper(tables.responses, _response_row, _response),
    Comparison: Mapper(tables.comparisons, _comparison_row, _comparison),
    Rating: Mapper(tables.ratings, _rating_row, _rating),
}
