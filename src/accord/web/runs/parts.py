"""What a run's page shows, part by part: a part that a strange record breaks is left out, and a line says so."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from jinja2 import TemplateError

from accord.report.explain import RULES, explain, not_finite, simulated, unfinished
from accord.report.facts import Facts
from accord.report.page import CONSTANT, PARTS
from accord.report.parts import Card
from accord.report.words import duration
from accord.runs.process import is_alive
from accord.runs.state import State, left
from accord.web.runs.folder import Folder

T = TypeVar("T")

#: What code that draws and explains raises on records in which something other than Accord's own stands.
STRANGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TemplateError, TypeError, ValueError)

#: Lines of a run that goes on before its course means anything, and what can be said by then.
ENOUGH, EARLY = 20, (not_finite, simulated)

#: What each part is called where it is missing, and what stands in its place.
CALLED: dict[str, tuple[str, Any]] = {
    "lead": ("the first sentence", ""),
    "facts_line": ("when and how long", ()),
    "cards": ("the headline figures", ()),
    "remarks": ("what happened in plain words", ()),
    "galleries": ("completions", ()),
    "training_cards": ("where training stands", ()),
    "figures": ("the curves", ()),
    "more_figures": ("more curves", ()),
    "tables": ("the held-out figures", ()),
    "pictures": ("the held-out pictures", ()),
    "samples": ("answers before and after", ()),
    "samples_all": ("the number of answers", 0),
    "judge": ("who judged", ""),
    "votes": ("the votes", None),
    "options": ("the settings", ()),
    "origins": ("where it comes from", ()),
}

#: State -> how it is called, in a word or two.
NAMES = {
    State.PREPARING: "Getting ready",
    State.TRAINING: "Training now",
    State.SILENT: "Training, but silent",
    State.INTERRUPTED: "Looks interrupted",
    State.FAILED: "Stopped with an error",
    State.FINISHED: "Finished",
}

AGAIN = "The same command with --resume goes on from the last whole checkpoint, if there is one."


class Course(NamedTuple):
    """Where a run stands. `done` and `of` are steps, None where they are not known; `left` is in words."""

    state: State
    name: str
    says: str
    done: int
    of: int | None
    left: str


def shown(folder: Folder) -> tuple[dict[str, Any], list[str]]:
    """What the sections are filled in with, and a line on each part that could not be made."""
    state, notes = folder.state, list(folder.notes)
    early = state.goes_on and len(folder.facts.metrics) < ENOUGH
    rules = EARLY if early else [rule for rule in RULES if rule is not unfinished]  # that is told in `Course`
    made = PARTS | {"remarks": lambda facts: explain(facts, rules)}
    parts: dict[str, Any] = {"facts": folder.facts, **CONSTANT}
    for name, make in made.items():
        called, otherwise = CALLED[name]
        parts[name] = tried(make, folder.facts, called, otherwise, notes)
    if folder.every > 1:
        notes.append(
            f"metrics.jsonl: of its {folder.lines:,} lines, every {folder.every}th of training is drawn, and all of "
            "held-out data"
        )
    return parts, notes


def tried(make: Callable[[Facts], T], facts: Facts, called: str, otherwise: T, notes: list[str]) -> T:
    """What `make` makes of the facts; else `otherwise`, with a line in `notes`."""
    try:
        return make(facts)
    except STRANGE:
        notes.append(f"{called}: not shown, because a record in this folder does not look as Accord writes it")
        return otherwise


def headlines(folder: Folder, most: int = 3) -> list[Card]:
    """The first few figures of a run."""
    return tried(PARTS["cards"], folder.facts, "", [], [])[:most]


def course(folder: Folder, now: float) -> Course:
    """Where the run stands at the time `now`."""
    state, signs = folder.state, folder.signs
    ended = folder.facts.figure("steps") if state is State.FINISHED else None
    done = int(max(signs.steps[0] if signs.steps else 0, ended or 0))
    aim = signs.progress.get("max_steps")
    of = aim if isinstance(aim, int) and not isinstance(aim, bool) and aim >= max(done, 1) else None
    seconds = left(signs, now) if state is State.TRAINING else None
    says = tried(lambda _: _says(folder, now), folder.facts, "", "", [])
    return Course(state, NAMES[state], says, done, of, f"about {roughly(seconds)} left" if seconds is not None else "")


def roughly(seconds: float) -> str:
    """A time to wait, as people say it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _says(folder: Folder, now: float) -> str:
    signs, summary = folder.signs, folder.facts.summary
    quiet = duration(now - signs.written) if signs.written is not None else ""
    match folder.state:
        case State.PREPARING:
            return "It loads the model and looks at the data; nothing is logged yet."
        case State.SILENT:
            return (
                f"Its process is there, but logged nothing for {quiet}, which is longer than usual. It may be "
                "evaluating or saving, or hang."
            )
        case State.INTERRUPTED:
            where = f"after step {signs.steps[0]:.0f}" if signs.steps else "before its first logged step"
            if is_alive(signs.progress) is False:
                return f"Its process has ended {where}, without coming to the end. {AGAIN}"
            silent = f"Nothing was logged for {quiet}" if quiet else "Nothing was ever logged"
            return f"{silent}: the record ends {where}. Whether its process is there cannot be seen from here. {AGAIN}"
        case State.FAILED:
            return f"{summary.get('error')}\nMend the cause. {AGAIN}"
        case State.FINISHED if summary.get("stopped"):
            return f"It ended early: {summary['stopped']}"
        case State.FINISHED if (seconds := folder.facts.figure("seconds")) is not None:
            return f"It took {duration(seconds)}."
    return ""
