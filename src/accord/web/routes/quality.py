"""How far people agree, and whose votes say little: of a campaign, or of everything."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from accord.report import quality
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.routes.exporting import CampaignId

router = APIRouter()


@router.get("/quality", include_in_schema=False)
def quality_page(request: Request, user: AsCurator, site: OfSite, campaign: CampaignId = "") -> Response:
    """What the last survey found; one is made where there is none."""
    chosen = site.campaigns.get(campaign) if campaign else None
    look = site.surveys.of(campaign)
    return page(
        request,
        "quality_of.html",
        user,
        campaign=chosen,
        look=look,
        quality=quality.shown(look.found) if look.found else None,
    )


@router.post("/quality", include_in_schema=False)
def look_again(user: AsCurator, site: OfSite, campaign: CampaignId = "") -> Response:
    """Makes a new one."""
    if campaign:
        site.campaigns.get(campaign)
    site.surveys.of(campaign, again=True)
    return RedirectResponse(f"/quality?campaign={campaign}" if campaign else "/quality", 303)


@router.get("/api/quality", tags=["campaigns"])
def survey(user: AsCurator, site: OfSite, campaign: CampaignId = "") -> dict[str, Any]:
    """The same as numbers: `found` is null while the first survey is being made, and where nobody compared anything."""
    if campaign:
        site.campaigns.get(campaign)
    look = site.surveys.of(campaign)
    return look._asdict()
