"""Training runs as JSON, for scripts and notebooks."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response
from pydantic import BaseModel

from accord.report.side_by_side import FIGURES, measured
from accord.runs.files import encode
from accord.runs.state import left
from accord.web import schemas_runs as schemas
from accord.web.identity import AsCurator, OfSite
from accord.web.runs.folder import Folder, read_folder, standing
from accord.web.runs.metrics import logged
from accord.web.runs.parts import course
from accord.web.runs.places import all_runs, run_folder

router = APIRouter(tags=["runs"])


@router.get("/api/runs", response_model=list[schemas.RunBrief])
def runs(_: AsCurator, site: OfSite) -> Response:
    """The runs, newest first."""
    return _json([schemas.RunBrief(**_brief(folder)) for folder in all_runs(site)])


@router.get("/api/runs/{name}", response_model=schemas.RunFull)
def run(name: str, _: AsCurator, site: OfSite) -> Response:
    """One run with its settings and figures."""
    folder = read_folder(run_folder(site, name))
    facts = folder.facts
    versions = facts.info.get("versions")
    told = schemas.RunFull(
        **_brief(folder),
        command=str(facts.info.get("command") or ""),
        config=facts.config,
        data=facts.data,
        summary=facts.summary,
        versions=versions if isinstance(versions, dict) else {},
        notes=list(folder.notes),
    )
    return _json(told)


@router.get("/api/runs/{name}/metrics", response_model=schemas.RunMetrics)
def metrics(
    name: str,
    _: AsCurator,
    site: OfSite,
    after: Annotated[float | None, Query(description="Only what was logged after this step.")] = None,
    limit: Annotated[int, Query(ge=1, le=20_000, description="So many records at most, and whole steps.")] = 10_000,
) -> Response:
    """What the run logged, step by step."""
    path = run_folder(site, name)
    try:
        found = logged(path, after, limit)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return _json({"name": name, "state": standing(path), "metrics": found.records, "more": found.more})


def _brief(folder: Folder) -> dict[str, Any]:
    now = time.time()
    at = course(folder, now)
    figures = {name: estimate for name, *_ in FIGURES if (estimate := measured(folder.facts, name))}
    return {
        "name": folder.name,
        "method": folder.facts.method,
        "base_model": str(folder.facts.info.get("base_model") or ""),
        "started": folder.made.isoformat(),
        "state": at.state.value,
        "says": at.says,
        "step": at.done,
        "max_steps": at.of,
        "seconds_left": left(folder.signs, now) if at.state.goes_on else None,
        "figures": {name: estimate._asdict() for name, estimate in figures.items()},
    }


def _json(told: Any) -> Response:
    """As Accord writes its files: what no JSON can say is null."""
    if isinstance(told, list):
        told = [each.model_dump() for each in told]
    elif isinstance(told, BaseModel):
        told = told.model_dump()
    return Response(encode(told), media_type="application/json")
