"""Training runs: all of them, one live, its report, several side by side."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from accord.feedback import User
from accord.report import comparison as compared
from accord.report import page as run_report
from accord.report.comparison import page as comparison_report
from accord.report.side_by_side import MOST_RUNS, beside
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.runs.folder import fingerprint, read_folder, standing
from accord.web.runs.parts import STRANGE, course, headlines, shown
from accord.web.runs.places import all_runs, comparison, comparisons, run_folder
from accord.web.runs.reports import report
from accord.web.site import Site

router = APIRouter(include_in_schema=False)

COMPARE = "compare"  # an address of its own, and a name that a run may have
PROMPTS_OPEN, FIGURES_OPEN = 4, 6


@router.get("/runs")
def runs(request: Request, user: AsCurator, site: OfSite) -> Response:
    """The runs, newest first."""
    return _list(request, user, site)


@router.get("/runs/compare")
def compare(
    request: Request,
    user: AsCurator,
    site: OfSite,
    run: Annotated[list[str], Query(default_factory=list)],
    choose: bool = False,
) -> Response:
    """Several runs side by side; the choice of them where there are too few or too many, or with `choose`."""
    names = list(dict.fromkeys(run))
    if not names and (site.runs / COMPARE / "run.json").is_file():
        return _one(request, user, run_folder(site, COMPARE))
    paths = [run_folder(site, name) for name in names]
    if choose:
        return _list(request, user, site, names)
    if not 2 <= len(paths) <= MOST_RUNS:
        return _list(request, user, site, names, f"Choose two runs to compare, or up to {MOST_RUNS}.")
    folders = [read_folder(path) for path in paths]
    notes = [f"{folder.name}: {note}" for folder in folders for note in folder.notes]
    try:
        found = beside([folder.facts for folder in folders])
    except STRANGE:
        return _list(request, user, site, names, "A record in one of these does not look as Accord writes it.")
    return page(
        request, "run_compare.html", user, beside=found, folders=folders, notes=notes, left=comparisons(site),
        prompts_open=PROMPTS_OPEN, figures_open=FIGURES_OPEN, moment=_moment,
    )  # fmt: skip


@router.get("/runs/{name}")
def one(request: Request, name: str, user: AsCurator, site: OfSite) -> Response:
    """One run, which renews itself while it trains."""
    return _one(request, user, run_folder(site, name))


@router.get("/runs/{name}/live")
def live(request: Request, name: str, user: AsCurator, site: OfSite) -> Response:
    """What may have changed on the page of the run. Unchanged, it costs a look at the folder."""
    path = run_folder(site, name)
    tag = _tag(path)
    if tag in request.headers.get("if-none-match", ""):  # a proxy that compresses may have put W/ before it
        return Response(status_code=304, headers={"etag": tag})
    response = page(request, "run_live.html", user, **_context(path))
    response.headers["etag"] = tag
    return response


@router.get("/runs/{name}/report")
def run_page(name: str, _: AsCurator, site: OfSite) -> Response:
    """The run's report, made from its records as they are now."""
    path = run_folder(site, name)
    return report(lambda: run_report.render(read_folder(path).facts))


@router.get("/runs/{name}/report.html")
def run_file(name: str, _: AsCurator, site: OfSite) -> Response:
    """The same, to be kept."""
    path = run_folder(site, name)
    return report(lambda: run_report.render(read_folder(path).facts), f"{path.name}-report.html")


@router.get("/comparisons/{name}")
def comparison_page(name: str, _: AsCurator, site: OfSite) -> Response:
    """What `accord compare` left, as its page shows it."""
    figures = comparison(site, name).figures
    return report(lambda: comparison_report.render(compared.read_comparison(figures)))


def _one(request: Request, user: User, path: Path) -> Response:
    tag = _tag(path)
    return page(request, "run.html", user, tag=tag, **_context(path))


def _list(request: Request, user: User, site: Site, chosen: Any = (), why: str = "") -> Response:
    now = time.time()
    listed = [(folder, course(folder, now), headlines(folder)) for folder in all_runs(site)]
    return page(
        request, "runs.html", user, listed=listed, left=comparisons(site), chosen=chosen, why=why, most=MOST_RUNS,
        moment=_moment,
    )  # fmt: skip


def _context(path: Path) -> dict[str, Any]:
    folder = read_folder(path)
    parts, notes = shown(folder)
    return {"folder": folder, "shown": parts, "notes": notes, "at": course(folder, time.time())}


def _tag(path: Path) -> str:
    return f'"{fingerprint(path, standing(path))}"'


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
