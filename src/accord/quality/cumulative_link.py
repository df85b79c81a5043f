"""How good each response is, where people also say by how much one is better: a cumulative link model.

What annotator j feels of a pair is α_j d + s b_j + logistic noise, with d = u_A − u_B, s the side of A, and u, α and b
as in `quality.bradley_terry`. What they say is where that falls among thresholds, the same for A and for B:

    … −θ₂ ↦ B, strength 2 ↤ −θ₁ ↦ B, strength 1 ↤ −θ₀ ↦ tie ↤ θ₀ ↦ A, strength 1 ↤ θ₁ ↦ A, strength 2 ↤ θ₂ …

with θ₀ < θ₁ < θ₂. So P(A, strength 2) = F(θ₂ − η) − F(θ₁ − η), where F is the logistic function and η what is felt but
for the noise. A preference without a strength says no more than η + noise > θ₀. Strong preferences move utilities
farther than slight ones do, by as much as the votes themselves show strength to be worth.

McCullagh, "Regression Models for Ordinal Data", 1980; of pairs: Agresti, "Analysis of Ordinal Paired Comparison Data",
1992.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from accord.quality.dawid_skene import TIE, B, Floats, Ints, Votes

STRENGTHS = 3
#: Where thresholds begin: θ₀ and the steps to the next, and the standard deviation of their logarithms' prior.
WIDTHS, WIDTH_SPREAD = np.array([0.3, 1.0, 1.0]), 1.0
ROUNDS, STEPS, TOLERANCE = 10, 50, 1e-3


class Scores(NamedTuple):
    """utility_R of each response and error_R, its standard error; alpha_J and bias_J of each annotator; theta_3: θ."""

    utility_R: Floats
    error_R: Floats
    alpha_J: Floats
    bias_J: Floats
    theta_3: Floats


class _Felt(NamedTuple):
    """log P(what each vote says), its derivative by η and by the lower and the upper threshold, and its curvature."""

    log_N: Floats
    by_eta_N: Floats
    by_low_N: Floats
    by_high_N: Floats
    curved_N: Floats


def fit(votes: Votes, alpha: float, bias: float, variance: float) -> Scores:
    """The likeliest scores. α ~ N(1, alpha) and b ~ N(0, bias); u ~ N(0, `variance`), which is learnt from there.

    Raises ValueError for votes on items that are no pairs, or without strengths.
    """
    if votes.ends_I2 is None or votes.strength_N is None:
        raise ValueError("votes: without ends_I2 and strength_N, there are no pairs with strengths")
    a_N, b_N = votes.ends_I2[votes.item_N].T
    size, people = int(votes.ends_I2.max()) + 1, votes.n_annotators
    low_N, high_N = _bounds(votes, votes.strength_N)
    x = np.concatenate([np.zeros(size), np.ones(people), np.zeros(people + STRENGTHS)])
    error_R = np.zeros(size)

    def cut(x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        utility_R, alpha_J, bias_J, logs_3 = np.split(x, [size, size + people, size + 2 * people])
        return utility_R, alpha_J, bias_J, logs_3

    def felt(x: Floats) -> _Felt:
        utility_R, alpha_J, bias_J, logs_3 = cut(x)
        j = votes.annotator_N
        eta_N = alpha_J[j] * (utility_R[a_N] - utility_R[b_N]) + votes.side_N * bias_J[j]
        edges = _edges(np.cumsum(WIDTHS * np.exp(logs_3)))
        return _between(edges[low_N] - eta_N, edges[high_N] - eta_N)

    def loss(x: Floats) -> tuple[float, Floats]:
        utility_R, alpha_J, bias_J, logs_3 = cut(x)
        found, counts_N, j = felt(x), votes.counts_N, votes.annotator_N
        pull_N = counts_N * found.by_eta_N
        along_N = pull_N * alpha_J[j]
        edge = np.bincount(low_N, counts_N * found.by_low_N, 8) + np.bincount(high_N, counts_N * found.by_high_N, 8)
        theta_3 = edge[4:7] - edge[3:0:-1]  # the thresholds for B are those for A, turned round
        widths_3 = WIDTHS * np.exp(logs_3)
        gradient = np.concatenate(
            [
                np.bincount(b_N, along_N, size) - np.bincount(a_N, along_N, size) + utility_R / variance,
                (alpha_J - 1) / alpha - np.bincount(j, pull_N * (utility_R[a_N] - utility_R[b_N]), people),
                bias_J / bias - np.bincount(j, pull_N * votes.side_N, people),
                logs_3 / WIDTH_SPREAD**2 - widths_3 * np.cumsum(theta_3[::-1])[::-1],
            ]
        )
        prior = utility_R @ utility_R / variance + ((alpha_J - 1) ** 2).sum() / alpha + bias_J @ bias_J / bias
        return (prior + logs_3 @ logs_3 / WIDTH_SPREAD**2) / 2 - counts_N @ found.log_N, gradient

    for _ in range(ROUNDS):
        before = x[:size]
        x = minimize(loss, x, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
        curved_N = votes.counts_N * cut(x)[1][votes.annotator_N] ** 2 * felt(x).curved_N
        error_R = 1 / np.sqrt(np.bincount(a_N, curved_N, size) + np.bincount(b_N, curved_N, size) + 1 / variance)
        variance = float(np.mean(x[:size] ** 2 + error_R**2))
        if np.abs(x[:size] - before).max() < TOLERANCE:
            break
    utility_R, alpha_J, bias_J, logs_3 = cut(x)
    return Scores(utility_R, error_R, alpha_J, bias_J, np.cumsum(WIDTHS * np.exp(logs_3)))


def _edges(theta_3: Floats) -> Floats:
    """−∞, −θ₂, −θ₁, −θ₀, θ₀, θ₁, θ₂, ∞."""
    return np.concatenate([[-np.inf], -theta_3[::-1], theta_3, [np.inf]])


def _bounds(votes: Votes, stated_N: Ints) -> tuple[Ints, Ints]:
    """Between which edges each vote lies: a tie between edges 3 and 4, A of strength 1 between 4 and 5."""
    low_N = np.where(stated_N > 0, 3 + stated_N, 4)
    high_N = np.where(stated_N > 0, 4 + stated_N, 7)
    is_tie_N, is_b_N = votes.vote_N == TIE, votes.vote_N == B
    return (
        np.select([is_tie_N, is_b_N], [3, 7 - high_N], low_N),
        np.select([is_tie_N, is_b_N], [4, 7 - low_N], high_N),
    )


def _between(low_N: Floats, high_N: Floats) -> _Felt:
    """log(F(high) − F(low)) = log F(high) + log F(−low) + log(1 − exp(low − high))."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap_N = np.exp(np.minimum(low_N - high_N, -1e-9))
    below_N, above_N = expit(low_N), expit(-high_N)
    log_N = log_expit(high_N) + log_expit(-low_N) + np.log1p(-gap_N)
    share_N = gap_N / (1 - gap_N)
    curved_N = below_N * (1 - below_N) + above_N * (1 - above_N)
    return _Felt(log_N, below_N - above_N, -below_N - share_N, above_N + share_N, curved_N)
