"""Utilities from strengths: against the definition by hand, and crowds whose truth is known."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit

from accord.quality import bradley_terry, cumulative_link
from accord.quality.dawid_skene import TIE, A, B, Votes

THETA = (0.4, 1.4, 2.6)


def simulated(seed, prompts=15, people=30, votes=900):
    """Votes with strengths on the pairs of four responses to each prompt, and the responses' utilities."""
    chance = np.random.default_rng(seed)
    utility_R = chance.normal(0, 1, 4 * prompts)
    ends_I2 = np.array([(4 * p + a, 4 * p + b) for p in range(prompts) for a in range(4) for b in range(a)])
    item_N, annotator_N = chance.integers(len(ends_I2), size=votes), chance.integers(people, size=votes)
    side_N, bias_J = chance.choice([-1, 1], votes), chance.normal(0, 0.3, people)
    d_N = utility_R[ends_I2[item_N, 0]] - utility_R[ends_I2[item_N, 1]]
    felt_N = d_N + side_N * bias_J[annotator_N] + chance.logistic(size=votes)
    edges_N = np.searchsorted(THETA, np.abs(felt_N))
    vote_N = np.where(edges_N == 0, TIE, np.where(felt_N > 0, A, B))
    said = Votes(item_N, annotator_N, vote_N, side_N, len(ends_I2), people, True, ends_I2, edges_N)
    return said, utility_R - np.repeat(utility_R.reshape(-1, 4).mean(axis=1), 4)


def fitted(votes):
    return cumulative_link.fit(votes, bradley_terry.ALPHA, bradley_terry.BIAS, bradley_terry.VARIANCE)


def test_an_answer_is_where_the_feeling_falls_among_the_thresholds():
    eta, (t0, t1, t2) = 0.7, THETA
    by_hand = {
        (B, 3): expit(-t2 - eta),
        (B, 2): expit(-t1 - eta) - expit(-t2 - eta),
        (B, 1): expit(-t0 - eta) - expit(-t1 - eta),
        (TIE, 0): expit(t0 - eta) - expit(-t0 - eta),
        (A, 1): expit(t1 - eta) - expit(t0 - eta),
        (A, 2): expit(t2 - eta) - expit(t1 - eta),
        (A, 3): 1 - expit(t2 - eta),
        (A, 0): 1 - expit(t0 - eta),  # asked for no strength
        (B, 0): expit(-t0 - eta),
    }
    vote_N, strength_N = np.array(list(by_hand)).T
    nobody = np.zeros_like(vote_N)
    low_N, high_N = cumulative_link._bounds(Votes(nobody, nobody, vote_N, nobody, 1, 1), strength_N)
    edges = cumulative_link._edges(np.array(THETA))
    probs = np.exp(cumulative_link._between(edges[low_N] - eta, edges[high_N] - eta).log_N)
    np.testing.assert_allclose(probs, list(by_hand.values()), rtol=1e-10)
    assert probs[:7].sum() == pytest.approx(1)


def test_the_slopes_are_those_of_the_logarithm():
    low, high, eta = -0.3, 1.1, 0.1

    def log_p(x):
        return cumulative_link._between(np.array([x[0] - x[2]]), np.array([x[1] - x[2]])).log_N[0]

    found = cumulative_link._between(np.array([low - eta]), np.array([high - eta]))
    slopes = approx_fprime([low, high, eta], log_p, 1e-7)
    np.testing.assert_allclose([found.by_low_N[0], found.by_high_N[0], found.by_eta_N[0]], slopes, rtol=1e-5)
    step = 1e-4
    bent = (log_p([low, high, eta + step]) - 2 * log_p([low, high, eta]) + log_p([low, high, eta - step])) / step**2
    assert found.curved_N[0] == pytest.approx(-bent, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_strengths_tell_more_than_choices(seed):
    votes, utility_R = simulated(seed)
    found = fitted(votes)
    np.testing.assert_allclose(found.theta_3, THETA, atol=0.25)
    by_strength = np.corrcoef(found.utility_R, utility_R)[0, 1]
    by_choice = np.corrcoef(bradley_terry.fit(votes._replace(strength_N=None)).utility_R, utility_R)[0, 1]
    assert by_strength > 0.92
    assert by_strength > by_choice + 0.01
    assert np.corrcoef(bradley_terry.fit(votes).margin_I, utility_R[votes.ends_I2] @ [1, -1])[0, 1] > 0.92


def test_which_response_is_called_a_does_not_matter():
    votes, _ = simulated(3)
    turned = votes._replace(vote_N=B - votes.vote_N, side_N=-votes.side_N, ends_I2=votes.ends_I2[:, ::-1])
    np.testing.assert_allclose(fitted(turned).utility_R, fitted(votes).utility_R, atol=0.02)


def test_some_may_state_no_strength():
    votes, utility_R = simulated(4)
    silent_N = votes.annotator_N < 15
    found = fitted(votes._replace(strength_N=np.where(silent_N, 0, votes.strength_N)))
    assert np.corrcoef(found.utility_R, utility_R)[0, 1] > 0.9


def test_probabilities_are_honest_where_strengths_are_stated():
    """P(A) + ½ P(tie) as it is, ties included, of somebody who is none of the annotators."""
    votes, utility_R = simulated(5, votes=3000)
    d_I = utility_R[votes.ends_I2] @ np.array([1.0, -1.0])
    true_I = 1 - expit(THETA[0] - d_I) + (expit(THETA[0] - d_I) - expit(-THETA[0] - d_I)) / 2
    probs_I3 = bradley_terry.fit(votes).probs_I3()
    assert np.abs(probs_I3[:, A] + probs_I3[:, TIE] / 2 - true_I).mean() < 0.05


def test_without_strengths_there_is_nothing_to_fit():
    votes, _ = simulated(0)
    with pytest.raises(ValueError, match="strength_N"):
        fitted(votes._replace(strength_N=None))
