"""The app's own files, as they are served: a file's address has a hash of its content, so that browsers may keep it."""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from accord.report import document

HERE = Path(__file__).parent / "static"
#: The report's style sheet is the base of all pages, so that a run looks alike in the app and in its report.
FILES = {file.name: file for file in HERE.iterdir() if file.is_file()} | {"style.css": document.HERE / "style.css"}

IMPORT = re.compile(r'^((?:import|export)\b[^"]*")\./([^"]+)(";)$', re.MULTILINE)


@lru_cache
def content(name: str) -> bytes:
    """A file's bytes. What a script imports has its hash in it too: a script must not import in a circle.

    Raises KeyError for a name that is no file's.
    """
    found = FILES[name].read_bytes()
    if not name.endswith(".js"):
        return found
    return IMPORT.sub(lambda seen: f"{seen[1]}{static(seen[2])}{seen[3]}", found.decode()).encode()


@lru_cache
def static(name: str) -> str:
    """The address of a file."""
    return f"/static/{name}?v={hashlib.sha256(content(name)).hexdigest()[:12]}"


@lru_cache
def imports(name: str) -> tuple[str, ...]:
    """The addresses of all that a script imports, and what that imports, so that a browser can ask for all at once."""
    return tuple(map(static, dict.fromkeys(_imports(name))))


def _imports(name: str) -> Iterator[str]:
    for seen in IMPORT.finditer(FILES[name].read_text("utf-8")):
        yield seen[2]
        yield from _imports(seen[2])
