"""Static files and what a monitor asks."""

import mimetypes
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from accord.web.static_files import content

router = APIRouter(include_in_schema=False)

#: Their addresses have a hash of the content, so that they never change.
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@router.get("/static/{name}")
async def file(name: str) -> Response:
    """One of the app's own files. Raises KeyError for any other name."""
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    return Response(content(name), media_type=kind, headers=FOR_EVER)


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """Whether the server answers."""
    return JSONResponse({"ok": True})
