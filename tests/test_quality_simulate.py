"""Simulated annotators: what they like, how they err, and that they say the same whenever the same is shown."""

from datetime import UTC, datetime

import pytest

from accord.feedback import AnnotatorKind, Choice, Message, Prompt, Response, Sides
from accord.quality import TASTES, SimulatedAnnotator, pair_labels, panel

AT = datetime(2026, 1, 1, tzinfo=UTC)
PROMPT = Prompt((Message("user", "Why is the sky blue?"),))
SHORT = Response(PROMPT.id, "Air scatters blue light more than red, so blue reaches us from everywhere in the sky.")
LIST = Response(
    PROMPT.id, "Sure! Here is why:\n\n" + "\n".join(f"{i}. Light is scattered by the air." for i in range(12))
)
EMPTY = Response(PROMPT.id, "  ")
TEXTS = [Response(PROMPT.id, "word " * n) for n in (6, 9, 13, 20, 30, 45, 60, 90, 130, 200)]
PAIRS = [(a, b) for a in TEXTS for b in TEXTS if a is not b]


def share_left(annotator, pairs):
    return sum(annotator.compare(PROMPT, a, b, at=AT).choice is Choice.LEFT for a, b in pairs) / len(pairs)


@pytest.mark.parametrize(
    ("taste", "better", "worse"),
    [
        ("concise", SHORT, LIST),
        ("detailed", LIST, SHORT),
        ("structured", LIST, SHORT),
        ("direct", SHORT, LIST),
        (
            "plain",
            SHORT,
            Response(PROMPT.id, "Electromagnetic radiation undergoes wavelength-dependent scattering, " * 3),
        ),
    ],
)
def test_tastes_like_what_they_say(taste, better, worse):
    annotator = SimulatedAnnotator("sim", taste)
    assert annotator.utility(PROMPT, better) > annotator.utility(PROMPT, worse)


@pytest.mark.parametrize("taste", TASTES)
def test_no_taste_likes_silence(taste):
    annotator = SimulatedAnnotator("sim", taste)
    assert annotator.utility(PROMPT, EMPTY) < min(annotator.utility(PROMPT, r) for r in (SHORT, LIST))
    assert not annotator.rate(PROMPT, EMPTY).desirable


def test_concise_by_hand():
    concise = TASTES["concise"]
    assert concise("", "word " * 50) == 0
    assert concise("", "word " * 25) == 1
    assert concise("", "- word\n" * 25) == pytest.approx(-1), "50 words, and a list"
    assert concise("", "It is 5-6 o'clock - or 7.") == concise("", "word " * 7), "a dash is not a list"


def test_the_same_question_gets_the_same_answer_whatever_was_asked_before():
    one, other = SimulatedAnnotator("sim", temperature=3, seed=1), SimulatedAnnotator("sim", temperature=3, seed=1)
    forwards = [one.compare(PROMPT, a, b, shuffle=True, at=AT) for a, b in PAIRS]
    backwards = [other.compare(PROMPT, a, b, shuffle=True, at=AT) for a, b in reversed(PAIRS)]
    assert forwards == backwards[::-1]
    ratings = [one.rate(PROMPT, r, at=AT) for r in TEXTS]
    assert ratings == [other.rate(PROMPT, r, at=AT) for r in reversed(TEXTS)][::-1]
    assert forwards != [SimulatedAnnotator("sim", temperature=3, seed=2).compare(PROMPT, a, b, at=AT) for a, b in PAIRS]


def test_it_says_that_it_is_simulated_and_what_it_is_made_of():
    noun = SimulatedAnnotator("sim", "concise", 0.8, side_bias=0.2, seed=3).annotator
    assert noun.kind is AnnotatorKind.SIMULATED
    assert noun.extra["taste"] == "concise"
    assert (noun.extra["reliability"], noun.extra["side_bias"], noun.extra["seed"]) == (0.8, 0.2, 3)


def test_shuffled_sides_are_recorded_and_even():
    annotator = SimulatedAnnotator("sim")
    votes = [annotator.compare(PROMPT, a, b, shuffle=True, at=AT) for a, b in PAIRS]
    assert {v.sides for v in votes} == {Sides.SHUFFLED}
    swapped = sum(v.left_id != a.id for v, (a, _) in zip(votes, PAIRS, strict=True))
    assert 0.3 < swapped / len(PAIRS) < 0.7
    assert annotator.compare(PROMPT, SHORT, LIST, at=AT).left_id == SHORT.id


def test_reliability_temperature_and_side_bias_do_what_they_say():
    short_left = [(a, b) for a, b in PAIRS if len(a.content) < len(b.content)]
    short_right = [(b, a) for a, b in short_left]
    sure = {"temperature": 0.0, "tie_margin": 0.0}
    assert share_left(SimulatedAnnotator("sim", **sure), short_left) == 1
    assert share_left(SimulatedAnnotator("sim", **sure), short_right) == 0
    assert 0.2 < share_left(SimulatedAnnotator("sim", reliability=0.0, **sure), short_left) < 0.8
    assert share_left(SimulatedAnnotator("sim", side_bias=20, **sure), short_right) == 1
    noisy = share_left(SimulatedAnnotator("sim", temperature=4.0, tie_margin=0.0), short_left)
    assert 0.5 < noisy < 0.95


def test_ties_and_both_bad():
    annotator = SimulatedAnnotator("sim", temperature=0.0, tie_margin=0.5, both_bad_below=-2.0)
    near = Response(PROMPT.id, "word " * 100), Response(PROMPT.id, "word " * 110)
    far = Response(PROMPT.id, "word " * 300), Response(PROMPT.id, "word " * 900)
    assert annotator.compare(PROMPT, *near).choice is Choice.TIE
    assert annotator.compare(PROMPT, *far).choice is Choice.BOTH_BAD
    assert annotator.compare(PROMPT, near[0], far[0]).choice is Choice.LEFT


def test_thumbs_follow_the_taste():
    annotator = SimulatedAnnotator("sim", temperature=0.0)
    assert [annotator.rate(PROMPT, r).desirable for r in (TEXTS[0], TEXTS[-1])] == [True, False]


def test_an_unknown_taste_names_those_there_are():
    with pytest.raises(ValueError, match="concise, detailed"):
        SimulatedAnnotator("sim", "salty")


def test_a_panel_differs_in_reliability_and_agrees_on_the_taste():
    members = panel("concise", 5, seed=1)
    assert len({m.id for m in members}) == 5
    assert [m.reliability for m in members] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])
    assert panel("concise", 5, seed=1) == members != panel("concise", 5, seed=2)
    votes = [m.compare(PROMPT, a, b, shuffle=True, at=AT) for m in members for a, b in PAIRS]
    lengths = {r.id: len(r.content) for r in TEXTS}
    labels = pair_labels(votes)
    right = [lengths[x.chosen_id] < lengths[x.rejected_id] for x in labels]
    assert sum(right) / len(right) > 0.9
