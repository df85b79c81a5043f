"""Accord's own form: everything that a project knows, one noun a line, and back without loss.

    {"noun": "prompt", "id": …, "content": …}
    {"noun": "comparison", "id": …, "annotator_id": …, "prompt_id": …, "left_id": …, "choice": "left", "at": …, …}

The fields are those of `accord.feedback`; what is at its default is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from datetime import datetime
from typing import Any

from accord.exchange.bad_input import shown
from accord.exchange.conversation import content
from accord.exchange.formats.form import Format
from accord.exchange.source import Record, Source, kind
from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Message,
    Noun,
    Prompt,
    Rating,
    Response,
    Sides,
    to_json,
)

NOUNS: dict[str, type[Any]] = {
    "prompt": Prompt,
    "response": Response,
    "annotator": Annotator,
    "comparison": Comparison,
    "rating": Rating,
}
NAMES = {noun: name for name, noun in NOUNS.items()}
#: Which fields name another noun, and which.
REFERENCES = {"prompt_id": "prompt", "left_id": "response", "right_id": "response", "response_id": "response"}


def to_row(noun: Noun) -> dict[str, Any]:
    """`noun` as a line of the file."""
    values = {field.name: getattr(noun, field.name) for field in fields(noun) if not _is_default(noun, field)}
    return {"noun": NAMES[type(noun)]} | {name: _written(value) for name, value in values.items()}


def _is_default(noun: Noun, field: Field[Any]) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return getattr(noun, field.name) == default


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return to_json(value) if isinstance(value, tuple) else value


def _read(sources: list[Source]) -> Iterator[Noun]:
    known: dict[str, set[str]] = {name: set() for name in ("prompt", "response", "annotator")}
    for source in sources:
        for record in source.records():
            yield _noun(record, known)


def _noun(record: Record, known: dict[str, set[str]]) -> Noun:
    name = record.text("noun")
    if name not in NOUNS:
        raise record.bad("noun", f"is {shown(name)}, expected one of {', '.join(NOUNS)}")
    wanted = {field.name: field for field in fields(NOUNS[name])}
    for key in record.values:
        if key != "noun" and key not in wanted:
            raise record.bad(key, f"is no field of a {name} ({', '.join(wanted)})")
    values = {}
    for key, field in wanted.items():
        required = (field.default is MISSING and field.default_factory is MISSING) or key == "id"
        if required or record.values.get(key) is not None:
            values[key] = FIELDS[key](record, key)
    for key, other in (REFERENCES | {"annotator_id": "annotator"}).items():
        if key in values and values[key] not in known[other]:
            raise record.bad(key, f"{shown(values[key])} is no {other} of a line before this one")
    if name in known:
        known[name].add(values["id"])
    return NOUNS[name](**values)


def _content(record: Record, key: str) -> str | tuple[Message, ...]:
    return content(record, key, blank=True)  # people may have judged an empty answer


def _moment(record: Record, key: str) -> datetime:
    text = record.text(key)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise record.bad(key, f"is {shown(text)}, expected a time with its zone such as 2026-01-31T16:59:52+00:00")
    return at


def _flag(record: Record, key: str) -> bool:
    return _typed(record, key, bool)


def _object(record: Record, key: str) -> dict[str, Any]:
    return _typed(record, key, dict)


def _typed(record: Record, key: str, wanted: type[Any]) -> Any:
    value = record.present(key)
    if type(value) is not wanted:
        raise record.bad(key, f"is {kind(value)}, expected {kind(wanted())}")
    return value


def _seconds(record: Record, key: str) -> float:
    value = record.present(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise record.bad(key, f"is {shown(value)}, expected a number of seconds")
    return value


def _strength(record: Record, key: str) -> int:
    value = record.present(key)
    if type(value) is not int or value not in (1, 2, 3):
        raise record.bad(key, f"is {shown(value)}, expected 1, 2 or 3")
    return value


def _one_of(enum: Any) -> Callable[[Record, str], Any]:
    def read(record: Record, key: str) -> Any:
        text = record.text(key)
        if text not in list(enum):
            raise record.bad(key, f"is {shown(text)}, expected one of {', '.join(enum)}")
        return enum(text)

    return read


def _split(record: Record, key: str) -> str:
    if (text := record.text(key, blank=True)) not in ("", "train", "test"):
        raise record.bad(key, f"is {shown(text)}, expected train or test")
    return text


def _text(record: Record, key: str) -> str:
    return record.text(key, blank=True)


def _id(record: Record, key: str) -> str:
    return record.text(key)


FIELDS: dict[str, Callable[[Record, str], Any]] = {
    **dict.fromkeys(("id", "annotator_id", "supersedes", *REFERENCES), _id),
    **dict.fromkeys(("source", "comment", "guideline"), _text),
    **dict.fromkeys(("demonstration", "desirable", "withdrawn"), _flag),
    "content": _content,
    "split": _split,
    "extra": _object,
    "kind": _one_of(AnnotatorKind),
    "choice": _one_of(Choice),
    "sides": _one_of(Sides),
    "strength": _strength,
    "seconds": _seconds,
    "at": _moment,
}

VOTES = Format("noun, id, … (what accord export --form votes writes)", lambda row: "noun" in row, _read)
