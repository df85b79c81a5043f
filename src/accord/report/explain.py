"""What happened in a run, in plain words: rules over its figures, each with what to do next.

A rule looks at one thing and says nothing where its figures are missing. The thresholds are rules of thumb, here to be
seen and argued with; they decide what is said, never what is measured.
"""

import math
from collections.abc import Callable, Sequence

from accord.report import held_out, reward_model
from accord.report.curves import course
from accord.report.facts import Facts
from accord.report.online import remarks as online
from accord.report.parts import Remark
from accord.report.thresholds import KL_FAR, LENGTH_DRIFT
from accord.report.words import count, duration, percent, short

Rule = Callable[[Facts], Remark | None]

KL_NEAR = 0.1  # nats an answer
OVERFIT = 0.02  # rise of the held-out loss over its best, relative
STILL = 0.01  # fall of the loss that counts as none
OVERCONFIDENT = 0.1  # calibration error
WIDE = 0.3  # interval of a share


def explain(facts: Facts, rules: Sequence[Rule] = ()) -> list[Remark]:
    """What there is to say by `rules`, or by all of them, warnings first."""
    said = [remark for rule in rules or RULES if (remark := rule(facts))]
    return sorted(said, key=lambda remark: ("warning", "good", "note").index(remark.tone))


def unfinished(facts: Facts) -> Remark | None:
    """Training stopped before its end."""
    if facts.finished:
        return None
    error = facts.summary.get("error")
    where = f"after step {facts.last_step}" if facts.metrics else "before its first logged step"
    if error:
        return Remark("warning", f"Training failed {where}", str(error), "Mend the cause, then go on with --resume.")
    return Remark(
        "warning",
        f"Training has not finished: the record ends {where}",
        "The run was stopped, or it is still going. The figures below are those it got to.",
        "Start the same command again with --resume: it goes on from the last whole checkpoint, to the same result.",
    )


def not_finite(facts: Facts) -> Remark | None:
    """The loss became NaN or infinite."""
    if not facts.broken:
        return None
    return Remark(
        "warning",
        f"The loss was no longer a number at step {facts.broken[0]}",
        "A step was so large, or a number so small in this precision, that the arithmetic broke. "
        "Nothing learnt after that can be trusted.",
        "Go back to the last checkpoint with a smaller learning_rate, or with bf16 or fp32 instead of fp16.",
    )


def outcome(facts: Facts) -> Remark | None:
    """Did answers get better in the judge's eyes?"""
    rate = facts.estimate("win_rate")
    if not rate or not rate.bounded:
        return None
    judge = f"judge “{facts.summary.get('judge') or 'nobody named'}”"
    shown = f"{percent(rate.value)} (95 % interval {percent(rate.low or 0)} to {percent(rate.high or 0)})"
    if rate.above(0.5):
        return Remark(
            "good",
            "The trained model's answers are preferred",
            f"On prompts that training never saw, the {judge} prefers them to the base model's in {shown}, "
            "ties counted half. The whole interval is above one half, so this is more than the luck of the draw.",
            "Read the answers below: a judge sees only what it was told to look for.",
        )
    if rate.below(0.5):
        return Remark(
            "warning",
            "The base model's answers are preferred",
            f"The {judge} prefers the trained model's answers in only {shown}, ties half: training made them worse.",
            "What was rewarded is not what the judge prefers: read the completions below, and change the reward."
            if facts.is_online
            else "Check with `accord doctor` that chosen and rejected are not swapped; then train more gently "
            "(smaller learning_rate, larger beta, fewer epochs).",
        )
    return Remark(
        "note",
        "No difference could be shown",
        f"The {judge} prefers the trained model's answers in {shown}, ties counted half. The interval reaches "
        "over one half: chance alone could give this.",
        "Evaluate on more prompts to narrow the interval; if it stays, train longer or with a larger learning_rate.",
    )


def ranking(facts: Facts) -> Remark | None:
    """Does it order held-out pairs as people did?"""
    accuracy = facts.estimate("accuracy")
    if not accuracy or not accuracy.bounded:
        return None
    shown = f"{percent(accuracy.value)} (95 % interval {percent(accuracy.low or 0)} to {percent(accuracy.high or 0)})"
    if accuracy.above(0.5):
        return Remark(
            "good",
            "It learnt a preference that carries over",
            f"On held-out pairs it ranks the answers as the votes do in {shown}; chance is 50 %.",
        )
    tone, title = ("warning", "worse than") if accuracy.below(0.5) else ("note", "no better than")
    return Remark(
        tone,
        f"On held-out pairs it is {title} chance",
        f"It ranks them as the votes do in {shown}. What it learnt on the training pairs does not carry over, "
        "or there are too few held-out pairs to see it.",
        "More votes help most. Look at agreement between annotators first: where people disagree, nobody can be right.",
    )


def falling_chosen(facts: Facts) -> Remark | None:
    """Chosen answers became less likely although they win: usual in DPO, and often asked about."""
    if facts.method != "dpo":
        return None
    chosen, margin = course(facts.series("rewards/chosen")), course(facts.series("rewards/margins"))
    if not chosen or not margin or chosen[1] >= min(0.0, chosen[0]):
        return None
    nats = -chosen[1] / facts.beta
    fell = f"By the end, chosen answers were {short(nats)} nats less likely than under the base model"
    if margin[1] <= max(0.0, margin[0]):
        return Remark(
            "warning",
            "Chosen answers became less likely, and gained nothing by it",
            f"{fell}, and the margin over the rejected ones did not grow: the model is forgetting, not choosing.",
            "Use a smaller learning_rate or a larger beta.",
        )
    return Remark(
        "note",
        "Chosen answers became less likely too: in DPO that is usual",
        f"{fell}; rejected ones fell further. DPO rewards only the difference between the two. Chosen and rejected "
        "share words and style, so pushing one down drags the other along, and the probability goes to "
        "answers that are in neither. It matters when those are bad: watch the win rate and the answers rather than "
        "this curve.",
        "If answers got worse, use a larger beta, a smaller learning_rate or fewer epochs, or fine-tune on the chosen "
        "answers first (`accord sft`).",
    )


def distance(facts: Facts) -> Remark | None:
    """How far from the base?"""
    estimate = facts.estimate("kl")
    if not estimate or not estimate.bounded:  # without bounds it is a training metric of the same name
        return None
    kl = estimate.value
    token = facts.figure("kl_per_token")
    each = f", {short(token)} a token" if token is not None else ""
    if kl > KL_FAR:
        return Remark(
            "warning",
            "The model has gone far from its base",
            f"KL is {short(kl)} nats an answer{each}: the base would write such answers e^{kl:.0f} times less often. "
            "Far from the base, a model often gains on what was measured and loses on what was not: facts, other "
            "languages, variety.",
            "Try it on tasks that nobody voted on. To hold it closer: a larger beta, a smaller learning_rate, "
            "fewer epochs.",
        )
    if abs(kl) < KL_NEAR:
        return Remark(
            "note",
            "The model has hardly moved",
            f"KL from the base is {short(kl)} nats an answer{each}: most of its answers are the base's.",
            "Train longer, with a larger learning_rate, or with a smaller beta.",
        )
    return Remark("note", "It stayed within reach of its base", f"KL is {short(kl)} nats an answer{each}.")


def drift(facts: Facts) -> Remark | None:
    """Did answers grow or shrink?"""
    before, after = facts.figure("words_before"), facts.figure("words_after")
    if not before or after is None or abs(after / before - 1) < LENGTH_DRIFT:
        return None
    same = facts.estimate("win_rate_same_length")
    equal = f"Between answers of about equal length, the win rate is {percent(same.value)}. " if same else ""
    way = "shorter" if after < before else "longer"
    what, other = ("rewards", "change the reward") if facts.is_online else ("votes", "ask for votes at equal length")
    return Remark(
        "note",
        f"Answers became {way}",
        f"From {before:.0f} words to {after:.0f} on average. {equal}Where {what} go with length, a model "
        "learns length first, because it is the easiest thing to learn.",
        f"If {way} is what people asked for, good. If not, {other}.",
    )


def standing_still(facts: Facts) -> Remark | None:
    """The loss did not move. Of methods that sample it says nothing: advantages are differences."""
    if facts.is_online:
        return None
    loss = course(facts.series("loss"))
    if not loss or loss[0] - loss[1] > max(STILL, _noise(facts)):
        return None
    level = " log 2 = 0.693 is where a preference loss starts: knowing nothing." if _near_log2(facts, loss[1]) else ""
    return Remark(
        "warning",
        "The loss did not move",
        f"It was {short(loss[0])} in the first quarter of training and {short(loss[1])} in the last.{level}",
        "Raise learning_rate (LoRA wants about ten times what full training does), train longer, "
        "and check with `accord doctor` that the labels say something.",
    )


def _noise(facts: Facts) -> float:
    """Twice the standard error of the mean loss of a quarter of the run."""
    values = [point.value for point in facts.series("loss")]
    quarter = values[-(len(values) // 4) :]
    mean = sum(quarter) / len(quarter)
    return 2 * math.sqrt(sum((x - mean) ** 2 for x in quarter)) / len(quarter)


def _near_log2(facts: Facts, loss: float) -> bool:
    return facts.method in ("dpo", "reward") and abs(loss - math.log(2)) < 2 * STILL


def overfitting(facts: Facts) -> Remark | None:
    """The held-out loss turned upwards."""
    held_out = facts.series("eval_loss")
    if len(held_out) < 3:
        return None
    best, last = min(held_out, key=lambda point: point.value), held_out[-1]
    if last.value <= best.value + OVERFIT * abs(best.value):
        return None
    return Remark(
        "warning",
        "It began to learn the training pairs by heart",
        f"The held-out loss was best at step {best.step:.0f} ({short(best.value)}) and rose to {short(last.value)} by "
        f"step {last.step:.0f}: from there on, training improved what it had seen and not what it had not.",
        "Use the checkpoint nearest to the best step (load_best_model_at_end), fewer epochs, or more votes.",
    )


def boasting(facts: Facts) -> Remark | None:
    """Surer than it is right."""
    error, loss = facts.figure("calibration_error"), facts.estimate("log_loss")
    if error is None or error < OVERCONFIDENT:
        return None
    worse = ", and its log-loss is worse than knowing nothing (0.693)" if loss and loss.above(math.log(2)) else ""
    return Remark(
        "note",
        "It is surer of its preferences than it should be" if worse else "Its confidence does not match its accuracy",
        f"On average its stated probability is {percent(error)} away from how often it is right{worse}.",
        "Train on soft labels (p_chosen from several votes a pair), or for fewer epochs.",
    )


def few_prompts(facts: Facts) -> Remark | None:
    """Too little evidence to be precise."""
    for name, what in (("win_rate", "win rate"), ("accuracy", "accuracy")):
        found = facts.estimate(name)
        if found and found.low is not None and found.high is not None and found.high - found.low > WIDE:
            n = facts.figure("n_answers" if name == "win_rate" else "n_test_pairs")
            on = f" on {count(n, 'comparison')}" if n else ""
            return Remark(
                "note",
                f"The {what} is known only roughly",
                f"Its 95 % interval{on} is {percent(found.high - found.low)} wide. Four times as many halve it.",
                "Evaluate on more held-out prompts before you rely on it.",
            )
    return None


def simulated(facts: Facts) -> Remark | None:
    """No person voted."""
    programs = facts.annotators.get("simulated", 0)
    if not programs:
        return None
    people = facts.annotators.get("human", 0)
    who = f"{count(programs, 'simulated annotator')}" + (f" voted beside {people} human ones" if people else " voted")
    return Remark(
        "note",
        "Not all votes are people's" if people else "No person has voted here",
        f"{who}: programs with a stated taste. What the model learnt is that taste, not what people want.",
        "Bring people's votes with `accord import`, and train again.",
    )


def not_evaluated(facts: Facts) -> Remark | None:
    """Nothing was measured on held-out data."""
    if facts.evaluated or not facts.finished:
        return None
    took = f" It took {duration(facts.figure('seconds') or 0)}."
    question = "it judges others as well" if facts.is_reward_model else "answers got better"
    return Remark(
        "note",
        "Trained, but not yet measured",
        f"The curves are about the training data.{took} Whether {question}, only held-out ones can tell.",
        f"Run `accord evaluate {facts.name}`.",
    )


RULES: tuple[Rule, ...] = (
    unfinished,
    not_finite,
    outcome,
    held_out.scores,
    *online.RULES,
    ranking,
    standing_still,
    overfitting,
    distance,
    falling_chosen,
    drift,
    boasting,
    *reward_model.RULES,
    few_prompts,
    simulated,
    not_evaluated,
)
