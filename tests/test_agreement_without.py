"""α without each annotator: as computed anew from the votes of all others."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.quality.agreement import agreement, ordinal_alpha
from accord.quality.agreement_without import without_each

some_votes = st.dictionaries(st.tuples(st.sampled_from("ijklmn"), st.sampled_from("vwxyz")), st.sampled_from("1234"))
NEAR = {"abs": 1e-9, "rel": 1e-9}


def by_hand(*rows):
    return [(f"item{i}", f"ann{j}", said) for j, row in enumerate(rows) for i, said in enumerate(row) if said != "."]


def test_by_hand_who_opposes_two_that_agree():
    """Items aab and bba. D_o = (4/2 + 4/2)/6 = 2/3, D_e = (36 - 9 - 9)/30 = 3/5: α = -1/9.

    Without the third, aa and bb: α = 1. Without another, ab and ba: D_o = 1, D_e = (16 - 4 - 4)/12: α = -1/2.
    """
    first, second, third = without_each(by_hand("ab", "ab", "ba"))
    assert (third.annotator, third.votes, third.items) == ("ann2", 2, 2)
    assert (third.alpha, third.change) == pytest.approx((1, 10 / 9))
    assert (first.alpha, first.change) == pytest.approx((-1 / 2, -7 / 18))
    assert second[1:] == first[1:]


@given(some_votes)
@settings(max_examples=200, deadline=None)
def test_as_computed_anew(said):
    votes = [(item, annotator, value) for (item, annotator), value in said.items()]
    whole = agreement(votes)
    found = without_each(votes)
    assert [one.annotator for one in found] == list(dict.fromkeys(annotator for _, annotator, _ in votes))
    for one in found:
        rest = agreement(vote for vote in votes if vote[1] != one.annotator)
        assert one.items == rest.items
        assert one.alpha == (None if rest.alpha is None else pytest.approx(rest.alpha, **NEAR))
        if rest.alpha is None or whole.alpha is None:
            assert one.change is None
        else:
            assert one.change == pytest.approx(rest.alpha - whole.alpha, **NEAR)
    assert sum(one.votes for one in found) == whole.votes


@given(some_votes)
@settings(max_examples=200, deadline=None)
def test_ordinal_alpha_as_computed_anew(said):
    votes = [(item, annotator, value) for (item, annotator), value in said.items()]
    for one in without_each(votes, "1234"):
        rest = ordinal_alpha((vote for vote in votes if vote[1] != one.annotator), "1234")
        assert one.alpha == (None if rest.value is None else pytest.approx(rest.value, **NEAR))


def test_nobody_and_nonsense():
    assert without_each([]) == []
    with pytest.raises(ValueError, match="not among"):
        without_each([("item", "ann", "x")], "123")


def test_it_becomes_json():
    (first, *_) = without_each(by_hand("ab", "ab", "ba"))
    assert json.loads(json.dumps(first._asdict()))["annotator"] == "ann0"


@pytest.mark.parametrize("order", ["", "1234567"])
def test_four_thousand_people_and_a_hundred_thousand_votes_in_seconds(order):
    chance = random.Random(0)
    votes = [
        (f"item{i}", f"ann{chance.randrange(4000)}", chance.choice("1234567")) for i in range(20_000) for _ in "abcde"
    ]
    start = time.process_time()
    assert len(without_each(votes, order)) == 4000
    assert time.process_time() - start < 5  # 0.3 s on a quiet core, 0.7 s with order
