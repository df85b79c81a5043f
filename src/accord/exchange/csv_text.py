"""CSV, row by row, and the one thing that spreadsheets make dangerous about it.

A cell that begins with = + - @ tab or carriage return is a formula to a spreadsheet. Such texts are written with a
`'` in front, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection), and read back without it; a
text that already begins with `'` and one of these gets one more, so that nothing is lost on the way.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from accord.exchange.bad_input import BadInput
from accord.exchange.json_text import MAX_ROW, text_lines
from accord.exchange.source import Line

FORMULA = re.compile(r"'*[=+\-@\t\r]")
DISARMED = re.compile(r"'+[=+\-@\t\r]")


def csv_lines(path: Path, file: IO[bytes]) -> Iterator[Line]:
    """The rows under a header, each with the line on which it begins; blank lines are passed over."""
    csv.field_size_limit(MAX_ROW)
    reader = csv.reader(text_lines(path, file), strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            why = "a quoted cell has no end" if "unexpected end" in str(error) else str(error)
            raise BadInput(path, line, "csv", f'{why} (cells are split by commas and quoted with ")') from None
        if cells is None:
            return
        if not cells:
            continue
        if not header:
            header = _header(path, line, cells)
        elif len(cells) != len(header):
            raise BadInput(path, line, "csv", f"has {len(cells)} cells where the header has {len(header)}")
        else:
            yield line, dict(zip(header, map(from_cell, cells), strict=True))


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for place, name in enumerate(names):
        if not name:
            raise BadInput(path, line, "header", f"column {place + 1} has no name")
        if name in names[:place]:
            raise BadInput(path, line, name, "is the name of two columns (rename or remove one)")
    return names


def from_cell(cell: str) -> Any:
    """What a cell says: nothing if it is empty, a list of messages if it is one in JSON, else its text."""
    if not cell:
        return None
    if DISARMED.match(cell):
        return cell[1:]
    if cell[0] == "[" and cell[-1] == "]":
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return cell
        return value if value and all(isinstance(item, dict) and "role" in item for item in value) else cell
    return cell


def to_cell(value: Any) -> str:
    """`value` as CSV has it: texts disarmed, lists and objects as JSON, null as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "'" + value if FORMULA.match(value) else value
    return json.dumps(value, ensure_ascii=False)
