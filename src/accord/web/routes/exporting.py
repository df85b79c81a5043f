"""What people said, as a file to keep."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from accord.feedback import AccordError, LabelMethod, User
from accord.web.exporting import export
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.schemas import Text
from accord.web.schemas_curating import ExportForm, FileType
from accord.web.site import Site
from accord.web.uploads import plain_name

router = APIRouter()

TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
CHUNK = 2**18

CampaignId = Annotated[Text, Query(max_length=200, description="Only the votes of this campaign.")]


@router.get("/export", include_in_schema=False)
def export_page(request: Request, user: AsCurator, site: OfSite, campaign: CampaignId = "") -> Response:
    """The form that asks for a file."""
    return _form(request, user, site, {"campaign": campaign})


@router.get("/export/file", include_in_schema=False)
def file_from_page(
    request: Request,
    user: AsCurator,
    site: OfSite,
    form: ExportForm = "dpo",
    labels: LabelMethod = "dawid_skene",
    type: FileType = "jsonl",
    campaign: CampaignId = "",
) -> Response:
    """The file, or the form with what is wrong."""
    try:
        return file(user, site, form, labels, type, campaign)
    except AccordError as error:
        chosen = {"form": form, "labels": labels, "type": type, "campaign": campaign}
        return _form(request, user, site, chosen, wrong=str(error))


@router.get("/api/export", tags=["import and export"], response_class=StreamingResponse)
def file(
    user: AsCurator,
    site: OfSite,
    form: ExportForm = "dpo",
    labels: LabelMethod = "dawid_skene",
    type: FileType = "jsonl",
    campaign: CampaignId = "",
) -> StreamingResponse:
    """The votes as TRL's rows (`dpo`, `kto`, `reward`), added up by a method; or all there is (`votes`, .jsonl alone),
    for `accord import` to read back. CSV cells that a spreadsheet would run as a formula get a ' in front."""
    if campaign:
        site.campaigns.get(campaign)
    folder = TemporaryDirectory(prefix="accord-export-")
    path = Path(folder.name, f"{plain_name(campaign or site.name)}-{form}.{type}")
    try:
        export(site.store, path, form, labels, campaign)
    except AccordError as error:
        raise AccordError(str(error).replace(str(path), path.name)) from error
    headers = {
        "content-disposition": f'attachment; filename="{path.name.encode("ascii", "replace").decode()}"',
        "content-length": str(path.stat().st_size),
    }
    return StreamingResponse(_streamed(folder, path), media_type=TYPES[type], headers=headers)


def _streamed(folder: TemporaryDirectory[str], path: Path) -> Iterator[bytes]:
    """The file's bytes. The folder goes when they are through, or nobody wants more of them."""
    with folder, path.open("rb") as read:
        while chunk := read.read(CHUNK):
            yield chunk


def _form(request: Request, user: User, site: Site, chosen: dict[str, str], wrong: str = "") -> Response:
    blank = {"form": "dpo", "labels": "dawid_skene", "type": "jsonl", "campaign": ""}
    return page(
        request,
        "export.html",
        user,
        status=422 if wrong else 200,
        campaigns=site.campaigns.all(),
        values=blank | chosen,
        wrong=wrong,
    )
