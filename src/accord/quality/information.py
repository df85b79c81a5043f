"""What one more vote on a pair would tell, in nats: the mutual information I(vote; what is true of the pair).

From votes. The truth z in {A better, tie, B better} has the probabilities t that labels give it, and an average
annotator answers v with probability C[z, v]. The entropy that a vote takes off the truth, expected over its answers, is

    I(v; z) = H(Σ_z t_z C[z]) − Σ_z t_z H(C[z])

From an ensemble of reward models. Member m prefers A with p_m = σ(margin_m), the difference of its two scores. What the
members are unsure of by themselves no vote settles; what they differ about one does (BALD: Houlsby et al., "Bayesian
Active Learning for Classification and Preference Learning", 2011, eq. 2):

    I(v; m) = H(Σ_m w_m p_m) − Σ_m w_m H(p_m)

Of an ensemble that tells its mean and standard deviation alone, margins are normal, and the members are the nodes of
Gauss-Hermite quadrature.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, xlogy

from accord.feedback import Choice, Comparison, PairLabel
from accord.quality.ballots import standing
from accord.quality.dawid_skene import START, TIE, A, B, answer_probs

Floats = NDArray[np.float64]

NODES = 20
ROUNDING = 1e-12
#: How many votes on each truth the average annotator of START is worth, beside those that were given.
START_WORTH = 10.0

#: a pair's prompt and its responses, in the order of their ids
Key = tuple[str, str, str]


def entropy(probs: ArrayLike) -> Floats:
    """−Σ p ln p over the last axis."""
    probs = np.asarray(probs, dtype=np.float64)
    return -xlogy(probs, probs).sum(-1)


def vote_information(truth_P3: ArrayLike, answers_33: ArrayLike) -> Floats:
    """I(v; z) of each pair, [P]: at most the entropy of its truth.

    truth_P3    P(A better), P(tie), P(B better)
    answers_33  C[z, v], rows that sum to 1: `average_annotator`
    """
    truth_P3, answers_33 = np.asarray(truth_P3, dtype=np.float64), np.asarray(answers_33, dtype=np.float64)
    return _nats(entropy(truth_P3 @ answers_33) - truth_P3 @ entropy(answers_33))


def disagreement(p_PM: ArrayLike, weights_PM: ArrayLike | None = None) -> Floats:
    """I(v; m) of each pair, [P]: how far the members of an ensemble differ about the probability that A is preferred.

    weights_PM  what each member counts, rows that sum to 1; all the same where None
    """
    p_PM = np.asarray(p_PM, dtype=np.float64)
    weights_PM = np.full(p_PM.shape, 1 / p_PM.shape[-1]) if weights_PM is None else np.asarray(weights_PM)
    mean_P, each_PM = (weights_PM * p_PM).sum(-1), entropy(np.stack([p_PM, 1 - p_PM], -1))
    return _nats(entropy(np.stack([mean_P, 1 - mean_P], -1)) - (weights_PM * each_PM).sum(-1))


def margin_information(mean_P: ArrayLike, std_P: ArrayLike, counts_P3: ArrayLike | None = None) -> Floats:
    """I(v; margin) of each pair, [P], where an ensemble's margin is N(mean, std²).

    counts_P3  votes for A, tie and B that the ensemble has not seen: they weigh each margin by its likelihood
               σ(margin)^(a + tie/2) · σ(−margin)^(b + tie/2)
    """
    mean_P, std_P = np.asarray(mean_P, dtype=np.float64), np.asarray(std_P, dtype=np.float64)
    nodes_M, weights_M = np.polynomial.hermite_e.hermegauss(NODES)
    margin_PM = mean_P[:, None] + std_P[:, None] * nodes_M
    log_weights_PM = np.log(weights_M) + np.zeros_like(margin_PM)
    if counts_P3 is not None:
        a_P, tie_P, b_P = np.asarray(counts_P3, dtype=np.float64).T
        log_weights_PM += (a_P + tie_P / 2)[:, None] * log_expit(margin_PM)
        log_weights_PM += (b_P + tie_P / 2)[:, None] * log_expit(-margin_PM)
    weights_PM = np.exp(log_weights_PM - log_weights_PM.max(-1, keepdims=True))
    return disagreement(expit(margin_PM), weights_PM / weights_PM.sum(-1, keepdims=True))


def _nats(difference_P: Floats) -> Floats:
    """0 where a difference of entropies is but rounding."""
    return np.where(difference_P > ROUNDING, difference_P, 0.0)


def beliefs(pairs: Iterable[Key], labels: Iterable[PairLabel]) -> Floats:
    """P(A better), P(tie), P(B better) of each pair, [P, 3], where A is the response with the smaller id.

    A pair that nobody voted on is taken for an average one: what labels give on average, the same if A and B change
    places, each truth counting one pair more than there are. Where every vote was "both bad" (weight 0) there is no
    margin to learn: a tie for certain.
    """
    found: dict[Key, Floats] = {}
    for label in labels:
        a_id, b_id = sorted((label.chosen_id, label.rejected_id))
        p_a = label.p_chosen if label.chosen_id == a_id else 1 - label.p_chosen
        sided = [p_a - label.p_tie / 2, label.p_tie, 1 - p_a - label.p_tie / 2]
        truth_3 = np.clip(sided, 0, 1) if label.weight else np.eye(3)[TIE]
        found[label.prompt_id, a_id, b_id] = truth_3
    mean_3 = (sum(found.values(), np.zeros(3)) + 1) / (len(found) + 3)
    average_3 = (mean_3 + mean_3[::-1]) / 2
    return np.array([found.get(pair, average_3) for pair in pairs]).reshape(-1, 3)


def tallies(pairs: Iterable[Key], comparisons: Iterable[Comparison]) -> Floats:
    """The votes for A, for a tie (or both bad), and for B on each pair, [P, 3]; those that no longer stand left out."""
    row = {pair: n for n, pair in enumerate(pairs)}
    counts_P3 = np.zeros((len(row), 3))
    for vote in standing(comparisons):
        a_id, b_id = sorted((vote.left_id, vote.right_id))
        if (n := row.get((vote.prompt_id, a_id, b_id))) is not None:
            counts_P3[n, _answer(vote, a_id)] += 1
    return counts_P3


def average_annotator(truth_P3: ArrayLike, counts_P3: ArrayLike) -> Floats:
    """C[z, v]: how often people answer v where z is true, the same if A and B change places.

    Votes are counted by what is believed of their pairs, and beside them stand START_WORTH votes on each truth by the
    annotator that `dawid_skene` begins with: right 74 times in 100.
    """
    start_33 = answer_probs(START[None])[0, 1]
    counts_33 = np.asarray(truth_P3).T @ np.asarray(counts_P3) + START_WORTH * start_33
    counts_33 += counts_33[::-1, ::-1]
    return counts_33 / counts_33.sum(-1, keepdims=True)


def _answer(vote: Comparison, a_id: str) -> int:
    if vote.choice not in (Choice.LEFT, Choice.RIGHT):
        return TIE
    return A if (vote.choice is Choice.LEFT) == (vote.left_id == a_id) else B
