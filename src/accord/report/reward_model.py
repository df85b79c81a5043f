"""What a reward model's run shows: how well it judges, what it owes to length, where its heads disagree."""

from collections.abc import Callable
from typing import Any, NamedTuple

from accord.report.charts import histogram_chart, reliability_chart
from accord.report.facts import Estimate, Facts
from accord.report.parts import Picture, Remark, Table, bounds, more_points
from accord.report.words import percent, short

HALF = 0.5  # of what a model knows, above which length is most of it


class Figure(NamedTuple):
    """A row of a table: a figure of summary.json, what it is called, how it is written, what it says, and its unit."""

    name: str
    label: str
    show: Callable[[float], str]
    says: str
    unit: str = ""


PARTS: tuple[tuple[str, tuple[Figure, ...], str], ...] = (
    (
        "",
        (
            Figure("accuracy", "Accuracy", percent, "pairs ranked as the votes do; a coin gets 50 %"),
            Figure("log_loss", "Log-loss", short, "surprise at the votes, in nats; knowing nothing gives 0.693"),
            Figure("calibration_error", "Calibration error", percent, "from how sure it is to how often it is right"),
            Figure("margin", "Margin", short, "mean reward of chosen minus rejected; it has no unit"),
        ),
        "Ranges are 95 % bootstrap intervals over prompts.",
    ),
    (
        "Does length decide?",
        (
            Figure("length_longer_wins", "“The longer one wins”", percent, "how often that rule alone is right"),
            Figure("length_share", "What length explains", percent, "of what the model knows beyond a coin"),
            Figure("length_prefers_longer", "Model prefers the longer", percent, "right or wrong"),
            Figure(
                "length_exaggeration",
                "… more often than people",
                more_points,
                "above 0 it likes length for itself",
                " points",
            ),
            Figure(
                "length_accuracy_longer_better", "Accuracy, longer is better", percent, "pairs where people chose it"
            ),
            Figure(
                "length_accuracy_shorter_better", "Accuracy, shorter is better", percent, "pairs where people chose it"
            ),
            Figure("length_correlation", "Correlation with length", short, "of answers to one prompt; −1 to 1"),
        ),
        "Length is counted in characters. A model trained to raise a reward that likes length learns to be long.",
    ),
    (
        "Where its heads disagree",
        (
            Figure("heads_agree", "Pairs where all heads agree", percent, "all put the same answer first"),
            Figure("heads_accuracy_agree", "Accuracy there", percent, "of the mean reward"),
            Figure("heads_accuracy_split", "Accuracy on the others", percent, "near 50 % where disagreement is doubt"),
            Figure("heads_difference", "Difference", more_points, "above 0: disagreement warns of errors", " points"),
            Figure("heads_spread", "Spread of the margin", short, "standard deviation over heads; compare the margin"),
        ),
        "Each head learnt from its own sample of the pairs. `accord score` writes their disagreement beside scores.",
    ),
)


def tables(facts: Facts) -> list[Table]:
    """The held-out figures of a reward model, those that there are. It has no base: untrained heads know nothing."""
    found = []
    for title, figures, says in PARTS:
        known = [(figure, estimate) for figure in figures if (estimate := facts.estimate(figure.name))]
        if known:
            rows, notes = [_row(*each) for each in known], tuple(figure.says for figure, _ in known)
            found.append(Table(title, ["Value", "95 % interval"], rows, says, notes))
    return found


def _row(figure: Figure, estimate: Estimate) -> list[str]:
    within = bounds(estimate, figure.show)
    return [figure.label, figure.show(estimate.value) + figure.unit, within and within + figure.unit]


def pictures(facts: Facts, margins: dict[str, Any]) -> list[Picture]:
    """How the pairs' margins are spread, and whether the model is as often right as it is sure."""
    drawn = []
    if reward := margins.get("reward"):
        ahead = facts.figure("accuracy")
        told = "Held-out margins of the reward"
        told += f"; {percent(ahead)} of the pairs are on the right side of zero" if ahead is not None else ""
        drawn.append(
            Picture(
                "Margins of the reward",
                "Each held-out pair's reward of chosen minus rejected. To the right of the line the model agrees with "
                "the votes.",
                histogram_chart(reward["edges"], [("after", reward["after"])], told),
                [("held out", "one", False)],
            )
        )
    bins = facts.summary.get("reliability")
    if isinstance(bins, dict) and bins.get("said"):
        steps = "; ".join(
            f"{percent(said)} sure, {percent(right)} right"
            for said, right in zip(bins["said"], bins["right"], strict=True)
        )
        drawn.append(
            Picture(
                "How sure, and how often right",
                "Held-out pairs by how sure the model was of its side; a larger dot is more pairs. On the line, "
                "certainty is deserved; below it, the model is too sure.",
                reliability_chart(bins["said"], bins["right"], bins["share"], f"Certainty and truth: {steps}"),
                [("held out", "one", False)],
            )
        )
    return drawn


def length(facts: Facts) -> Remark | None:
    """Is it only counting words?"""
    longer, model = facts.estimate("length_longer_wins"), facts.estimate("length_prefers_longer")
    accuracy, more = facts.estimate("accuracy"), facts.estimate("length_exaggeration")
    if not longer or not model or not accuracy or not more or not more.bounded:
        return None
    which, rule = ("longer", longer.value) if longer.value >= 0.5 else ("shorter", 1 - longer.value)
    told = (
        f"The rule “the {which} answer wins” alone is right in {percent(rule)} of the held-out pairs, the model in "
        f"{percent(accuracy.value)}."
    )
    share = facts.figure("length_share")
    if share is not None:
        told += f" So length alone explains {percent(min(share, 1.0))} of what the model knows beyond a coin."
    if more.above(0) or (more.below(0) and which == "shorter"):
        return _exaggerates("longer" if more.above(0) else "shorter", facts, longer.value, model.value, told)
    if share is None:
        return None
    if share > HALF:
        return Remark(
            "note",
            "Most of what it knows is length",
            f"{told} That is what these votes reward, or the first thing that there was to learn.",
            "If people do not mean length, bring votes on answers of about equal length.",
        )
    return Remark("note", "Length does not explain what it learnt", told)


def _exaggerates(which: str, facts: Facts, people: float, model: float, told: str) -> Remark:
    """It prefers the longer, or the shorter, more often than people do. `people` and `model` are of the longer."""
    other = "shorter" if which == "longer" else "longer"
    shares = (model, people) if which == "longer" else (1 - model, 1 - people)
    right = facts.figure(f"length_accuracy_{other}_better")
    where = f" Where the {other} one is the better, it is right in {percent(right)}." if right is not None else ""
    return Remark(
        "warning",
        f"It likes {'length' if which == 'longer' else 'brevity'} more than people do",
        f"It rewards the {which} answer in {percent(shares[0])} of the pairs; people preferred it in "
        f"{percent(shares[1])}.{where} {told} A model trained on this reward will learn to be "
        f"{'long' if which == 'longer' else 'short'}.",
        f"Bring votes on answers of about equal length, or on good {other} ones against bad {which} ones.",
    )


def heads(facts: Facts) -> Remark | None:
    """Does an ensemble know what it does not know?"""
    agree, split = facts.estimate("heads_accuracy_agree"), facts.estimate("heads_accuracy_split")
    difference, share = facts.estimate("heads_difference"), facts.figure("heads_agree")
    if not agree or not split or not difference or not difference.bounded or share is None:
        return None
    told = (
        f"On {percent(share)} of the pairs all heads put the same answer first, and there it is right in "
        f"{percent(agree.value)}; on the others, in {percent(split.value)}."
    )
    if difference.above(0):
        return Remark(
            "good",
            "Its heads' disagreement warns of errors",
            told,
            "`accord score` writes the disagreement beside each score: ask people about those answers first.",
        )
    return Remark(
        "note", "Its heads' disagreement does not show where it errs", told + " The difference may be chance."
    )


RULES: tuple[Callable[[Facts], Remark | None], ...] = (length, heads)
