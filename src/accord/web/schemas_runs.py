"""What the JSON API tells of runs."""

from typing import Any, Literal

from pydantic import BaseModel


class Figure(BaseModel):
    """A measured figure with its 95 % interval; the bounds are null where nobody knows them."""

    value: float
    low: float | None
    high: float | None


class RunBrief(BaseModel):
    """A run. `state`: see `accord.runs.state`; `says` is it in words. `max_steps` and `seconds_left` are null where
    they are not known."""

    name: str
    method: str
    base_model: str
    started: str
    state: Literal["preparing", "training", "silent", "interrupted", "failed", "finished"]
    says: str
    step: int
    max_steps: int | None
    seconds_left: float | None
    figures: dict[str, Figure]


class RunFull(RunBrief):
    """A run with all that it says of itself. `notes` tell which files could not be read."""

    command: str
    config: dict[str, Any]
    data: dict[str, Any]
    summary: dict[str, Any]
    versions: dict[str, Any]
    notes: list[str]


class RunMetrics(BaseModel):
    """What a run logged, under TRL's names. Where `more` is true, ask again with `after` the last step here.

    A held-out record has the step of the last training record and comes after it: who follows a run that trains asks
    with the step before the last one that they have.
    """

    name: str
    state: str
    metrics: list[dict[str, Any]]
    more: bool
