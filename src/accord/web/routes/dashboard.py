"""How a campaign goes: its progress, who works on it, and how far they agree."""

from dataclasses import asdict
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from accord.store import progress
from accord.web.agreeing import in_words
from accord.web.figures import Share, Worker
from accord.web.history import history_chart
from accord.web.identity import AsCurator, OfSite
from accord.web.pages import page
from accord.web.routes.campaigns import DONE
from accord.web.schemas_curating import (
    AgreementOut,
    AnnotatorOut,
    Column,
    PaceOut,
    ProgressOut,
    ShareOut,
    Totals,
)
from accord.web.timeline import outlook, over_time, pace

router = APIRouter()


@router.get("/campaigns/{campaign_id}", include_in_schema=False)
def dashboard(request: Request, campaign_id: str, user: AsCurator, site: OfSite, done: str = "") -> Response:
    """How it goes, at a glance."""
    come = campaign_progress(campaign_id, user, site)
    return page(
        request,
        "dashboard.html",
        user,
        campaign=site.campaigns.get(campaign_id),
        come=come,
        chart=history_chart(come.over_time, come.column_seconds) if come.over_time else "",
        outlook=outlook(come.pace, datetime.now(UTC)),
        workers=annotators(campaign_id, user, site),
        agreed=agreement(campaign_id, user, site),
        said=DONE.get(done, ""),
    )


@router.get("/api/campaigns/{campaign_id}/progress", tags=["campaigns"])
def campaign_progress(campaign_id: str, user: AsCurator, site: OfSite) -> ProgressOut:
    """How far a campaign has come, and when it ends at the present pace."""
    found = site.figures.of(site.campaigns.get(campaign_id))
    totals = site.progress.totals(campaign_id).get(campaign_id, progress.Totals())
    paced = pace(found.times, totals.wanted - totals.answers, datetime.now(UTC))
    columns, width = over_time(found.times)
    return ProgressOut(
        totals=Totals(**totals._asdict()),
        skips=found.skips,
        pace=paced and PaceOut(**paced._asdict()),
        over_time=[Column(**column._asdict()) for column in columns],
        column_seconds=width,
        answers_by_kind=dict(found.answers),
        strengths=dict(found.strengths),
    )


@router.get("/api/campaigns/{campaign_id}/annotators", tags=["campaigns"])
def annotators(campaign_id: str, user: AsCurator, site: OfSite) -> list[AnnotatorOut]:
    """Who works on a campaign, and how; the busiest first."""
    return [_worker(worker) for worker in site.figures.of(site.campaigns.get(campaign_id)).workers]


@router.get("/api/campaigns/{campaign_id}/agreement", tags=["campaigns"])
def agreement(campaign_id: str, user: AsCurator, site: OfSite) -> AgreementOut:
    """How far a campaign's annotators agree."""
    found = site.figures.of(site.campaigns.get(campaign_id)).agreement
    told = {name: value for name, value in asdict(found).items() if name in AgreementOut.model_fields}
    return AgreementOut(**told, meaning=in_words(found))


def _worker(worker: Worker) -> AnnotatorOut:
    return AnnotatorOut(
        annotator=worker.annotator_id,
        kind=worker.kind,
        answers=worker.answers,
        skips=worker.skips,
        seconds=worker.seconds,
        last=worker.last,
        left=_share(worker.left),
        ties=_share(worker.ties),
        passed=_share(worker.passed),
    )


def _share(share: Share | None) -> ShareOut | None:
    if share is None:
        return None
    low, high = share.bounds
    return ShareOut(k=share.k, n=share.n, low=low, high=high)
