"""What `accord rlhf` says of itself and of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accord.cli.judging import Judging
from accord.report.facts import Facts, estimate
from accord.report.online.readings import series
from accord.report.words import count, percent, short

#: kind of judge -> who it is
WHO = {
    "taste": "The panel's stated taste, without its errors, says which answer is better: {name}.",
    "rule": "The rule “{name}” says which answer is better.",
    "model": "The language model {name} says which answer is better.",
    "reward_model": "[yellow]Nobody else judges, so the reward model does:[/] a win says that training pleased it, not "
    "that people would prefer the answers. Ask a judge of your own (--judge, --judge-url), or people.",
}


def introduction(method: str, simulated: bool, rewards: Path, policy: Path) -> str:
    """What will happen."""
    voters = "of [bold]simulated[/] annotators, programs with one stated taste" if simulated else "in the data"
    return (
        f"[bold]Reinforcement learning from human feedback.[/] The votes {voters} train a reward model, a score of "
        f"how good an answer is. {method.upper()} then lets the language model answer, and makes likelier what scored "
        "well. "
        f"The reward model goes to {rewards}, the policy to {policy}; started again, this goes on where it stopped."
    )


def accuracy(figures: Mapping[str, Any]) -> str:
    """How often the reward model is right of pairs that it was not shown, and a warning where that may be luck."""
    found = estimate(dict(figures), "accuracy")
    if found is None or found.low is None or found.high is None:
        return "[yellow]No pair is decided, so nothing can be said.[/]"
    pairs = count(figures["n_test_pairs"], "held-out pair")
    told = (
        f"It ranks {percent(found.value)} of {pairs} as the votes do ({percent(found.low)} to {percent(found.high)})."
    )
    if found.above(0.5):
        return told
    return (
        f"{told}\n[yellow]The interval reaches 50 %: as far as anybody can tell, it guesses.[/] What follows would "
        "train on noise. More votes help most; then more epochs (--reward.num_train_epochs 5)."
    )


def course(facts: Facts) -> str:
    """Reward and KL from the first rollout to the last."""
    reward, kl = series(facts, "reward"), series(facts, "kl")
    if not reward:
        return "Nothing was logged."
    far = f" KL from its base: {short(kl[-1].value)} nats an answer." if kl else ""
    early = f" It ended early: {facts.summary['stopped']}." if facts.summary.get("stopped") else ""
    return (
        f"Mean reward of a rollout: {short(reward[0].value)} at first, {short(reward[-1].value)} at last.{far}{early}"
    )


def judged_by(judged: Judging, prompts: int, samples: int) -> str:
    """On what it is measured, and who judges."""
    times = "once" if samples == 1 else f"{samples} times each"
    asked = f"The model before and after training answers {count(prompts, 'prompt')} {times} that training never saw."
    return f"{asked} {WHO[judged.kind].format(name=judged.name)}"


def changed(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was measured of the answers after training, and its value with the interval."""
    told = []
    for figure, (name, form) in CHANGES.items():
        found = estimate(dict(figures), figure)
        if found and found.low is not None and found.high is not None:
            write = percent if figure == "win_rate" else short
            known = {key: write(value) for key, value in figures.items() if isinstance(value, int | float)}
            value = form.format(**(known | {"low": write(found.low), "high": write(found.high)}))
            told.append((name.format(**figures), value))
    return told


#: figure -> what it is called, and how it is written
CHANGES = {
    "win_rate": ("preferred to before, by {judge}", "[bold green]{win_rate}[/] ({low} to {high}; a tie counts half)"),
    "reward_difference": ("reward", "{reward_before} → {reward_after} (difference {low} to {high})"),
    "kl": ("KL from before", "{kl} nats an answer ({low} to {high})"),
    "words_difference": ("words", "{words_before} → {words_after} (difference {low} to {high})"),
}
