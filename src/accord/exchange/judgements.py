"""Rows that say what somebody thought of a response, made into nouns."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from accord.exchange.bad_input import shown
from accord.exchange.containers import split_named
from accord.exchange.source import Record, Source, kind
from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Content,
    Noun,
    Prompt,
    Rating,
    Response,
    fingerprint,
)

#: Columns that name who voted, the first that is there counts.
ANNOTATORS = ("annotator_id", "annotator", "worker_id", "worker")
#: Columns in which a file says how sure its labels are.
SURE = ("p_chosen", "p_tie", "p_desirable")
#: How files write thumbs. Numbers and words are looked up in lower case.
THUMBS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "good", "up", "desirable", "thumbs_up", "👍", "chosen"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "bad", "down", "undesirable", "thumbs_down", "👎", "rejected"), False),
}


class Votes:
    """Gives the rows of one source their votes, with ids that are the same whenever and in whatever form it is read.

    A vote's id is made of what it says and of how often it was said before in the same file: a file that grew, was
    sorted or went from CSV to Parquet adds only what is new, and a row that stands twice is two votes, for the doctor
    to find. (Remembering what was said takes about 80 bytes a row.)
    """

    def __init__(self) -> None:
        self.repeats: Counter[int] = Counter()
        self.said: set[int] = set()

    def id(self, *said: object) -> str:
        once = fingerprint("vote", *said)
        key = int(once[:15], 16)
        if key not in self.said:
            self.said.add(key)
            return once
        self.repeats[key] += 1
        return fingerprint("vote", *said, self.repeats[key])

    def comparison(
        self,
        record: Record,
        asked: Content,
        better: Content,
        worse: Content,
        extra: dict[str, Any],
        choice: Choice = Choice.LEFT,
    ) -> Iterator[Noun]:
        """`better` was chosen over `worse`, or with `choice` a tie: it stands on the left, and nobody knows how it was
        shown."""
        prompt = Prompt(asked, split=split_of(record))
        left, right = Response(prompt.id, better), Response(prompt.id, worse)
        annotator, extra = _annotator(record, _with_numbers(record, extra))
        vote_id = self.id("comparison", annotator.id, prompt.id, left.id, right.id, extra)
        yield from (prompt, left, right, annotator)
        yield Comparison(vote_id, annotator.id, prompt.id, left.id, right.id, choice, record.at, extra=extra)

    def rating(
        self, record: Record, asked: Content, said: Content, desirable: bool, extra: dict[str, Any]
    ) -> Iterator[Noun]:
        """Thumb up or down for the response `said`."""
        prompt = Prompt(asked, split=split_of(record))
        response = Response(prompt.id, said)
        annotator, extra = _annotator(record, _with_numbers(record, extra))
        vote_id = self.id("rating", annotator.id, prompt.id, response.id, desirable, extra)
        yield from (prompt, response, annotator)
        yield Rating(vote_id, annotator.id, prompt.id, response.id, desirable, record.at, extra=extra)


def demonstration(record: Record, asked: Content, said: Content, extra: dict[str, Any]) -> Iterator[Noun]:
    """`said` is what should be answered."""
    prompt = Prompt(asked, split=split_of(record))
    yield from (prompt, Response(prompt.id, said, demonstration=True, extra=extra))


def _annotator(record: Record, extra: dict[str, Any]) -> tuple[Annotator, dict[str, Any]]:
    """Who the row says voted, and `extra` without them. A file that names nobody is itself the annotator."""
    for column in ANNOTATORS:
        if record.values.get(column) is not None:
            return Annotator(record.name(column)), {key: value for key, value in extra.items() if key != column}
    return Annotator(f"dataset:{record.source.stem}", AnnotatorKind.DATASET), extra


def _with_numbers(record: Record, extra: dict[str, Any]) -> dict[str, Any]:
    """`extra`, in which what training reads as numbers are numbers, if the file has them."""
    numbers = {column: _number(record, extra[column]) for column in (*SURE, "margin") if column in extra}
    for column in SURE:
        value = numbers.get(column, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise record.bad(column, f"is {shown(value)}, expected a probability from 0 to 1")
    return extra | numbers


def _number(record: Record, value: Any) -> Any:
    """The number that a CSV cell spells, however it spells it; all else as it is."""
    if record.source.typed or not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def split_of(record: Record) -> str:
    """`train` or `test`: what the command line or the folder says, else the row's column `split`, else nothing."""
    if record.source.split:
        return record.source.split
    value = record.values.get("split")
    if value is None or value == "":
        return ""
    split = split_named(value) if isinstance(value, str) else ""
    if not split:
        raise record.bad("split", f"is {shown(value)}, expected train or test (or say --split for the whole file)")
    return split


def thumb(record: Record, field: str) -> bool:
    """The thumb in `field`: true and false, 1 and 0, or one of the words in THUMBS."""
    value = record.present(field)
    if isinstance(value, dict | list) or str(value).strip().lower() not in THUMBS:
        found = shown(value) if isinstance(value, str | int | float) else kind(value)
        raise record.bad(field, f"is {found}, expected true or false (or 1 and 0, good and bad, up and down)")
    return THUMBS[str(value).strip().lower()]


Reader = Callable[[list[Source]], Iterator[Noun]]


def by_row(nouns: Callable[[Record, Votes], Iterator[Noun]]) -> Reader:
    """A format that reads each row by itself."""

    def read(sources: list[Source]) -> Iterator[Noun]:
        for source in sources:
            votes = Votes()
            for record in source.records():
                yield from nouns(record, votes)

    return read
