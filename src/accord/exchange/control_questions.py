"""Files of control questions: questions whose right answer is known, a row each.

    {"prompt": "What is 2 + 2?", "responses": ["4", "5"], "right": 0, "reason": "…"}

`right` is the place (from 0) of the better response, or of the one that belongs first; `tie` where two are alike; `up`
or `down` for a single one. `reason` may be left out. The training questions of llmfao
(`formats.llmfao`: id, text, result_x, result_y, golden, reason) are read as they are.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from accord.exchange import conversation
from accord.exchange.bad_input import shown
from accord.exchange.containers import sources
from accord.exchange.source import Record, kind
from accord.feedback import Content, Form, Message
from accord.feedback.campaigns import PLACES

COLUMNS = ("prompt", "responses", "right", "reason")
LLMFAO = {"text", "result_x", "result_y", "golden"}
GOLDEN: dict[str, int | str] = {"left": 0, "right": 1, "tie": "tie"}


class ControlRow(NamedTuple):
    """`right` is a place among the responses, or a word."""

    prompt: Content
    responses: tuple[Content, ...]
    right: int | str
    reason: str


def read_controls(path: str | Path, form: Form) -> Iterator[ControlRow]:
    """The control questions in a file, for a campaign of `form`. Raises BadInput at the first thing that is wrong."""
    for source in sources(Path(path)):
        for record in source.records():
            yield _llmfao(record, form) if record.values.keys() >= LLMFAO else _own(record, form)


def _own(record: Record, form: Form) -> ControlRow:
    for column in record.values:
        if column not in COLUMNS:
            raise record.bad(column, f"is no field of a control question ({', '.join(COLUMNS)})")
    asked = conversation.prompt(record)
    given = record.present("responses")
    if not isinstance(given, list):
        raise record.bad("responses", f"is {kind(given)}, expected a list")
    places = {f"responses[{place}]": value for place, value in enumerate(given)}
    each = replace(record, values=places)
    said = tuple(conversation.answer(each, place, asked) for place in places)
    reason = record.values.get("reason")
    return _checked(
        record,
        form,
        ControlRow(asked, said, _right(record, form, len(said)), record.checked("reason", reason or "", blank=True)),
    )


def _right(record: Record, form: Form, places: int) -> int | str:
    value = record.present("right")
    words = {Form.PAIR: ("tie",), Form.THUMB: ("up", "down"), Form.RANKING: ()}[form]
    is_place = type(value) is int and 0 <= value < places and form is not Form.THUMB
    if not is_place and value not in words:
        expected = [] if form is Form.THUMB else [f"a place from 0 to {places - 1}"]
        raise record.bad("right", f"is {shown(value)}, expected {' or '.join([*expected, *words])}")
    return value


def _llmfao(record: Record, form: Form) -> ControlRow:
    said = tuple(
        (Message("assistant", record.text(column, blank=True)),) for column in ("result_x", "result_y")
    )  # fmt: skip
    golden = record.text("golden")
    right = GOLDEN.get(golden)
    if right is None:
        raise record.bad("golden", f"is {shown(golden)}, expected left, right or tie")
    reason = record.checked("reason", record.values.get("reason") or "", blank=True)
    return _checked(record, form, ControlRow((Message("user", record.text("text")),), said, right, reason))


def _checked(record: Record, form: Form, row: ControlRow) -> ControlRow:
    allowed = PLACES[form]
    field = "responses" if "responses" in record.values else "result_x"
    if len(row.responses) not in allowed:
        expected = f"{allowed[0]}" if len(allowed) == 1 else f"{allowed[0]} to {allowed[-1]}"
        raise record.bad(field, f"has {len(row.responses)}, expected {expected} for a question of this campaign")
    if len(set(row.responses)) < len(row.responses):
        raise record.bad(field, "holds the same response twice (nobody could tell them apart)")
    return row
