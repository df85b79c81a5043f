"""What happened in a run that learnt from its own samples, in plain words.

What "rose" or "fell" is said of a `Change` beyond its noise. The thresholds are rules of thumb.
"""

import math
from collections.abc import Callable

from accord.report.facts import Facts, number
from accord.report.online.readings import Change, change, doubted, held_out, latest, mean, series, sources
from accord.report.online.rollouts import length_correlation
from accord.report.parts import Remark
from accord.report.thresholds import KL_FAR, LENGTH_DRIFT
from accord.report.words import count, percent, short, signed

COLLAPSED = 0.5  # of the entropy at first
EQUAL = 0.5  # of the groups
CUT = 0.5  # of the completions
CLIPPED = 0.3  # of what is learnt from
DOUBT = 0.25  # rise of the heads' disagreement, relative

THRESHOLDS = (
    "What rose or fell compares the means of the first eighth and of the last quarter of what was logged, beyond two "
    "standard errors of that difference, as neighbouring steps differ. Rules of thumb decide the rest: length counts "
    f"as changed from {percent(LENGTH_DRIFT)} on, entropy as collapsed below {percent(COLLAPSED)} of what it was, "
    f"disagreement as grown from {percent(DOUBT)} on. You are warned of more than {percent(EQUAL)} of groups of equal "
    f"reward, {percent(CUT)} of completions cut off, {percent(CLIPPED)} clipped, and of {KL_FAR:.0f} nats of KL "
    "without a budget."
)


def earned(facts: Facts) -> Remark | None:
    """Did it get more of what it was trained for?"""
    reward, kl = change(series(facts, "reward")), change(series(facts, "kl"))
    if not reward:
        return None
    cost = f" It went {short(kl.last)} nats a completion from the reference for it." if kl else ""
    means = f"From {_from_to(reward)} in the last quarter of training; by chance, ±{short(reward.noise, 2)}."
    if reward.rose:
        return Remark(
            "good",
            "Reward rose",
            means + cost,
            "Reward is what training raises, not what you wanted: read the completions below"
            + (", then measure with `accord evaluate`." if not facts.evaluated else "."),
        )
    if reward.fell:
        return Remark(
            "warning",
            "Reward fell",
            means,
            "Use a smaller learning_rate, or hold the policy closer with a larger beta (PPO: kl_coef).",
        )
    return Remark(
        "note",
        "Reward did not rise beyond chance",
        means,
        "Train longer, with a larger learning_rate or larger batches; look below whether groups differ in reward.",
    )


def stopped(facts: Facts) -> Remark | None:
    """Why did it end early?"""
    why = facts.summary.get("stopped")
    if not why or not isinstance(why, str):
        return None
    return Remark(
        "note",
        f"Training stopped early, after step {facts.last_step}",
        f"{why[0].upper()}{why[1:]}.",
        "The model is that of the last step. To go further, raise the budget; to earn more for each nat, use a larger "
        "beta (PPO: kl_coef) or a smaller learning_rate."
        if "kl_budget" in why
        else "",
    )


def distance(facts: Facts) -> Remark | None:
    """Did it stay within its budget, or within reach?"""
    points, budget = series(facts, "kl"), number(facts.config.get("kl_budget"))
    if not points or facts.summary.get("stopped"):
        return None
    top = max(points, key=lambda point: point.value)
    if budget is None:
        if top.value <= KL_FAR:
            return None
        return Remark(
            "warning",
            "The policy went far from its reference",
            f"KL reached {short(top.value)} nats a completion at step {top.step:.0f}. So far out, a reward often rises "
            "while answers get worse.",
            "Set kl_budget, or use a larger beta (PPO: kl_coef).",
        )
    at = f"{short(top.value)} nats a completion, at step {top.step:.0f}; the budget is {short(budget)}"
    if top.value > budget:
        return Remark("warning", "KL passed its budget", f"It reached {at}.", "Use a checkpoint from before that.")
    return Remark("note", "KL stayed within its budget", f"Its highest was {at}.")


def length(facts: Facts) -> Remark | None:
    """Did length change, and did reward rise with it?"""
    went, reward = change(series(facts, "length")), change(series(facts, "reward"))
    if not went or not went.first or abs(went.last / went.first - 1) < LENGTH_DRIFT or not (went.rose or went.fell):
        return None
    way = "longer" if went.rose else "shorter"
    share = percent(abs(went.last / went.first - 1))
    told = f"From {went.first:.0f} tokens to {went.last:.0f}: {share} {way}."
    if not reward or not reward.rose:
        return Remark("note", f"Completions became {way}", f"{told} Reward did not rise with it.")
    correlation = length_correlation(facts)
    if correlation is not None:
        told += f" Among the completions kept of one step, reward and length correlate by {signed(correlation, 2)}."
    return Remark(
        "warning" if went.rose else "note",
        f"Completions became {way} as reward rose",
        f"{told} Length is the easiest thing to learn: part of the reward may be for it alone.",
        f"If {way} is what you want, good. If not, reward completions of equal length differently, and compare win "
        "rates at equal length with `accord evaluate`.",
    )


def entropy(facts: Facts) -> Remark | None:
    """Is there anything left to choose?"""
    went = change(series(facts, "entropy"))
    if not went or not went.fell or went.last > COLLAPSED * went.first:
        return None
    return Remark(
        "warning",
        "Entropy collapsed",
        f"From {_from_to(went)} nats a token. The model says nearly the same each time: completions no longer differ, "
        "so there is less and less to learn from.",
        "Use a larger beta (PPO: kl_coef), a smaller learning_rate, a higher temperature, or in GRPO a larger "
        "epsilon_high.",
    )


def equal_groups(facts: Facts) -> Remark | None:
    """Did most groups teach nothing?"""
    share = mean(series(facts, "equal groups"))
    if share is None or share <= EQUAL:
        return None
    return Remark(
        "warning",
        "Most groups taught nothing",
        f"In {percent(share)} of the groups, over the whole run, all completions earned the same "
        "(frac_reward_zero_std): nothing in them is better than the rest, so nothing was learnt from them.",
        "Use prompts that the model sometimes gets right, a finer reward, a larger num_generations or a higher "
        "temperature.",
    )


def cut_off(facts: Facts) -> Remark | None:
    """Were most completions cut?"""
    share = latest(series(facts, "cut off"))
    if share is None or share <= CUT:
        return None
    limit = number(facts.config.get("max_completion_length"))
    at = f" of {limit:.0f} tokens" if limit is not None else ""
    return Remark(
        "warning",
        "Most completions were cut off",
        f"In the last quarter of training {percent(share)} reached the limit{at}: what was rewarded is a beginning, "
        "and the model does not learn to end.",
        "Raise max_completion_length, or set missing_eos_penalty.",
    )


def clipped(facts: Facts) -> Remark | None:
    """Were updates larger than the clip lets through?"""
    share = mean(series(facts, "clipped"))
    if share is None or share <= CLIPPED:
        return None
    return Remark(
        "warning",
        "The clip stopped much of the learning",
        f"{percent(share)} of what was learnt from had moved past the clip: the updates on a rollout are too large or "
        "too many.",
        "Use a smaller learning_rate, or fewer updates on each rollout (num_iterations; PPO: num_ppo_epochs).",
    )


def doubt(facts: Facts) -> Remark | None:
    """Does the reward model know less and less of what it rewards?"""
    for name in doubted(facts):
        went = change(facts.series(f"rewards/{name}/disagreement/mean"))
        if went and went.rose and went.last >= (1 + DOUBT) * went.first:
            return Remark(
                "warning",
                "The reward model's heads disagree more and more",
                f"Their standard deviation went from {_from_to(went)} (“{name}”). The policy has found texts on which "
                "the reward model has seen no votes. There, a higher reward is often an error of the reward model: "
                "reward hacking begins so.",
                "Set disagreement_penalty or a smaller kl_budget, and ask people to vote on such texts.",
            )
    return None


def traded(facts: Facts) -> Remark | None:
    """Did one source's reward fall while the sum rose?"""
    weights, total = facts.config.get("reward_weights"), change(series(facts, "reward"))
    if len(sources(facts)) < 2 or not total or not total.rose:
        return None
    if isinstance(weights, list) and any((number(weight) or 0) <= 0 for weight in weights):
        return None  # then to fall is what a source is for
    lost = [(name, went) for name in sources(facts) if (went := change(facts.series(f"rewards/{name}/mean")))]
    fell = [f"“{name}” from {_from_to(went)}" for name, went in lost if went.fell]
    if not fell:
        return None
    return Remark(
        "warning",
        "One reward was paid for with another",
        f"The sum rose, and these fell: {'; '.join(fell)}.",
        "Change reward_weights if that is not the trade you want.",
    )


def critic(facts: Facts) -> Remark | None:
    """Does the critic foresee anything?"""
    share = latest(series(facts, "explained variance"))
    if share is None or share > 0:
        return None
    return Remark(
        "warning",
        "The critic foresees nothing",
        f"In the last quarter of training it explains {short(share)} of the returns' variance; their mean alone "
        "explains 0. Advantages are then noisier than without a critic.",
        "Set critic_warmup_steps, raise vf_coef, or let the critic begin as the reward model.",
    )


def carried_over(facts: Facts) -> Remark | None:
    """Did held-out prompts earn more too?"""
    tested, deviations = held_out(facts, "reward"), held_out(facts, "reward deviation")
    n = facts.rows("test")
    if len(tested) < 2 or not deviations or not n:
        return None
    first, last = tested[0], tested[-1]
    noise = 2 * math.hypot(deviations[0].value, deviations[-1].value) / math.sqrt(n)
    told = (
        f"From {short(first.value)} at step {first.step:.0f} to {short(last.value)} at step {last.step:.0f}, one "
        f"completion of each of {count(n, 'held-out prompt')}; by chance, ±{short(noise, 2)}."
    )
    if last.value - first.value > noise:
        return Remark("good", "Held-out prompts earn more too", told)
    if first.value - last.value > noise:
        return Remark("warning", "Held-out prompts earn less", told, "Use more prompts, or fewer epochs.")
    return Remark("note", "Held-out prompts earn about as much as before", told)


def _from_to(went: Change) -> str:
    return f"{short(went.first)} to {short(went.last)}"


RULES: tuple[Callable[[Facts], Remark | None], ...] = (
    earned,
    carried_over,
    stopped,
    distance,
    length,
    doubt,
    traded,
    entropy,
    equal_groups,
    cut_off,
    clipped,
    critic,
)
