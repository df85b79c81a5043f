"""Several runs side by side, from their records alone: what was set otherwise, what was measured, what they answer.

Unlike `accord compare`, nothing is asked of the models anew: what stands here was measured of each run on its own.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from accord.report.charts import Line
from accord.report.comparison.facts import TONES, Model
from accord.report.comparison.page import Asked, Shown, fold
from accord.report.curves import CURVES, Curve, Figure, draw
from accord.report.document import cut, turns
from accord.report.facts import Estimate, Facts, Point, number
from accord.report.online import readings
from accord.report.online.figures import MAIN, MORE, REWARD
from accord.report.page import options, origins, setting
from accord.report.parts import Table, bracketed
from accord.report.words import duration, percent, short, signed, visible

MOST_RUNS = len(TONES) - 1  # as there are colours; the first is the base's
MOST_PROMPTS, MOST_SAMPLES = 40, 2

#: Settings that name a run and change nothing in it.
NAMES_OF_RUNS = {"output_dir", "overwrite_output_dir", "run_name", "logging_dir", "resume", "config"}

#: figure of summary.json, what it is called, how it is written
FIGURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("win_rate", "Win rate over the base", percent),
    ("win_rate_same_length", "Win rate at equal length", percent),
    ("n_answers", "Answers compared", short),
    ("accuracy", "Held-out accuracy", percent),
    ("log_loss", "Held-out log-loss", short),
    ("calibration_error", "Calibration error", percent),
    ("kl", "KL from the base, nats an answer", short),
    ("reward_difference", "Reward, gained over the base", signed),
    ("score_difference", "Judge’s score, gained over the base", signed),
    ("words_before", "Words an answer, before", short),
    ("words_after", "Words an answer, after", short),
    ("eval_loss", "Held-out loss of training", short),
    ("steps", "Steps", short),
    ("seconds", "Time", duration),
)
SAYS = (
    "Each figure is of the run’s own last `accord evaluate`, with its 95 % interval in brackets. Runs may have been "
    "measured on other prompts or by another judge; `accord compare` asks all of them the same."
)
KL = Curve("KL from the base", "How far the model has gone from where it started, in nats.", (("kl", "", ""),), 0.0)
SOURCES = "What this source gave, before weights."


class Beside(NamedTuple):
    """The runs as columns. `settings` are those that differ, a row each; `same` says how many do not."""

    models: list[Model]
    settings: list[list[str]]
    same: int
    figures: Table | None
    curves: list[Figure]
    prompts: list[Asked]


def beside(runs: Sequence[Facts]) -> Beside:
    """The runs side by side, at most MOST_RUNS, in their order."""
    models = [
        Model(run.name, run.method, str(run.info.get("base_model") or ""), tone, run.summary)
        for run, tone in zip(runs, TONES[1:], strict=False)
    ]
    settings, same = differing(runs)
    return Beside(models, settings, same, figures(runs), curves(runs, models), answers(runs, models))


def differing(runs: Sequence[Facts]) -> tuple[list[list[str]], int]:
    """The settings in which the runs differ, with each run's value, and the number of those that are the same."""
    told = [{"Method": run.method, **dict(origins(run)), **dict(options(run))} for run in runs]
    names = [name for name in dict.fromkeys(name for each in told for name in each) if name not in NAMES_OF_RUNS]
    rows = [[name, *(each.get(name, setting(None)) for each in told)] for name in names]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    return rows, len(names) - len(rows)


def figures(runs: Sequence[Facts]) -> Table | None:
    """The headline figures; None where no run has any."""
    rows = [
        [label, *(_cell(estimate, show) for estimate in found)]
        for name, label, show in FIGURES
        if any(found := [measured(run, name) for run in runs])
    ]
    judges = [str(run.summary.get("judge") or "–") for run in runs]
    if set(judges) != {"–"}:
        rows.insert(0, ["Judge", *map(visible, judges)])
    return Table("", [run.name for run in runs], rows, SAYS) if rows else None


def measured(run: Facts, name: str) -> Estimate | None:
    """A figure of the run's last evaluation, or of its end."""
    found = run.estimate(name)
    return None if found and name == "kl" and not found.bounded else found  # a training metric of the same name


def _cell(estimate: Estimate | None, show: Callable[[float], str]) -> str:
    return show(estimate.value) + bracketed(estimate, show) if estimate else "–"


def curves(runs: Sequence[Facts], models: Sequence[Model]) -> list[Figure]:
    """What several runs, or one of them, logged: a line a run on the same axes, dotted where it is of held-out data."""
    drawn: dict[str, tuple[Curve, list[Line]]] = {}
    for run, model in zip(runs, models, strict=True):
        for curve, trained, held_out in _courses(run):
            _, lines = drawn.setdefault(curve.title, (curve, []))
            if trained:
                lines.append(Line(model.name, model.tone, trained))
            if held_out:
                lines.append(Line(f"{model.name}, held out", model.tone, held_out, held_out=True))
    return [_drawn(curve, lines) for curve, lines in drawn.values() if lines]


def _drawn(curve: Curve, lines: list[Line]) -> Figure:
    """A run's held-out line has its colour, so that the legend need not say it again."""
    figure = draw(curve, lines)
    trained = [key for key in figure.keys if not key[2]]
    return figure._replace(keys=trained or figure.keys)


def _courses(run: Facts) -> Iterator[tuple[Curve, list[Point], list[Point]]]:
    """Each thing that a run of this kind logs, with its course in training and on held-out data."""
    if run.is_online:
        shared = (REWARD, KL, *MAIN, *_sources(run), *MORE)
        for curve, what in _single(shared):
            yield curve, readings.series(run, what), readings.held_out(run, what)
    else:
        for curve, metric in _single(CURVES):
            yield curve, run.series(metric), run.series(f"eval_{metric}")


def _single(several: Sequence[Curve]) -> Iterator[tuple[Curve, str]]:
    """Curves of one line each: the colours here are the runs'."""
    for curve in several:
        for metric, name, _ in curve.lines:
            title = curve.title if len(curve.lines) == 1 or name == "training" else f"{curve.title}: {name}"
            yield curve._replace(title=title), metric


def _sources(run: Facts) -> list[Curve]:
    names = readings.sources(run)
    if len(names) < 2:
        return []
    return [Curve(f"Reward by “{visible(name)}”", SOURCES, ((f"rewards/{name}/mean", "", ""),)) for name in names]


def answers(runs: Sequence[Facts], models: Sequence[Model]) -> list[Asked]:
    """What the models answered to prompts that two runs or more were measured on, in the first run's order."""
    by_prompt: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for at, run in enumerate(runs):
        for sample in run.compared:
            key = json.dumps(sample.get("prompt"), sort_keys=True)
            by_prompt.setdefault(key, {}).setdefault(at, []).append(sample)
    found = []
    for said in by_prompt.values():
        if len(said) < 2:
            continue
        times = min(MOST_SAMPLES, *map(len, said.values()))
        *earlier, (_, prompt) = turns(next(iter(said.values()))[0].get("prompt", ""))
        columns = [(models[at], samples) for at, samples in sorted(said.items())]
        rows = [_row([(model, samples[time]) for model, samples in columns]) for time in range(times)]
        found.append(Asked([(role, cut(text)) for role, text in earlier], cut(prompt), rows))
        if len(found) == MOST_PROMPTS:
            break
    return found


def _row(said: Sequence[tuple[Model, dict[str, Any]]]) -> list[Shown]:
    """The answers beside each other, after the base's where all were compared with the same one."""
    first = said[0][1]
    row = [_shown(model, sample, "after") for model, sample in said]
    if any(sample["before"] != first["before"] for _, sample in said):
        return row
    base = Model("base", "", "", TONES[0], {})
    return [_shown(base, first, "before")._replace(verdict=None), *row]


def _shown(model: Model, sample: dict[str, Any], side: str) -> Shown:
    answer = turns(sample[side])[-1][1]
    text, rest = fold(cut(answer))
    ended = sample.get("finished")
    finished = not (isinstance(ended, list) and len(ended) == 2 and ended[side == "after"] is False)
    return Shown(model, text, rest, len(answer.split()), "", finished, number(sample.get("verdict")))
