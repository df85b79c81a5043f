"""What was measured on held-out data, as tables and pictures: of a policy here, of a reward model in `reward_model`."""

from accord.report import reward_model
from accord.report.charts import histogram_chart
from accord.report.facts import Estimate, Facts
from accord.report.parts import Picture, Remark, Table, bounds, bracketed, more_points, points
from accord.report.words import percent, short, signed

HELD_OUT = (
    ("accuracy", "Accuracy (reward)", percent, True),
    ("likelihood_accuracy", "Accuracy (likelihood)", percent, True),
    ("margin", "Margin (reward)", short, False),
    ("likelihood_margin", "Margin (likelihood)", short, False),
    ("log_loss", "Log-loss", short, False),
    ("calibration_error", "Calibration error", percent, True),
)
SCORES = (("reward", "The reward model's score"), ("score", "The judge's score"))
SCORES_SAY = (
    "Means over answers to prompts that training did not see, in the unit of what scores. In brackets: 95 % bootstrap "
    "intervals over prompts; differences are paired."
)
SAYS = (
    "Reward is the implied one, β · (log π − log π of the base); by construction the base's knows nothing: 50 %, "
    "margin 0, log-loss 0.693. Likelihood is log π alone. Log-loss and likelihoods are in nats. In brackets: 95 % "
    "bootstrap intervals over prompts; differences are paired."
)


def tables(facts: Facts) -> list[Table]:
    """The held-out figures, those that there are: of a policy, base beside trained."""
    if facts.is_reward_model:
        return reward_model.tables(facts)
    rows = []
    for name, label, show, share in HELD_OUT:
        base, trained = facts.estimate(f"base_{name}"), facts.estimate(name)
        if trained:
            change = facts.estimate(f"{name}_difference")
            rows.append(
                [
                    label,
                    show(base.value) if base else "–",
                    show(trained.value) + bracketed(trained, points if share else _roughly),
                    _change(change, share) if change else "–",
                ]
            )
    found = [Table("", ["Base", "Trained", "Difference"], rows, SAYS)] if rows else []
    return found + _scores(facts)


def _scores(facts: Facts) -> list[Table]:
    """What a reward model, or a judge that gives points, made of the answers."""
    rows = []
    for name, label in SCORES:
        figures = [facts.estimate(f"{name}_{when}") for when in ("before", "after", "difference")]
        if all(figures):
            before, after, change = (figure for figure in figures if figure)
            rows.append(
                [label, *(short(x.value) + bracketed(x, _roughly) for x in (before, after)), _change(change, False)]
            )
    return [Table("Scores of answers", ["Base", "Trained", "Difference"], rows, SCORES_SAY)] if rows else []


def scores(facts: Facts) -> Remark | None:
    """Do answers to held-out prompts score higher?"""
    name, label = next(((name, label) for name, label in SCORES if facts.estimate(f"{name}_difference")), ("", ""))
    change = facts.estimate(f"{name}_difference")
    if not change or not change.bounded:
        return None
    told = f"{label} changed by {signed(change.value)} (95 % interval {bounds(change, signed)}), base to trained."
    if change.above(0):
        return Remark("good", "Answers to held-out prompts score higher", told)
    if change.below(0):
        return Remark("warning", "Answers to held-out prompts score lower", told)
    return Remark("note", "Answers to held-out prompts score about the same", f"{told} It may be chance.")


def _roughly(x: float) -> str:
    return short(x, 2)


def _change(change: Estimate, share: bool) -> str:
    if share:
        return f"{more_points(change.value)} points{bracketed(change, more_points)}"
    return signed(change.value) + bracketed(change, lambda x: signed(x, 2))


def pictures(facts: Facts) -> list[Picture]:
    """How the pairs' margins are spread, before and after, where evaluation left them."""
    kept = facts.summary.get("margins")
    kept = kept if isinstance(kept, dict) else {}
    if facts.is_reward_model:
        return reward_model.pictures(facts, kept)
    drawn = []
    if reward := kept.get("reward"):
        ahead = facts.figure("accuracy")
        told = "Held-out margins of the implied reward after training"
        told += f"; {percent(ahead)} of the pairs are on the right side of zero" if ahead is not None else ""
        drawn.append(
            Picture(
                "Margins of the implied reward",
                "Each held-out pair's reward of chosen minus rejected. Before training all stood at zero, the line; "
                "to its right the model now agrees with the votes.",
                histogram_chart(reward["edges"], [("after", reward["after"])], told),
                [("after", "after", False)],
            )
        )
    if plain := kept.get("likelihood"):
        drawn.append(
            Picture(
                "Margins of the plain likelihood",
                "log π(chosen) − log π(rejected) in nats, without a reference. Long answers spread it; "
                "what training did is the shift.",
                histogram_chart(
                    plain["edges"],
                    [("before", plain["before"]), ("after", plain["after"])],
                    "Held-out margins of the likelihood before and after training",
                ),
                [("before", "before", False), ("after", "after", False)],
            )
        )
    return drawn
