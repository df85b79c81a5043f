"""Control questions: which a campaign has, and files with more."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import UploadFile

from accord.exchange.control_questions import read_controls
from accord.feedback import AccordError, User
from accord.web import control_questions
from accord.web.asked import listed
from accord.web.forms import Typed, files
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.schemas_curating import Controls
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
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.get("/campaigns/{campaign_id}/controls", include_in_schema=False)
def controls_page(
    request: Request, campaign_id: str, user: AsCurator, site: OfSite, added: int = 0, marked: int = 0
) -> Response:
    """The control questions of a campaign, and the form that uploads more."""
    said = f"New control questions: {added:,}. Changed ones: {marked:,}." if added or marked else ""
    return _page(request, campaign_id, user, site, said=said)


@router.post("/campaigns/{campaign_id}/controls", include_in_schema=False)
def upload_from_page(request: Request, campaign_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Takes up a file of control questions."""
    try:
        made = _take_up(site, campaign_id, files(typed, "file"))
    except AccordError as error:
        return _page(request, campaign_id, user, site, wrong=str(error))
    return RedirectResponse(f"/campaigns/{campaign_id}/controls?added={made.added}&marked={made.marked}", 303)


@router.post("/api/campaigns/{campaign_id}/controls", tags=["questions"], openapi_extra=UPLOAD)
def upload(campaign_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Controls:
    """Takes up control questions from a .jsonl file (`file`), a row each: `{"prompt": …, "responses": [ … ], "right":
    …, "reason": …}`. `right` is a place among the responses from 0, or `tie`; for thumbs `up` or `down`."""
    return _take_up(site, campaign_id, files(typed, "file"))


def _take_up(site: Site, campaign_id: str, sent: list[UploadFile]) -> Controls:
    campaign = site.campaigns.get(campaign_id)
    with on_disk(sent) as paths:
        rows = [row for path in paths for row in read_controls(path, campaign.form)]
    made = control_questions.add(site.store, campaign, rows)
    return Controls(added=made.added, marked=made.marked)


def _page(request: Request, campaign_id: str, user: User, site: Site, *, wrong: str = "", said: str = "") -> Response:
    campaign = site.campaigns.get(campaign_id)
    found, total = site.campaigns.questions(campaign_id, only="control")
    return page(
        request,
        "controls.html",
        user,
        status=422 if wrong else 200,
        campaign=campaign,
        questions=listed(site, found),
        total=total,
        wrong=wrong,
        said=said,
    )
