"""How good each response is, where several pairs share their responses: a crowd's Bradley–Terry model, with ties.

Responses to one prompt have utilities u ~ N(0, σ²), and d = u_A − u_B. Annotator j says

    P_j(A better, tie, B better) = softmax( (α_j d + s b_j) / 2,  τ + t_j,  −(α_j d + s b_j) / 2 )

with α_j ~ N(1, ALPHA) how well they tell responses apart, t_j ~ N(0, TIE) how easily they call a tie, b_j ~ N(0, BIAS)
what the left side is worth to them; s = +1 where A stood on the left, -1 where on the right, 0 where that says nothing.
For α_j = 1 and b_j = 0 this is Davidson's model with ν = exp τ (without ties, Bradley and Terry's). σ² and τ are
learnt. Where people also say by how much one is better, utilities are those of `quality.cumulative_link`, on the same
scale. A pair shares what it has learnt with every other pair of its responses, which Dawid and Skene's model cannot.

What a person would say who is none of these annotators is asked of annotators whom a fit has not seen: β and τ' of

    P(A better, tie, B better | d) = softmax( β d / 2, τ', −β d / 2 ),  averaged over what is not known of d,

are those under which the votes of each of FOLDS parts of the annotators are likeliest, given fits to the other parts.
Without it the model is too sure of itself: it takes its annotators' agreement for everybody's.

Davidson, "On Extending the Bradley-Terry Model to Accommodate Ties in Paired Comparison Experiments", 1970; with
annotators: Chen, Bennett, Collins-Thompson & Horvitz, "Pairwise Ranking Aggregation in a Crowdsourced Setting", 2013.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from accord.quality.dawid_skene import TIE, A, B, Floats, Ints, Votes

#: Variances of what annotators are like. Larger ones fit the votes at hand better, and those of others worse.
ALPHA, TIES, BIAS = 0.05, 0.1, 0.1
#: Parts of the annotators; fewer than LEAST annotators are not parted.
FOLDS, LEAST = 3, 6
#: Where the utilities' variance begins, and what it never leaves.
VARIANCE, LEAST_VARIANCE = 1.0, 1e-3
ROUNDS, STEPS, TOLERANCE = 40, 25, 1e-3

#: Nodes and weights of E f(x), x ~ N(0, 1).
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Fit(NamedTuple):
    """What was learnt.

    utility_R      of each response, with its standard error `error_R`
    theta_J3       of each annotator: α (1 is the average), t, b
    margin_I       d of each item, with its standard error `margin_error_I`
    scale, tie     β and τ'
    """

    utility_R: Floats
    error_R: Floats
    theta_J3: Floats
    margin_I: Floats
    margin_error_I: Floats
    scale: float
    tie: float

    def probs_I3(self) -> Floats:
        """Probability that somebody says of each item: A is better, both are alike, B is better."""
        return _answers(self.margin_I, self.margin_error_I, self.scale, self.tie)

    def interval_I2(self, level: float = 0.95) -> Floats:
        """P(A better) + ½ P(tie) at both ends of the margin's central interval: what more votes may yet move it to."""
        reach_I = NormalDist().inv_cdf((1 + level) / 2) * self.margin_error_I
        ends = [_answers(self.margin_I + sign * reach_I, 0 * reach_I, self.scale, self.tie) for sign in (-1, 1)]
        return np.stack([probs_I3[:, A] + probs_I3[:, TIE] / 2 for probs_I3 in ends], axis=1)


def fit(votes: Votes) -> Fit:
    """Raises ValueError for votes on items that are no pairs."""
    if votes.ends_I2 is None:
        raise ValueError("votes: without ends_I2, the responses that were compared")
    found = _fit(votes, votes.ends_I2)
    scale, tie = _calibrated(votes, votes.ends_I2) or (1.0, found.tie)
    return found._replace(scale=scale, tie=tie)


def _fit(votes: Votes, ends_I2: Ints) -> Fit:
    return _of_choices(votes, ends_I2) if votes.strength_N is None else _of_strengths(votes, ends_I2)


def _of_strengths(votes: Votes, ends_I2: Ints) -> Fit:
    from accord.quality import cumulative_link  # loads SciPy

    found = cumulative_link.fit(votes, ALPHA, BIAS, VARIANCE)
    zeros_J = np.zeros(votes.n_annotators)
    theta_J3 = np.stack([found.alpha_J, zeros_J, found.bias_J], axis=1)
    alike = np.tanh(found.theta_3[0] / 2)  # P(tie | d = 0) = 2 F(θ₀) − 1, which Davidson calls ν / (ν + 2)
    return _whole(found.utility_R, found.error_R, theta_J3, ends_I2, float(np.log(2 * alike / (1 - alike))))


def _of_choices(votes: Votes, ends_I2: Ints) -> Fit:
    """The likeliest utilities, and annotators, in turn, until utilities move by less than TOLERANCE."""
    a_N, b_N = ends_I2[votes.item_N].T
    responses = int(ends_I2.max()) + 1
    utility_R, theta_J3 = np.zeros(responses), np.tile([1.0, 0.0, 0.0], (votes.n_annotators, 1))
    tie, variance = 0.0, VARIANCE
    voted_J = np.bincount(votes.annotator_N, votes.counts_N, votes.n_annotators)
    for _ in range(ROUNDS):
        before = utility_R
        utility_R = _utilities(votes, a_N, b_N, utility_R, theta_J3, tie, variance)
        theta_J3 = _annotators(votes, utility_R[a_N] - utility_R[b_N], theta_J3, tie)
        scale, shift, _ = voted_J @ theta_J3 / voted_J.sum() if voted_J.any() else (1.0, 0.0, 0.0)
        theta_J3[:, 0] /= scale  # the average annotator sets the scale
        theta_J3[:, 1] -= shift
        utility_R, tie = utility_R * scale, tie + shift
        error_R = _errors(votes, a_N, b_N, utility_R, theta_J3, tie, variance)
        variance = max(float(np.mean(utility_R**2 + error_R**2)), LEAST_VARIANCE)
        if np.abs(utility_R - before).max() < TOLERANCE:
            break
    return _whole(utility_R, error_R, theta_J3, ends_I2, tie)


def _whole(utility_R: Floats, error_R: Floats, theta_J3: Floats, ends_I2: Ints, tie: float) -> Fit:
    margin_I = utility_R[ends_I2[:, 0]] - utility_R[ends_I2[:, 1]]
    margin_error_I = np.sqrt((error_R[ends_I2] ** 2).sum(axis=1))
    return Fit(utility_R, error_R, theta_J3, margin_I, margin_error_I, 1.0, tie)


def _felt(votes: Votes, theta_J3: Floats, tie: float) -> tuple[Floats, Floats, Floats]:
    """α, what the side adds, and how easily a tie is called, for each vote: they feel α d + side."""
    alpha_N, ties_N, bias_N = theta_J3[votes.annotator_N].T
    return alpha_N, votes.side_N * bias_N, tie + ties_N


def _probs(votes: Votes, margin_N: Floats, theta_J3: Floats, tie: float) -> tuple[Floats, Floats, Floats]:
    """P_j(A better), P_j(tie) and P_j(B better) for each vote."""
    alpha_N, side_N, tie_N = _felt(votes, theta_J3, tie)
    return _odds(alpha_N * margin_N + side_N, tie_N)


def _odds(felt: Floats, tie: Floats | float) -> tuple[Floats, Floats, Floats]:
    """softmax(felt / 2, tie, −felt / 2), an array each: adding three numbers that lie side by side is slow."""
    half = felt / 2
    top = np.maximum(np.abs(half), tie)
    a, alike, b = np.exp(half - top), np.exp(tie - top), np.exp(-half - top)
    total = a + alike + b
    return a / total, alike / total, b / total


def _softmax(felt: Floats, tie: Floats | float) -> Floats:
    return np.stack(_odds(felt, tie), axis=-1)


def _utilities(
    votes: Votes, a_N: Ints, b_N: Ints, start_R: Floats, theta_J3: Floats, tie: float, variance: float
) -> Floats:
    """The likeliest utilities, the annotators being as they are: a concave problem."""
    from scipy.optimize import minimize  # loads slowly

    alpha_N, side_N, tie_N = _felt(votes, theta_J3, tie)
    is_a_N, is_b_N, size = votes.vote_N == A, votes.vote_N == B, len(start_R)
    counts_N, weight_N = votes.counts_N, votes.counts_N * alpha_N / 2
    sign_N = is_a_N * 1.0 - is_b_N

    def loss(utility_R: Floats) -> tuple[float, Floats]:
        a, alike, b = _odds(alpha_N * (utility_R[a_N] - utility_R[b_N]) + side_N, tie_N)
        pull_N = weight_N * (a - b - sign_N)
        gradient_R = np.bincount(a_N, pull_N, size) - np.bincount(b_N, pull_N, size) + utility_R / variance
        unlikely = -float(counts_N @ np.log(np.where(is_a_N, a, np.where(is_b_N, b, alike))))
        return unlikely + float(utility_R @ utility_R) / (2 * variance), gradient_R

    return minimize(loss, start_R, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x


def _annotators(votes: Votes, margin_N: Floats, theta_J3: Floats, tie: float) -> Floats:
    """One Newton step towards the likeliest annotators, the utilities being as they are.

    α, t and b add (d, 0, s) / 2 to the logit of A, (0, 1, 0) to that of a tie, and −(d, 0, s) / 2 to that of B: the
    gradient is what was said less what is expected of these, the curvature their covariance.
    """
    a, alike, b = _probs(votes, margin_N, theta_J3, tie)
    d, s, ahead = margin_N / 2, votes.side_N / 2, a - b
    left_over, bend, against = (votes.vote_N == A) * 1.0 - (votes.vote_N == B) - ahead, a + b - ahead**2, -ahead * alike
    pull_N3 = np.stack([left_over * d, (votes.vote_N == TIE) - alike, left_over * s], axis=1)
    rows = [[bend * d * d, against * d, bend * d * s], [alike - alike**2, against * s], [bend * s * s]]
    curved_J6 = _by_annotator(votes, np.stack([each for row in rows for each in row], axis=1))
    prior_3 = 1 / np.array([ALPHA, TIES, BIAS])
    gradient_J3 = _by_annotator(votes, pull_N3) - prior_3 * (theta_J3 - np.array([1.0, 0.0, 0.0]))
    hessian_J33 = curved_J6[:, [[0, 1, 2], [1, 3, 4], [2, 4, 5]]] + np.diag(prior_3)
    return theta_J3 + np.clip(np.linalg.solve(hessian_J33, gradient_J3[..., None])[..., 0], -1, 1)


def _by_annotator(votes: Votes, values_NP: Floats) -> Floats:
    weighed = (votes.counts_N[:, None] * values_NP).T
    sums = [np.bincount(votes.annotator_N, column, votes.n_annotators) for column in weighed]
    return np.stack(sums, axis=1)


def _errors(
    votes: Votes, a_N: Ints, b_N: Ints, utility_R: Floats, theta_J3: Floats, tie: float, variance: float
) -> Floats:
    """Each utility's standard error if the others were known (Laplace's approximation)."""
    a, _, b = _probs(votes, utility_R[a_N] - utility_R[b_N], theta_J3, tie)
    curved_N = votes.counts_N * theta_J3[votes.annotator_N, 0] ** 2 * (a + b - (a - b) ** 2) / 4
    size = len(utility_R)
    return 1 / np.sqrt(np.bincount(a_N, curved_N, size) + np.bincount(b_N, curved_N, size) + 1 / variance)


def _answers(margin: Floats, error: Floats, scale: float, tie: float) -> Floats:
    """What somebody says where the margin is N(margin, error²): [..., 3]."""
    parts = [
        weight * _softmax(scale * (margin + node * error), tie) for node, weight in zip(NODES, WEIGHTS, strict=True)
    ]
    return np.sum(parts, axis=0)


def _calibrated(votes: Votes, ends_I2: Ints) -> tuple[float, float] | None:
    """β and τ'; None where there are too few annotators to hold some back."""
    from scipy.optimize import minimize

    if len(np.unique(votes.annotator_N[votes.counts_N > 0])) < LEAST:
        return None
    part_N = (np.random.default_rng(0).permutation(votes.n_annotators) % FOLDS)[votes.annotator_N]
    margin_N, error_N = np.zeros(len(part_N)), np.zeros(len(part_N))
    for part in range(FOLDS):
        others, held_N = votes.part(part_N != part), part_N == part
        if others.counts_N.any():
            found = _fit(others, ends_I2)
            margin_N[held_N] = found.margin_I[votes.item_N[held_N]]
            error_N[held_N] = found.margin_error_I[votes.item_N[held_N]]
    rows = np.arange(len(part_N))

    def loss(x: Floats) -> float:
        probs_N3 = _answers(margin_N, error_N, np.exp(x[0]), x[1])
        return -float(votes.counts_N @ np.log(probs_N3[rows, votes.vote_N]))

    log_scale, tie = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"maxiter": 80}).x
    return float(np.exp(log_scale)), float(tie)
