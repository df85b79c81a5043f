"""Whether a run trains now, has ended, or was left: told from what its folder holds, for nobody else keeps count."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from accord.runs.files import number
from accord.runs.process import is_alive

PREPARING = 1800.0  # seconds that loading a model and scoring with the reference may take where nobody can ask
PATIENCE = 300.0  # seconds without a line that mean nothing yet
LINES = 5.0  # nor do so many times what a line takes otherwise


class State(StrEnum):
    """Where a run stands.

    preparing    it has begun, and logged nothing yet
    training     it logs, or its process is there
    silent       its process is there, and logged nothing for longer than is usual
    interrupted  its process has ended, or nothing came for long and nobody here can ask for its process
    failed       it stopped with an error
    finished     it came to its end
    """

    PREPARING = "preparing"
    TRAINING = "training"
    SILENT = "silent"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FINISHED = "finished"

    @property
    def goes_on(self) -> bool:
        """Whether more may come without anybody's doing."""
        return self in {State.PREPARING, State.TRAINING, State.SILENT}


class Signs(NamedTuple):
    """What tells. Times are seconds since 1970, None where they are not known.

    summary, progress   summary.json and progress.json
    started      when the run was made
    written      when its last line was logged
    steps        those of its last line and of the one before at another step, as far as there are such
    """

    summary: Mapping[str, Any]
    progress: Mapping[str, Any]
    started: float | None
    written: float | None
    steps: tuple[float, ...]


def state_of(signs: Signs, now: float) -> State:
    """Where the run stands at the time `now`."""
    if signs.summary.get("error"):
        return State.FAILED
    if number(signs.summary.get("seconds")) is not None or signs.summary.get("finished"):
        return State.FINISHED
    alive = is_alive(signs.progress)
    began = number(signs.progress.get("began")) or signs.started or 0.0
    logged = bool(signs.steps) and signs.written is not None and signs.written >= began
    quiet = now - max(began, signs.written or 0.0)
    if alive is False:
        return State.INTERRUPTED
    if not logged:
        return State.PREPARING if alive or quiet <= PREPARING else State.INTERRUPTED
    if quiet <= max(PATIENCE, LINES * (a_line(signs) or 0.0)):
        return State.TRAINING
    return State.SILENT if alive else State.INTERRUPTED


def a_step(signs: Signs) -> float | None:
    """Seconds a step, since training began or went on; None where too little is known."""
    began, first = number(signs.progress.get("began")), number(signs.progress.get("step"))
    if began is None or first is None or not signs.steps or signs.written is None:
        return None
    done = signs.steps[0] - first
    return (signs.written - began) / done if done > 0 and signs.written > began else None


def a_line(signs: Signs) -> float | None:
    """Seconds between lines of different steps."""
    step = a_step(signs)
    return step * abs(signs.steps[0] - signs.steps[1]) if step is not None and len(signs.steps) > 1 else None


def left(signs: Signs, now: float) -> float | None:
    """Seconds until the last step, if all goes on as it has; None where too little is known."""
    step, last = a_step(signs), number(signs.progress.get("max_steps"))
    if step is None or last is None or signs.written is None:
        return None
    return max(0.0, step * (last - signs.steps[0]) - (now - signs.written))
