"""The figures of a comparison: a card a model, tables, and win rate or reward against the distance that it cost."""

from collections.abc import Callable

from accord.report.charts import Spot, interval_bar, spot_chart
from accord.report.comparison.facts import Comparison, Model
from accord.report.facts import Estimate
from accord.report.parts import Card, Picture, Table, bounds, bracketed, points
from accord.report.words import percent, short

#: figure, column, how it is written, how its bounds are
COLUMNS: tuple[tuple[str, str, Callable[[float], str], Callable[[float], str]], ...] = (
    ("win_rate", "Wins over base", percent, points),
    ("win_rate_same_length", "at equal length", percent, points),
    ("kl", "KL", short, lambda x: short(x, 2)),
    ("words", "Words", lambda x: f"{x:.0f}", lambda x: f"{x:.0f}"),
    ("score", "Score", short, lambda x: short(x, 2)),
    ("reward", "Reward", short, lambda x: short(x, 2)),
    ("finished", "Ended", percent, percent),
)
SAYS = {
    "win_rate": "Wins over base: share of the answers that the judge prefers to the base’s, ties half; 50 % is even.",
    "win_rate_same_length": "At equal length: the same among answers within 20 % of the base’s length.",
    "kl": "KL: how far a model is from the base, in nats an answer, on its own answers.",
    "score": "Score: the judge’s, the mean over answers.",
    "reward": "Reward: the reward model’s mean score, without unit or zero.",
    "finished": "Ended: by itself, not cut off at the limit of tokens.",
}


def cards(comparison: Comparison) -> list[Card]:
    """Each trained model's win rate, what it cost, and its length; the score where nobody judged."""
    return [_card(comparison, model) for model in comparison.trained]


def _card(comparison: Comparison, model: Model) -> Card:
    label = model.name if model.name.lower() == model.method else f"{model.name} · {model.about}"
    kl, words, base = model.estimate("kl"), model.figure("words"), comparison.base.figure("words")
    notes = [f"KL {short(kl.value)}"] if kl else []
    if words is not None and base is not None:
        notes.append(f"{words:.0f} words, base {base:.0f}")
    if rate := model.estimate("win_rate"):
        told = f"{model.name}: preferred to the base in {percent(rate.value)}{bracketed(rate, percent)}"
        within = bounds(rate, percent)
        return Card(label, percent(rate.value), within, " · ".join(notes), interval_bar(rate, told))
    if kl:
        return Card(label, short(kl.value), bounds(kl), " · ".join(["nats from the base", *notes[1:]]))
    return Card(label, f"{words:.0f}" if words is not None else "–", "", "words an answer")


def tables(comparison: Comparison) -> list[Table]:
    """All models beside each other, and every two of them against each other."""
    known = [column for column in COLUMNS if any(model.estimate(column[0]) for model in comparison.models)]
    rows = [
        [model.name, *(_cell(model.estimate(name), *show) for name, _, *show in known)] for model in comparison.models
    ]
    says = [SAYS[name] for name, *_ in known if name in SAYS] + ["In brackets: 95 % bootstrap intervals over prompts."]
    notes = tuple(model.about for model in comparison.models)
    found = [Table("", [head for _, head, *_ in known], rows, " ".join(says), notes)]
    if len(comparison.matches) > 1:
        found.append(_each_against_each(comparison))
    return found


def _cell(estimate: Estimate | None, show: Callable[[float], str], within: Callable[[float], str]) -> str:
    return show(estimate.value) + bracketed(estimate, within) if estimate else "–"


def _each_against_each(comparison: Comparison) -> Table:
    names = [model.name for model in comparison.models]
    rows = [[row, *(_duel(comparison, row, column) for column in names)] for row in names]
    n = len(comparison.matches)
    return Table(
        "Each against each",
        [f"against {name}" for name in names],
        rows,
        f"Win rate of the row’s model over the column’s. Of {n} comparisons, some differ by luck alone: each interval "
        f"leaves out the truth in 5 of 100 cases. * stands also when all {n} are counted together (sign-flip test over "
        "prompts, Holm’s correction, 5 %).",
    )


def _duel(comparison: Comparison, row: str, column: str) -> str:
    found = comparison.match(row, column)
    if not found:
        return "–"
    rate, stands = found
    return percent(rate.value) + bracketed(rate, points) + ("\u202f*" if stands else "")


def pictures(comparison: Comparison) -> list[Picture]:
    """What was gained, over the distance that it took."""
    drawn = []
    for name, title, says, show, line in (
        ("win_rate", "Win rate over distance", "Up: preferred to the base. The line is even.", percent, 0.5),
        ("score", "Judge’s score over distance", "Up: the mean score of the answers.", short, None),
        ("reward", "Reward over distance", "Up: the reward model’s mean score.", short, None),
    ):
        spots = [spot for model in comparison.models if (spot := _spot(comparison, model, name))]
        if len(spots) > 1:
            told = "; ".join(f"{s.name} {show(s.y.value)} at {short(s.x.value)} nats" for s in spots)
            chart = spot_chart(spots, f"{title}: {told}", show, line)
            says += " Across: KL from the base in nats an answer. Bars are 95 % intervals."
            drawn.append(Picture(title, says, chart, []))
    return drawn


def _spot(comparison: Comparison, model: Model, name: str) -> Spot | None:
    """The base is no distance from itself, and even with itself."""
    is_base = model is comparison.base
    y = Estimate(0.5, None, None) if is_base and name == "win_rate" else model.estimate(name)
    x = Estimate(0.0, None, None) if is_base else model.estimate("kl")
    return Spot(model.name, model.tone, x, y) if x and y else None
