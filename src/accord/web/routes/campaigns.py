"""Campaigns: what there are, a new one, and the rules of each."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from accord.feedback import Campaign, User
from accord.store import progress
from accord.web.campaign_form import BLANK, KINDS, by_field, fields_of, fields_typed, rules
from accord.web.forms import Typed, problems, text
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.schemas_curating import CampaignOut, NewCampaign, Settings, Totals

router = APIRouter()

#: What the pages say after something was done.
DONE = {"changed": "Saved.", "open": "Open: questions are asked again.", "closed": "Closed: nothing is asked any more."}


@router.get("/campaigns", include_in_schema=False)
def campaigns_page(request: Request, user: AsCurator, site: OfSite) -> Response:
    """All campaigns, the open ones first."""
    return page(request, "campaigns.html", user, campaigns=sorted(overview(user, site), key=lambda one: not one.open))


@router.get("/campaigns/new", include_in_schema=False)
def new_page(request: Request, user: AsCurator, site: OfSite) -> Response:
    """The form that makes a campaign."""
    return _new_form(request, user, BLANK, {})


@router.post("/campaigns/new", include_in_schema=False)
def new(request: Request, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Makes a campaign."""
    try:
        wish = NewCampaign(**rules(typed), guideline=text(typed, "guideline"))
    except ValidationError as error:
        return _new_form(request, user, fields_typed(typed), problems(error))
    made = create(wish, user, site)
    return RedirectResponse(f"/campaigns/{made.id}/draw?done=made", 303)


@router.get("/campaigns/{campaign_id}/settings", include_in_schema=False)
def settings_page(request: Request, campaign_id: str, user: AsCurator, site: OfSite, done: str = "") -> Response:
    """The form that changes a campaign."""
    campaign = site.campaigns.get(campaign_id)
    return _settings_form(request, user, campaign, fields_of(campaign), {}, DONE.get(done, ""))


@router.post("/campaigns/{campaign_id}/settings", include_in_schema=False)
def change_settings(request: Request, campaign_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Changes a campaign."""
    campaign = site.campaigns.get(campaign_id)
    try:
        change(campaign_id, Settings(**rules(typed)), user, site)
    except ValidationError as error:
        return _settings_form(request, user, campaign, fields_typed(typed), problems(error))
    return RedirectResponse(f"/campaigns/{campaign_id}/settings?done=changed", 303)


@router.post("/campaigns/{campaign_id}/open", include_in_schema=False)
def set_open(campaign_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Asks its questions again, or no more."""
    asked = text(typed, "open") == "yes"
    site.campaigns.change(replace(site.campaigns.get(campaign_id), open=asked))
    return RedirectResponse(f"/campaigns/{campaign_id}?done={'open' if asked else 'closed'}", 303)


@router.get("/api/campaigns", tags=["campaigns"])
def overview(user: AsCurator, site: OfSite) -> list[CampaignOut]:
    """All campaigns, the oldest first."""
    totals = site.progress.totals()
    return [_told(campaign, totals.get(campaign.id)) for campaign in site.campaigns.all()]


@router.post("/api/campaigns", tags=["campaigns"], status_code=201)
def create(wish: NewCampaign, user: AsCurator, site: OfSite) -> CampaignOut:
    """Makes a campaign. Its id is made from the title."""
    blank = Campaign("", "", wish.form, datetime.now(UTC))
    return _told(site.campaigns.create(_with(blank, wish), wish.guideline, user.name))


@router.get("/api/campaigns/{campaign_id}", tags=["campaigns"])
def campaign(campaign_id: str, user: AsCurator, site: OfSite) -> CampaignOut:
    """One campaign."""
    return _told(site.campaigns.get(campaign_id), site.progress.totals(campaign_id).get(campaign_id))


@router.put("/api/campaigns/{campaign_id}", tags=["campaigns"])
def change(campaign_id: str, wish: Settings, user: AsCurator, site: OfSite) -> CampaignOut:
    """Gives a campaign other rules; its form stays. A new overlap holds for all its questions."""
    site.campaigns.change(_with(site.campaigns.get(campaign_id), wish))
    return campaign(campaign_id, user, site)


def _with(campaign: Campaign, wish: Settings) -> Campaign:
    given: dict[str, Any] = {name: getattr(wish, name) for name in Settings.model_fields}
    return replace(campaign, **given | {name: tuple(given[name]) for name in ("tags", "skip_reasons")})


def _told(campaign: Campaign, totals: progress.Totals | None = None) -> CampaignOut:
    rules: dict[str, Any] = {name: getattr(campaign, name) for name in Settings.model_fields}
    return CampaignOut(
        **rules | {name: list(rules[name]) for name in ("tags", "skip_reasons")},
        id=campaign.id,
        created=campaign.created,
        totals=Totals(**(totals or progress.Totals())._asdict()),
    )


def _new_form(request: Request, user: User, values: dict[str, Any], wrong: dict[str, str]) -> Response:
    return page(request, "campaign_new.html", user, status=422 if wrong else 200, values=values, wrong=by_field(wrong))


def _settings_form(
    request: Request, user: User, campaign: Campaign, values: dict[str, Any], wrong: dict[str, str], said: str = ""
) -> Response:
    return page(
        request,
        "campaign_settings.html",
        user,
        status=422 if wrong else 200,
        campaign=campaign,
        kinds=[name for name, (form, _) in KINDS.items() if form is campaign.form],
        values=values,
        wrong=by_field(wrong),
        said=said,
    )
