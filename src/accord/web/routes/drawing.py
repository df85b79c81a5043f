"""From answers to questions: which to draw, how many that makes, and drawing them."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from accord.feedback import AccordError, Form, User
from accord.feedback.campaigns import PLACES
from accord.web import drawing
from accord.web.forms import Typed, problems, text, texts
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.schemas_curating import Draw, Drawn
from accord.web.site import Site

router = APIRouter()

DONE = {"made": "The campaign is made. It has no questions yet: draw some."}


@router.get("/campaigns/{campaign_id}/draw", include_in_schema=False)
def draw_page(request: Request, campaign_id: str, user: AsCurator, site: OfSite, done: str = "") -> Response:
    """The form that draws questions."""
    return _form(request, campaign_id, user, site, {}, said=DONE.get(done, ""))


@router.post("/campaigns/{campaign_id}/draw", include_in_schema=False)
def draw_from_page(request: Request, campaign_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Counts what would be drawn, to be confirmed, or draws it."""
    sure = text(typed, "do") == "draw"
    try:
        drawn = draw(campaign_id, Draw(**_wish(typed), dry_run=not sure), user, site)
    except ValidationError as error:
        return _form(request, campaign_id, user, site, _fields(typed), wrong=problems(error))
    except AccordError as error:
        return _form(request, campaign_id, user, site, _fields(typed), wrong={"size": str(error)})
    if sure:
        return RedirectResponse(f"/campaigns/{campaign_id}/questions?done=drawn&n={drawn.new}", 303)
    return _form(request, campaign_id, user, site, _fields(typed), drawn=drawn)


@router.post("/api/campaigns/{campaign_id}/questions", tags=["questions"])
def draw(campaign_id: str, wish: Draw, user: AsCurator, site: OfSite) -> Drawn:
    """Makes questions from the answers in the project. The same wish again makes no more of them."""
    campaign = site.campaigns.get(campaign_id)
    size = wish.size or drawing.SIZES[campaign.form]
    if size not in (places := PLACES[campaign.form]):
        expected = places[0] if len(places) == 1 else f"{places[0]} to {places[-1]}"
        raise AccordError(f"size: a question of this campaign has {expected} responses, not {size}")
    answers = drawing.answers(site.store, sources=wish.sources, splits=wish.splits)
    found = list(drawing.questions(campaign, answers, size=size, per_prompt=wish.per_prompt, seed=wish.seed))
    known = site.campaigns.question_ids(campaign_id)
    fresh = [question for question in found if question.id not in known]
    if not wish.dry_run:
        site.campaigns.add_questions(fresh)
    return Drawn(drawn=len(found), new=len(fresh), named=sum(bool(question.named) for question in fresh))


def _wish(typed: FormData) -> dict[str, Any]:
    return {
        "per_prompt": text(typed, "per_prompt", "2"),
        "size": text(typed, "size") or None,
        "seed": text(typed, "seed", "0"),
        "sources": texts(typed, "source"),
        "splits": texts(typed, "split"),
    }


def _fields(typed: FormData) -> dict[str, Any]:
    return _wish(typed) | {"size": text(typed, "size")}


def _form(
    request: Request,
    campaign_id: str,
    user: User,
    site: Site,
    values: dict[str, Any],
    *,
    wrong: dict[str, str] | None = None,
    drawn: Drawn | None = None,
    said: str = "",
) -> Response:
    campaign = site.campaigns.get(campaign_id)
    blank = {"per_prompt": "2", "size": "4", "seed": "0", "sources": [], "splits": []}
    return page(
        request,
        "draw.html",
        user,
        status=422 if wrong else 200,
        campaign=campaign,
        ranking=campaign.form is Form.RANKING,
        values=blank | values,
        wrong=wrong or {},
        drawn=drawn,
        sources=site.material.sources(),
        splits=site.material.splits(),
        said=said,
    )
