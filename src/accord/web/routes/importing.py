"""Files from the browser, or a program, into the project."""

from typing import Any, get_args

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from accord.exchange import FORMATS
from accord.feedback import AccordError, User
from accord.web.drawing import first_campaign
from accord.web.forms import Typed, files, problems, text
from accord.web.identity import AsCurator, OfSite
from accord.web.importing import look, take_up
from accord.web.pages import page
from accord.web.schemas_curating import Imported, ImportWish, Split
from accord.web.site import Site
from accord.web.uploads import on_disk

router = APIRouter()

#: What OpenAPI says of a body that is read as a form.
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "description": "One file, or several that belong together.",
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                        "format": {
                            "description": "The files' format, where their columns do not tell it.",
                            "enum": list(FORMATS),
                            "type": "string",
                        },
                        "split": {"enum": [*get_args(Split)], "type": "string"},
                        "dry_run": {"type": "boolean"},
                    },
                }
            }
        },
    }
}


@router.get("/import", include_in_schema=False)
def import_page(request: Request, user: AsCurator, site: OfSite) -> Response:
    """The form that uploads files."""
    return _form(request, user)


@router.post("/import", include_in_schema=False)
def import_from_page(request: Request, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Takes up files, or looks at them."""
    sure = bool(typed.get("sure"))
    dry_run = text(typed, "do") == "look"
    if not sure and not dry_run:
        return _form(
            request, user, typed, wrong={"sure": "Tick this first: what was imported cannot be taken out again."}
        )
    try:
        done = _import(site, typed, dry_run)
    except ValidationError as error:
        return _form(request, user, typed, wrong=problems(error))
    except AccordError as error:
        return _form(request, user, typed, wrong={"file": str(error)})
    return _form(request, user, typed, done=done, dry_run=dry_run)


@router.post("/api/import", tags=["import and export"], openapi_extra=UPLOAD)
def import_files(user: AsCurator, site: OfSite, typed: Typed) -> Imported:
    """Reads files of any form that `accord import` reads into the project: all or, if anything is wrong, nothing.

    What was imported cannot be taken out again. With `dry_run` nothing is written: counts are of the files alone.
    """
    try:
        return _import(site, typed, None)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None


def _import(site: Site, typed: FormData, dry_run: bool | None) -> Imported:
    given = {name: text(typed, name) for name in ("format", "split", "dry_run") if text(typed, name)}
    wish = ImportWish(**given if dry_run is None else given | {"dry_run": dry_run})
    with on_disk(files(typed, "file")) as paths:
        if wish.dry_run:
            return Imported(**look(paths, wish.format, wish.split)._asdict(), questions=0)
        taken = take_up(site.store, paths, wish.format, wish.split)
    return Imported(**taken._asdict(), questions=first_campaign(site))


def _form(
    request: Request,
    user: User,
    typed: FormData | None = None,
    *,
    wrong: dict[str, str] | None = None,
    done: Imported | None = None,
    dry_run: bool = False,
) -> Response:
    values = {name: text(typed, name) if typed else "" for name in ("format", "split")}
    return page(
        request,
        "import.html",
        user,
        status=422 if wrong else 200,
        formats={name: format.about for name, format in FORMATS.items()},
        named_formats=[("", "as their columns tell"), *((name, name) for name in FORMATS)],
        values=values,
        wrong=wrong or {},
        done=done,
        dry_run=dry_run,
    )
