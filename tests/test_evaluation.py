"""Evaluation figures against values derived by hand, and intervals against what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from accord.evaluation import (
    JUDGES,
    Interval,
    by_score,
    histogram,
    in_both_orders,
    kl_report,
    preference_report,
    unpaired_report,
    win_rate_report,
)
from accord.evaluation.interval import bootstrap, proportion, ratio, weighted_mean


def random_logps(n, seed, spread=20.0):
    return np.random.default_rng(seed).normal(-60, spread, size=(n, 2))


# Intervals


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    x = np.random.default_rng(0).normal(3, 2, size=400)
    found = weighted_mean(x, np.ones(400))
    error = 1.96 * x.std() / math.sqrt(400)
    assert found.value == pytest.approx(x.mean())
    assert found.low == pytest.approx(x.mean() - error, abs=0.03)
    assert found.high == pytest.approx(x.mean() + error, abs=0.03)


def test_the_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        x = (random.random(60) < 0.7).astype(float)
        found = proportion(x, np.ones(60))
        covered += found.low <= 0.7 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_examples_of_one_prompt_are_drawn_together():
    x = np.random.default_rng(2).normal(size=50)
    once = weighted_mean(x, np.ones(50))
    copied = weighted_mean(np.repeat(x, 8), np.ones(400), np.repeat(np.arange(50), 8))
    alone = weighted_mean(np.repeat(x, 8), np.ones(400))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert alone.high - alone.low < 0.5 * (once.high - once.low)


def test_the_seed_decides_and_the_chunk_size_does_not(monkeypatch):
    x = np.random.default_rng(3).normal(size=30)
    sums = np.stack([x, np.ones(30)], -1)
    whole = bootstrap(ratio, sums, seed=5)
    monkeypatch.setattr("accord.evaluation.interval.CHUNK", 30 * 7)
    again = bootstrap(ratio, sums, seed=5)  # the same draws; some processors round other shapes of a product otherwise
    assert (again.value, again.low, again.high) == pytest.approx((whole.value, whole.low, whole.high), rel=1e-12)
    other = bootstrap(ratio, sums, seed=6)
    assert (other.low, other.high) != pytest.approx((whole.low, whole.high), rel=1e-6)


def test_one_prompt_has_no_interval():
    found = weighted_mean([1.0, 2.0], [1, 1], ["a", "a"])
    assert found.value == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.above(0)


@pytest.mark.parametrize("n", [2, 24, 100])
def test_unanimity_is_not_certainty(n):
    exact = stats.binomtest(n, n).proportion_ci(0.95, method="exact")
    assert proportion(np.ones(n), np.ones(n)).low == pytest.approx(exact.low)
    assert proportion(np.zeros(n), np.ones(n)).high == pytest.approx(1 - exact.low)


# Preferences


def test_an_untrained_model_knows_nothing_and_says_so():
    logps = random_logps(40, 0)
    report = preference_report(logps, logps, np.ones(40))
    assert report.policy.accuracy == Interval(0.5, 0.5, 0.5)
    assert report.policy.log_loss.value == pytest.approx(math.log(2), abs=1e-15)
    assert report.policy.calibration_error.value == 0
    assert report.policy == report.base
    assert report.difference.likelihood_accuracy == Interval(0, 0, 0)


def test_figures_by_hand():
    reference = np.zeros((4, 2))
    policy = np.array([[10.0, 0.0], [0.0, 10.0], [30.0, 0.0], [0.0, 0.0]])
    p = np.array([1.0, 0.75, 1.0, 1.0])
    weights = np.array([1.0, 2.0, 1.0, 1.0])
    report = preference_report(policy, reference, p, weights, beta=0.1)
    margins = [1.0, -1.0, 3.0, 0.0]
    assert report.margins.tolist() == pytest.approx(margins)
    assert report.policy.accuracy.value == pytest.approx((1 + 0 + 1 + 0.5) / 5)
    assert report.policy.margin.value == pytest.approx((1 - 2 + 3) / 5)

    def softplus(x):
        return math.log1p(math.exp(x))

    losses = [softplus(-1), 0.75 * softplus(1) + 0.25 * softplus(-1), softplus(-3), math.log(2)]
    assert report.policy.log_loss.value == pytest.approx((losses[0] + 2 * losses[1] + losses[2] + losses[3]) / 5)
    sure = [1 / (1 + math.exp(-abs(margin))) for margin in margins]
    # the first two share a bin of confidence: right in 1 and in ¼ of the votes, counted once and twice
    shared = abs((1 - sure[0]) + 2 * (0.25 - sure[1]))
    assert report.policy.calibration_error.value == pytest.approx((shared + (1 - sure[2]) + 0) / 5)
    assert report.policy.likelihood_margin.value == pytest.approx((10 - 20 + 30) / 5)


def test_swapping_chosen_and_rejected_with_their_votes_changes_nothing():
    policy, reference = random_logps(60, 1), random_logps(60, 2)
    p = np.random.default_rng(3).random(60)
    one = preference_report(policy, reference, p)
    other = preference_report(policy[:, ::-1], reference[:, ::-1], 1 - p)
    for name in ("accuracy", "log_loss", "calibration_error", "likelihood_accuracy"):
        ours, theirs = getattr(one.policy, name), getattr(other.policy, name)
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high)), name
    assert one.policy.margin.value == pytest.approx(-other.policy.margin.value)


def test_ties_between_people_have_no_right_answer():
    policy, reference = random_logps(30, 4), random_logps(30, 5)
    tied = np.r_[np.ones(20), np.full(10, 0.5)]
    report, decided = preference_report(policy, reference, tied), preference_report(policy[:20], reference[:20], 1.0)
    assert report.policy.accuracy.value == decided.policy.accuracy.value
    assert report.policy.log_loss.value != decided.policy.log_loss.value


def test_a_calibrated_model_has_a_small_error_and_a_boaster_a_large_one():
    random = np.random.default_rng(6)
    margins = random.normal(0, 2, size=1500)
    right = random.random(1500) < 1 / (1 + np.exp(-margins))
    reference = np.zeros((1500, 2))
    policy = np.stack([np.where(right, margins, -margins), np.zeros(1500)], -1)
    honest = preference_report(policy, reference, 1.0, beta=1.0).policy
    boasting = preference_report(policy * 10, reference, 1.0, beta=1.0).policy
    assert honest.calibration_error.value < 0.05
    assert boasting.calibration_error.value > 0.15
    assert boasting.log_loss.below(2) is False
    assert honest.log_loss.below(math.log(2))


def test_the_difference_is_paired():
    reference = random_logps(100, 7, spread=50)
    policy = reference + np.array([0.5, -0.5]) + np.random.default_rng(8).normal(0, 0.1, size=(100, 2))
    report = preference_report(policy, reference, 1.0)
    assert report.difference.likelihood_margin.value == pytest.approx(1.0, abs=0.1)
    width = report.difference.likelihood_margin.high - report.difference.likelihood_margin.low
    assert width < 0.02 * (report.policy.likelihood_margin.high - report.policy.likelihood_margin.low)
    assert report.difference.likelihood_margin.above(0)


def test_the_summary_is_flat_and_holds_intervals():
    summary = preference_report(random_logps(20, 9), random_logps(20, 10), 1.0, prompt_ids=["p", "q"] * 10).to_summary()
    assert summary["n_test_pairs"] == 20
    assert summary["n_test_prompts"] == 2
    low, high = summary["accuracy_ci"]
    assert low <= summary["accuracy"] <= high
    assert summary["base_accuracy"] == 0.5
    assert summary["accuracy_difference"] == pytest.approx(summary["accuracy"] - 0.5)


@pytest.mark.parametrize(
    ("policy", "reference", "why"),
    [
        ([[1.0]], [[1.0]], r"shape \(1, 1\); give \[N, 2\]"),
        (np.empty((0, 2)), np.empty((0, 2)), "N at least 1"),
        ([[1.0, math.nan]], [[1.0, 1.0]], "policy_logps of pair 0 is not finite"),
        ([[1.0, 1.0]], [[1.0, 1.0], [2.0, 2.0]], "score the same"),
    ],
)
def test_nonsense_is_refused(policy, reference, why):
    with pytest.raises(ValueError, match=why):
        preference_report(policy, reference, 1.0)


# Single answers


def test_accuracy_of_single_answers_is_the_area_under_the_roc_curve():
    random = np.random.default_rng(11)
    label = random.random(80) < 0.4
    rewards = np.round(random.normal(label.astype(float), 1), 1)  # rounded, so that there are ties
    report = unpaired_report(rewards[:, None], np.zeros((80, 1)), label.astype(float), beta=1.0)
    u = stats.mannwhitneyu(rewards[label], rewards[~label]).statistic
    assert report.accuracy.value == pytest.approx(u / (label.sum() * (~label).sum()))
    assert report.accuracy.low < report.accuracy.value < report.accuracy.high
    assert report.margin.value == pytest.approx(rewards[label].mean() - rewards[~label].mean())


def test_a_soft_label_is_two_answers_with_two_weights():
    soft = unpaired_report([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.25, 0.0, 1.0], beta=1.0)
    split = unpaired_report([1.0, 1.0, 2.0, 3.0], [0.0] * 4, [1, 0, 0, 1], [0.25, 0.75, 1, 1], beta=1.0)
    assert soft.accuracy.value == pytest.approx(split.accuracy.value)
    assert soft.margin.value == pytest.approx(split.margin.value)


def test_one_label_alone_cannot_be_ranked():
    with pytest.raises(ValueError, match="all held-out answers have one label"):
        unpaired_report([1.0, 2.0], [0.0, 0.0], [1.0, 1.0])


# KL


def test_both_kl_estimators_find_the_kl_of_two_known_laws():
    random = np.random.default_rng(12)
    x = random.normal(0.3, 1, size=20_000)  # KL(N(0.3, 1) ‖ N(0, 1)) = 0.3² / 2
    report = kl_report(stats.norm.logpdf(x, 0.3), stats.norm.logpdf(x, 0.0), tokens=np.full(20_000, 10))
    for estimate in (report.k1, report.k3):
        assert estimate.low < 0.045 < estimate.high
    assert report.k3.high - report.k3.low < report.k1.high - report.k1.low
    assert report.per_token == pytest.approx(report.k1.value / 10)


def test_equal_models_have_no_kl():
    report = kl_report([-5.0, -7.0], [-5.0, -7.0])
    assert report.k1 == report.k3 == Interval(0, 0, 0)


# Win rates

SHORT, LONG = "Yes.", "Well, it depends on a great many things, yes."


def test_wins_ties_and_losses_by_hand():
    prompts = ["a", "b", "c", "d"]
    report = win_rate_report(prompts, [LONG, LONG, SHORT, SHORT], [SHORT, SHORT, SHORT, LONG], JUDGES["shorter"])
    assert (report.wins, report.ties, report.losses) == (2, 1, 1)
    assert report.win_rate.value == pytest.approx(2.5 / 4)
    assert report.verdicts == [1, 1, 0.5, 0]
    assert report.lengths.before.value == pytest.approx((9 + 9 + 1 + 1) / 4)
    assert report.lengths.after.value == pytest.approx((1 + 1 + 1 + 9) / 4)


def test_a_judge_who_always_likes_the_first_answer_decides_nothing():
    report = win_rate_report(["a", "b"], ["x", "y"], ["z", "w"], lambda prompt, a, b: 1.0)
    assert report.win_rate == Interval(0.5, 0.5, 0.5)
    assert in_both_orders(lambda prompt, a, b: 1.0, "", "a", "b") == 0.5


def test_trained_and_base_swapped_give_the_complement():
    random = np.random.default_rng(13)
    before = [" ".join(["w"] * n) for n in random.integers(1, 30, 50)]
    after = [" ".join(["w"] * n) for n in random.integers(1, 30, 50)]
    prompts = [f"p{i}" for i in range(50)]
    ours = win_rate_report(prompts, before, after, JUDGES["longer"])
    theirs = win_rate_report(prompts, after, before, JUDGES["longer"])
    assert ours.win_rate.value == pytest.approx(1 - theirs.win_rate.value)
    assert ours.win_rate.low == pytest.approx(1 - theirs.win_rate.high)


def test_length_is_told_from_taste():
    prompts = [str(i) for i in range(20)]
    report = win_rate_report(prompts, [LONG] * 20, [SHORT] * 20, JUDGES["shorter"])
    assert report.same_length is None
    assert report.remark.startswith("Answers are 89% shorter than before (9 words before, 1 after). 0 pairs")
    polite = by_score(lambda prompt, answer: answer.count("please"))
    before, after = ["one two three four"] * 20, ["one two three please"] * 20
    report = win_rate_report(prompts, before, after, polite, judge_name="polite")
    assert report.n_same_length == 20
    assert report.same_length == report.win_rate
    assert "about as long as before" in report.remark
    assert report.to_summary()["judge"] == "polite"


def test_silence_is_not_the_shortest_answer():
    assert JUDGES["shorter"]("", "", LONG) == 0
    assert JUDGES["shorter"]("", SHORT, LONG) == 1
    assert JUDGES["shorter"]("", " ", "") == 0.5


def test_a_win_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 prompts, 0 answers before and 0 after"):
        win_rate_report([], [], [], JUDGES["shorter"])


def test_histogram_counts_everything_once_over_shared_bins():
    random = np.random.default_rng(14)
    drawn = histogram(12, before=random.normal(0, 1, 500), after=[1e9, *random.normal(3, 1, 299)])
    assert len(drawn["edges"]) == 13
    assert (sum(drawn["before"]), sum(drawn["after"])) == (500, 300)
    assert drawn["edges"][0] <= 0 <= drawn["edges"][-1] < 1e9
    assert sum(histogram(margins=np.zeros(7))["margins"]) == 7
