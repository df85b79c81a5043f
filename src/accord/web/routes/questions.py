"""A campaign's questions: the list, one of them with its votes, closing it, flags, and its right answer."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from accord.feedback import Control, User
from accord.store.campaigns import PAGE
from accord.web.asked import detail, flags_told, listed
from accord.web.forms import Typed, problems, text
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.schemas import Text
from accord.web.schemas_curating import (
    ControlIn,
    FlagOut,
    Only,
    QuestionChange,
    QuestionDetail,
    QuestionOut,
    QuestionPage,
)
from accord.web.site import Site

router = APIRouter()

DONE = {
    "drawn": "New questions: {n}.",
    "open": "It is asked again.",
    "closed": "It is not asked any more. What was answered stays.",
    "resolved": "Dealt with.",
    "control": "A control question now. Answers that were there are judged by it.",
    "ordinary": "An ordinary question again.",
}

Words = Annotated[Text, Query(max_length=200, description="Words that the prompt or the responses hold.")]
PageNumber = Annotated[int, Query(ge=0, le=10**6)]


@router.get("/campaigns/{campaign_id}/questions", include_in_schema=False)
def list_page(
    request: Request,
    campaign_id: str,
    user: AsCurator,
    site: OfSite,
    only: Only = "all",
    words: Words = "",
    number: PageNumber = 0,
    done: str = "",
    n: int = 0,
) -> Response:
    """The questions of a campaign."""
    found = questions(campaign_id, user, site, only, words, number)
    return page(
        request,
        "questions.html",
        user,
        campaign=site.campaigns.get(campaign_id),
        totals=site.progress.totals(campaign_id).get(campaign_id),
        found=found,
        only=only,
        words=words,
        number=number,
        last=max(0, (found.total - 1) // PAGE),
        flags=_flags_by_question(site, campaign_id) if only == "flagged" else {},
        said=DONE.get(done, "").format(n=f"{n:,}"),
    )


@router.get("/campaigns/{campaign_id}/questions/{question_id}", include_in_schema=False)
def question_page(
    request: Request, campaign_id: str, question_id: str, user: AsCurator, site: OfSite, done: str = ""
) -> Response:
    """One question, with everything that was said of it."""
    return _page(request, question_id, user, site, said=DONE.get(done, ""))


@router.post("/campaigns/{campaign_id}/questions/{question_id}/open", include_in_schema=False)
def open_from_page(campaign_id: str, question_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Asks the question again, or no more."""
    asked = text(typed, "open") == "yes"
    change(question_id, QuestionChange(open=asked), user, site)
    return _back(campaign_id, question_id, "open" if asked else "closed")


@router.post("/campaigns/{campaign_id}/questions/{question_id}/control", include_in_schema=False)
def control_from_page(
    request: Request, campaign_id: str, question_id: str, user: AsCurator, site: OfSite, typed: Typed
) -> Response:
    """Says what the right answer is."""
    right, reason = text(typed, "right"), text(typed, "reason")
    try:
        set_control(question_id, ControlIn(right=right, reason=reason), user, site)
    except ValidationError as error:
        wrong = problems(error) | ({} if right else {"right": "Choose the right answer."})
        return _page(request, question_id, user, site, wrong=wrong, typed={"right": right, "reason": reason})
    return _back(campaign_id, question_id, "control")


@router.post("/campaigns/{campaign_id}/questions/{question_id}/ordinary", include_in_schema=False)
def ordinary_from_page(campaign_id: str, question_id: str, user: AsCurator, site: OfSite) -> Response:
    """Makes it an ordinary question again."""
    no_control(question_id, user, site)
    return _back(campaign_id, question_id, "ordinary")


@router.post("/campaigns/{campaign_id}/questions/{question_id}/flags/{flag_id}", include_in_schema=False)
def resolve_from_page(campaign_id: str, question_id: str, flag_id: str, user: AsCurator, site: OfSite) -> Response:
    """Marks a flag as dealt with."""
    resolve(flag_id, user, site)
    return _back(campaign_id, question_id, "resolved")


@router.get("/api/campaigns/{campaign_id}/questions", tags=["questions"])
def questions(
    campaign_id: str, user: AsCurator, site: OfSite, only: Only = "all", words: Words = "", number: PageNumber = 0
) -> QuestionPage:
    """A page of a campaign's questions, in the order in which they are asked; `number` counts pages from 0."""
    site.campaigns.get(campaign_id)
    found, total = site.campaigns.questions(campaign_id, page=number, only=only, words=words)
    return QuestionPage(questions=listed(site, found), total=total)


@router.get("/api/questions/{question_id}", tags=["questions"])
def question(question_id: str, user: AsCurator, site: OfSite) -> QuestionDetail:
    """One question, with everything that was said of it."""
    return detail(site, site.campaigns.question(question_id))


@router.patch("/api/questions/{question_id}", tags=["questions"])
def change(question_id: str, wish: QuestionChange, user: AsCurator, site: OfSite) -> QuestionOut:
    """Asks a question again, or no more; what was answered stays."""
    site.campaigns.set_question(question_id, open=wish.open)
    return listed(site, [site.campaigns.question(question_id)])[0]


@router.put("/api/questions/{question_id}/control", tags=["questions"])
def set_control(question_id: str, wish: ControlIn, user: AsCurator, site: OfSite) -> QuestionOut:
    """Makes it a control question, or changes its right answer. Answers that are there are judged by it."""
    return listed(site, [site.controls.set(question_id, Control(wish.right, wish.reason))])[0]


@router.delete("/api/questions/{question_id}/control", tags=["questions"])
def no_control(question_id: str, user: AsCurator, site: OfSite) -> QuestionOut:
    """Makes it an ordinary question again."""
    return listed(site, [site.controls.set(question_id, None)])[0]


@router.get("/api/campaigns/{campaign_id}/flags", tags=["questions"])
def flags(campaign_id: str, user: AsCurator, site: OfSite, resolved: bool = False) -> list[FlagOut]:
    """What annotators say is wrong with questions, the latest first: what waits, or what was dealt with."""
    site.campaigns.get(campaign_id)
    return flags_told(site.campaigns.flags(campaign_id, resolved=resolved))


@router.post("/api/flags/{flag_id}/resolve", tags=["questions"], status_code=204)
def resolve(flag_id: str, user: AsCurator, site: OfSite) -> None:
    """Marks a flag as dealt with."""
    site.campaigns.resolve(flag_id)


def _flags_by_question(site: Site, campaign_id: str) -> dict[str, list[FlagOut]]:
    found: dict[str, list[FlagOut]] = {}
    for flag in flags_told(site.campaigns.flags(campaign_id)):
        found.setdefault(flag.question, []).append(flag)
    return found


def _back(campaign_id: str, question_id: str, done: str) -> Response:
    return RedirectResponse(f"/campaigns/{campaign_id}/questions/{question_id}?done={done}", 303)


def _page(
    request: Request,
    question_id: str,
    user: User,
    site: Site,
    *,
    wrong: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    said: str = "",
) -> Response:
    found = question(question_id, user, site)
    control = found.question.control
    standing = {"right": control.right, "reason": control.reason} if control else {"right": "", "reason": ""}
    return page(
        request,
        "question.html",
        user,
        status=422 if wrong else 200,
        campaign=site.campaigns.get(found.question.campaign),
        found=found,
        names={response.id: f"Answer {n}" for n, response in enumerate(found.responses, 1)},
        values=typed or standing,
        wrong=wrong or {},
        said=said,
    )
