"""What a comparison shows, in plain words: one rule looks at one thing, and says nothing where it is not there."""

from collections.abc import Callable, Sequence

from accord.report.comparison.facts import Comparison, Model
from accord.report.explain import WIDE
from accord.report.parts import Remark
from accord.report.thresholds import KL_FAR, LENGTH_DRIFT
from accord.report.words import count, percent, short

OFTEN_CUT = 0.3  # of the answers


def remarks(comparison: Comparison) -> list[Remark]:
    """What there is to say, warnings first."""
    said = [remark for rule in RULES if (remark := rule(comparison))]
    return sorted(said, key=lambda remark: ("warning", "good", "note").index(remark.tone))


def better(comparison: Comparison) -> Remark | None:
    """Whose answers are preferred to the base's?"""
    rates = [(model, rate) for model in comparison.trained if (rate := model.estimate("win_rate")) and rate.bounded]
    if not rates:
        return None
    up = [model for model, rate in rates if rate.above(0.5)]
    down = [model for model, rate in rates if rate.below(0.5)]
    neither = [model for model, _ in rates if model not in up + down]
    told = [
        f"{what}: {_names(models)}."
        for models, what in ((up, "Preferred"), (down, "The base is preferred to"), (neither, "Not told apart from it"))
        if models
    ]
    return Remark(
        "warning" if down else "good" if up else "note",
        f"Better than the base: {_names(up)}" if up else "No model could be shown to be better than the base",
        f"The judge “{comparison.judge}” compared each model's answers with the base's. {' '.join(told)}",
        "Read the answers below: a judge sees only what it was told to look for.",
    )


def among_themselves(comparison: Comparison) -> Remark | None:
    """Which trained models differ, when all comparisons are counted together?"""
    names = {model.name for model in comparison.trained}
    between = [match for match in comparison.matches if {match["first"], match["second"]} <= names]
    if not between:
        return None
    stand = []
    for match in between:
        rate, stands = comparison.match(match["first"], match["second"]) or (None, False)
        if rate and stands:
            one, other = match["first"], match["second"]
            stand.append(f"{one} over {other}" if rate.value > 0.5 else f"{other} over {one}")
    together = f"Counting all {count(len(comparison.matches), 'comparison')} together,"
    if stand:
        return Remark("note", "The trained models differ", f"{together} these stand: {', '.join(stand)}.")
    return Remark(
        "note",
        "The trained models cannot be told apart",
        f"{together} no difference between trained models stands.",
        "Compare on more prompts: four times as many halve the intervals.",
    )


def far(comparison: Comparison) -> Remark | None:
    """Who went far from the base?"""
    gone = [(model, kl) for model in comparison.trained if (kl := model.figure("kl")) is not None and kl > KL_FAR]
    if not gone:
        return None
    told = ", ".join(f"{model.name} {short(kl)}" for model, kl in gone)
    return Remark(
        "warning",
        f"Far from the base: {_names([model for model, _ in gone])}",
        f"KL in nats an answer: {told}. Far from the base, a model often gains on what was measured and loses on what "
        "was not. At an equal win rate, the nearer model is the better one.",
        "To hold it closer: a larger beta, a smaller learning_rate, fewer steps.",
    )


def not_measured(comparison: Comparison) -> Remark | None:
    """Drawn otherwise than the models would?"""
    if comparison.decoding.get("temperature", 1) == 1:
        return None
    return Remark(
        "note",
        "No distance was measured",
        "KL from the base is estimated on answers drawn at temperature 1.",
        "Compare at --temperature 1 to see what each gain cost.",
    )


def drift(comparison: Comparison) -> Remark | None:
    """Whose answers grew or shrank?"""
    base = comparison.base.figure("words")
    told = []
    for model in comparison.trained:
        words, rate = model.figure("words"), model.figure("win_rate_same_length")
        if base and words is not None and abs(words / base - 1) >= LENGTH_DRIFT:
            equal = f" (win rate at equal length {percent(rate)})" if rate is not None else ""
            way = "longer" if words > base else "shorter"
            told.append(f"{model.name} {percent(abs(words / base - 1))} {way}{equal}")
    if not told:
        return None
    return Remark(
        "note",
        "Lengths differ",
        f"Beside the base's answers, of {base:.0f} words: {', '.join(told)}. A judge or a reward model that likes one "
        "length rewards a model that learnt nothing else.",
    )


def cut_off(comparison: Comparison) -> Remark | None:
    """Were answers cut?"""
    cut = [m for m in comparison.models if (ended := m.figure("finished")) is not None and 1 - ended > OFTEN_CUT]
    if not cut:
        return None
    limit = comparison.decoding.get("max_new_tokens")
    return Remark(
        "note",
        f"Many answers were cut off: {_names(cut)}",
        f"More than {percent(OFTEN_CUT)} of them reached the limit of {limit} tokens. What was judged is a beginning, "
        "and lengths say little.",
        "Raise --max-new-tokens.",
    )


def seen(comparison: Comparison) -> Remark | None:
    """Did a run train on what it is asked here?"""
    known = comparison.record.get("seen_in_training") or {}
    if not known:
        return None
    told = ", ".join(f"{name} {count(n, 'prompt')}" for name, n in known.items())
    return Remark(
        "warning",
        "Not all prompts are new to the models",
        f"In training were already: {told}, of {comparison.record.get('n_prompts')}.",
        "Compare on prompts that no run has seen; without --prompts, those are what the runs held out.",
    )


def rough(comparison: Comparison) -> Remark | None:
    """Too few prompts?"""
    rates = [rate for model in comparison.trained if (rate := model.estimate("win_rate"))]
    widths = [rate.high - rate.low for rate in rates if rate.low is not None and rate.high is not None]
    if not widths or max(widths) <= WIDE:
        return None
    return Remark(
        "note",
        "Win rates are known only roughly",
        f"The widest 95 % interval is {percent(max(widths))} wide. Four times as many prompts halve it.",
        "Compare on more held-out prompts before you rely on it.",
    )


def who_judged(comparison: Comparison) -> Remark | None:
    """No person did."""
    name = comparison.judge
    said = {
        "rule": f"“{name}” is a rule that looks at length alone.",
        "taste": f"“{name}” is a program: the stated taste of a simulated annotator.",
        "model": f"“{name}” is a language model, which scored each answer on its own.",
        "reward_model": f"“{name}” is a reward model: of two answers, the one with the higher score won. A model that "
        "was trained to raise this score wins here by design.",
    }.get(comparison.judge_kind)
    if not said:
        remedy = "Name a judge with --judge, or a --reward-model."
        return Remark("note", "Nobody judged", "So there are no win rates.", remedy)
    return Remark("note", "No person judged", f"{said} It sees what it looks for, and nothing else.")


def _names(models: Sequence[Model]) -> str:
    return ", ".join(model.name for model in models)


RULES: tuple[Callable[[Comparison], Remark | None], ...] = (
    seen, better, among_themselves, far, not_measured, drift, cut_off, rough, who_judged,
)  # fmt: skip
