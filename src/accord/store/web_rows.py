"""Rows of the web app's tables to nouns and back."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Table

from accord.feedback import Assignment, Campaign, Control, Flag, Form, Guideline, Question, Role, Turn, User
from accord.store.rows import Row, aware

#: A campaign's columns; its other fields are in `settings`.
COLUMNS = {"id", "title", "form", "created", "open"}
LISTS = ("tags", "skip_reasons")


def labelled(table: Table) -> list[Any]:
    """The table's columns, named so that several tables' fit into one row: `part` takes them apart again."""
    return [column.label(f"{table.name}.{column.name}") for column in table.c]


def part(row: Any, table: Table) -> SimpleNamespace:
    """One table's columns of a row that was selected with `labelled`."""
    values = row._mapping
    return SimpleNamespace(**{column.name: values[f"{table.name}.{column.name}"] for column in table.c})


def campaign_row(noun: Campaign) -> Row:
    values = {field.name: getattr(noun, field.name) for field in fields(noun)}
    settings = {name: list(v) if name in LISTS else v for name, v in values.items() if name not in COLUMNS}
    return {name: values[name] for name in COLUMNS} | {"form": str(noun.form), "settings": settings}


def campaign(row: Any) -> Campaign:
    settings: dict[str, Any] = {name: tuple(value) if name in LISTS else value for name, value in row.settings.items()}
    return Campaign(row.id, row.title, Form(row.form), aware(row.created), open=row.open, **settings)


def guideline(row: Any) -> Guideline:
    return Guideline(row.campaign_id, row.version, row.text, row.author, aware(row.at))


def question_row(noun: Question) -> Row:
    return {
        "id": noun.id,
        "campaign_id": noun.campaign_id,
        "prompt_id": noun.prompt_id,
        "response_ids": list(noun.response_ids),
        "rank": noun.rank,
        "overlap": noun.overlap,
        "right_answer": noun.control.right if noun.control else None,
        "reason": noun.control.reason if noun.control else "",
        "named": noun.named,
        "answered": noun.answered,
        "open": noun.open,
    }


def question(row: Any) -> Question:
    return Question(
        id=row.id,
        campaign_id=row.campaign_id,
        prompt_id=row.prompt_id,
        response_ids=tuple(row.response_ids),
        rank=row.rank,
        overlap=row.overlap,
        control=None if row.right_answer is None else Control(row.right_answer, row.reason),
        named=row.named,
        answered=row.answered,
        open=row.open,
    )


def assignment_row(noun: Assignment) -> Row:
    row = {field.name: getattr(noun, field.name) for field in fields(noun)}
    return row | {"shown": list(noun.shown), "turn": str(noun.turn), "answer": dict(noun.answer)}


def changes(noun: Assignment) -> Row:
    """Of its row what may change: not what was shown to whom."""
    row = {name: getattr(noun, name) for name in ("until", "at", "seconds", "vote_id", "reason", "passed")}
    return row | {"turn": str(noun.turn), "answer": dict(noun.answer)}


def assignment(row: Any) -> Assignment:
    values = {field.name: getattr(row, field.name) for field in fields(Assignment)}
    return Assignment(
        **values | {"shown": tuple(row.shown), "turn": Turn(row.turn), "until": aware(row.until), "at": aware(row.at)}
    )


def flag_row(noun: Flag) -> Row:
    return {field.name: getattr(noun, field.name) for field in fields(noun)}


def flag(row: Any) -> Flag:
    return Flag(**{field.name: getattr(row, field.name) for field in fields(Flag)} | {"at": aware(row.at)})


def user(row: Any) -> User:
    return User(row.id, row.name, row.annotator_id, Role(row.role), aware(row.created), row.active, row.local)
