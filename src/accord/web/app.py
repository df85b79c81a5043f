"""The web app: routes, what guards them, and how refusals are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from accord import __version__
from accord.feedback import AccordError
from accord.store.asking import Conflict
from accord.web.identity import Refused, Sessions
from accord.web.pages import page
from accord.web.security import SAFE, Guard, TooLarge
from accord.web.site import Site

ROUTES = ("assets", "entry", "home", "voting")

#: What may be asked for without being logged in; a test holds every other route to have a role.
PUBLIC = frozenset({"/static/{name}", "/enter", "/login", "/join", "/setup", "/healthz", "/api/openapi.json"})

BODY_LIMIT, UPLOAD_LIMIT = 2**20, 2**29


def create_app(site: Site) -> FastAPI:
    """The app that serves `site`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
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
    for name in ROUTES:
        app.include_router(import_module(f"accord.web.routes.{name}").router)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(Guard, addresses=site.addresses, body_limit=BODY_LIMIT, upload_limit=UPLOAD_LIMIT)
    return app


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
        return RedirectResponse("/login", 303)
    return _told(request, refusal.status, refusal.why)


async def _http(request: Request, error: Any) -> Response:
    return _told(request, error.status_code, str(error.detail))


async def _missing(request: Request, error: Any) -> Response:
    return _told(request, 404, f"{error.args[0] if error.args else 'that'}: not here")


async def _conflict(request: Request, error: Any) -> Response:
    return _told(request, 409, str(error))


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
    AccordError: _mendable,
    KeyError: _missing,
    TooLarge: _too_large,
}
