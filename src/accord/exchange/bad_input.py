"""The one error of reading files: where it is, what is wrong there, what to do."""

from pathlib import Path

from accord.feedback import AccordError


class BadInput(AccordError):
    """`file:line: field: why (what to do)`, one line.

    `line` is the line of a text file, or the row (from 1) of a Parquet file or `datasets` folder. What concerns the
    file as a whole stands at line 1, field `file`.
    """

    def __init__(self, path: Path | str, line: int, field: str, why: str) -> None:
        super().__init__(plain(f"{path}:{line}: {field}: {why}"))


def plain(text: str) -> str:
    """`text` fit for one line of a terminal: control characters and surrogates are escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object, width: int = 40) -> str:
    """`value` as an error quotes it: its repr, cut to `width` characters."""
    text = repr(value)
    return plain(text if len(text) <= width else text[: width - 1] + "…")
