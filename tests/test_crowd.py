"""A simulated crowd: everybody does what their role says, seeds decide everything, and nobody hides being simulated."""

import time

import numpy as np
import pytest

from accord.feedback import AnnotatorKind, Choice, Message, Prompt, Response, Sides
from accord.quality.crowd import NOBODY, Role, draw_crowd, draw_margins, name, simulate_comparisons, simulate_votes
from accord.quality.dawid_skene import A, B

PROMPT = Prompt((Message("user", "Why is the sky blue?"),))
TEXTS = [Response(PROMPT.id, "word " * n) for n in (6, 13, 30, 60, 130)]
PAIRS = [(PROMPT, a, b) for i, a in enumerate(TEXTS) for b in TEXTS[i + 1 :]]


def cast(roles, items=200, votes_each=50, seed=0, tastes=1, **more):
    """A crowd, what it said, and for every vote whether it was right."""
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, roles, **more)
    margin_IT = draw_margins(rng, items, tastes)
    said = simulate_votes(rng, crowd, margin_IT, votes_each)
    own_N = margin_IT[said.votes.item_N, crowd.taste_J[said.votes.annotator_N]]
    return crowd, said, said.votes.vote_N == np.where(own_N > 0, A, B)


def answers(said, j):
    """Annotator j's: item -> vote."""
    own_N = said.votes.annotator_N == j
    return dict(zip(said.votes.item_N[own_N].tolist(), said.votes.vote_N[own_N].tolist(), strict=True))


def test_everybody_votes_once_an_item_and_items_are_dealt_evenly():
    _, said, _ = cast({Role.HONEST: 13}, items=20, votes_each=9)
    assert len({*zip(said.votes.annotator_N.tolist(), said.votes.item_N.tolist(), strict=True)}) == 13 * 9
    assert np.ptp(np.bincount(said.votes.item_N, minlength=20)) <= 1
    assert (np.diff(said.at_N) >= 0).all()


def test_an_honest_annotator_is_right_as_often_as_their_reliability_says():
    _, _, right_N = cast({Role.HONEST: 50}, reliability=(1, 1))
    assert right_N.all(), "(1 + 1) / 2"
    _, _, right_N = cast({Role.HONEST: 200}, reliability=(0.6, 0.6))
    assert right_N.mean() == pytest.approx((1 + 0.6) / 2, abs=0.016), "four standard errors of 10,000 votes"


def test_the_tired_look_at_half_as_many_items_after_ln_2_over_fatigue_votes():
    _, said, right_N = cast({Role.HONEST: 400}, reliability=(1, 1), fatigue=np.log(2) / 25)
    turn_N = np.floor(said.at_N)
    assert right_N[turn_N == 0].all()
    assert right_N[turn_N == 25].mean() == pytest.approx((1 + 0.5) / 2, abs=0.09)


def test_side_bias_pulls_to_the_left():
    _, said, _ = cast({Role.HONEST: 50}, reliability=(1, 1), side_bias=3.0)
    left_N = (said.votes.vote_N == A) == (said.votes.side_N == 1)
    assert np.ptp(np.bincount(said.votes.annotator_N, left_N) / 50) == 1, "some always say left, some always right"


def test_each_taste_judges_by_its_own_margins():
    crowd, _, right_N = cast({Role.HONEST: 100}, reliability=(1, 1), tastes=2)
    assert right_N.all()
    crowd = draw_crowd(np.random.default_rng(0), {Role.HONEST: 1000}, tastes=(3, 1))
    assert (crowd.taste_J == 1).mean() == pytest.approx(0.25, abs=0.06)


def test_bad_hands_do_what_their_roles_say():
    roles = {Role.HONEST: 10, Role.RANDOM: 10, Role.ALWAYS_LEFT: 3, Role.COPIER: 5, Role.COLLUDER: 6, Role.TOO_FAST: 4}
    crowd, said, right_N = cast(roles, groups=2)
    votes, speed_N = said.votes, said.characters_N / said.seconds_N
    left = votes.vote_N == np.where(votes.side_N == 1, A, B)
    assert left[crowd.are(Role.ALWAYS_LEFT)[votes.annotator_N]].all()
    assert right_N[crowd.are(Role.RANDOM)[votes.annotator_N]].mean() == pytest.approx(0.5, abs=0.1)
    fast_N = crowd.are(Role.TOO_FAST)[votes.annotator_N]
    assert np.median(speed_N[fast_N]) > 200
    assert np.median(speed_N[~fast_N]) < 50
    for copier in np.flatnonzero(crowd.are(Role.COPIER)):
        source = crowd.copies_J[copier]
        assert crowd.are(Role.HONEST)[source]
        assert answers(said, copier) == answers(said, source)
        assert said.at_N[votes.annotator_N == copier].min() > said.at_N[votes.annotator_N == source].min()
    for group in (0, 1):
        agreed = {}
        for member in np.flatnonzero(crowd.group_J == group):
            for item, vote in answers(said, member).items():
                assert agreed.setdefault(item, vote) == vote
    assert (crowd.copies_J[~crowd.are(Role.COPIER)] == NOBODY).all()


def test_noise_lets_a_coin_decide():
    _, said, _ = cast({Role.ALWAYS_LEFT: 200}, noise=0.2)
    left = said.votes.vote_N == np.where(said.votes.side_N == 1, A, B)
    assert left.mean() == pytest.approx(1 - 0.2 / 2, abs=0.012)


def test_seeds_decide_everything():
    one, again, other = (cast({Role.HONEST: 5, Role.COPIER: 2}, seed=seed)[1] for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one.votes, again.votes, strict=True))
    assert not np.array_equal(one.votes.vote_N, other.votes.vote_N)


def test_a_hundred_thousand_votes_take_less_than_a_second():
    start = time.process_time()
    _, said, _ = cast({Role.HONEST: 3500, Role.COLLUDER: 400, Role.COPIER: 100}, items=20_000, votes_each=25)
    assert len(said.votes.item_N) == 100_000
    assert time.process_time() - start < 1


def test_the_same_crowd_judges_texts():
    crowd = draw_crowd(np.random.default_rng(0), {Role.HONEST: 30, Role.ALWAYS_LEFT: 2}, reliability=(1, 1))
    votes = list(simulate_comparisons(crowd, PAIRS, votes_each=10, seed=3))
    assert votes == list(simulate_comparisons(crowd, PAIRS, votes_each=10, seed=3))
    assert len(votes) == len({vote.id for vote in votes}) == 320
    assert [vote.at for vote in votes] == sorted(vote.at for vote in votes)
    assert {vote.sides for vote in votes} == {Sides.SHUFFLED}
    left_voters = {name(j) for j in np.flatnonzero(crowd.are(Role.ALWAYS_LEFT))}
    assert all(vote.choice is Choice.LEFT for vote in votes if vote.annotator_id in left_voters)
    of_honest = [vote for vote in votes if vote.annotator_id not in left_voters]
    words = {text.id: n for text, n in zip(TEXTS, (6, 13, 30, 60, 130), strict=True)}
    assert all((vote.choice is Choice.LEFT) == (words[vote.left_id] < words[vote.right_id]) for vote in of_honest)


def test_all_of_it_is_called_simulated():
    crowd = draw_crowd(np.random.default_rng(0), {Role.HONEST: 2, Role.COPIER: 1, Role.COLLUDER: 1})
    assert {annotator.kind for annotator in crowd.annotators} == {AnnotatorKind.SIMULATED}
    assert all(annotator.id.startswith("simulated-") for annotator in crowd.annotators)
    (copier,) = (a for a in crowd.annotators if a.extra["role"] == "copier")
    assert copier.extra["copies"] in {a.id for a in crowd.annotators if a.extra["role"] == "honest"}


def test_what_cannot_be_says_what_to_do():
    with pytest.raises(ValueError, match="at least one honest"):
        draw_crowd(np.random.default_rng(0), {Role.COPIER: 1})
    with pytest.raises(ValueError, match="draw more items"):
        cast({Role.HONEST: 2}, items=3, votes_each=4)
    crowd = draw_crowd(np.random.default_rng(0), {Role.HONEST: 2})
    with pytest.raises(ValueError, match="concise, detailed"):
        list(simulate_comparisons(crowd, PAIRS, ["salty"], votes_each=2))
