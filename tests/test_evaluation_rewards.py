"""What a reward model is worth, held to numbers by hand."""

import math

import numpy as np
import pytest

from accord.evaluation import preference_report, reward_report

SAME = [[5, 5]]


def pairs(*rows):
    """(Δ, length of chosen − length of rejected, how many such pairs) → scores and lengths."""
    scores = [[delta, 0.0] for delta, _, count in rows for _ in range(count)]
    lengths = [[100 + more, 100] for _, more, count in rows for _ in range(count)]
    return scores, lengths


def test_figures_by_hand():
    report = reward_report([[2, 0], [0, 1], [1, 1]], SAME * 3, p_chosen=[1, 1, 0.5])
    assert report.accuracy.value == 0.5  # of two decided pairs
    assert report.margin.value == pytest.approx((2 - 1 + 0) / 3)
    surprise = [math.log1p(math.exp(-2)), math.log1p(math.exp(1)), math.log(2)]
    assert report.log_loss.value == pytest.approx(sum(surprise) / 3)
    assert (report.n_pairs, report.n_heads, report.disagreement) == (3, 1, None)


def test_a_reward_model_and_a_policy_with_the_same_margins_are_measured_alike():
    draw = np.random.default_rng(0)
    scores, p = draw.normal(size=(60, 2)), draw.choice([0, 0.2, 0.5, 0.9, 1], 60)
    more = {"weights": draw.uniform(0.5, 2, 60), "prompt_ids": [str(i // 2) for i in range(60)]}
    ours = reward_report(scores, SAME * 60, p, **more)
    theirs = preference_report(scores / 0.1, np.zeros((60, 2)), p, beta=0.1, **more).policy
    for name in ("accuracy", "margin", "log_loss", "calibration_error"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine.value, mine.low, mine.high) == pytest.approx((other.value, other.low, other.high)), name


def test_reliability_by_hand():
    """log 3 is ¾ sure: right in two of three; 0 is ½ sure, and half right."""
    delta = math.log(3)
    report = reward_report([[delta, 0], [0, delta], [delta, 0], [1, 1]], SAME * 4, p_chosen=[1, 0, 0, 1])
    assert report.reliability["said"] == pytest.approx([0.5, 0.75])
    assert report.reliability["right"] == pytest.approx([0.5, 2 / 3])
    assert report.reliability["share"] == [0.25, 0.75]
    assert report.calibration_error.value == pytest.approx(0.75 * (0.75 - 2 / 3))


def test_which_side_is_called_chosen_does_not_matter():
    draw = np.random.default_rng(1)
    scores, lengths = draw.normal(size=(40, 2, 3)), draw.integers(1, 50, (40, 2))
    p = draw.uniform(size=40)
    one, other = (
        reward_report(scores, lengths, p).to_summary(),
        reward_report(scores[:, ::-1], lengths[:, ::-1], 1 - p).to_summary(),
    )
    assert one.pop("margin") == pytest.approx(-other.pop("margin"))
    del one["margin_ci"], other["margin_ci"], one["reliability"], other["reliability"]
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value == pytest.approx(other[name]), name


# ---- Length


def test_length_bias_by_hand():
    """10 pairs: people chose the longer in 6, the model rewards it in 7; of 3 short good answers it finds 1."""
    report = reward_report(*pairs((1, 10, 5), (-1, 10, 1), (1, -10, 1), (-1, -10, 2), (1, 0, 1)), p_chosen=1)
    length = report.length
    assert length.longer_wins.value == pytest.approx(0.65)  # a pair of equal lengths counts half
    assert length.prefers_longer.value == pytest.approx(0.75)
    assert length.exaggeration.value == pytest.approx(0.1)
    assert length.accuracy_longer_better.value == pytest.approx(5 / 6)
    assert length.accuracy_shorter_better is None  # three pairs are too few
    assert length.correlation.value == pytest.approx((5 + 2 - 1 - 1) * 10 / math.sqrt(10 * 9 * 100))


def test_a_model_that_counts_characters_owes_all_to_length():
    report = reward_report(*pairs((30, 30, 70), (-10, -10, 30)), p_chosen=1)
    assert report.accuracy.value == report.length.longer_wins.value == 0.7
    assert report.length.prefers_longer.value == 1
    assert report.length.share.value == pytest.approx(1)
    assert report.length.correlation.value == pytest.approx(1)
    assert report.length.exaggeration.above(0)
    assert report.length.accuracy_shorter_better.value == 0


def test_a_model_to_which_length_means_nothing():
    """As often longer as shorter, and right in 80 % of both."""
    report = reward_report(*pairs((1, 10, 40), (-1, 10, 10), (1, -10, 40), (-1, -10, 10)), p_chosen=1)
    assert report.accuracy.value == 0.8
    assert report.length.share.value == pytest.approx(0)
    assert report.length.correlation.value == pytest.approx(0)
    assert report.length.accuracy_longer_better.value == report.length.accuracy_shorter_better.value == 0.8
    assert not report.length.exaggeration.above(0)


def test_brevity_is_a_rule_as_well():
    """The shorter wins in 75 %; the model is right in 90 %."""
    report = reward_report(*pairs((1, -10, 75), (1, 10, 15), (-1, 10, 10)), p_chosen=1)
    assert report.length.longer_wins.value == 0.25
    assert report.length.share.value == pytest.approx(0.25 / 0.4)


def test_no_share_is_told_of_an_accuracy_that_may_be_chance():
    assert reward_report(*pairs((1, 10, 6), (-1, 10, 5)), p_chosen=1).length.share is None


# ---- An ensemble


def test_disagreement_by_hand():
    """Three heads: they agree on 8 pairs, of which 7 are right; of the other 6 the mean is right in 3."""
    agreed, split = [[1, 1, 1]] * 7 + [[-1, -2, -3]], [[3, -1, 1]] * 3 + [[-3, 1, -1]] * 3
    margins = np.array(agreed + split, dtype=float)
    scores = np.stack([margins, np.zeros_like(margins)], 1)
    report = reward_report(scores, SAME * 14, p_chosen=1)
    found = report.disagreement
    assert report.n_heads == 3
    assert report.accuracy.value == pytest.approx(10 / 14)
    assert found.agree.value == pytest.approx(8 / 14)
    assert found.accuracy_agree.value == pytest.approx(7 / 8)
    assert found.accuracy_split.value == pytest.approx(1 / 2)
    assert found.difference.value == pytest.approx(3 / 8)
    assert found.spread.value == pytest.approx((math.sqrt(2 / 3) + 6 * math.sqrt(8 / 3)) / 14)


def test_each_heads_own_zero_changes_nothing():
    draw = np.random.default_rng(2)
    scores = draw.normal(size=(30, 2, 4))
    one = reward_report(scores, SAME * 30, 1).to_summary()
    other = reward_report(scores + draw.normal(size=4), SAME * 30, 1).to_summary()
    assert one["heads_spread"] == pytest.approx(other["heads_spread"])
    assert one["accuracy"] == other["accuracy"]


def test_heads_that_never_differ_have_nothing_to_compare():
    scores = np.tile(np.array([[1.0], [0.0]]), (20, 1, 2))
    found = reward_report(scores, SAME * 20, 1).disagreement
    assert found.agree.value == 1
    assert found.accuracy_split is found.difference is None


# ---- Ties, and what cannot be


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_a_model_that_was_taught_about_ties_is_judged_by_its_own_probabilities(ties):
    """P(win) + ½·P(tie) of the paper's formula; with a tie at even rewards of probability t."""
    from accord.cli.measure_rewards import log_odds

    t, margins = 0.3, np.array([-1.7, 0.0, 0.4, 3.0])
    theta, nu = (1 + t) / (1 - t), 2 * t / (1 - t)
    if ties == "davidson":
        parts = np.exp(margins / 2), nu + 0 * margins, np.exp(-margins / 2)
        win, tie, _ = parts / sum(parts)
    else:
        win, loss = 1 / (1 + theta * np.exp(-margins)), 1 / (1 + theta * np.exp(margins))
        tie = 1 - win - loss
    assert tie[1] == pytest.approx(t)
    p = win + tie / 2
    assert log_odds(margins, ties, t) == pytest.approx(np.log(p / (1 - p)))
    report = reward_report(np.stack([margins, 0 * margins], 1), SAME * 4, 1, logits=log_odds(margins, ties, t))
    assert report.log_loss.value == pytest.approx(-np.log(p).mean())
    assert (log_odds(margins, "none", t) == margins).all()


@pytest.mark.parametrize(
    ("scores", "lengths", "why"),
    [
        ([[1, 2, 3]], SAME, r"scores has the shape \(1, 3\)"),
        (np.empty((0, 2)), np.empty((0, 2)), "N at least 1"),
        ([[1, 2]], [[1, 2], [1, 2]], "lengths has the shape"),
        ([[1, 2], [math.nan, 1]], SAME * 2, "the scores of pair 1 are not finite"),
    ],
)
def test_what_cannot_be_is_refused(scores, lengths, why):
    with pytest.raises(ValueError, match=why):
        reward_report(scores, lengths, 1)


def test_one_prompt_has_no_interval():
    report = reward_report([[1, 0], [0, 1]], SAME * 2, 1, prompt_ids=["p", "p"])
    assert report.n_prompts == 1
    assert math.isnan(report.accuracy.low)
