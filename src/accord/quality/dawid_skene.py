"""Who is to be believed: votes weighed by how well each annotator agrees with what everybody's votes add up to.

A pair has a hidden truth z in {A better, tie, B better}. Annotator j answers v with probability

    p_j(v | z) = softmax over v of  x(z, v, side) · θ_j,      θ_j = (agree, hedge, tie, bias)

                 v = A          v = tie     v = B
    z = A        agree + s·bias hedge           - s·bias
    z = tie              s·bias tie             - s·bias
    z = B                s·bias hedge     agree - s·bias

with s = +1 where A stood on the left, -1 where it stood on the right, 0 where that says nothing. Without the bias the
matrix is the same when A and B change places, as it must be: which response is called A means nothing. Annotators come
from one population, θ_j ~ N(μ, diag σ²), whose μ and σ are learnt as well: somebody with few votes is taken for an
average annotator until they have shown otherwise.

Dawid & Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", 1979.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

A, TIE, B = 0, 1, 2


class Votes(NamedTuple):
    """N votes on I items by J annotators.

    item_N       which item, 0 … I-1
    annotator_N  whose vote, 0 … J-1
    vote_N       A, TIE or B
    side_N       +1: A stood on the left, -1: on the right, 0: the sides say nothing (they were not shuffled)
    symmetric    whether A and B could change names: true of pairs, not of thumbs, where A is "up"
    ends_I2      the numbers, from 0, of the responses A and B of each item; None where items are no pairs
    strength_N   by how much one is better, 1 to 3, and 0 where that was not asked, or is a tie; None: never asked
    weight_N     what each vote counts, in [0, 1]; None: all count alike
    """

    item_N: Ints
    annotator_N: Ints
    vote_N: Ints
    side_N: Ints
    n_items: int
    n_annotators: int
    symmetric: bool = True
    ends_I2: Ints | None = None
    strength_N: Ints | None = None
    weight_N: Floats | None = None

    @property
    def counts_N(self) -> Floats:
        """What each vote counts: its weight, else 1."""
        return np.ones(len(self.vote_N)) if self.weight_N is None else self.weight_N

    def part(self, kept_N: NDArray[np.bool_]) -> "Votes":
        """Some of the votes; items and annotators keep their numbers."""
        return self._replace(
            item_N=self.item_N[kept_N],
            annotator_N=self.annotator_N[kept_N],
            vote_N=self.vote_N[kept_N],
            side_N=self.side_N[kept_N],
            strength_N=None if self.strength_N is None else self.strength_N[kept_N],
            weight_N=None if self.weight_N is None else self.weight_N[kept_N],
        )


class Fit(NamedTuple):
    """truth_I3: probability of each truth for each item; theta_J4: what was learnt of each annotator."""

    truth_I3: Floats
    theta_J4: Floats


def _features() -> Floats:
    """x(s, z, v) of the table above, indexed [side + 1, truth, vote, parameter]."""
    x = np.zeros((3, 3, 3, 4))
    x[:, A, A, 0] = x[:, B, B, 0] = 1
    x[:, A, TIE, 1] = x[:, B, TIE, 1] = 1
    x[:, TIE, TIE, 2] = 1
    for side in (-1, 0, 1):
        x[side + 1, :, A, 3], x[side + 1, :, B, 3] = side, -side
    return x


X = _features()
XX = np.einsum("szvp,szvq->szvpq", X, X).reshape(27, 16)

#: Before any vote an annotator is right 74 times in 100, hedges 16 times, is wrong 10 times, and sees a tie in 58 of
#: 100 ties. Where every pair has one vote, nothing can be learnt of reliability and this is what stays.
START = np.array([2.0, 0.5, 1.0, 0.0])
#: The population's spread before any vote, and how many annotators that belief is worth.
SPREAD, SPREAD_WORTH = 0.5, 4.0
LARGEST_STEP = 1.0


def answer_probs(theta_J4: Floats) -> Floats:
    """p_j(v | z) for each side: [J, side + 1, truth, vote]."""
    logits = np.einsum("szvp,jp->jszv", X, theta_J4)
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def _newton_step(counts_J333: Floats, theta_J4: Floats, mu_4: Floats, var_4: Floats) -> tuple[Floats, Floats]:
    """One step towards the θ that explain the expected counts best, and each θ's variance about it."""
    probs = answer_probs(theta_J4)
    asked = counts_J333.sum(axis=-1, keepdims=True)
    gradient = np.einsum("jszv,szvp->jp", counts_J333 - asked * probs, X) - (theta_J4 - mu_4) / var_4
    mean = np.einsum("jszv,szvp->jszp", probs, X)
    hessian = ((asked * probs).reshape(-1, 27) @ XX).reshape(-1, 4, 4)
    hessian -= np.einsum("jszp,jszq->jpq", asked * mean, mean)
    hessian += np.diag(1 / var_4)
    covariance = np.linalg.inv(hessian)
    step = np.einsum("jpq,jq->jp", covariance, gradient)
    return theta_J4 + np.clip(step, -LARGEST_STEP, LARGEST_STEP), np.einsum("jpp->jp", covariance)


def _sum_by(index_N: Ints, values_N3: Floats, size: int) -> Floats:
    """The rows of `values_N3` summed by their index: [size, 3]."""
    return np.stack([np.bincount(index_N, values_N3[:, z], size) for z in range(3)], axis=1, dtype=np.float64)


def fit(votes: Votes, iterations: int = 200, tolerance: float = 1e-4) -> Fit:
    """Expectation-maximisation until no item's truth moves by more than `tolerance`, or `iterations` are over."""
    cell_N = np.ravel_multi_index((votes.annotator_N, votes.side_N + 1, votes.vote_N), (votes.n_annotators, 3, 3))
    prior_3 = np.full(3, 1 / 3)
    mu_4, var_4 = START, np.full(4, SPREAD**2)
    theta_J4 = np.tile(START, (votes.n_annotators, 1))
    truth_I3 = np.zeros((votes.n_items, 3))
    counts_N1 = votes.counts_N[:, None]
    for _ in range(iterations):
        # [annotator, side, vote, truth], so that a vote picks one row of three
        log_probs = np.log(answer_probs(theta_J4)).transpose(0, 1, 3, 2).reshape(-1, 3)[cell_N]
        scores_I3 = np.log(prior_3) + _sum_by(votes.item_N, counts_N1 * log_probs, votes.n_items)
        odds = np.exp(scores_I3 - scores_I3.max(axis=1, keepdims=True))
        before, truth_I3 = truth_I3, odds / odds.sum(axis=1, keepdims=True)
        if np.abs(truth_I3 - before).max() < tolerance:
            break
        prior_3 = (truth_I3.sum(axis=0) + 1) / (votes.n_items + 3)
        if votes.symmetric:
            prior_3 = (prior_3 + prior_3[::-1]) / 2
        counts_C3 = _sum_by(cell_N, counts_N1 * truth_I3[votes.item_N], 9 * votes.n_annotators)
        counts_J333 = counts_C3.reshape(-1, 3, 3, 3).transpose(0, 1, 3, 2)
        theta_J4, uncertain_J4 = _newton_step(counts_J333, theta_J4, mu_4, var_4)
        mu_4 = (theta_J4.sum(axis=0) / var_4 + START) / (votes.n_annotators / var_4 + 1)
        spread = ((theta_J4 - mu_4) ** 2 + uncertain_J4).sum(axis=0)
        var_4 = (spread + SPREAD_WORTH * SPREAD**2) / (votes.n_annotators + SPREAD_WORTH)
    return Fit(truth_I3, theta_J4)
