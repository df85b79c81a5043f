"""The curves of a method that learns from its own samples, the path of reward over KL, and the cards above them."""

from collections.abc import Iterable, Sequence

from accord.report.charts import Line, path_chart
from accord.report.curves import Curve, Figure, draw, table, twin
from accord.report.facts import Facts, Point, number
from accord.report.online.readings import change, doubted, held_out, latest, series, sources
from accord.report.parts import Card
from accord.report.words import percent, short

#: Colours of lines that have no meaning of their own. There are no more: a sixth source is in metrics.jsonl.
TONES = ("one", "chosen", "rejected", "fourth", "fifth")


def _one(what: str, tone: str = "one") -> tuple[tuple[str, str, str], ...]:
    return ((what, "training", tone),)


REWARD = Curve(
    "Reward",
    "Mean reward of a rollout's completions, penalties taken off: what training makes large.",
    (("reward", "training", "one"), ("reward less KL", "less what KL costs", "quiet")),
)
#: Lines are named as in `readings.NAMES`.
MAIN = (
    Curve(
        "Length",
        "Mean tokens of a completion. Length that grows with reward may be all that is learnt.",
        _one("length"),
    ),
    Curve("Cut off", "Share of completions that reached the limit of tokens before they ended.", _one("cut off"), 0.0),
    Curve(
        "Entropy",
        "Of the next token, in nats: how much is left to choice. Towards zero all completions become one, and nothing "
        "is left to compare.",
        _one("entropy"),
        0.0,
    ),
    Curve(
        "Groups of equal reward",
        "Share of prompts whose completions all earned the same. Such a group teaches nothing: its advantages are 0.",
        _one("equal groups"),
        0.0,
    ),
    Curve(
        "Clipped",
        "Share of what is learnt from that had moved past the clip and no longer counted.",
        _one("clipped"),
        0.0,
    ),
    Curve(
        "Approximate KL",
        "Between the policy that sampled and the one that learns: how far the updates on one rollout go.",
        _one("approximate KL"),
        0.0,
    ),
    Curve("Value loss", "The critic's squared distance from the returns, halved.", _one("value loss"), 0.0),
    Curve(
        "Explained variance",
        "Share of the returns' variance that the critic foresaw: 1 is all, 0 no better than their mean.",
        _one("explained variance"),
        0.0,
    ),
)
MORE = (
    Curve(
        "Policy loss",
        "Near zero by construction, for advantages are differences. Its level says nothing about progress.",
        _one("policy loss"),
        0.0,
    ),
    Curve("Values clipped", "Share of the critic's values past cliprange_value.", _one("values clipped"), 0.0),
    Curve("KL coefficient", "What a nat of KL costs, in rewards.", _one("kl coefficient", "quiet")),
    Curve(
        "Sampler and policy",
        "Mean difference between a token's log-probability as sampled and as learnt from, in nats: tiny where all is "
        "well.",
        _one("sampler's error", "quiet"),
        0.0,
    ),
    Curve(
        "Time",
        "Seconds of a rollout (sampling, rewards, reference) and of an optimizer step on it.",
        (("rollout time", "rollout", "one"), ("update time", "update", "chosen")),
        0.0,
    ),
    Curve("Gradient norm", "Before clipping. Spikes tell of odd batches.", _one("grad_norm", "quiet")),
    Curve("Learning rate", "As scheduled.", _one("learning_rate", "quiet")),
)


def figures(facts: Facts) -> list[Figure]:
    """The curves that people look at, those that this run has numbers for."""
    path = reward_over_kl(facts)
    curves = [_kl(facts), *_of_sources(facts), *_alive(facts, MAIN)]
    return [*_drawn(facts, [REWARD]), *([path] if path else []), *_drawn(facts, curves)]


def more_figures(facts: Facts) -> list[Figure]:
    """Those to look at when something is odd."""
    return _drawn(facts, _alive(facts, MORE))


def _alive(facts: Facts, curves: Iterable[Curve]) -> list[Curve]:
    """Without those that are 0 throughout, as clipping is where each rollout is used once."""
    return [curve for curve in curves if any(point.value for line in _lines(facts, curve) for point in line.points)]


def _drawn(facts: Facts, curves: Iterable[Curve]) -> list[Figure]:
    return [draw(curve, lines) for curve in curves if (lines := _lines(facts, curve))]


def _lines(facts: Facts, curve: Curve) -> list[Line]:
    trained = [Line(name, tone, series(facts, what)) for what, name, tone in curve.lines]
    tested = [Line(twin(name), tone, held_out(facts, what), held_out=True) for what, name, tone in curve.lines]
    return [line for line in trained + tested if line.points]


def _kl(facts: Facts) -> Curve:
    """With what it was to stay under, or near, as a line."""
    budget, target = number(facts.config.get("kl_budget")), number(facts.config.get("kl_target"))
    line = ""
    if budget is not None:
        line = f" The line is the budget, {short(budget)}: over it, training ends."
    elif target is not None:
        line = f" The line is the target, {short(target)}, that the KL coefficient steers towards."
    says = f"How far the model has gone from where it started, in nats a completion.{line}"
    at = next((bound for bound in (budget, target) if bound is not None), 0.0)
    return Curve("KL from the reference", says, _one("kl"), at)


def _of_sources(facts: Facts) -> list[Curve]:
    """What each source gave, where there are several; and where a reward model's heads disagree."""
    curves = []
    if len(names := sources(facts)) > 1:
        weights = facts.config.get("reward_weights")
        times = f"they count {', '.join(map(str, weights))}" if isinstance(weights, list) else "each counts once"
        says = f"What each source gave, before weights: in the sum above {times}."
        curves.append(Curve("Reward by source", says, _each(names, "mean")))
    if names := doubted(facts):
        says = (
            "Standard deviation of a reward model's heads, a completion. Where it grows, the policy goes where the "
            "reward model has seen no votes: its reward means less there."
        )
        curves.append(Curve("Disagreement of the reward model", says, _each(names, "disagreement/mean"), 0.0))
    return curves


def _each(names: Sequence[str], part: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((f"rewards/{name}/{part}", name, tone) for name, tone in zip(names, TONES, strict=False))


def reward_over_kl(facts: Facts) -> Figure | None:
    """The path from the base on: what each nat of distance bought."""
    rewards = {point.step: point for point in series(facts, "reward")}
    kls = [point for point in series(facts, "kl") if point.step in rewards]
    if len(kls) < 2:
        return None
    earned = [rewards[point.step] for point in kls]
    told = f"Reward over KL: from {_place(kls[0], earned[0])} to {_place(kls[-1], earned[-1])}"
    return Figure(
        "Reward over KL",
        "Across: KL from the reference, in nats a completion. Up: reward. A dot is a logged step, the earlier the "
        "fainter; the line is their course. Where it goes right and no longer up, distance buys nothing more.",
        path_chart(kls, earned, told),
        [],
        table([Line("KL", "one", kls), Line("reward", "one", earned)]),
    )


def _place(kl: Point, reward: Point) -> str:
    return f"{short(reward.value)} at {short(kl.value)} nats, step {kl.step:.0f},"


def cards(facts: Facts) -> list[Card]:
    """Where training stands: reward, distance, length, how many are cut off."""
    budget = number(facts.config.get("kl_budget"))
    limit = f", budget {short(budget)}" if budget is not None else ""
    cut, tested = latest(series(facts, "cut off")), held_out(facts, "reward")
    found = [
        _course(facts, "reward", "Reward", ""),
        _course(facts, "kl", "KL from the reference", f"nats a completion{limit}; "),
        _course(facts, "length", "Tokens a completion", ""),
        Card("Cut off", percent(cut), "", "of the completions; last quarter of training") if cut is not None else None,
    ]
    if tested:
        note = f"one completion of each held-out prompt, at step {tested[-1].step:.0f}"
        found.append(Card("Held-out reward", short(tested[-1].value), "", note))
    return [card for card in found if card]


def _course(facts: Facts, what: str, label: str, note: str) -> Card | None:
    points = series(facts, what)
    went = change(points)
    if went:
        return Card(label, short(went.last), "", f"{note}last quarter of training; {short(went.first)} at first")
    return Card(label, short(points[-1].value), "", f"{note}at step {points[-1].step:.0f}") if points else None
