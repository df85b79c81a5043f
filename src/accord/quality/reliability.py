"""How much an annotator's votes say: the share of questions that they answer with knowledge, with a posterior.

Let q_n(v) be the probability that v is the true answer to the item of vote n, as the *other* annotators' votes say
(`quality.dawid_skene`, this vote taken out), and h_j(v) how often annotator j says v at all, on that side. With
probability r_j annotator j knows the answer, and otherwise says whatever they say out of habit:

    p(v_n | r) = r · q_n(v_n) + (1 − r) · h_j(v_n)

r is what a `SimulatedAnnotator` calls reliability; without ties, r = 2 · accuracy − 1. Its posterior is worked out on a
grid. The prior is the crowd itself: the distribution of r that explains everybody's votes best (Kiefer & Wolfowitz
1956, by EM), pulled a little towards the even one.
"""

from typing import NamedTuple

import numpy as np

from accord.quality.dawid_skene import Fit, Floats, Ints, Votes, answer_probs, fit

GRID = np.linspace(0, 1, 51)
#: how many annotators the even prior over the grid is worth, and how many votes the crowd's habits are
EVEN_WORTH, HABIT_WORTH = 5.0, 5.0
STEPS = 100


class Known(NamedTuple):
    """The posterior of each annotator's r, in [0, 1].

    mean_J, se_J   its mean and standard deviation
    posterior_JG   its weight on each point of GRID
    votes_J        how many votes it rests on: those on items on which somebody else voted
    """

    mean_J: Floats
    se_J: Floats
    posterior_JG: Floats
    votes_J: Floats

    def below(self, r: float) -> Floats:
        """P(r_j < r), [J]."""
        return self.posterior_JG[:, r - 1e-9 > GRID].sum(axis=1)

    def where(self, chosen_J: np.ndarray, other: "Known") -> "Known":
        """This one, with what `other` has of the chosen annotators."""
        chosen_J1 = chosen_J[:, None]
        return Known(
            np.where(chosen_J, other.mean_J, self.mean_J),
            np.where(chosen_J, other.se_J, self.se_J),
            np.where(chosen_J1, other.posterior_JG, self.posterior_JG),
            np.where(chosen_J, other.votes_J, self.votes_J),
        )


def log_likelihood(votes: Votes, fitted: Fit) -> Floats:
    """log p_j(v_n | z) of each vote for each truth, [N, 3]."""
    probs_JS33 = answer_probs(fitted.theta_J4)
    return np.log(probs_JS33[votes.annotator_N, votes.side_N + 1, :, votes.vote_N])


def truth_scores(votes: Votes, fitted: Fit, log_N3: Floats) -> Floats:
    """log P(z, all votes on the item) up to a constant, [I, 3]: take a vote's row of `log_N3` off to leave it out."""
    prior_3 = (fitted.truth_I3.sum(axis=0) + 1) / (votes.n_items + 3)
    sums = [np.bincount(votes.item_N, log_N3[:, z], votes.n_items) for z in range(3)]
    return np.stack(sums, axis=1) + np.log(prior_3)


def softmax(scores: Floats) -> Floats:
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def known(votes: Votes, fitted: Fit) -> Known:
    """Each annotator's posterior; of somebody without votes, the crowd's."""
    log_N3 = log_likelihood(votes, fitted)
    q_N3 = softmax(truth_scores(votes, fitted, log_N3)[votes.item_N] - log_N3)
    shared_N = np.bincount(votes.item_N, minlength=votes.n_items)[votes.item_N] > 1
    q_N = np.take_along_axis(q_N3, votes.vote_N[:, None], axis=1)[:, 0]
    ratio_N = (q_N / habits(votes) - 1)[shared_N]
    annotator_N = votes.annotator_N[shared_N]
    # where r is 1 and the vote is surely wrong the likelihood is 0
    logs_JG = np.stack(
        [
            np.bincount(annotator_N, np.log(np.maximum(1 + r * ratio_N, 1e-9)), votes.n_annotators)
            for r in GRID.tolist()
        ],
        axis=1,
    )
    likelihood_JG = np.exp(logs_JG - logs_JG.max(axis=1, keepdims=True))
    even_G = np.full(len(GRID), 1 / len(GRID))
    prior_G = even_G
    for _ in range(STEPS):
        posterior_JG = likelihood_JG * prior_G
        posterior_JG /= posterior_JG.sum(axis=1, keepdims=True)
        prior_G = (posterior_JG.sum(axis=0) + EVEN_WORTH * even_G) / (votes.n_annotators + EVEN_WORTH)
    mean_J = posterior_JG @ GRID
    variance_J = posterior_JG @ GRID**2 - mean_J**2
    n_J = np.bincount(annotator_N, minlength=votes.n_annotators)
    return Known(mean_J, np.sqrt(np.maximum(variance_J, 0)), posterior_JG, n_J.astype(np.float64))


def without(votes: Votes, fitted: Fit, left_out: Ints) -> Fit:
    """What is true as the others say, and how those who are left out do by that truth: they carry no weight in it.

    Those left out get θ = 0: whatever they say is equally probable under every truth.
    """
    if not len(left_out):
        return fitted
    of_rest = fit(votes.part(~np.isin(votes.annotator_N, left_out)))
    theta_J4 = of_rest.theta_J4.copy()
    theta_J4[left_out] = 0
    return of_rest._replace(theta_J4=theta_J4)


def habits(votes: Votes) -> Floats:
    """How often its annotator says what each vote says, [N]: left, tie or right; A, tie or B where sides say nothing.

    Few votes are filled up with the crowd's habits.
    """
    said_N = np.where(votes.side_N == -1, 2 - votes.vote_N, votes.vote_N)
    kind_N = 3 * np.abs(votes.side_N) + said_N
    counts_J23 = np.bincount(6 * votes.annotator_N + kind_N, minlength=6 * votes.n_annotators).reshape(-1, 2, 3)
    crowd_23 = counts_J23.sum(axis=0) + 1.0
    if votes.symmetric:
        crowd_23[0, [0, 2]] = crowd_23[0, [0, 2]].mean()
    crowd_23 /= crowd_23.sum(axis=1, keepdims=True)
    filled_J23 = counts_J23 + HABIT_WORTH * crowd_23
    habit_J6 = (filled_J23 / filled_J23.sum(axis=2, keepdims=True)).reshape(-1, 6)
    return habit_J6[votes.annotator_N, kind_N]
