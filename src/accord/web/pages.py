"""Pages from templates: everything that is put into one is escaped, and control characters are made visible."""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from accord.feedback import Role, User
from accord.report import document
from accord.report.words import visible
from accord.web.identity import csrf_token, site_of
from accord.web.static_files import imports, static

HERE = Path(__file__).parent


@lru_cache
def environment() -> Environment:
    """The templates of the app, and the report's for what both show."""
    made = Environment(
        loader=ChoiceLoader([FileSystemLoader(HERE / "templates"), FileSystemLoader(document.HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "visible": visible,
        "commands": document.commands,
        "markdown": markdown,
        "ago": ago,
        "moment": moment,
        "percent": lambda share: "–" if share is None else f"{100 * share:.0f} %",
    }
    made.globals |= {"static": static, "imports": imports, "Role": Role}
    return made


def page(request: Request, template: str, user: User | None, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The template filled in for `user`: with `site`, `user`, `csrf` and what else is given."""
    site = site_of(request)
    secret = request.cookies.get(site.cookie) or ""
    text = (
        environment()
        .get_template(template)
        .render(
            site=site, user=user, csrf=csrf_token(secret) if user and secret else "", here=request.url.path, **context
        )
    )
    return HTMLResponse(text.encode("utf-8", "replace"), status)


def markdown(text: str) -> Markup:
    """Markdown that anybody may have written, as HTML."""
    from accord.web.markup import rendered  # loads a parser that the first page does not need

    return Markup(rendered(text))


def ago(at: datetime) -> str:
    """How long ago, in words."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            n = int(seconds // size)
            return f"{n} {unit}{'s' if n > 1 else ''} ago"
    return "just now"


def moment(at: datetime) -> str:
    """A time as people write it; UTC, since the server does not know where the reader is."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
