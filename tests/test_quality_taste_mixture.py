"""One taste or two: against the definition, and on crowds whose tastes are known."""

import numpy as np
import pytest

from accord.quality import taste_mixture
from accord.quality.crowd import Role, draw_crowd, draw_margins, simulate_votes
from accord.quality.dawid_skene import TIE, A, B, Votes
from accord.quality.taste_mixture import fit, held_out, margins


def crowd_votes(seed, tastes=(0.65, 0.35), *, people=60, votes=40, items=120, reliability=(0.4, 0.9), opposed=False):
    """Votes of a simulated crowd, and who has which taste."""
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, {Role.HONEST: people}, reliability=reliability, temperature=0.3, tastes=tastes)
    margin_IT = draw_margins(rng, items, len(tastes), 0.3)
    if opposed:
        margin_IT[:, 1] = -margin_IT[:, 0]
    said = simulate_votes(rng, crowd, margin_IT, votes, tie_margin=0.2).votes
    return said._replace(ends_I2=np.arange(2 * items).reshape(items, 2)), crowd.taste_J, margin_IT


@pytest.mark.parametrize("opposed", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_two_tastes_are_found_and_told_apart(seed, opposed):
    votes, taste_J, margin_IT = crowd_votes(seed, opposed=opposed)
    held = held_out(votes)
    assert held.two
    assert held.gain > 3 * held.error
    found = fit(votes)
    assert found.share_K[0] >= found.share_K[1]
    larger = int((taste_J == 1).mean() > 0.5)
    of_larger_J = taste_J == larger
    assert ((found.member_JK[:, 0] > 0.5) == of_larger_J).mean() > 0.9
    for k, taste in enumerate((larger, 1 - larger)):
        assert (np.sign(margins(found, votes)[k]) == np.sign(margin_IT[:, taste])).mean() > (0.85, 0.7)[k]


@pytest.mark.parametrize("reliability", [(0.4, 0.9), (0.0, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_one_taste_is_one_however_careless_some_are(seed, reliability):
    votes, _, _ = crowd_votes(seed, (1.0,), reliability=reliability)
    assert not held_out(votes).two


def test_those_who_like_ties_or_the_left_are_no_taste():
    votes, _, _ = crowd_votes(0, (1.0,))
    chance = np.random.default_rng(0)
    lazy_N = (votes.annotator_N % 2 == 0) & (chance.random(len(votes.vote_N)) < 0.5)
    left_N = np.where(votes.side_N == 1, A, B)
    assert not held_out(votes._replace(vote_N=np.where(lazy_N, TIE, votes.vote_N))).two
    assert not held_out(votes._replace(vote_N=np.where(lazy_N, left_N, votes.vote_N))).two


def test_a_member_is_who_votes_so():
    """Bayes' rule with the definition, term by term."""
    votes, _, _ = crowd_votes(0, people=12, votes=20, items=30)
    seen, found = taste_mixture._seen(votes), fit(votes)
    log_JK = np.zeros((12, 2))
    for j in range(12):
        for k in range(2):
            likely_C = np.zeros(len(taste_mixture.LEVELS))
            for n in np.flatnonzero(votes.annotator_N == j):
                a, b = votes.ends_I2[votes.item_N[n]]
                d = found.utility_KR[k, a] - found.utility_KR[k, b]
                half = taste_mixture.LEVELS * d / 2 + seen.left_N[n]
                tie = np.full(len(half), found.tie + seen.tied_N[n])
                logits = {A: half, TIE: tie, B: -half}
                likely_C += logits[votes.vote_N[n]] - np.log(sum(np.exp(each) for each in logits.values()))
            log_JK[j, k] = np.log(found.share_K[k]) + np.log((found.level_C * np.exp(likely_C)).sum())
    member_JK = np.exp(log_JK - np.logaddexp(*log_JK.T)[:, None])
    np.testing.assert_allclose(found.member_JK, member_JK, atol=1e-8)


def test_both_tastes_are_about_as_strong():
    u_KR = np.random.default_rng(0).normal(size=(2, 50))
    weak = np.stack([(u_KR[0] + 0.1 * u_KR[0]) / 2, (u_KR[0] - 0.1 * u_KR[0]) / 2])  # u_2 = u_1 / 10
    first, second = taste_mixture.BASIS[2] @ taste_mixture._about_as_strong(weak)
    assert 0.8 < np.linalg.norm(second) / np.linalg.norm(first) < 1.25
    opposed = np.stack([0.2 * u_KR[0], u_KR[0]])
    first, second = taste_mixture.BASIS[2] @ taste_mixture._about_as_strong(opposed)
    assert np.corrcoef(first, second)[0, 1] < -0.99


@pytest.mark.parametrize(("people", "pairs"), [(8, 1), (8, 3), (30, 5), (10, 20)])
@pytest.mark.parametrize("said", ["anything", "ties", "one answer"])
def test_few_pairs_or_answers_that_are_all_alike_are_one_taste(people, pairs, said):
    chance = np.random.default_rng(0)
    item_N, annotator_N = np.tile(np.arange(pairs), people), np.repeat(np.arange(people), pairs)
    n = len(item_N)
    vote_N = {"anything": chance.integers(3, size=n), "ties": np.full(n, TIE), "one answer": np.full(n, A)}[said]
    ends_I2 = np.arange(2 * pairs).reshape(pairs, 2)
    votes = Votes(item_N, annotator_N, vote_N, chance.choice([-1, 1], n), pairs, people, True, ends_I2)
    assert not held_out(votes).two
    assert np.isfinite(fit(votes).utility_KR).all()


def test_a_response_compared_with_itself_tells_nothing():
    nobody = np.zeros(20, np.int64)
    votes = Votes(nobody, np.arange(20) % 10, nobody + TIE, nobody, 1, 10, True, np.zeros((1, 2), np.int64))
    assert not held_out(votes).two


@pytest.mark.parametrize("each", [1, 3, 10])
def test_people_who_share_no_pairs_are_one_taste(each):
    n = 20 * each
    chance = np.random.default_rng(each)
    ends_I2 = np.arange(2 * n).reshape(n, 2)
    vote_N, side_N = chance.integers(3, size=n), chance.choice([-1, 1], n)
    votes = Votes(np.arange(n), np.repeat(np.arange(20), each), vote_N, side_N, n, 20, True, ends_I2)
    assert not held_out(votes).two


def test_few_people_tell_nothing():
    votes, _, _ = crowd_votes(0, people=5)
    assert held_out(votes) is None


def test_thumbs_are_no_pairs():
    votes, _, _ = crowd_votes(0, people=10, votes=10, items=20)
    for look in (fit, held_out):
        with pytest.raises(ValueError, match="ends_I2"):
            look(votes._replace(ends_I2=None))
