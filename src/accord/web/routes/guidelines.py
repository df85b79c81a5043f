"""What annotators are told: the text as it stands, how it was before, and a new version of it."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from accord.feedback import Guideline, User
from accord.web.forms import Typed, problems, text
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.schemas_curating import GuidelineOut, NewGuideline
from accord.web.site import Site

router = APIRouter()

DONE = {"saved": "Saved. Annotators see it from their next question on.", "same": "It stands so already."}


VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Line(NamedTuple):
    """A line of a version: `added`, `removed`, or `kept` from the one before."""

    change: str
    text: str


@router.get("/campaigns/{campaign_id}/guideline", include_in_schema=False)
def guideline_page(request: Request, campaign_id: str, user: AsCurator, site: OfSite, done: str = "") -> Response:
    """The guideline, to be read and edited."""
    newest = site.campaigns.guideline(campaign_id)
    return _form(request, campaign_id, user, site, newest.text, newest, said=DONE.get(done, ""))


@router.post("/campaigns/{campaign_id}/guideline", include_in_schema=False)
def change_guideline(request: Request, campaign_id: str, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Shows what was typed as annotators would see it, or keeps it as the next version."""
    written = text(typed, "text")
    newest = site.campaigns.guideline(campaign_id)
    if text(typed, "do") == "preview":
        return _form(request, campaign_id, user, site, written, newest, preview=True)
    if text(typed, "base") != str(newest.version):
        why = f"{newest.author} has saved version {newest.version} meanwhile. Yours takes its place if you save it now."
        return _form(request, campaign_id, user, site, written, newest, wrong=why)
    try:
        made = revise(campaign_id, NewGuideline(text=written), user, site)
    except ValidationError as error:
        return _form(request, campaign_id, user, site, written, newest, wrong=problems(error)["text"])
    done = "same" if made.version == newest.version else "saved"
    return RedirectResponse(f"/campaigns/{campaign_id}/guideline?done={done}", 303)


@router.get("/campaigns/{campaign_id}/guideline/{version}", include_in_schema=False)
def version_page(request: Request, campaign_id: str, version: VersionNumber, user: AsCurator, site: OfSite) -> Response:
    """One version, and what was changed in it."""
    shown = site.campaigns.guideline(campaign_id, version)
    before = site.campaigns.guideline(campaign_id, version - 1).text if version > 1 else ""
    return page(
        request,
        "guideline_version.html",
        user,
        campaign=site.campaigns.get(campaign_id),
        shown=shown,
        votes=site.campaigns.votes_by_version(campaign_id).get(version, 0),
        changes=list(changes(before, shown.text)),
        newest=site.campaigns.guideline(campaign_id).version,
    )


@router.get("/api/campaigns/{campaign_id}/guidelines", tags=["campaigns"])
def versions(campaign_id: str, user: AsCurator, site: OfSite) -> list[GuidelineOut]:
    """All versions of the guideline, the newest first."""
    votes = site.campaigns.votes_by_version(campaign_id)
    return [_told(guideline, votes.get(guideline.version, 0)) for guideline in site.campaigns.guidelines(campaign_id)]


@router.post("/api/campaigns/{campaign_id}/guidelines", tags=["campaigns"], status_code=201)
def revise(campaign_id: str, wish: NewGuideline, user: AsCurator, site: OfSite) -> GuidelineOut:
    """Adds a version; the same text again adds none. Gives the one that stands."""
    made = site.campaigns.revise(campaign_id, wish.text, user.name)
    return _told(made, site.campaigns.votes_by_version(campaign_id).get(made.version, 0))


def changes(before: str, after: str) -> Iterator[Line]:
    """The lines of `after`, and those of `before` that are gone where they stood."""
    old, new = before.splitlines(), after.splitlines()
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (Line("kept", line) for line in new[c:d])
        else:
            yield from (Line("removed", line) for line in old[a:b])
            yield from (Line("added", line) for line in new[c:d])


def _told(guideline: Guideline, votes: int) -> GuidelineOut:
    return GuidelineOut(
        version=guideline.version, text=guideline.text, author=guideline.author, at=guideline.at, votes=votes
    )


def _form(
    request: Request,
    campaign_id: str,
    user: User,
    site: Site,
    written: str,
    newest: Guideline,
    *,
    preview: bool = False,
    wrong: str = "",
    said: str = "",
) -> Response:
    return page(
        request,
        "guideline.html",
        user,
        status=422 if wrong else 200,
        campaign=site.campaigns.get(campaign_id),
        written=written,
        newest=newest,
        versions=versions(campaign_id, user, site),
        preview=preview,
        wrong=wrong,
        said=said,
    )
