"""The web app: routes, what guards them, and how refusals are told."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import quote

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from accord import __version__
from accord.feedback import AccordError
from accord.store.asking import Conflict
from accord.store.engine import DatabaseTrouble
from accord.web.identity import Refused, Sessions
from accord.web.later import Later
from accord.web.pages import page
from accord.web.security import SAFE, Guard, TooLarge
from accord.web.site import Site

#: What it takes to come in and to see the first page.
FIRST = ("assets", "entry", "home")
#: The paths of these; those that end with a slash stand for all that begin so.
EARLY = frozenset({"/", "/static/", "/healthz", "/enter", "/login", "/logout", "/logout/everywhere"})
ROUTES = (
    *FIRST,
    "voting",  # early, for a request is compared with one route after the other
    "joining",
    "people",
    "invites",
    "account",
    "runs",
    "runs_api",
    "campaigns",
    "dashboard",
    "quality",
    "guidelines",
    "drawing",
    "questions",
    "controls",
    "importing",
    "exporting",
    "arena",
    "arena_standings",
)

#: What may be asked for without being logged in; a test holds every other route to have a role.
PUBLIC = frozenset({"/static/{name}", "/enter", "/login", "/join", "/setup", "/reset", "/healthz", "/api/openapi.json"})

#: Requests that are worked on at a time, each in a thread. Votes take turns at the database anyway, and threads that
#: wait for it cost the one that has it.
THREADS = 6

BODY_LIMIT, UPLOAD_LIMIT = 2**20, 2**29


def create_app(site: Site, *, soon: bool = False) -> FastAPI:
    """The app that serves `site`; with `soon`, most of its routes are loaded after the first answer."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = THREADS
        yield
        if site.worker is not None:
            await site.worker.close()

    app = FastAPI(
        title="Accord",
        version=__version__,
        description="Votes of people on the answers of language models. Send an API token: `Authorization: Bearer …`.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.sessions = Sessions(site)
    _include(app, FIRST if soon else ROUTES)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    if soon:
        load, add = partial(_load, ROUTES), partial(_include, app, ROUTES[len(FIRST) :])
        app.add_middleware(Later, early=EARLY, load=load, add=add)
    app.add_middleware(Guard, addresses=site.addresses, body_limit=BODY_LIMIT, upload_limit=UPLOAD_LIMIT)
    return app


def _load(names: Iterable[str]) -> list[APIRouter]:
    return [import_module(f"accord.web.routes.{name}").router for name in names]


def _include(app: FastAPI, names: Iterable[str]) -> None:
    for router in _load(names):
        app.include_router(router)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _told(request: Request, status: int, why: str) -> Response:
    """A refusal: JSON for the API, a page for a browser."""
    if _is_api(request):
        return JSONResponse({"detail": why}, status)
    return page(request, "refused.html", None, status=status, why=why, title=TITLES.get(status, "This went wrong"))


TITLES = {403: "Not for you", 404: "Nothing here", 409: "Things have moved on"}


async def _refused(request: Request, refusal: Any) -> Response:
    if refusal.status == 401 and not _is_api(request) and request.method in SAFE:
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = f"?next={quote(there, safe='/')}" if request.app.state.site.team and there != "/" else ""
        return RedirectResponse(f"/login{back}", 303)
    return _told(request, refusal.status, refusal.why)


async def _http(request: Request, error: Any) -> Response:
    return _told(request, error.status_code, str(error.detail))


async def _missing(request: Request, error: Any) -> Response:
    return _told(request, 404, f"{error.args[0] if error.args else 'that'}: not here")


async def _conflict(request: Request, error: Any) -> Response:
    return _told(request, 409, str(error))


async def _later(request: Request, trouble: Any) -> Response:
    return _told(request, 503, str(trouble))  # pages keep what they could not send, and send it again


async def _mendable(request: Request, error: Any) -> Response:
    return _told(request, 400, str(error))


async def _too_large(request: Request, _: Any) -> Response:
    return _told(request, 413, "the body is larger than it says")


async def _invalid(request: Request, error: Any) -> Response:
    """One line a fault: where, and what is wrong there."""
    faults = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()]
    return _told(request, 422, "; ".join(faults))


#: What routes and the store may raise -> how it is told.
HANDLERS: dict[Any, Any] = {
    Refused: _refused,
    HTTPException: _http,
    RequestValidationError: _invalid,
    Conflict: _conflict,
    DatabaseTrouble: _later,
    AccordError: _mendable,
    KeyError: _missing,
    TooLarge: _too_large,
}
