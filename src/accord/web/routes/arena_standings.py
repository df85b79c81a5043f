"""The Arena for curators: which models meet, and how they stand against each other."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from accord.feedback import AccordError, User
from accord.report.charts import interval_bar
from accord.report.facts import Estimate
from accord.report.words import visible
from accord.web import schemas_arena as schemas
from accord.web.arena.contenders import choose, chosen, contenders, meeting
from accord.web.arena.standings import standings
from accord.web.forms import Typed, text, texts
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.site import Site

router = APIRouter()

#: What the page says after something was done.
DONE = {
    "chosen": "Saved: each new conversation draws two of these.",
    "default": "Saved: the newest run meets again what it began with.",
}


@router.get("/arena/standings", include_in_schema=False)
def standings_page(request: Request, user: AsCurator, site: OfSite, done: str = "") -> Response:
    """Who meets, and how they stand."""
    return _page(request, user, site, said=DONE.get(done, ""))


@router.post("/arena/contenders", include_in_schema=False)
def choose_contenders(request: Request, user: AsCurator, site: OfSite, typed: Typed) -> Response:
    """Says who meets from now on."""
    names = [] if text(typed, "default") else texts(typed, "contender")
    if not names and not text(typed, "default"):
        return _page(request, user, site, wrong="Choose two or more.")
    try:
        choose(site, names)
    except AccordError as error:
        return _page(request, user, site, ticked=names, wrong=str(error))
    return RedirectResponse(f"/arena/standings?done={'chosen' if names else 'default'}", 303)


@router.get("/api/arena/standings", tags=["arena"])
def arena_standings(_: AsCurator, site: OfSite) -> list[schemas.ArenaStanding]:
    """How every two contenders stand against each other, the most votes first."""
    known = [contender.name for contender in contenders(site)]
    return standings(site.arena.tallies(), known, [contender.name for contender in meeting(site)])


@router.get("/api/arena/contenders", tags=["arena"])
def arena_contenders(_: AsCurator, site: OfSite) -> schemas.Contenders:
    """Which models may meet, and which do."""
    now = {contender.name for contender in meeting(site)}
    known = [
        schemas.ContenderOut(name=contender.name, base=contender.base, meets=contender.name in now)
        for contender in contenders(site)
    ]
    return schemas.Contenders(contenders=known, chosen=bool(chosen(site)))


@router.put("/api/arena/contenders", tags=["arena"])
def set_contenders(wish: schemas.ContendersIn, user: AsCurator, site: OfSite) -> schemas.Contenders:
    """Says which models meet from now on. Conversations that have begun go on as they are."""
    choose(site, wish.contenders)
    return arena_contenders(user, site)


def _page(
    request: Request, user: User, site: Site, *, ticked: list[str] | None = None, wrong: str = "", said: str = ""
) -> Response:
    field = arena_contenders(user, site)
    return page(
        request,
        "arena_standings.html",
        user,
        status=422 if wrong else 200,
        field=field,
        ticked=[each.name for each in field.contenders if each.meets] if ticked is None else ticked,
        rows=[(each, _bar(each)) for each in arena_standings(user, site)],
        wrong=wrong,
        said=said,
    )


def _bar(standing: schemas.ArenaStanding) -> str:
    if standing.share is None:
        return ""
    bounds = f"95 %: {standing.low:.0%} to {standing.high:.0%}"
    label = f"{visible(standing.first)} is preferred in {standing.share:.0%}, {bounds}"
    return interval_bar(Estimate(standing.share, standing.low, standing.high), label)
