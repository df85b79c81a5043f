"""Every model against every other: win rates, and how many of them luck alone would give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from accord.evaluation.generations import WinRateReport, win_rate_report
from accord.evaluation.interval import cluster_index
from accord.evaluation.judges import Judge

FLIPS, AT_ONCE = 9_999, 1_111  # sign flips: the smallest p that can be seen is 1 / 10,000


@dataclass(frozen=True, slots=True)
class Match:
    """The answers of one model, `first`, against those of another, `second`.

    report   wins are those of `first`
    p        how often luck alone would part the two this far or farther (`sign_flip`)
    p_holm   the same with regard to the number of matches (`holm`)
    """

    first: str
    second: str
    report: WinRateReport
    p: float
    p_holm: float


def round_robin(
    prompts: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    judge: Judge,
    *,
    judge_name: str = "",
    prompt_ids: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Match]:
    """All pairs of models, a later one of `answers` against an earlier one: M·(M − 1)/2 matches.

    answers  model -> its N answers, one for each of the N `prompts`; the rest as for `win_rate_report`
    """
    ids = list(prompts if prompt_ids is None else prompt_ids)
    pairs = [(second, first) for first, second in combinations(answers, 2)]
    reports = [
        win_rate_report(prompts, answers[other], answers[one], judge, judge_name=judge_name, prompt_ids=ids, seed=seed)
        for one, other in pairs
    ]
    p_values = [sign_flip(np.array(report.verdicts) - 0.5, ids, seed=seed) for report in reports]
    return [
        Match(*pair, report, p, p_holm)
        for pair, report, p, p_holm in zip(pairs, reports, p_values, holm(p_values), strict=True)
    ]


def sign_flip(leads_N: ArrayLike, clusters_N: Sequence[str] | None = None, *, seed: int = 0) -> float:
    """p that N leads have mean 0: how often their sum is as large or larger where each prompt's sign is a coin's.

    If two models were one, swapping their names on a prompt would change nothing: that is what a flip does. All leads
    of a prompt flip together. (1 + hits) / (1 + flips), so never 0.

    Fisher 1935, "The design of experiments", ch. 3; Phipson & Smyth 2010 on the added one.
    """
    leads = np.asarray(leads_N, dtype=np.float64)
    sums_C = np.bincount(cluster_index(clusters_N, len(leads)), weights=leads)
    random = np.random.default_rng(seed)
    hits = 0
    for _ in range(FLIPS // AT_ONCE):
        flipped = random.choice([-1.0, 1.0], size=(AT_ONCE, len(sums_C))) @ sums_C
        hits += int((np.abs(flipped) >= abs(sums_C.sum()) - 1e-9).sum())
    return (1 + hits) / (1 + FLIPS)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number m: of those under 0.05, even one is false in at most 5 of 100 such tables.

    The k-th smallest is multiplied by m − k + 1, and none gets below a smaller one. Holm 1979, "A simple sequentially
    rejective multiple test procedure".
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for k, i in enumerate(np.argsort(p_values, kind="stable")):
        worst = max(worst, min(1.0, (len(p_values) - k) * p_values[i]))
        adjusted[i] = worst
    return adjusted
