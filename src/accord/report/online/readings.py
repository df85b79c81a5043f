"""What was measured while a model trained on its own samples: one name for what methods log under different ones."""

import math
import re
from itertools import pairwise
from typing import NamedTuple

from accord.report.facts import Facts, Point

#: What is measured -> where RLOO, GRPO and PPO log it. KL is in nats a completion, entropy in nats a token.
NAMES: dict[str, tuple[str, ...]] = {
    "reward": ("reward", "objective/scores"),
    "reward deviation": ("reward_std", "objective/scores_std"),
    "reward less KL": ("objective/rlhf_reward",),
    "kl": ("kl_per_completion", "objective/kl"),
    "kl coefficient": ("objective/kl_coef",),
    "length": ("completions/mean_length",),
    "cut off": ("completions/clipped_ratio",),
    "entropy": ("entropy", "policy/entropy_avg"),
    "equal groups": ("frac_reward_zero_std",),
    "clipped": ("clip_ratio/region_mean", "policy/clipfrac_avg"),
    "approximate KL": ("policy/approxkl_avg",),
    "value loss": ("loss/value_avg",),
    "values clipped": ("val/clipfrac_avg",),
    "explained variance": ("val/explained_variance",),
    "policy loss": ("loss/policy_avg", "loss"),
    "sampler's error": ("sampling/logp_difference",),
    "rollout time": ("time/rollout",),
    "update time": ("time/update",),
}
SOURCE = re.compile(r"rewards/(.+?)(/disagreement)?/mean")


class Change(NamedTuple):
    """The means of a curve's first eighth and of its last quarter, and by how much such means differ by chance.

    The beginning is short, for most of a reward is often gained early.

    noise   two standard errors of the difference, from what neighbouring points differ by (von Neumann 1941)
    """

    first: float
    last: float
    noise: float

    @property
    def rose(self) -> bool:
        return self.last - self.first > self.noise

    @property
    def fell(self) -> bool:
        return self.first - self.last > self.noise


def metric(facts: Facts, what: str) -> str:
    """Where this run logged it. What is not in `NAMES` is a metric itself."""
    names = NAMES.get(what, (what,))
    return next((name for name in names if facts.series(name)), names[0])


def series(facts: Facts, what: str) -> list[Point]:
    """What was measured, over the steps."""
    found = facts.series(metric(facts, what))
    if what == "kl" and not found:  # TRL's trainers log that of a token: tokens make it that of a completion
        tokens = dict(series(facts, "length"))
        found = [Point(step, kl * tokens[step]) for step, kl in facts.series("kl") if step in tokens]
    return found


def held_out(facts: Facts, what: str) -> list[Point]:
    """The same, of one completion of each held-out prompt."""
    return facts.series(f"eval_{metric(facts, what)}")


def sources(facts: Facts) -> list[str]:
    """The names of what rewarded."""
    return [source for source, disagreement in _parts(facts) if not disagreement]


def doubted(facts: Facts) -> list[str]:
    """The reward models of several heads, which can disagree."""
    return [source for source, disagreement in _parts(facts) if disagreement]


def _parts(facts: Facts) -> list[tuple[str, bool]]:
    names = dict.fromkeys(name for record in facts.metrics for name in record)
    return [(match[1], bool(match[2])) for name in names if (match := SOURCE.fullmatch(name))]


def change(points: list[Point]) -> Change | None:
    """How a curve went; None for fewer than four points."""
    n = len(points)
    if n < 4:
        return None
    begin, end = max(1, n // 8), n // 4
    values = [point.value for point in points]
    variance = sum((b - a) ** 2 for a, b in pairwise(values)) / (2 * (n - 1))
    first, last = sum(values[:begin]) / begin, sum(values[-end:]) / end
    return Change(first, last, 2 * math.sqrt(variance / begin + variance / end))


def latest(points: list[Point]) -> float | None:
    """The mean of the last quarter, of the last point where there are fewer than four."""
    last = points[-max(1, len(points) // 4) :]
    return sum(point.value for point in last) / len(last) if last else None


def mean(points: list[Point]) -> float | None:
    return sum(point.value for point in points) / len(points) if points else None
