"""What all pages share: the templates and the style, how foreign text is shown, how a page is written."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from accord.report.words import visible

HERE = Path(__file__).parent
LONGEST_TEXT = 6000  # characters of one answer

STYLE = Markup((HERE / "style.css").read_text("utf-8"))
PAGES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def commands(text: str) -> Markup:
    """`text` with what stands between backticks set as code; everything is escaped first."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(visible(text)))))


PAGES.filters |= {"visible": visible, "commands": commands}
PAGES.globals |= {"style": STYLE}


def write_page(target: Path, page: str) -> Path:
    """Put a page in its place in one step, and say where that is."""
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.")
    with os.fdopen(handle, "wb") as file:
        file.write(page.encode("utf-8", "replace"))
    os.chmod(beside, 0o644)
    os.replace(beside, target)
    return target


def turns(content: Any) -> list[tuple[str, str]]:
    """(role, text) of each message; a text in its other form, a string, is one without a role."""
    if not isinstance(content, list) or not content:
        return [("", str(content))]
    messages = [message if isinstance(message, dict) else {"content": message} for message in content]
    return [(str(message.get("role", "")), str(message.get("content", ""))) for message in messages]


def cut(text: str) -> str:
    """A text, no longer than a page can bear."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text):,} characters in all)"
