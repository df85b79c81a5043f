"""What a vote would tell, against values derived by hand."""

from datetime import UTC, datetime
from math import exp, log

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from accord.feedback import Choice, Comparison, PairLabel
from accord.quality.information import (
    START_WORTH,
    average_annotator,
    beliefs,
    disagreement,
    margin_information,
    tallies,
    vote_information,
)

SURE = np.eye(3)
COIN = np.full((3, 3), 1 / 3)
#: right three times in four, never a tie
THREE_IN_FOUR = np.array([[0.75, 0, 0.25], [0, 1, 0], [0.25, 0, 0.75]])
H_QUARTER = -0.25 * log(0.25) - 0.75 * log(0.75)
AB, CD = ("p", "a", "b"), ("p", "c", "d")


def entropy(p):
    return -p * log(p) - (1 - p) * log(1 - p)


def vote(id, choice, left="a", right="b", **more):
    return Comparison(id, f"by-{id}", "p", left, right, choice, datetime(2026, 1, 1, tzinfo=UTC), **more)


def test_a_vote_tells_at_most_what_is_open():
    open_AB, known, all_open = [0.5, 0, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]
    assert vote_information([open_AB, known, all_open], SURE) == pytest.approx([log(2), 0, log(3)])
    assert vote_information([open_AB, known, all_open], COIN) == pytest.approx([0, 0, 0])
    # a binary channel that errs in one of four: its capacity is ln 2 − H(¼)
    assert vote_information([open_AB, known], THREE_IN_FOUR) == pytest.approx([log(2) - H_QUARTER, 0])


def test_heads_that_agree_leave_nothing_to_learn():
    p = [[0.0, 1.0], [0.5, 0.5], [0.9, 0.9], [0.25, 0.75]]
    assert disagreement(p) == pytest.approx([log(2), 0, 0, log(2) - H_QUARTER])
    # the first counting three times: the vote is A with 3/8, and H(¼) is the entropy of either
    assert disagreement([[0.25, 0.75]], [[0.75, 0.25]]) == pytest.approx([entropy(0.375) - H_QUARTER])


def test_normal_margins_as_the_integral_has_them():
    def by_integral(mean, std):
        def expected(f):
            return quad(lambda x: norm.pdf(x, mean, std) * f(1 / (1 + exp(-x))), mean - 8 * std, mean + 8 * std)[0]

        return entropy(expected(lambda p: p)) - expected(entropy)

    means, stds = [0.0, 1.0, -1.0, 2.0, 0.3], [0.5, 1.0, 1.0, 2.0, 0.01]
    by_hand = [by_integral(*each) for each in zip(means, stds, strict=True)]
    assert margin_information(means, stds) == pytest.approx(by_hand, abs=2e-4)
    assert margin_information([0.7], [0.0]) == pytest.approx([0], abs=1e-12)


def test_votes_use_up_what_heads_differ_about():
    """Votes weigh the margins that make them likely: what they settle, no further vote has to."""
    counts = [[0, 0, 0], [4, 0, 4], [8, 0, 0], [0, 8, 0]]
    none, split, one_sided, ties = margin_information([0.0] * 4, [1.0] * 4, counts)
    assert none == pytest.approx(margin_information([0.0], [1.0])[0])
    assert one_sided < none
    assert split < none
    assert ties == pytest.approx(split)  # eight ties are four votes for each


def test_beliefs_are_of_the_response_with_the_smaller_id():
    labels = [PairLabel("p", "b", "a", p_chosen=0.8, p_tie=0.2), PairLabel("p", "c", "d", p_chosen=0.5, weight=0.0)]
    of_ab, of_cd, unknown = beliefs([AB, CD, ("q", "a", "b")], labels)
    assert of_ab == pytest.approx([0.1, 0.2, 0.7])
    assert of_cd == pytest.approx([0, 1, 0])
    # sums 0.1, 1.2, 0.7 and one pair of each truth more: 1.1, 2.2, 1.7 of 5; and the same where A and B change places
    assert unknown == pytest.approx([0.28, 0.44, 0.28])
    assert beliefs([AB], []) == pytest.approx(np.full((1, 3), 1 / 3))


def test_votes_are_counted_as_they_stand():
    votes = [
        vote("1", Choice.LEFT),
        vote("2", Choice.LEFT, "b", "a"),
        vote("3", Choice.TIE),
        vote("4", Choice.BOTH_BAD),
        vote("5", Choice.RIGHT),
        vote("6", Choice.LEFT, supersedes="5"),
        vote("7", Choice.LEFT, "x", "y"),
    ]
    assert tallies([AB, CD], votes).tolist() == [[2, 2, 1], [0, 0, 0]]


def test_the_average_annotator_begins_as_dawid_skene_does():
    of_a = np.exp([2.0, 0.5, 0.0]) / np.exp([2.0, 0.5, 0.0]).sum()
    of_tie = np.exp([0.0, 1.0, 0.0]) / np.exp([0.0, 1.0, 0.0]).sum()
    none = average_annotator(np.zeros((0, 3)), np.zeros((0, 3)))
    assert none == pytest.approx(np.array([of_a, of_tie, of_a[::-1]]))
    # ten votes for A on a pair where A is better; they say as much of B, where A and B change places
    seen = average_annotator([[1.0, 0, 0]], [[10.0, 0, 0]])
    assert seen[0] == pytest.approx((2 * START_WORTH * of_a + [10, 0, 0]) / (2 * START_WORTH + 10))
    assert seen[2] == pytest.approx(seen[0][::-1])
    assert seen[1] == pytest.approx(of_tie)
