"""JSON Lines and JSON, row by row: neither file is ever in memory as a whole."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from accord.exchange.bad_input import BadInput, shown
from accord.exchange.source import Line, kind

#: The longest row read, in bytes (characters in a JSON array). A longer one is a broken file, not a conversation.
MAX_ROW = 16 * 2**20
STEP = 2**20
BLANK = re.compile(r"[ \t\r\n]*")
#: A value cut off this close to the end may have been cut by the reader: an escape or a word such as `false`.
TAIL = 8


class _Repeated(Exception):
    """An object that has the same key twice."""


class _NotJSON(Exception):
    """NaN or Infinity, which Python writes and JSON does not have."""


class _Unfinished(BadInput):
    """The text ends before the value does."""


def _refuse(constant: str) -> Any:
    raise _NotJSON(constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Repeated(next(key for place, key in enumerate(keys) if key in keys[:place]))
    return row


DECODER = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_unique)


def text_lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    """The lines of a text file, endings kept. Raises BadInput at one that is not UTF-8 or is longer than MAX_ROW."""
    number = 0
    while raw := file.readline(MAX_ROW + 1):
        number += 1
        if len(raw) > MAX_ROW:
            raise BadInput(path, number, "text", f"the line is longer than {MAX_ROW >> 20} MiB (is this a text file?)")
        if number == 1:
            raw = _unmarked(path, raw)
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number, error) from None


def text_chunks(path: Path, file: IO[bytes]) -> Iterator[str]:
    """The same text in steps of about STEP characters, for files that may be one line."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    raw = _unmarked(path, file.read(STEP))
    while True:
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, line + error.object.count(b"\n", 0, error.start), error) from None
        line += raw.count(b"\n")
        if not raw:
            return
        yield text
        raw = file.read(STEP)


def _unmarked(path: Path, raw: bytes) -> bytes:
    """`raw`, the beginning of a file, without its byte order mark."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInput(path, 1, "text", "is UTF-16 (save the file as UTF-8)")
    return raw.removeprefix(codecs.BOM_UTF8)


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> BadInput:
    column = error.start - (error.object.rfind(b"\n", 0, error.start) + 1) + 1
    byte = error.object[error.start]
    return BadInput(path, line, "text", f"is not UTF-8: byte 0x{byte:02x} at column {column} (save the file as UTF-8)")


def json_lines(path: Path, file: IO[bytes]) -> Iterator[Line]:
    """One object a line; blank lines are passed over."""
    for number, text in enumerate(text_lines(path, file), 1):
        start = _past_blanks(text, 0)
        if start == len(text):
            continue
        value, end = _parse(path, number, text, start)
        if rest := text[end:].strip():
            raise BadInput(path, number, "json", f"more follows the value: {shown(rest)} (write one object a line)")
        yield number, _row(path, number, value)


def json_stream(path: Path, file: IO[bytes]) -> Iterator[Line]:
    """The objects of one array, or objects one after the other; each with the line on which it begins."""
    window = _Window(path, file)
    is_array = window.next_character() == "["
    if is_array:
        window.skip(1)
    first = True
    while (character := window.next_character()) not in ("", "]"):
        if is_array and not first:
            if character != ",":
                raise window.bad(f"expected ',' or ']' after the object, found {shown(character)}")
            window.skip(1)
            window.next_character()
        first = False
        line = window.line
        yield line, _row(path, line, window.value())
    if is_array and not character:
        raise window.bad("the array has no end (the file seems to be cut off)")
    window.skip(len(character))
    if character and (more := window.next_character()):
        raise window.bad(f"more follows the end of the array: {shown(more)}")


class _Window:
    """The part of a text that is being looked at: read on at its end, dropped at its beginning."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.line = path, 1
        self.chunks = text_chunks(path, file)
        self.text, self.at, self.ended = "", 0, False

    def read_on(self, wanted: int = STEP) -> None:
        """Drop what is behind; read `wanted` characters more, or to the end of the file."""
        parts, size = [self.text[self.at :]], 0
        while size < wanted and not self.ended:
            chunk = next(self.chunks, None)
            self.ended = chunk is None
            parts.append(chunk or "")
            size += len(parts[-1])
        self.text, self.at = "".join(parts), 0

    def skip(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def next_character(self) -> str:
        """The next character that is not blank, not consumed; empty at the end."""
        while True:
            self.skip(_past_blanks(self.text, self.at) - self.at)
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.read_on()

    def value(self) -> Any:
        """The value that begins here. Text is read on until it is whole."""
        while True:
            try:
                value, end = _parse(self.path, self.line, self.text, self.at)
            except _Unfinished:
                held = len(self.text) - self.at
                if held > MAX_ROW:
                    raise self.bad(f"the object is longer than {MAX_ROW >> 20} MiB (is a quote missing?)") from None
                if self.ended:
                    raise
                self.read_on(max(held, STEP))
            else:
                self.skip(end - self.at)
                return value

    def bad(self, why: str) -> BadInput:
        return BadInput(self.path, self.line, "json", why)


def _past_blanks(text: str, start: int) -> int:
    found = BLANK.match(text, start)
    return found.end() if found else start


def _parse(path: Path, line: int, text: str, start: int) -> tuple[Any, int]:
    """The JSON value at `start`, which is on line `line`, and where it ends."""
    try:
        return DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        at = line + text.count("\n", start, error.pos)
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise _Unfinished(path, at, "json", "ends in the middle of a value (is the file cut off?)") from None
        column = error.pos - (text.rfind("\n", 0, error.pos) + 1) + 1
        found = shown(text[error.pos : error.pos + 30].splitlines()[0])
        kind_of_error = _Unfinished if error.pos >= len(text) - TAIL else BadInput
        raise kind_of_error(path, at, "json", f"{error.msg} at column {column}, found {found}") from None
    except _Repeated as error:
        raise BadInput(path, line, str(error), "stands twice in one object (remove one)") from None
    except _NotJSON as error:
        raise BadInput(path, line, "json", f"{error} is not JSON (write null, or leave the field out)") from None
    except ValueError:
        raise BadInput(path, line, "json", "has a number of thousands of digits (write it as text)") from None
    except RecursionError:
        raise BadInput(path, line, "json", "is nested too deeply to be a row of data") from None


def _row(path: Path, line: int, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(path, line, "json", f"is {kind(value)}, expected an object with named columns")
    return value
