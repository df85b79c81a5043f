"""Annotators whose votes say little, or were settled beforehand: the evidence against each, in words and numbers.

| kind | what is asked | flagged where |
| --- | --- | --- |
| says little | share r of questions answered with knowledge (`quality.reliability`) | P(r < 0.3) ≥ 0.9 |
| one-sided | share of left in shuffled votes but ties, against the others' share | p ≤ 0.01, 4 of 5 on one side |
| coordinated | agreement beyond truth (`quality.coordination`) | p ≤ 0.01, more alike than people of one taste |
| too fast | characters a second, of what was on the screen | p ≤ 0.01 that half of the votes are above 60 |
| failed controls | share q of control questions passed, Beta(1, 1) prior | P(q < 0.75) ≥ 0.95 |

p-values are corrected over all annotators (Holm 1979; coordination: Benjamini & Hochberg 1995). Nobody is removed: a
finding is for a person to read, and its weight, in [0, 1], for whoever wants to weigh such votes down.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, binom

from accord.quality.coordination import Alike, coordinated
from accord.quality.dawid_skene import TIE, A, Fit, Floats, Ints, Votes, fit
from accord.quality.reliability import Known, known, without

SURE, FAIRLY_SURE, LEVEL = 0.95, 0.9, 0.01
#: r below which votes say little: right 65 times in 100
LITTLE = 0.3
#: share of the votes on one side
ONE_SIDED = 0.8
#: Characters a second: 600 words a minute, skimming. People read 238 (Brysbaert 2019): 24 characters a second.
FASTEST = 60.0
#: who guesses passes half of the control questions about pairs; this is halfway to all
PASSES, GUESSED = 0.75, 0.5
NAMED = 5


class Kind(StrEnum):
    """What is wrong with somebody's votes."""

    SAYS_LITTLE = "says little"
    ONE_SIDED = "one-sided"
    COORDINATED = "coordinated"
    TOO_FAST = "too fast"
    FAILED_CONTROLS = "failed controls"


@dataclass(frozen=True, slots=True)
class Finding:
    """The evidence of one kind against one annotator.

    evidence    a sentence that a person can check
    statistic   says little: mean of r; one-sided: share on that side; coordinated: share agreed with the others;
                too fast: median of characters a second; failed controls: posterior mean of the share passed
    p_value     corrected for how many were tested; None where there is a posterior instead
    posterior   probability that the suspicion is true; None where there is a p-value instead
    votes       how many votes it rests on; coordinated: how many pairs of votes
    weight      what is left of such a vote, in [0, 1]
    others      with whom, if coordinated
    """

    annotator_id: str
    kind: Kind
    evidence: str
    statistic: float
    p_value: float | None
    posterior: float | None
    votes: int
    weight: float
    others: tuple[str, ...] = ()


class Report(NamedTuple):
    """findings: the clearest of each kind first; weight_J: for weighing down, 1 for whom nothing speaks against;
    known_J: how much each annotator's votes say, whether or not anything was found."""

    findings: list[Finding]
    weight_J: Floats
    known_J: Known


def bad_hands(
    votes: Votes,
    *,
    ids: Sequence[str] | None = None,
    at_N: Floats | None = None,
    seconds_N: Floats | None = None,
    characters_N: Floats | None = None,
    passed_J: Ints | None = None,
    failed_J: Ints | None = None,
    group_J: Ints | None = None,
    seed: int = 0,
) -> Report:
    """All that speaks against the annotators of `votes`.

    Coordinated annotators come first, and reliability is judged without them: else they would make each other look
    reliable, and everybody else not.

    ids           the annotators' names; 1 … J where there are none
    at_N          when each vote was cast, in any unit: tells who copied from whom
    seconds_N, characters_N   how long each took, and how much there was to read; NaN where that is not known
    passed_J, failed_J        control questions
    group_J       of which taste each annotator is, where there are several: reliability is judged by those of one's own
    """
    ids = [str(j + 1) for j in range(votes.n_annotators)] if ids is None else ids
    fitted = fit(votes)
    groups = coordinated(votes, fitted, at_N=at_N, seed=seed)
    settled = np.array([one.annotator for group in groups.settled for one in group], np.int64)
    what_is_known = _known(votes, fitted, settled, group_J)
    like_minded = {one.annotator for group in groups.like_minded for one in group}
    findings = [
        *in_groups(groups.settled, ids),
        *says_little(votes, what_is_known, ids, like_minded),
        *one_sided(votes, ids),
    ]
    if seconds_N is not None and characters_N is not None:
        findings += too_fast(votes.annotator_N, seconds_N, characters_N, ids)
    if passed_J is not None and failed_J is not None:
        findings += failed_controls(passed_J, failed_J, ids)
    return Report(findings, weights(findings, ids), what_is_known)


def _known(votes: Votes, fitted: Fit, settled: Ints, group_J: Ints | None) -> Known:
    """What is known of annotators, by the votes of their group."""
    if group_J is None:
        return known(votes, without(votes, fitted, settled))
    whole = None
    for group in np.unique(group_J):
        own = votes.part(group_J[votes.annotator_N] == group)
        of_own = known(own, without(own, fit(own), settled))
        whole = of_own if whole is None else whole.where(group_J == group, of_own)
    assert whole is not None
    return whole


def weights(findings: Sequence[Finding], ids: Sequence[str]) -> Floats:
    """The lowest weight of anything that was found about each annotator, 1 where nothing was, [J]."""
    lowest = dict.fromkeys(ids, 1.0)
    for finding in findings:
        lowest[finding.annotator_id] = min(lowest[finding.annotator_id], finding.weight)
    return np.array([lowest[one] for one in ids])


def says_little(
    votes: Votes, what_is_known: Known, ids: Sequence[str], like_minded: Collection[int] = ()
) -> list[Finding]:
    """Whose votes tell next to nothing, as far as other people's votes show.

    The crowd's consensus is no measure of another taste. So whoever is of a like-minded group is left alone, and so is
    whoever proves reliable when all who say little are measured by each other's votes (P(r < 0.3) ≤ 0.2 there).
    """
    below_J = what_is_known.below(LITTLE)
    suspect_J = (below_J >= FAIRLY_SURE) & (what_is_known.votes_J > 0)
    suspect_J[list(like_minded)] = False
    among_themselves = votes.part(suspect_J[votes.annotator_N])
    suspect_J &= known(among_themselves, fit(among_themselves)).below(LITTLE) > 0.2
    return [
        Finding(
            ids[j],
            Kind.SAYS_LITTLE,
            f"answers as if with knowledge in {100 * what_is_known.mean_J[j]:.0f} ± {100 * what_is_known.se_J[j]:.0f} "
            f"of 100 questions, by {what_is_known.votes_J[j]:.0f} votes on items that others judged too",
            float(what_is_known.mean_J[j]),
            None,
            float(below_J[j]),
            int(what_is_known.votes_J[j]),
            float(what_is_known.mean_J[j]),
        )
        for j in _first(-below_J)
        if suspect_J[j]
    ]


def one_sided(votes: Votes, ids: Sequence[str]) -> list[Finding]:
    """Who says left, or right, nearly whatever stands there. Only votes with shuffled sides count.

    p = 2 · P(Bin(n, others' own share of that side) ≥ k), by Holm.
    """
    counted_N = (votes.side_N != 0) & (votes.vote_N != TIE)
    annotator_N = votes.annotator_N[counted_N]
    left_N = (votes.vote_N[counted_N] == A) == (votes.side_N[counted_N] == 1)
    n_J = np.bincount(annotator_N, minlength=votes.n_annotators)
    left_J = np.bincount(annotator_N, left_N, votes.n_annotators)
    # one vote each way, so that a crowd of one still has a share
    usual_J = (left_J.sum() - left_J + 1) / (n_J.sum() - n_J + 2)
    leftish_J = left_J >= n_J / 2
    k_J = np.where(leftish_J, left_J, n_J - left_J)
    usual_J = np.where(leftish_J, usual_J, 1 - usual_J)
    p_J = holm(np.minimum(2 * binom.sf(k_J - 1, n_J, usual_J), 1), n_J > 0)
    share_J = k_J / np.maximum(n_J, 1)
    return [
        Finding(
            ids[j],
            Kind.ONE_SIDED,
            f"says {'left' if leftish_J[j] else 'right'} in {k_J[j]:.0f} of {n_J[j]} votes with shuffled sides, "
            f"where the others do in {100 * usual_J[j]:.0f} of 100",
            float(share_J[j]),
            float(p_J[j]),
            None,
            int(n_J[j]),
            # what is left when the votes that the side alone explains are taken away
            float(np.clip((1 - share_J[j]) / (1 - usual_J[j]), 0, 1)),
        )
        for j in _first(p_J)
        if p_J[j] <= LEVEL and share_J[j] >= ONE_SIDED
    ]


def in_groups(groups: Sequence[Sequence[Alike]], ids: Sequence[str]) -> list[Finding]:
    """Who copied or colluded. A group counts as one voter: its members' weights add up to 1.

    Whoever votes before the others nearly always (a sign test at 0.01) was copied from and is not named; they then keep
    their weight, and the rest get 0.
    """
    findings = []
    for group in groups:
        copied_from = {one.annotator for one in group if one.first is not None and _leads(one.first, one.met)}
        weight = 0.0 if copied_from else 1 / len(group)
        for one in sorted(group, key=lambda one: one.p_value):
            if one.annotator in copied_from:
                continue
            others = tuple(ids[other] for other in one.others)
            who = f"{others[0]}" if len(others) == 1 else f"{len(others)} others ({_listed(others)})"
            follows = ", and votes after them" if copied_from else ""
            findings.append(
                Finding(
                    ids[one.annotator],
                    Kind.COORDINATED,
                    f"says the same as {who} in {one.agreed} of {one.met} votes on shared items, where "
                    f"{one.expected:.0f} would be expected of independent people{follows}",
                    one.agreed / one.met,
                    one.p_value,
                    None,
                    one.met,
                    weight,
                    others,
                )
            )
    return findings


def too_fast(annotator_N: Ints, seconds_N: Floats, characters_N: Floats, ids: Sequence[str]) -> list[Finding]:
    """Who votes before anybody can have read: an exact sign test that the median is above FASTEST, by Holm."""
    timed_N = np.isfinite(seconds_N) & np.isfinite(characters_N)
    annotator_N = annotator_N[timed_N]
    speed_N = characters_N[timed_N] / np.maximum(seconds_N[timed_N], 1e-3)
    n_J = np.bincount(annotator_N, minlength=len(ids))
    fast_J = np.bincount(annotator_N, speed_N > FASTEST, len(ids))
    p_J = holm(binom.sf(fast_J - 1, n_J, 0.5), n_J > 0)
    flagged = [j for j in _first(p_J) if p_J[j] <= LEVEL]
    median = {j: float(np.median(speed_N[annotator_N == j])) for j in flagged}
    return [
        Finding(
            ids[j],
            Kind.TOO_FAST,
            f"reads {median[j]:.0f} characters a second (median), in {fast_J[j]:.0f} of {n_J[j]} votes more than the "
            f"{FASTEST:.0f} of somebody who skims",
            median[j],
            float(p_J[j]),
            None,
            int(n_J[j]),
            float(1 - fast_J[j] / n_J[j]),
        )
        for j in flagged
    ]


def failed_controls(passed_J: Ints, failed_J: Ints, ids: Sequence[str]) -> list[Finding]:
    """Who fails questions whose right answer is known. The weight is the share known beyond guessing, 2q − 1."""
    mean_J = (passed_J + 1) / (passed_J + failed_J + 2)
    below_J = beta.cdf(PASSES, passed_J + 1, failed_J + 1)
    return [
        Finding(
            ids[j],
            Kind.FAILED_CONTROLS,
            f"passed {passed_J[j]} and failed {failed_J[j]} control questions",
            float(mean_J[j]),
            None,
            float(below_J[j]),
            int(passed_J[j] + failed_J[j]),
            float(np.clip((mean_J[j] - GUESSED) / (1 - GUESSED), 0, 1)),
        )
        for j in _first(-below_J)
        if below_J[j] >= SURE
    ]


def holm(p_J: Floats, tested_J: np.ndarray) -> Floats:
    """Holm's corrected p-values of those who were tested, max over ranks i ≤ their own of (m − i) · p_i; else 1."""
    corrected_J = np.ones(len(p_J))
    at = np.flatnonzero(tested_J)
    order = at[np.argsort(p_J[at], kind="stable")]
    corrected_J[order] = np.minimum(np.maximum.accumulate(p_J[order] * np.arange(len(order), 0, -1)), 1)
    return corrected_J


def _first(value_J: Floats) -> list[int]:
    """Annotators from the lowest value to the highest."""
    order: list[int] = np.argsort(value_J, kind="stable").tolist()
    return order


def _leads(first: int, met: int) -> bool:
    return bool(binom.sf(first - 1, met, 0.5) <= LEVEL) and first > 0.9 * met


def _listed(others: Sequence[str]) -> str:
    more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return ", ".join(others[:NAMED]) + more
