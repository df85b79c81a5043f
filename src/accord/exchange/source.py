"""A file to be read, and a row of it. Formats know these two and never how a file is stored."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from accord.exchange.bad_input import BadInput, shown

#: One row as a container gives it: the line (or row) number, from 1, and the columns.
Line = tuple[int, dict[str, Any]]
#: Hears how many bytes more were read.
Progress = Callable[[int], object]

#: Lists and objects within one another: messages with parts make 3, so this is ample.
MAX_DEPTH = 32
NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,20})?(e[+-]\d{1,3})?")
#: What a JSON value is called in messages.
KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True)
class Source:
    """A file, or one split of a saved `datasets` folder.

    path    as the user named it, for messages
    stem    its name without suffixes: stands for the annotator where the file names none
    at      when it was last written (UTC)
    lines   reads it from the start
    split   `train`, `test`, or empty: what is known of all its rows
    typed   whether the container tells a number from a text (CSV does not)
    """

    path: Path
    stem: str
    at: datetime
    lines: Callable[[Progress], Iterator[Line]]
    split: str = ""
    typed: bool = True
    progress: Progress = lambda _: None

    def records(self) -> Iterator["Record"]:
        """Every row, in order. Raises BadInput where the file is broken."""
        for line, values in self.lines(self.progress):
            record = Record(self, line, values)
            for field, value in values.items():
                if why := unsound(field) or unsound(value):
                    raise record.bad(field, why)
            yield record

    def first(self) -> "Record":
        """The first row, whatever is in it. Raises BadInput where there is none."""
        for line, values in self.lines(lambda _: None):
            return Record(self, line, values)
        raise BadInput(self.path, 1, "file", "holds no rows (is it the right file?)")


@dataclass(frozen=True, slots=True)
class Record:
    """One row: the columns, and where they stand."""

    source: Source
    line: int
    values: dict[str, Any]

    @property
    def at(self) -> datetime:
        """The time of a vote that says none: the file's, and a microsecond a line, so that votes keep their order."""
        return self.source.at + timedelta(microseconds=self.line)

    def bad(self, field: str, why: str) -> BadInput:
        """The error that says what is wrong with `field` of this row."""
        return BadInput(self.source.path, self.line, field, why)

    def present(self, field: str) -> Any:
        """The value of `field`. Raises BadInput where there is none."""
        if field not in self.values:
            raise self.bad(field, f"is missing (this row has {', '.join(map(str, self.values)) or 'no columns'})")
        value = self.values[field]
        if value is None:
            raise self.bad(field, f"is {'null' if self.source.typed else 'empty'} (fill it in, or remove the row)")
        return value

    def text(self, field: str, *, blank: bool = False) -> str:
        """The text in `field`. Raises BadInput where it is none, or is blank and may not be."""
        if blank and not self.source.typed and field in self.values and self.values[field] is None:
            return ""
        return self.checked(field, self.present(field), blank=blank)

    def checked(self, field: str, value: Any, *, blank: bool = False) -> str:
        """`value`, found at `field`, if it is a text."""
        if not isinstance(value, str):
            raise self.bad(field, f"is {kind(value)}, expected text")
        if not blank and not value.strip():
            raise self.bad(field, "is empty (fill it in, or remove the row)")
        return value

    def name(self, field: str) -> str:
        """The text or whole number in `field`, as text: ids are written both ways."""
        value = self.present(field)
        return str(value) if type(value) is int else self.checked(field, value)

    def others(self, *used: str) -> dict[str, Any]:
        """What survives as `extra`: all but `used`, `split` and what is null. Cells that spell numbers are numbers."""
        left_out = {*used, "split"}
        rest = {key: value for key, value in self.values.items() if key not in left_out and value is not None}
        return rest if self.source.typed else {key: uncelled(value) for key, value in rest.items()}


def kind(value: object) -> str:
    """What people call such a value: `a number`, `a list` …"""
    return KINDS.get(type(value), type(value).__name__)


def uncelled(cell: Any) -> Any:
    """The number, true or false that `cell` spells, if writing that gives the same cell back: `007` stays a text."""
    if cell in ("true", "false"):
        return cell == "true"
    if not isinstance(cell, str) or not NUMBER.fullmatch(cell):
        return cell
    number = int(cell) if cell.lstrip("-").isdigit() else float(cell)
    return number if str(number) == cell else cell


def unsound(value: Any, depth: int = 0) -> str:
    """Why no database or tokenizer will take `value`; empty if there is no reason."""
    if isinstance(value, str):
        if "\0" in value:
            return f"has a NUL character: {shown(value)} (remove it)"
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                return f"has half a surrogate pair, {value[error.start]!r}, which is no character (remove it)"
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {value}, not a finite number (write null, or remove the row)"
    if isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} deep"
        parts = value if isinstance(value, list) else [*value, *value.values()]
        return next((why for part in parts if (why := unsound(part, depth + 1))), "")
    return "" if value is None or isinstance(value, int) else f"is {kind(value)}, which cannot be kept (remove it)"
