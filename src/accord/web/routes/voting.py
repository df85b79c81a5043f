"""Voting: the page, and the API that it works with."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from accord.feedback import FLAG_REASONS, Said, Turn
from accord.store.asking import Cast, Item
from accord.store.progress import Totals
from accord.web import schemas
from accord.web.identity import AsAnnotator, OfSite, Refused
from accord.web.markup import rendered
from accord.web.pages import page
from accord.web.voting import shown

router = APIRouter()


@router.get("/vote/{campaign_id}", include_in_schema=False)
def vote_page(request: Request, campaign_id: str, user: AsAnnotator, site: OfSite) -> Response:
    """The page on which people vote."""
    return page(
        request,
        "vote.html",
        user,
        campaign=site.campaigns.get(campaign_id),
        guideline=site.campaigns.guideline(campaign_id),
        flag_reasons=FLAG_REASONS,
        mine=site.progress.mine(campaign_id, user.annotator_id),
        totals=site.progress.totals(campaign_id).get(campaign_id, Totals()),
    )


@router.post("/api/campaigns/{campaign_id}/next", tags=["voting"])
def next_questions(campaign_id: str, wish: schemas.More, user: AsAnnotator, site: OfSite) -> list[schemas.Shown]:
    """The next questions, reserved for the caller for a while."""
    return [shown(item) for item in site.asking.next(campaign_id, user.annotator_id, wish.want, wish.held)]


@router.post("/api/votes", tags=["voting"])
async def vote(given: schemas.Vote, user: AsAnnotator, site: OfSite) -> schemas.Saved:
    """Keeps a vote. When this answers, the vote is on disk."""
    said = Said(
        given.id,
        given.question,
        given.answer,
        seconds=given.seconds,
        comment=given.comment,
        tags=tuple(given.tags),
        guideline=given.guideline,
        supersedes=given.supersedes,
    )
    try:
        return await site.votes.do(Cast(user.annotator_id, said, given.want, given.held))
    except ValueError as error:
        raise Refused(422, str(error)) from None


@router.post("/api/skips", tags=["voting"])
def skip(left: schemas.Skip, user: AsAnnotator, site: OfSite) -> list[schemas.Shown]:
    """Leaves a question to others, and gives the next."""
    more = site.asking.skip(user.annotator_id, left.question, left.reason, left.want, left.held)
    return [shown(item) for item in more]


@router.post("/api/undo", tags=["voting"])
def undo(wish: schemas.Undo, user: AsAnnotator, site: OfSite) -> schemas.Shown:
    """Takes back the answer to a question, or that it was skipped, and gives it again."""
    return shown(site.asking.undo(user.annotator_id, wish.question, wish.id, wish.vote))


@router.post("/api/flags", tags=["voting"], status_code=204)
def flag(said: schemas.FlagIn, user: AsAnnotator, site: OfSite) -> None:
    """Says that something is wrong with a question."""
    site.asking.flag(user.annotator_id, said.question, said.id, said.reason, said.comment)


@router.get("/api/campaigns/{campaign_id}/recent", tags=["voting"])
def recent(campaign_id: str, user: AsAnnotator, site: OfSite) -> list[schemas.Done]:
    """The caller's last ten decisions, the newest first."""
    return [_done(item) for item in site.asking.recent(campaign_id, user.annotator_id)]


@router.get("/api/campaigns/{campaign_id}/standing", tags=["voting"])
def standing(campaign_id: str, user: AsAnnotator, site: OfSite) -> schemas.Standing:
    """How far the campaign and the caller have come, and whether the guideline is still the one in view."""
    campaign = site.campaigns.get(campaign_id)
    totals = site.progress.totals(campaign_id).get(campaign_id, Totals())
    return schemas.Standing(
        open=campaign.open,
        guideline=site.campaigns.guideline(campaign_id).version,
        mine=site.progress.mine(campaign_id, user.annotator_id),
        answers=totals.answers,
        wanted=totals.wanted,
    )


@router.get("/api/campaigns/{campaign_id}/guideline", tags=["voting"])
def guideline(campaign_id: str, _: AsAnnotator, site: OfSite) -> schemas.GuidelineShown:
    """The guideline as it stands."""
    newest = site.campaigns.guideline(campaign_id)
    return schemas.GuidelineShown(version=newest.version, html=rendered(newest.text))


def _done(item: Item) -> schemas.Done:
    given = item.assignment
    said = dict(given.answer) if given.turn is Turn.ANSWERED else {}
    comment, tags = said.pop("comment", ""), said.pop("tags", [])
    return schemas.Done(
        **shown(item).model_dump(),
        answer=said or None,
        vote=given.vote_id,
        comment=comment,
        tags=tags,
        reason=given.reason,
        at=given.at.isoformat(),
    )
