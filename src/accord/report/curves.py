"""Which training curves there are, under TRL's metric names, and what each of them says."""

from typing import NamedTuple

from markupsafe import Markup

from accord.report.charts import Line, line_chart
from accord.report.facts import Facts, Point
from accord.report.words import short

ROWS = 8  # of the table behind a chart


class Curve(NamedTuple):
    """`lines`: metric, name, tone. A metric's `eval_` twin is drawn with it."""

    title: str
    says: str
    lines: tuple[tuple[str, str, str], ...]
    baseline: float | None = None


REWARDS = (("rewards/chosen", "chosen", "chosen"), ("rewards/rejected", "rejected", "rejected"))
LOGPS = (("logps/chosen", "chosen", "chosen"), ("logps/rejected", "rejected", "rejected"))

SPREAD = (("max_reward", "higher", "chosen"), ("mean_reward", "mean", "quiet"), ("min_reward", "lower", "rejected"))


def _one(metric: str, tone: str = "one") -> tuple[tuple[str, str, str], ...]:
    return ((metric, "training", tone),)


CURVES = (
    Curve("Loss", "What training makes small. DPO's own loss starts at log 2 ≈ 0.693, others elsewhere.", _one("loss")),
    Curve("Accuracy", "Share of examples whose implied rewards are in the right order. The line is chance.",
          _one("rewards/accuracies"), 0.5),
    Curve("Margin", "Mean reward of chosen minus rejected: how firmly the preference is held.",
          _one("rewards/margins"), 0.0),
    Curve("Implied rewards", "β · (log π − log π of the base). Above zero, answers are more likely than they were.",
          REWARDS, 0.0),
    Curve("Accuracy", "Share of pairs in which the preferred answer has the higher reward. The line is chance.",
          _one("accuracy"), 0.5),
    Curve("Margin", "Mean reward of chosen minus rejected: how firmly the preference is held.", _one("margin"), 0.0),
    Curve("Rewards", "The higher and the lower of a pair's two, and their mean. Only differences count: the zero is "
          "arbitrary.", SPREAD),
    Curve("Disagreement of the heads", "Standard deviation, over the ensemble's heads, of a pair's margin.",
          _one("disagreement"), 0.0),
    Curve("Log-probabilities", "Of whole answers, in nats. They vary with the answers' lengths, batch by batch.",
          LOGPS),
    Curve("KL from the base", "How far the model has gone from where it started, in nats.", _one("kl"), 0.0),
    Curve("Token accuracy", "How often the next token is the most likely one.", _one("mean_token_accuracy")),
    Curve("Gradient norm", "Before clipping. Spikes tell of odd batches.", _one("grad_norm", "quiet")),
    Curve("Learning rate", "As scheduled.", _one("learning_rate", "quiet")),
)  # fmt: skip


class Figure(NamedTuple):
    """A curve drawn: `keys` are (name, tone, held out) for the legend, `table` the numbers behind the picture."""

    title: str
    says: str
    svg: Markup
    keys: list[tuple[str, str, bool]]
    table: list[list[str]]


def figures(facts: Facts) -> list[Figure]:
    """The curves that this run has numbers for."""
    return [draw(curve, lines) for curve in CURVES if (lines := _lines(facts, curve))]


def draw(curve: Curve, lines: list[Line]) -> Figure:
    """A curve by its lines, of which there is one at least."""
    svg = line_chart(lines, _told(curve.title, lines), curve.baseline)
    keys = [(line.name, line.tone, line.held_out) for line in lines]
    return Figure(curve.title, curve.says, svg, keys, table(lines))


def twin(name: str) -> str:
    """What a line's held-out twin is called."""
    return "held out" if name == "training" else f"{name}, held out"


def _lines(facts: Facts, curve: Curve) -> list[Line]:
    trained = [Line(name, tone, facts.series(metric)) for metric, name, tone in curve.lines]
    held_out = [
        Line(twin(name), tone, facts.series(f"eval_{metric}"), held_out=True) for metric, name, tone in curve.lines
    ]
    return [line for line in trained + held_out if line.points]


def _told(title: str, lines: list[Line]) -> str:
    """The picture in words, for those who do not see it."""
    courses = [
        f"{line.name} from {short(line.points[0].value)} at step {line.points[0].step:.0f} "
        f"to {short(line.points[-1].value)} at step {line.points[-1].step:.0f}"
        for line in lines
    ]
    return f"{title}: {'; '.join(courses)}"


def table(lines: list[Line]) -> list[list[str]]:
    """The numbers behind a picture, at evenly spaced steps."""
    steps = sorted({point.step for line in lines for point in line.points})
    if len(steps) > ROWS:
        steps = [steps[round(i * (len(steps) - 1) / (ROWS - 1))] for i in range(ROWS)]
    columns = [dict[float, float](line.points) for line in lines]
    rows = [[f"{step:.0f}", *(short(column[step]) if step in column else "" for column in columns)] for step in steps]
    return [["step", *(line.name for line in lines)], *rows]


def course(points: list[Point]) -> tuple[float, float] | None:
    """The mean of a curve's first quarter and of its last; None for fewer than four points."""
    quarter = len(points) // 4
    if not quarter:
        return None
    first, last = points[:quarter], points[-quarter:]
    return sum(p.value for p in first) / quarter, sum(p.value for p in last) / quarter
