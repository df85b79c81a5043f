"""Bad hands: each kind worked by hand, found again in simulated crowds, and honest crowds left alone."""

import numpy as np
import pytest

from accord.quality.bad_hands import (
    Finding,
    Kind,
    bad_hands,
    failed_controls,
    holm,
    in_groups,
    one_sided,
    too_fast,
    weights,
)
from accord.quality.coordination import Alike, coordinated, copied, meetings
from accord.quality.crowd import Role, draw_crowd, draw_margins, name, simulate_votes
from accord.quality.dawid_skene import TIE, A, B, Fit, Votes, answer_probs, fit
from accord.quality.reliability import GRID, habits, known, without


def votes_of(rows, annotators, items):
    """(item, annotator, vote, side) of each vote."""
    item, annotator, vote, side = np.array(rows, np.int64).reshape(-1, 4).T
    return Votes(item, annotator, vote, side, items, annotators)


def crowd_of(roles, votes=60, seed=0, an_item=5, spread=0.0, **more):
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, roles, **more)
    items = sum(roles.values()) * votes // an_item
    margin_IT = draw_margins(rng, items, len(more.get("tastes", (1,))), spread)
    return crowd, simulate_votes(rng, crowd, margin_IT, votes)


def report_on(crowd, said):
    ids = [name(j) for j in range(len(crowd.role_J))]
    return bad_hands(said.votes, ids=ids, at_N=said.at_N, seconds_N=said.seconds_N, characters_N=said.characters_N)


def named(crowd, report, kind):
    ids = {finding.annotator_id for finding in report.findings if finding.kind is kind}
    return np.array([name(j) in ids for j in range(len(crowd.role_J))])


def test_holm_by_hand():
    p = holm(np.array([0.04, 0.01, 0.03, 0.9]), np.array([True, True, True, False]))
    assert p.tolist() == pytest.approx([0.06, 0.03, 0.06, 1.0]), "3 · 0.01, 2 · 0.03, and no less after it"


def test_one_sided_says_the_side_and_ignores_ties_and_fixed_sides():
    rows = [(i, 0, B, 1) for i in range(20)]
    rows += [(i, j, A if (i + j) % 2 else B, 1) for j in (1, 2, 3) for i in range(20)]
    (finding,) = one_sided(votes_of(rows, 4, 20), list("abcd"))
    assert finding.evidence == "says right in 20 of 20 votes with shuffled sides, where the others do in 50 of 100"
    assert finding.p_value == pytest.approx(4 * 2 * 0.5**20), "Holm, two sides, an exact tail"
    assert (finding.statistic, finding.weight, finding.votes) == (1, 0, 20)
    assert not one_sided(votes_of([(i, j, vote, 0) for i, j, vote, _ in rows], 4, 20), list("abcd"))
    assert not one_sided(votes_of([(i, j, TIE, side) for i, j, _, side in rows], 4, 20), list("abcd"))


def test_too_fast_by_hand():
    annotator = np.repeat([0, 1], 12)
    seconds, characters = np.where(annotator == 0, 2.0, 60.0), np.full(24, 1200.0)
    (finding,) = too_fast(annotator, seconds, characters, ["fast", "slow"])
    assert finding.annotator_id == "fast"
    assert finding.statistic == 600
    assert finding.p_value == pytest.approx(2 * 0.5**12)
    assert "600 characters a second (median), in 12 of 12 votes" in finding.evidence
    assert not too_fast(annotator, np.full(24, np.nan), characters, ["fast", "slow"])


def test_failed_controls_by_hand():
    found = failed_controls(np.array([0, 5, 9, 0]), np.array([4, 5, 1, 0]), list("abcd"))
    assert [finding.annotator_id for finding in found] == ["a", "b"]
    assert found[0].posterior == pytest.approx(1 - 0.25**5), "Beta(1, 5) below ¾"
    assert found[0].statistic == pytest.approx(1 / 6)
    assert [finding.weight for finding in found] == [0, 0]
    assert found[0].evidence == "passed 0 and failed 4 control questions"


def test_a_vote_that_nobody_can_check_says_nothing():
    votes = votes_of([(i, 0, A, 1) for i in range(9)], 1, 9)
    assert known(votes, fit(votes)).votes_J.tolist() == [0]
    assert known(votes, fit(votes)).mean_J == pytest.approx([0.5]), "the even prior"
    assert bad_hands(votes).weight_J.shape == (1,)


def test_reliability_by_hand():
    """The second never errs, the first says anything: the prior of the truth, (2, 1, 1) / 4, checks the second's A, and
    with the second's A, worth (1, ⅓, 0), it is 2 / (2 + ⅓) = 6/7 for the first's. Both had one prior of r."""
    votes = votes_of([(0, 0, A, 0), (0, 1, A, 0)], 2, 1)
    fitted = Fit(np.array([[1.0, 0, 0]]), np.array([[0.0, 0, 0, 0], [50.0, 0, 0, 0]]))
    first_G, second_G = known(votes, fitted).posterior_JG
    h = habits(votes)[0]
    by_hand_G = (GRID * 6 / 7 + (1 - GRID) * h) / (GRID / 2 + (1 - GRID) * h)
    assert first_G / second_G / (first_G[0] / second_G[0]) == pytest.approx(by_hand_G)


def test_reliability_is_found_again():
    crowd, said = crowd_of({Role.HONEST: 60}, votes=100, an_item=12, reliability=(0, 0.95))
    found = known(said.votes, fit(said.votes))
    assert np.corrcoef(found.mean_J, crowd.reliability_J)[0, 1] > 0.93
    assert (np.abs(found.mean_J - crowd.reliability_J) < 3 * found.se_J).mean() > 0.95


def test_those_left_out_have_no_say():
    rows = [(0, 0, A, 0), (0, 1, B, 0), (0, 2, B, 0)]
    votes = votes_of(rows, 3, 1)
    assert fit(votes).truth_I3[0, B] > 0.5 > without(votes, fit(votes), np.array([1, 2])).truth_I3[0, B]


def test_a_meeting_by_hand():
    """Two votes and no other: the truth is as probable as the prior says, and P(u, v) follows from two matrices."""
    votes = votes_of([(0, 0, A, 0), (0, 1, A, 0)], 2, 1)
    fitted = fit(votes)
    met = meetings(votes, fitted)
    prior = (fitted.truth_I3[0] + 1) / 4
    one, other = (answer_probs(fitted.theta_J4)[j, 1] for j in (0, 1))
    joint = np.einsum("z,zu,zv->uv", prior, one, other)
    assert met.expected_M == pytest.approx([np.trace(joint)])
    assert met.gain_M == pytest.approx([(joint[A].sum() + joint[:, A].sum()) / 2 / joint[A, A] - 1])


def test_the_share_that_is_copied_by_hand():
    # agreement has probability ½: gain +1 where they agree, −1 where not; c is 2 · share − 1
    gain = np.array([1.0] * 9 + [-1.0] * 3 + [1.0, -1.0])
    found = copied(gain, np.repeat([0, 1], [12, 2]), 2)
    assert found.c_K == pytest.approx([0.5, 0.0], abs=1e-5)
    assert found.gained_K == pytest.approx([9 * np.log(1.5) + 3 * np.log(0.5), 0], abs=1e-5)
    assert found.p_K[1] == pytest.approx(0.5, abs=1e-3)


def test_a_group_counts_as_one_voter_and_its_source_is_not_named():
    pair = [Alike(0, (1,), 30, 30, 15.0, 0.9, 1e-6, 30), Alike(1, (0,), 30, 30, 15.0, 0.9, 1e-6, 0)]
    (finding,) = in_groups([pair], ["ann", "bob"])
    assert (finding.annotator_id, finding.weight, finding.others) == ("bob", 0, ("ann",))
    assert finding.evidence == (
        "says the same as ann in 30 of 30 votes on shared items, where 15 would be expected of independent people, "
        "and votes after them"
    )
    untimed = [one._replace(first=None) for one in pair]
    assert [found.weight for found in in_groups([untimed], ["ann", "bob"])] == [0.5, 0.5]


def test_the_lowest_weight_counts():
    found = [Finding("b", kind, "", 0, None, None, 1, weight) for kind, weight in zip(Kind, (0.3, 0.1), strict=False)]
    assert weights(found, ["a", "b"]).tolist() == [1, 0.1]


def test_random_voters_are_told_from_honest_ones():
    crowd, said = crowd_of({Role.HONEST: 80, Role.RANDOM: 20}, votes=60, reliability=(0.5, 0.9))
    report = report_on(crowd, said)
    random_J, mean_J = crowd.are(Role.RANDOM), report.known_J.mean_J
    assert (mean_J[random_J][:, None] < mean_J[~random_J]).mean() > 0.97, "the area under the curve"
    hit_J = named(crowd, report, Kind.SAYS_LITTLE)
    assert hit_J[random_J].mean() > 0.6
    assert not hit_J[~random_J].any()
    assert (report.weight_J[hit_J] < 0.3).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_colluders_are_caught_who_share_three_items_with_each_other(groups):
    crowd, said = crowd_of({Role.HONEST: 80, Role.COLLUDER: 20}, reliability=(0.2, 0.9), groups=groups, seed=1)
    report = report_on(crowd, said)
    hit_J, colluder_J = named(crowd, report, Kind.COORDINATED), crowd.are(Role.COLLUDER)
    assert hit_J[colluder_J].mean() >= 0.9
    assert hit_J[~colluder_J].mean() <= 0.02
    assert report.weight_J[hit_J].sum() <= groups + 1e-9, "a group counts as one voter"


def test_copiers_are_caught_and_those_copied_from_are_not():
    crowd, said = crowd_of({Role.HONEST: 90, Role.COPIER: 10}, reliability=(0.2, 0.9), seed=2)
    hit_J = named(crowd, report_on(crowd, said), Kind.COORDINATED)
    assert hit_J[crowd.are(Role.COPIER)].mean() >= 0.9
    assert not hit_J[crowd.are(Role.HONEST)].any()
    untimed = coordinated(said.votes, fit(said.votes)).settled
    assert all(one.first is None for group in untimed for one in group)


def test_left_voters_and_fast_voters_are_caught():
    crowd, said = crowd_of({Role.HONEST: 30, Role.ALWAYS_LEFT: 3, Role.TOO_FAST: 3}, side_bias=0.2, temperature=0.3)
    report = report_on(crowd, said)
    assert (named(crowd, report, Kind.ONE_SIDED) == crowd.are(Role.ALWAYS_LEFT)).all()
    assert (named(crowd, report, Kind.TOO_FAST) == crowd.are(Role.TOO_FAST)).all()


@pytest.mark.parametrize(
    "more",
    [
        {"reliability": (0.4, 0.9)},
        {"reliability": (0.6, 1.0), "temperature": 0.5, "spread": 1.0},
        {"reliability": (0.6, 1.0), "temperature": 0.5, "side_bias": 0.3, "fatigue": 0.01},
    ],
    ids=["reliable", "hard items", "biased and tired"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_honest_crowds_are_left_alone(more, seed):
    crowd, said = crowd_of({Role.HONEST: 60}, seed=seed, **more)
    report = report_on(crowd, said)
    assert len({finding.annotator_id for finding in report.findings}) <= 1
    assert report.weight_J.shape == (60,)


def test_another_taste_is_no_collusion():
    for seed in range(2):
        crowd, said = crowd_of({Role.HONEST: 60}, seed=seed, reliability=(0.4, 0.9), tastes=(0.7, 0.3))
        assert not named(crowd, report_on(crowd, said), Kind.COORDINATED).any()


def test_the_same_votes_give_the_same_report():
    crowd, said = crowd_of({Role.HONEST: 24, Role.COLLUDER: 6}, votes=30)
    one, again = report_on(crowd, said), report_on(crowd, said)
    assert one.findings == again.findings
    assert (one.weight_J == again.weight_J).all()
