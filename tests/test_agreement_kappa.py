"""Cohen's κ of each two annotators: by hand, as published, and by the definition."""

import json
import random
import time
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.quality.kappa import Kappa, kappas

some_votes = st.dictionaries(st.tuples(st.sampled_from("ijklmn"), st.sampled_from("wxyz")), st.sampled_from("abc"))


def crossed(cells):
    """How often the annotators x and y said this and that -> votes."""
    pairs = [pair for pair, times in cells.items() for _ in range(times)]
    return [(f"item{n}", who, said) for n, pair in enumerate(pairs) for who, said in zip("xy", pair, strict=True)]


def slowly(votes, least):
    said = {}
    for item, annotator, value in votes:
        said.setdefault(annotator, {})[item] = value
    found = []
    for a, b in combinations(said, 2):
        shared = [(said[a][item], said[b][item]) for item in said[a] if item in said[b]]
        if len(shared) < least:
            continue
        p_o = sum(x == y for x, y in shared) / len(shared)
        mine, theirs = zip(*shared, strict=True)
        p_e = sum(mine.count(v) * theirs.count(v) for v in {*mine, *theirs}) / len(shared) ** 2
        found.append((a, b, len(shared), p_o, None if p_e == 1 else (p_o - p_e) / (1 - p_e)))
    return found


def test_by_hand():
    """Of 50, 20 yes by both, 15 no by both, 5 and 10 mixed: p_o = 0.7, p_e = 0.5·0.6 + 0.5·0.4 = 0.5."""
    (found,) = kappas(crossed({"yy": 20, "yn": 5, "ny": 10, "nn": 15}))
    assert found == Kappa("x", "y", 50, 0.7, pytest.approx(0.4))


def test_as_published():
    """irrCAC 1.0, cont3x3abstractors: κ = 0.7964094."""
    (found,) = kappas(crossed({"EE": 13, "AA": 20, "AN": 7, "NA": 4, "NN": 56}))
    assert found.kappa == pytest.approx(0.7964094, abs=5e-8)
    assert (found.shared, found.observed) == (100, 0.89)


@given(some_votes, st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_by_definition(said, least):
    votes = [(item, annotator, value) for (item, annotator), value in said.items()]
    expected = slowly(votes, least)
    found = kappas(votes, least)
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    for one, (*_, p_o, kappa) in zip(found, expected, strict=True):
        assert one.observed == pytest.approx(p_o)
        assert one.kappa == (None if kappa is None else pytest.approx(kappa))


def test_two_who_always_say_the_same_one_thing_have_none():
    (found,) = kappas(crossed({"yy": 12}))
    assert (found.observed, found.kappa) == (1.0, None)
    assert json.loads(json.dumps(found._asdict())) == {
        "first": "x",
        "second": "y",
        "shared": 12,
        "observed": 1.0,
        "kappa": None,
    }


def test_the_last_vote_on_an_item_counts():
    votes = [("item0", "x", "n"), *crossed({"yy": 5, "nn": 5})]
    assert kappas(votes) == [Kappa("x", "y", 10, 1.0, 1.0)]


def test_those_who_share_too_little_are_left_out():
    votes = crossed({"yy": 5, "nn": 4})
    assert kappas(votes) == []
    assert len(kappas(votes, 9)) == 1
    assert kappas([]) == []
    with pytest.raises(ValueError, match="least 0"):
        kappas(votes, 0)


def test_a_hundred_thousand_votes_by_four_thousand_people_in_seconds():
    chance = random.Random(0)
    votes = [
        (f"item{i}", f"ann{(i * 7 + k * k) % 4000}", chance.choice("abcd")) for i in range(20_000) for k in range(5)
    ]
    start = time.process_time()
    assert len(kappas(votes, 5)) > 1000
    assert time.process_time() - start < 10  # 0.6 s on a quiet core
