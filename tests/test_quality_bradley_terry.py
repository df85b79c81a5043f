"""The crowd's Bradley–Terry model: against values by hand, the definition, and crowds whose truth is known."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from accord.feedback import Choice, Comparison, Sides
from accord.quality import bradley_terry as model
from accord.quality.dawid_skene import TIE, A, B, Votes
from accord.quality.labels import bradley_terry, pair_labels


def made(votes_N4, ends_I2, annotators=None):
    """Votes from rows of (item, annotator, vote, side)."""
    item_N, annotator_N, vote_N, side_N = np.array(votes_N4).T
    n = int(annotator_N.max()) + 1 if annotators is None else annotators
    return Votes(item_N, annotator_N, vote_N, side_N, len(ends_I2), n, True, np.array(ends_I2))


def simulated(seed, responses=40, items=200, people=30, each=60, unreliable=0.0, spread=1.5):
    """Votes of people, some of whom toss a coin, on pairs of responses of known utility."""
    chance = np.random.default_rng(seed)
    utility_R = chance.normal(0, spread, responses)
    ends_I2 = np.stack([chance.choice(responses, 2, replace=False) for _ in range(items)])
    alpha_J = np.where(np.arange(people) < unreliable * people, 0.0, 1.0)
    item_N = chance.integers(0, items, people * each)
    annotator_N = np.repeat(np.arange(people), each)
    margin_N = utility_R[ends_I2[item_N, 0]] - utility_R[ends_I2[item_N, 1]]
    probs_N3 = model._softmax(alpha_J[annotator_N] * margin_N, -0.5)
    vote_N = (chance.random(len(item_N))[:, None] > probs_N3.cumsum(axis=1)).sum(axis=1)
    side_N = chance.choice([-1, 1], len(item_N))
    return Votes(item_N, annotator_N, vote_N, side_N, items, people, True, ends_I2), utility_R, alpha_J


def test_an_answer_is_davidsons():
    # d = 2 ln 3, tie = 0: the odds are e^{d/2} : 1 : e^{-d/2} = 3 : 1 : 1/3, of 13/3 in all.
    np.testing.assert_allclose(model._softmax(np.array(2 * math.log(3)), 0.0), [9 / 13, 3 / 13, 1 / 13])


def test_one_pair_of_one_voter_is_where_the_slopes_meet():
    # Ten votes for A by one annotator whose α is held at 1, by what the average annotator is: the likeliest d solves
    # d / (2 σ²) = 10 · (1 - P(A) + P(B)) / 2 for u_A = -u_B = d / 2, whatever σ² was learnt.
    votes = made([(0, 0, A, 0)] * 10, [(0, 1)])
    alpha, tie, variance = np.array([[1.0, 0.0, 0.0]]), -1.0, 2.0
    utility_R = model._utilities(votes, *votes.ends_I2[votes.item_N].T, np.zeros(2), alpha, tie, variance)
    d = utility_R[0] - utility_R[1]
    probs_3 = model._softmax(np.array(d), tie)
    assert d / (2 * variance) == pytest.approx(10 * (1 - probs_3[A] + probs_3[B]) / 2, rel=1e-3)
    assert utility_R.sum() == pytest.approx(0, abs=1e-6)


def test_the_annotators_step_leads_to_where_the_slope_is_none():
    votes, utility_R, _ = simulated(0, people=4, each=200)
    a_N, b_N = votes.ends_I2[votes.item_N].T
    margin_N = utility_R[a_N] - utility_R[b_N]
    theta_J3 = np.tile([1.0, 0.0, 0.0], (4, 1))
    for _ in range(20):
        theta_J3 = model._annotators(votes, margin_N, theta_J3, -0.5)

    def log_posterior(theta_K):
        theta = theta_K.reshape(4, 3)
        probs_N3 = np.stack(model._probs(votes, margin_N, theta, -0.5), axis=1)
        prior = (theta - [1, 0, 0]) ** 2 / (2 * np.array([model.ALPHA, model.TIES, model.BIAS]))
        return np.log(probs_N3[np.arange(len(margin_N)), votes.vote_N]).sum() - prior.sum()

    np.testing.assert_allclose(approx_fprime(theta_J3.ravel(), log_posterior, 1e-6), 0, atol=1e-2)


def test_the_order_of_responses_is_found_again_and_coin_tossers_are_told():
    votes, utility_R, alpha_J = simulated(1, unreliable=0.3)
    found = model.fit(votes)
    assert np.corrcoef(found.utility_R, utility_R)[0, 1] > 0.95
    assert found.theta_J3[alpha_J == 0, 0].max() < found.theta_J3[alpha_J == 1, 0].min()


def test_side_bias_is_found_where_sides_say_something():
    votes, _, _ = simulated(2, people=6, each=150)
    # Annotator 0 always votes for the left.
    vote_N = np.where(votes.annotator_N == 0, np.where(votes.side_N > 0, A, B), votes.vote_N)
    bias_J = model.fit(votes._replace(vote_N=vote_N)).theta_J3[:, 2]
    assert bias_J[0] > 0.8
    assert np.abs(bias_J[1:]).max() < 0.4
    blind = model.fit(votes._replace(vote_N=vote_N, side_N=0 * votes.side_N)).theta_J3[:, 2]
    np.testing.assert_array_equal(blind, 0)


def test_names_mean_nothing():
    votes, _, _ = simulated(3, people=8)
    turned = votes._replace(vote_N=B - votes.vote_N, side_N=-votes.side_N, ends_I2=votes.ends_I2[:, ::-1])
    np.testing.assert_allclose(model.fit(votes).probs_I3(), model.fit(turned).probs_I3()[:, ::-1], atol=1e-3)


def test_probabilities_are_right_as_often_as_they_say():
    votes, utility_R, _ = simulated(4, responses=60, items=600, people=60, each=60, unreliable=0.2)
    found = model.fit(votes)
    margin_I = utility_R[votes.ends_I2[:, 0]] - utility_R[votes.ends_I2[:, 1]]
    # What somebody says of these 60, a fifth of whom toss a coin between A, tie and B (e^0 : e^-0.5 : e^0).
    truly_I3 = 0.8 * model._softmax(margin_I, -0.5) + 0.2 * model._softmax(0 * margin_I, -0.5)
    assert np.abs(found.probs_I3() - truly_I3).mean() < 0.05
    low_I, high_I = found.interval_I2().T
    p_I = found.probs_I3()[:, A] + found.probs_I3()[:, TIE] / 2
    assert (low_I < p_I).all()
    assert (p_I < high_I).all()


def test_a_pair_learns_from_pairs_that_share_its_responses():
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def said(n, who, left, right, choice):
        return Comparison(f"{n} {who}", who, "p", left, right, choice, at, sides=Sides.SHUFFLED)

    people = [f"annotator {n}" for n in range(8)]
    votes = [said("ab", who, "a", "b", Choice.LEFT) for who in people]
    votes += [said("bc", who, "b", "c", Choice.LEFT) for who in people]
    votes += [said("ac", people[0], "a", "c", Choice.TIE)]
    labels = {(label.chosen_id, label.rejected_id): label for label in pair_labels(votes, "bradley_terry")}
    assert labels["a", "c"].p_chosen > labels["a", "b"].p_chosen > 0.8


def test_what_is_no_pair_is_left_to_dawid_and_skene():
    votes = made([(0, 0, A, 1), (0, 1, A, 1), (1, 0, B, 1)], [(0, 1), (1, 2)])._replace(ends_I2=None, symmetric=False)
    assert bradley_terry(votes).p_I[0] > 0.5 > bradley_terry(votes).p_I[1]
    with pytest.raises(ValueError, match="ends_I2"):
        model.fit(votes)
