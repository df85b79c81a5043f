"""Static files and what a monitor asks."""

import mimetypes

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse

from accord.web.pages import STATIC, STYLE

router = APIRouter(include_in_schema=False)

#: Their addresses have a hash of the content, so that they never change.
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
FILES = {file.name: file for file in STATIC.iterdir() if file.is_file()} | {"style.css": STYLE}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@router.get("/static/{name}")
async def file(name: str) -> FileResponse:
    """One of the app's own files. Raises KeyError for any other name."""
    path = FILES[name]
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(name)[0]
    return FileResponse(path, media_type=kind, headers=FOR_EVER)


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """Whether the server answers."""
    return JSONResponse({"ok": True})
