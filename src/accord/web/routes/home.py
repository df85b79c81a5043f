"""The first page: what there is to vote on, and how far it has come."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from accord.feedback import Campaign
from accord.store.progress import Totals
from accord.web.identity import AsAnnotator, OfSite
from accord.web.pages import page

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, user: AsAnnotator, site: OfSite) -> Response:
    """The campaigns."""
    totals = site.progress.totals()
    listed = [
        (
            campaign,
            totals.get(campaign.id, Totals()),
            site.progress.mine(campaign.id, user.annotator_id),
            site.progress.left(campaign.id, user.annotator_id),
        )
        for campaign in site.campaigns.all()
    ]
    counts = {} if listed else site.store.counts()
    return page(request, "home.html", user, listed=sorted(listed, key=_standing), counts=counts)


def _standing(one: tuple[Campaign, Totals, int, int]) -> tuple[bool, bool]:
    """What somebody can vote on comes first, what is closed last; else in the order in which they were made."""
    campaign, _, _, left = one
    return not campaign.open, not left
