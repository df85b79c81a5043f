"""Which answers are put before people: balance, spread, and the same draw whenever it is made."""

import random
from collections import Counter
from itertools import combinations
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.feedback import Message, Response
from accord.quality import draw


def answers(*sources, prompt="p", **more):
    """One response a source, each with a text of its own."""
    return [Response(prompt, f"text {i}", source=source, id=f"{prompt}{i}", **more) for i, source in enumerate(sources)]


def groups(*args, **more):
    return [drawn.response_ids for drawn in draw(*args, **more)]


def spread(drawn, ids):
    """The largest difference, at any time, between how often two responses were used."""
    used, largest = Counter(dict.fromkeys(ids, 0)), 0
    for group in drawn:
        used.update(group)
        largest = max(largest, max(used.values()) - min(used.values()))
    return largest


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_group_once_and_answers_in_turns(size, n, seed):
    ids = [r.id for r in answers(*"ABCDEFGHIJKL"[:n])]
    drawn = groups(answers(*"ABCDEFGHIJKL"[:n]), size, 10_000, seed)
    assert len(drawn) == len(set(drawn)) == comb(n, size)
    assert all(list(group) == sorted(set(group)) and len(group) == size for group in drawn)
    assert spread(drawn[: 3 * n], ids) <= 2
    assert spread(drawn, ids) <= 3
    first_round = drawn[: n // size]
    assert len({id for group in first_round for id in group}) == size * len(first_round), "none twice before all once"
    assert n < size or {id for group in drawn[: -(-n // size)] for id in group} == set(ids)


def test_four_answers_meet_in_three_rounds():
    """Of four, a round of pairs is a pair and the other pair: three rounds, and everybody has met."""
    drawn = groups(answers(*"ABCD"), 2, 6)
    for one, other in (drawn[0:2], drawn[2:4], drawn[4:6]):
        assert set(one).isdisjoint(other)
    assert set(drawn) == set(combinations(["p0", "p1", "p2", "p3"], 2))


def test_different_sources_are_preferred():
    drawn = groups(answers(*"AABB"), 2, 6)
    same = [set(group) in ({"p0", "p1"}, {"p2", "p3"}) for group in drawn]
    assert same == [False, False, False, False, True, True]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sources", ["AAAB", "AABBCC", "AAABBC", "AAAABBCC"])
def test_no_source_is_left_to_meet_itself_where_it_need_not(sources, seed):
    """In the first round of pairs one source meets itself only if it has more than half of the responses."""
    of = {r.id: r.source for r in answers(*sources)}
    first = groups(answers(*sources), 2, len(sources) // 2, seed)
    alike = sum(of[a] == of[b] for a, b in first)
    assert alike == max(0, max(Counter(sources).values()) - len(sources) // 2)


def test_rankings_spread_the_meetings():
    """Nine answers in groups of three: two rounds of three groups in which no two meet twice (as in a Latin square)."""
    met = Counter(two for group in groups(answers(*"ABCDEFGHI"), 3, 6) for two in combinations(group, 2))
    assert max(met.values()) == 1


def test_equal_texts_do_not_meet():
    texts = ["same", " same\n", "other", "third"]
    responses = [Response("p", text, source=str(i), id=str(i)) for i, text in enumerate(texts)]
    assert set(groups(responses, 2, 99)) == {("0", "2"), ("0", "3"), ("1", "2"), ("1", "3"), ("2", "3")}
    assert set(groups(responses, 3, 99)) == {("0", "2", "3"), ("1", "2", "3")}
    assert groups(responses, 4, 99) == []
    assert len(groups(responses, 1, 99)) == 4
    as_message = Response("p", (Message("assistant", "same"),), id="m")
    assert groups([responses[0], as_message], 2, 1) == []


def test_many_equal_texts_take_no_time():
    responses = [Response("p", "same" if i < 300 else str(i), id=f"{i:03}") for i in range(303)]
    assert len(groups(responses, 4, 1000)) == 300


def test_demonstrations_are_not_asked_about():
    responses = [*answers("A", "B"), Response("p", "do it so", demonstration=True, id="d")]
    assert groups(responses, 2, 9) == [("p0", "p1")]
    assert set(groups(responses, 1, 9)) == {("p0",), ("p1",)}


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_same_draw_in_any_order_and_beside_any_other_prompt(size):
    responses = [r for p in range(6) for r in answers(*"ABCABC", prompt=f"p{p}")]
    drawn = list(draw(responses, size, 4, seed=3))
    assert drawn == list(draw(random.Random(0).sample(responses, len(responses)), size, 4, seed=3))
    assert drawn == list(draw([*responses, *responses], size, 4, seed=3)), "a response twice is one response"
    alone = list(draw(responses[6:12], size, 4, seed=3))
    assert alone == [one for one in drawn if one.prompt_id == "p1"]
    assert drawn != list(draw(responses, size, 4, seed=4))


def test_all_prompts_are_asked_about_once_before_any_is_twice():
    responses = [r for p in range(50) for r in answers(*"ABCD", prompt=f"p{p}")]
    drawn = list(draw(responses, 2, 3))
    assert [one.rank for one in drawn] == sorted(one.rank for one in drawn)
    rounds = [[one.prompt_id for one in drawn[start : start + 50]] for start in (0, 50, 100)]
    assert all(set(one) == {f"p{p}" for p in range(50)} for one in rounds)
    assert rounds[0] != sorted(rounds[0]), "shuffled"
    assert rounds[0] != [one.prompt_id for one in draw(responses, 2, 3, seed=1)][:50], "by the seed"
    assert [int(one.rank) for one in drawn] == [n for n in range(3) for _ in range(50)]


def test_shorter_prompts_leave_the_others_their_rounds():
    responses = [*answers("A", "B", prompt="short"), *answers(*"ABCD", prompt="long")]
    assert sorted(int(one.rank) for one in draw(responses, 2, 99)) == [0, 0, 1, 2, 3, 4, 5]
    assert groups(answers("A", prompt="alone"), 2, 5) == []


@pytest.mark.parametrize(("size", "per_prompt"), [(0, 1), (1, 0), (-1, 3)])
def test_no_groups_of_nothing(size, per_prompt):
    with pytest.raises(ValueError, match="1 or more"):
        draw(answers("A", "B"), size, per_prompt)


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("XYZ")), max_size=8),
    size=st.integers(1, 4),
    per_prompt=st.integers(1, 80),
    seed=st.integers(0, 5),
)
def test_as_many_groups_as_there_are(texts, size, per_prompt, seed):
    responses = [Response("p", text, source=source, id=str(i)) for i, (text, source) in enumerate(texts)]
    possible = {
        ids for ids in combinations(map(str, range(len(texts))), size) if len({texts[int(id)][0] for id in ids}) == size
    }
    drawn = groups(responses, size, per_prompt, seed)
    assert len(drawn) == len(set(drawn)) == min(per_prompt, len(possible))
    assert set(drawn) <= possible
