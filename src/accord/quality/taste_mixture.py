"""Does one taste explain the votes, or two?

Annotator j belongs to group k with probability π_k, tells responses apart a_c well (LEVELS) with probability ρ_c, and
says of a pair whose sides were s

    P(A better, tie, B better) = softmax( (a_c d_k + s b_j) / 2,  τ + t_j,  −(a_c d_k + s b_j) / 2 )

where d_k = u_kA − u_kB is what the pair's responses are worth to group k. The two groups have u_1 = m + δ and
u_2 = m − δ with m ~ N(0, M²) and δ ~ N(0, Δ²): what one group says of a response tells of the other as far as Δ < M.
One taste is the same model without δ; careless annotators, those who like ties, and those who like the left side are in
both, so that a group is a taste and nothing else. M, Δ, τ, π and ρ are learnt (EM); b_j and t_j are what their counts
say, shrunk.

Two tastes are taken for true where all the votes of annotators whom no fit has seen are likelier under them, by more
than ERRORS standard errors over those annotators. Groups are told apart only by what the same people say of many pairs:
where annotators gave a handful of votes each, or share no pairs, one taste is what is found.

Zhao, Piech & Xia, "Learning Mixtures of Plackett-Luce Models", 2016; for language models: Chakraborty et al.,
"MaxMin-RLHF: Alignment with Diverse Human Preferences", 2024.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from scipy.special import expit

from accord.quality.bradley_terry import BIAS, LEAST_VARIANCE, TIES, VARIANCE
from accord.quality.dawid_skene import TIE, A, B, Floats, Ints, Votes

#: How well annotators tell responses apart: from not at all to as well as anybody.
LEVELS = np.array([0.0, 1 / 3, 2 / 3, 1.0])
#: u = BASIS[tastes] @ (m, δ)
BASIS = {1: np.array([[1.0]]), 2: np.array([[1.0, 1.0], [1.0, -1.0]])}
#: Of τ, whose prior is N(0, SPREAD²).
SPREAD = 5.0
#: A membership that is smaller is taken for none.
NEGLIGIBLE = 1e-2
#: How far the strength of the two tastes may differ.
SLACK = 0.1
#: How surely the first guess divides annotators, at one standard deviation from the middle.
STEEP = 3.0
#: Parts of the annotators; fewer than LEAST annotators are not parted.
FOLDS, LEAST = 4, 8
ERRORS = 2.0
ROUNDS, STEPS, TOLERANCE = 40, 8, 3e-4


class Tastes(NamedTuple):
    """What was learnt of K = 2 tastes.

    utility_KR  of each response to each
    share_K     of the annotators
    level_C     shares of the annotators at each of LEVELS
    tie         τ
    member_JK   probability that each annotator has each taste
    """

    utility_KR: Floats
    share_K: Floats
    level_C: Floats
    tie: float
    member_JK: Floats


def fit(votes: Votes) -> Tastes:
    """The likeliest two tastes. The first is that of most annotators.

    Raises ValueError for votes on items that are no pairs.
    """
    seen = _seen(votes)
    return _told(seen, _climbed(seen, _divided(seen, _climbed(seen, _start(seen)))))


def margins(tastes: Tastes, votes: Votes) -> Floats:
    """What response A of each item is worth more than B to each taste, [K, I], in the logits of the most careful."""
    if votes.ends_I2 is None:
        raise ValueError("votes: without ends_I2, the responses that were compared")
    return tastes.utility_KR[:, votes.ends_I2[:, 0]] - tastes.utility_KR[:, votes.ends_I2[:, 1]]


class Held(NamedTuple):
    """By how much two tastes explain votes of annotators whom no fit has seen better than one does, in nats a vote.

    gain, error  the mean and its standard error over annotators
    """

    gain: float
    error: float

    @property
    def two(self) -> bool:
        """Whether two tastes are there: a gain below TOLERANCE is where EM was stopped, and tells nothing."""
        return self.gain > max(ERRORS * self.error, TOLERANCE)


def held_out(votes: Votes) -> Held | None:
    """One taste or two? None where fewer than LEAST annotators gave the votes."""
    seen = _seen(votes)
    voted = np.unique(votes.annotator_N)
    if len(voted) < LEAST:
        return None
    part_J = np.random.default_rng(0).permutation(votes.n_annotators) % FOLDS
    gain_J = np.zeros(votes.n_annotators)
    for part in range(FOLDS):
        others = _of(seen, part_J[votes.annotator_N] != part)
        one = _climbed(others, _start(others))
        two = _climbed(others, _divided(others, one))
        more_J = _members(seen, two)[1] - _members(seen, one)[1]
        gain_J = np.where(part_J == part, more_J, gain_J)
    gains = gain_J[voted]
    a_vote = len(voted) / len(votes.vote_N)
    return Held(float(gains.mean() * a_vote), float(gains.std(ddof=1) / np.sqrt(len(gains)) * a_vote))


class _Seen(NamedTuple):
    """Votes as the model reads them: `sign_N` is +1 for A, −1 for B and 0 for a tie, `tied_N` what the annotator adds
    to τ, and `left_N` what the left side adds to A's half of the logits."""

    votes: Votes
    a_N: Ints
    b_N: Ints
    sign_N: Floats
    tied_N: Floats
    left_N: Floats
    responses: int


class _State(NamedTuple):
    """x_KR are m and δ; see Tastes for the others."""

    x_KR: Floats
    share_K: Floats
    level_C: Floats
    tie: float

    @property
    def utility_KR(self) -> Floats:
        return BASIS[len(self.x_KR)] @ self.x_KR


def _seen(votes: Votes) -> _Seen:
    if votes.ends_I2 is None:
        raise ValueError("votes: without ends_I2, the responses that were compared")
    a_N, b_N = votes.ends_I2[votes.item_N].T
    sign_N = np.select([votes.vote_N == A, votes.vote_N == B], [1.0, -1.0])
    left_N = sign_N * votes.side_N
    n = votes.n_annotators
    tie_J, left_J, right_J = (
        np.bincount(votes.annotator_N, chosen, n) for chosen in (votes.vote_N == TIE, left_N > 0, left_N < 0)
    )
    decided_J = np.bincount(votes.annotator_N, minlength=n) - tie_J
    tied = (tie_J.sum() + 0.5) / (len(sign_N) + 1)
    tied_J = np.log((tie_J + tied) / (decided_J + 1 - tied)) - np.log(tied / (1 - tied))
    tied_J *= _shrunk((tie_J + decided_J) * tied * (1 - tied), TIES)
    bias_J = np.log((left_J + 0.5) / (right_J + 0.5)) * _shrunk((left_J + right_J) / 4, BIAS)
    return _Seen(
        votes,
        a_N,
        b_N,
        sign_N,
        tied_J[votes.annotator_N],
        bias_J[votes.annotator_N] * votes.side_N / 2,
        int(votes.ends_I2.max()) + 1,
    )


def _shrunk(information_J: Floats, variance: float) -> Floats:
    """What share of an estimate is left beside the prior N(0, variance)."""
    return information_J / (information_J + 1 / variance)


def _of(seen: _Seen, chosen_N: NDArray[np.bool_]) -> _Seen:
    """Some of the votes. What annotators are like beside their taste is known from all of their votes."""
    return seen._replace(
        votes=seen.votes.part(chosen_N),
        **{name: getattr(seen, name)[chosen_N] for name in ("a_N", "b_N", "sign_N", "tied_N", "left_N")},
    )


def _start(seen: _Seen) -> _State:
    return _State(np.zeros((1, seen.responses)), np.ones(1), np.full(len(LEVELS), 1 / len(LEVELS)), 0.0)


def _climbed(seen: _Seen, state: _State) -> _State:
    """Expectation-maximisation until a vote's log-likelihood moves by less than TOLERANCE."""
    variance_K = np.full(len(state.x_KR), VARIANCE)
    before = -np.inf
    for _ in range(ROUNDS):
        member_JKC, likely_J = _members(seen, state)
        likely = likely_J.sum() / len(seen.sign_N)
        if abs(likely - before) < TOLERANCE:
            break
        before = likely
        state, error_KR = _utilities(seen, member_JKC, state, variance_K)
        state = state._replace(share_K=_shares(member_JKC, (0, 2)), level_C=_shares(member_JKC, (0, 1)))
        variance_K = np.maximum((state.x_KR**2 + error_KR**2).mean(axis=1), LEAST_VARIANCE)
    return state


def _felt(seen: _Seen, state: _State) -> Floats:
    """Half the logit of A against B, for each taste and level: [K, C, N]."""
    utility_KR = state.utility_KR
    margin_KN = utility_KR[:, seen.a_N] - utility_KR[:, seen.b_N]
    return LEVELS[:, None] / 2 * margin_KN[:, None] + seen.left_N


def _log_members(seen: _Seen, state: _State) -> Floats:
    """log P(taste, level, all votes) of each annotator, [J, K, C]."""
    felt_KCN, tie_N = _felt(seen, state), state.tie + seen.tied_N
    log_KCN = np.where(seen.sign_N == 0, tie_N, seen.sign_N * felt_KCN) - _log_sum(felt_KCN, tie_N)
    n, votes = seen.votes.n_annotators, seen.votes.annotator_N
    shape = log_KCN.shape[:2]
    sums = [np.bincount(votes, each, n) for each in log_KCN.reshape(-1, len(votes))]
    log_JKC = np.stack(sums, axis=1).astype(np.float64).reshape(n, *shape)
    return log_JKC + np.log(state.share_K[:, None] * state.level_C)


def _log_sum(felt: Floats, tie: Floats) -> Floats:
    """log(exp(felt) + exp(tie) + exp(−felt))."""
    size = np.abs(felt)
    return size + np.log1p(np.exp(-2 * size) + np.exp(tie - size))


def _members(seen: _Seen, state: _State) -> tuple[Floats, Floats]:
    """Probability of each taste and level for each annotator, [J, K, C], and the log-likelihood of all their votes."""
    log_JKC = _log_members(seen, state)
    likely_J = np.logaddexp.reduce(log_JKC, axis=(1, 2))
    return np.exp(log_JKC - likely_J[:, None, None]), likely_J


def _shares(member_JKC: Floats, others: tuple[int, int]) -> Floats:
    """Mean membership, one annotator being added to each."""
    sums = member_JKC.sum(axis=others) + 1.0
    return np.asarray(sums / sums.sum(), np.float64)


class _Weighed(NamedTuple):
    """M votes, each as cast by a member of one taste and level, which counts `weight_M`."""

    vote_M: Ints
    taste_M: Ints
    level_M: Floats
    weight_M: Floats


def _weighed(seen: _Seen, member_JKC: Floats) -> _Weighed:
    """The members that count: what an annotator most probably is not is left out, most of them."""
    kept_JKC = np.where(member_JKC > NEGLIGIBLE, member_JKC, 0)
    kept_JKC /= kept_JKC.sum(axis=(1, 2), keepdims=True)
    weight_NKC = kept_JKC[seen.votes.annotator_N]
    vote_M, taste_M, c_M = np.nonzero(weight_NKC)
    return _Weighed(vote_M, taste_M, LEVELS[c_M], weight_NKC[vote_M, taste_M, c_M])


def _utilities(seen: _Seen, member_JKC: Floats, state: _State, variance_K: Floats) -> tuple[_State, Floats]:
    """Likelier m, δ and τ, the annotators being as they are, and the standard errors of m and δ."""
    tastes, size = state.x_KR.shape
    basis = BASIS[tastes]
    n_M, taste_M, level_M, weight_M = _weighed(seen, member_JKC)
    a_M, b_M = seen.a_N[n_M] + size * taste_M, seen.b_N[n_M] + size * taste_M
    sign_M, tied_M, left_M = seen.sign_N[n_M], seen.tied_N[n_M], seen.left_N[n_M]
    is_tie_M = sign_M == 0

    def at(x: Floats) -> _State:
        return state._replace(x_KR=x[:-1].reshape(tastes, size), tie=float(x[-1]))

    def felt(now: _State) -> tuple[Floats, Floats, Floats]:
        utility = now.utility_KR.ravel()
        felt_M, tie_M = level_M / 2 * (utility[a_M] - utility[b_M]) + left_M, now.tie + tied_M
        return felt_M, tie_M, _log_sum(felt_M, tie_M)

    def both_ends(value_M: Floats, of_b: int) -> Floats:
        size_all = tastes * size
        sums = np.bincount(a_M, value_M, size_all) + of_b * np.bincount(b_M, value_M, size_all)
        return sums.astype(np.float64).reshape(tastes, size)

    def loss(x: Floats) -> tuple[float, Floats]:
        now = at(x)
        felt_M, tie_M, log_sum_M = felt(now)
        unlikely = weight_M @ (log_sum_M - np.where(is_tie_M, tie_M, sign_M * felt_M))
        towards_a_M = np.exp(felt_M - log_sum_M) - np.exp(-felt_M - log_sum_M) - sign_M
        of_tie = weight_M @ (np.exp(tie_M - log_sum_M) - is_tie_M)
        gradient_KR = basis.T @ both_ends(weight_M * towards_a_M * level_M / 2, -1) + now.x_KR / variance_K[:, None]
        prior = (now.x_KR**2 / variance_K[:, None]).sum() / 2 + now.tie**2 / (2 * SPREAD**2)
        return unlikely + prior, np.append(gradient_KR, of_tie + now.tie / SPREAD**2)

    start = np.append(state.x_KR, state.tie)
    state = at(minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x)
    state = state._replace(x_KR=_about_as_strong(state.x_KR))
    felt_M, _, log_sum_M = felt(state)
    a, b = np.exp(felt_M - log_sum_M), np.exp(-felt_M - log_sum_M)
    curved_KR = both_ends(weight_M * level_M**2 / 4 * (a + b - (a - b) ** 2), 1)
    return state, 1 / np.sqrt((basis.T**2) @ curved_KR + 1 / variance_K[:, None])


def _about_as_strong(x_KR: Floats) -> Floats:
    """m and δ, the shorter of them with no more of the longer than ±SLACK of it, so that |m + δ| and |m − δ| are about
    the same. How much annotators care is told by their level; without this, the careless would be a second taste, one
    that is as the first but weaker. Opposed tastes have nothing in common, and so a short m."""
    if len(x_KR) == 1:
        return x_KR
    longer, shorter = np.argsort(-(x_KR**2).sum(axis=1), kind="stable")
    along = float(x_KR[shorter] @ x_KR[longer] / max(x_KR[longer] @ x_KR[longer], 1e-12))
    apart_KR = x_KR.copy()
    apart_KR[shorter] -= (along - np.clip(along, -SLACK, SLACK)) * x_KR[longer]
    return apart_KR


def _divided(seen: _Seen, state: _State) -> _State:
    """One taste, and what annotators' departures from it have most in common: where two tastes begin."""
    felt_N = _felt(seen, state)[0, -1]
    log_sum_N = _log_sum(felt_N, state.tie + seen.tied_N)
    left_over_N = seen.sign_N - np.exp(felt_N - log_sum_N) + np.exp(-felt_N - log_sum_N)
    ends, signs = np.concatenate([seen.a_N, seen.b_N]), np.concatenate([left_over_N, -left_over_N])
    shape = seen.votes.n_annotators, seen.responses
    departure_JR = csr_array((signs, (np.tile(seen.votes.annotator_N, 2), ends)), shape=shape)
    score_J = _leading(departure_JR)
    second_J = expit(STEEP * (score_J - score_J.mean()) / max(score_J.std(), 1e-12))
    member_JKC = np.zeros((*second_J.shape, 2, len(LEVELS)))
    member_JKC[:, :, -1] = np.stack([1 - second_J, second_J], axis=1)
    x_KR = np.stack([state.x_KR[0], np.zeros(seen.responses)])
    start = state._replace(x_KR=x_KR, share_K=_shares(member_JKC, (0, 2)))
    return _utilities(seen, member_JKC, start, np.full(2, VARIANCE))[0]


def _leading(values_JR: csr_array) -> Floats:
    """The leading left singular vector, [J]; zeros where all values are 0."""
    size = min(values_JR.shape)
    if values_JR.count_nonzero() == 0:
        return np.zeros(values_JR.shape[0])
    if size < 2:
        return np.asarray(np.linalg.svd(values_JR.toarray())[0][:, 0], np.float64)
    start = np.random.default_rng(0).standard_normal(size)  # ones would be orthogonal to all rows: each sums to 0
    return np.asarray(svds(values_JR, k=1, v0=start, solver="arpack")[0][:, 0], np.float64)


def _told(seen: _Seen, state: _State) -> Tastes:
    order = np.argsort(-state.share_K, kind="stable")
    member_JK = _members(seen, state)[0].sum(axis=2)
    return Tastes(state.utility_KR[order], state.share_K[order], state.level_C, state.tie, member_JK[:, order])
