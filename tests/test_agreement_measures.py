"""Ordinal α and AC1: worked by hand, as published, and by the definition, one pair of votes at a time."""

import json
import random
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.feedback import Choice, Comparison
from accord.quality.agreement import (
    STRENGTHS,
    Measured,
    ac1,
    agreement,
    opinions_of_pairs,
    opinions_of_strengths,
    ordinal_alpha,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
KRIPPENDORFF = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
#: irrCAC's cont3x3abstractors: what two abstractors said of 100 pregnancies -> how often
ABSTRACTORS = {("E", "E"): 13, ("A", "A"): 20, ("A", "N"): 7, ("N", "A"): 4, ("N", "N"): 56}

some_votes = st.dictionaries(st.tuples(st.sampled_from("ijklmn"), st.sampled_from("vwxyz")), st.sampled_from("1234"))


def listed(said):
    return [(item, annotator, value) for (item, annotator), value in said.items()]


def table(*rows):
    """One string an annotator, one character an item -> votes."""
    return [
        (f"item{i}", f"ann{j}", said) for j, row in enumerate(rows) for i, said in enumerate(row) if said not in ". "
    ]


def crossed(cells):
    """How often two annotators said this and that -> votes."""
    pairs = [pair for pair, times in cells.items() for _ in range(times)]
    return table("".join(a for a, _ in pairs), "".join(b for _, b in pairs))


def by_item(votes):
    items = {}
    for item, _, value in votes:
        items.setdefault(item, []).append(value)
    return list(items.values())


def slow_ordinal_alpha(votes, order):
    """Krippendorff's steps: coincidences o_ck, their marginals n_c, δ²_ck = (Σ_{g=c..k} n_g - (n_c + n_k)/2)²."""
    o = {(c, k): 0.0 for c in order for k in order}
    for values in by_item(votes):
        for c, k in permutations(values, 2):
            o[c, k] += 1 / (len(values) - 1)
    used = {c: sum(o[c, k] for k in order) for c in order}
    n = sum(used.values())

    def delta(c, k):
        first, last = sorted((order.index(c), order.index(k)))
        return (sum(used[g] for g in order[first : last + 1]) - (used[c] + used[k]) / 2) ** 2

    seen = sum(o[c, k] * delta(c, k) for c, k in permutations(order, 2))
    by_chance = sum(used[c] * used[k] * delta(c, k) for c, k in permutations(order, 2)) / (n - 1)
    return 1 - seen / by_chance


def slow_ac1(votes, values):
    items = by_item(votes)
    shares = [
        sum(a == b for a, b in permutations(said, 2)) / (len(said) * (len(said) - 1)) for said in items if len(said) > 1
    ]
    p_a = sum(shares) / len(shares)
    pi = [sum(said.count(value) / len(said) for said in items) / len(items) for value in values]
    p_e = sum(p * (1 - p) for p in pi) / (len(values) - 1)
    return (p_a - p_e) / (1 - p_e)


def random_votes(seed, items=60, values="12345", right=0.6):
    chance = random.Random(seed)
    truth = [chance.choice(values) for _ in range(items)]
    return [
        (f"item{i}", f"ann{j}", truth[i] if chance.random() < right else chance.choice(values))
        for i in range(items)
        for j in range(5)
        if chance.random() > 0.3
    ]


def test_krippendorffs_example():
    """Krippendorff 2011, section D: ordinal α = 0.815 where nominal α = 0.743."""
    votes = table(*KRIPPENDORFF)
    found = ordinal_alpha(votes, "12345")
    assert agreement(votes).alpha == pytest.approx(0.743, abs=5e-4)
    assert found.value == pytest.approx(0.815, abs=5e-4)
    assert (found.items, found.votes, found.annotators, found.undefined) == (11, 40, 4, "")
    assert found.low < found.value < found.high <= 1


def test_ordinal_alpha_by_hand():
    """Items 11, 12 and 33: of six votes three say 1, one 2, two 3; their mean ranks are 1.5, 3.5 and 5.

    δ_12 = 4, δ_23 = 2.25, δ_13 = 12.25: D_o = 2·4 / 6, D_e = 2 (3·1·4 + 1·2·2.25 + 3·2·12.25) / (6·5) = 6.
    """
    assert ordinal_alpha(table("113", "123"), "123").value == pytest.approx(1 - 8 / 6 / 6)


def test_only_ranks_count():
    votes = table(*KRIPPENDORFF)
    wider = [(item, annotator, {"5": "9"}.get(value, value)) for item, annotator, value in votes]
    assert ordinal_alpha(wider, "123456789") == ordinal_alpha(votes, "12345")
    backwards, forwards = ordinal_alpha(votes, "54321"), ordinal_alpha(votes, "12345")
    assert backwards.value == pytest.approx(forwards.value)


def test_of_two_answers_ordinal_alpha_is_nominal():
    votes = table("0100000000", "1110010100")
    found, nominal = ordinal_alpha(votes, "01"), agreement(votes)
    assert (found.value, found.low, found.high) == pytest.approx((nominal.alpha, nominal.low, nominal.high))


@given(some_votes)
@settings(max_examples=200, deadline=None)
def test_ordinal_alpha_by_definition(said):
    votes = listed(said)
    found = ordinal_alpha(votes, "1234")
    judged = [values for values in by_item(votes) if len(values) > 1]
    if len(judged) < 2 or len({value for values in judged for value in values}) < 2:
        assert found.value is None
        assert found.undefined
    else:
        assert found.value == pytest.approx(slow_ordinal_alpha(votes, "1234"))
        assert found.low <= found.high <= 1


@given(some_votes)
@settings(max_examples=200, deadline=None)
def test_ac1_by_definition(said):
    votes = listed(said)
    found = ac1(votes, "1234")
    if sum(len(values) > 1 for values in by_item(votes)) < 2:
        assert found.value is None
    else:
        assert found.value == pytest.approx(slow_ac1(votes, "1234"))
        assert found.low <= found.high <= 1


def test_ac1_as_published():
    """By Gwet's own R package, irrCAC 1.0: 0.77544 of Krippendorff's data, 0.8493305 of the abstractors'."""
    assert ac1(table(*KRIPPENDORFF)).value == pytest.approx(0.77544, abs=5e-6)
    assert ac1(crossed(ABSTRACTORS)).value == pytest.approx(0.8493305, abs=5e-8)
    assert agreement(crossed(ABSTRACTORS)).alpha == pytest.approx(0.7972585, abs=5e-8)


def test_where_one_answer_dominates_alpha_collapses_and_ac1_does_not():
    """Of ten items nine have yes twice, one yes and no: p_a = 0.9.

    α: D_o = 0.1 = D_e = 2·19·1 / (20·19). AC1: p_e = 2·0.95·0.05 = 0.095.
    """
    votes = table("yyyyyyyyyn", "yyyyyyyyyy")
    assert agreement(votes).alpha == pytest.approx(0)
    assert ac1(votes).value == pytest.approx((0.9 - 0.095) / (1 - 0.095))


def test_the_more_answers_there_could_be_the_less_is_chance():
    """Everybody always says yes: of two answers p_e = 0 and AC1 = 1; with one there is nothing to guess."""
    votes = table("yyyy", "yyyy")
    assert ac1(votes).value is None
    assert "same answer" in ac1(votes).undefined
    found = ac1(votes, ("yes", "y", "n"))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025**0.25)


def test_votes_that_stand_alone_say_how_often_an_answer_is_given():
    """Items aa, ab, and b alone: p_a = 1/2; π_a = (1 + 1/2 + 0)/3 = 1/2: p_e = 1/2, AC1 = 0. Without the last, -1/3."""
    found = ac1(table("aab", "ab."))
    assert found.value == pytest.approx(0)
    assert (found.items, found.votes) == (2, 4)
    assert ac1(table("aa", "ab")).value == pytest.approx((1 / 2 - 2 * 3 / 4 / 4) / (1 - 2 * 3 / 4 / 4))


def test_where_all_agree_nothing_is_certain():
    """Four items: at most 1 - 0.025^¼ of all differ, each by as much as votes can. D_e of four 1 and four 3 is 4/7."""
    others = 1 - 0.025**0.25
    found = ordinal_alpha(table("1133", "1133"), "123")
    assert (found.value, found.high) == (1.0, 1.0)
    # mean ranks 2 and 6 of 8: δ = 1/4, D_e = 2·4·4/4 / (8·7)
    assert found.low == pytest.approx(1 - others * (1 / 4) / (8 / 56))
    assert ac1(table("1133", "1133")).low == pytest.approx(1 - others / (1 / 2))


def test_where_all_items_are_alike_nothing_is_certain():
    """Twice 1, 2, 3: ranks 1/6, 1/2, 5/6: D_o = 2/9, D_e = 8/45, and what differs most does so by 4/9."""
    others = 1 - 0.025**0.5
    found = ordinal_alpha(table("11", "22", "33"), "123")
    assert found.value == pytest.approx(1 - 2 / 9 * 45 / 8)
    assert found.low == pytest.approx(1 - ((1 - others) * 2 / 9 + others * 4 / 9) * 45 / 8)
    assert found.high == pytest.approx(1 - (1 - others) * 2 / 9 * 45 / 8)


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (lambda votes: ordinal_alpha(votes, "12345"), lambda votes: slow_ordinal_alpha(votes, "12345")),
        (ac1, lambda votes: slow_ac1(votes, "12345")),
    ],
)
def test_the_interval_is_that_of_a_plain_bootstrap(fast, slow):
    votes = random_votes(4)
    found = fast(votes)
    items = {}
    for vote in votes:
        items.setdefault(vote[0], []).append(vote)
    chance = random.Random(0)
    drawn = [
        slow([(n, annotator, value) for n in items for _, annotator, value in chance.choice(list(items.values()))])
        for _ in range(300)
    ]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.03)
    assert found == fast(random.Random(1).sample(votes, len(votes)))


def test_an_answer_that_cannot_be_given_is_named():
    with pytest.raises(ValueError, match=r"\['both_bad'\] are not among \['second', 'tie', 'first'\]: add them"):
        ordinal_alpha([("item", "ann", "both_bad")], ("second", "tie", "first"))
    with pytest.raises(ValueError, match="not among"):
        ac1([("item", "ann", "c")], "ab")


@pytest.mark.parametrize("measure", [ordinal_alpha, ac1])
def test_without_votes_it_says_why(measure):
    assert measure([]) == Measured(None, None, None, 0, 0, 0, "no item has votes of two annotators")
    assert "only one item" in measure([("item", "a", "1"), ("item", "b", "2")]).undefined


def test_what_is_measured_becomes_json():
    found = ordinal_alpha(table(*KRIPPENDORFF), "12345")
    assert json.loads(json.dumps(asdict(found)))["value"] == found.value


def vote(id, choice, annotator="ann", left="a", right="b", **more):
    return Comparison(id, annotator, more.pop("prompt", "p"), left, right, Choice(choice), AT, **more)


def test_strengths_are_seen_from_the_first_response():
    """Whichever stood on the left: a much better than b is the opposite of b much better than a."""
    votes = [
        vote("1", "left", strength=3),
        vote("2", "right", left="b", right="a", strength=3),
        vote("3", "right", strength=3),
        vote("4", "left", strength=1),
        vote("5", "tie"),
        vote("6", "both_bad"),
    ]
    first, swapped, against, weak, tie, bad = (int(said.value) for said in opinions_of_strengths(votes))
    assert first == swapped == -against
    assert abs(first) == 3
    assert weak == first / 3
    assert tie == bad == 0
    sides = [said.value for said in opinions_of_pairs(votes)]
    assert (first > 0) == (sides[0] == "first")
    assert [said.item for said in opinions_of_strengths(votes)] == [said.item for said in opinions_of_pairs(votes)]


def test_without_any_strength_the_scale_has_three_points():
    votes = [vote("1", "left"), vote("2", "right", "other"), vote("3", "tie", "third")]
    assert {said.value for said in opinions_of_strengths(votes)} == {"-1", "0", "1"}


def test_where_strengths_were_asked_a_preference_without_is_left_out():
    votes = [vote("1", "left", strength=2), vote("2", "left", "other"), vote("3", "tie", "third")]
    assert [said.annotator for said in opinions_of_strengths(votes)] == ["ann", "third"]


def test_near_misses_count_for_less():
    """Each pair is judged by two who differ by one step: hardly ever the same, and yet they agree."""
    chance = random.Random(0)
    votes = []
    for n in range(200):
        strength, choice = chance.choice((1, 2)), chance.choice(("left", "right"))
        for who in (0, 1):
            votes.append(vote(f"{n} {who}", choice, f"ann{who}", prompt=f"p{n}", strength=strength + who))
    said = list(opinions_of_strengths(votes))
    assert {opinion.value for opinion in said} <= set(STRENGTHS)
    assert agreement(said).alpha < 0
    assert ordinal_alpha(said).value > 0.7
