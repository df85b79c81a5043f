"""The first page: what there is to vote on, and how far it has come."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from accord.store.progress import Totals
from accord.web.identity import AsAnnotator, OfSite
from accord.web.pages import page

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, user: AsAnnotator, site: OfSite) -> Response:
    """The campaigns."""
    totals = site.progress.totals()
    listed = [
        (campaign, totals.get(campaign.id, Totals()), site.progress.mine(campaign.id, user.annotator_id))
        for campaign in site.campaigns.all()
    ]
    return page(request, "home.html", user, listed=listed)
