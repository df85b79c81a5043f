"""Agreement broken down: each part by hand and by the definition, and all parts together the whole."""

import json
import random
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.feedback import Choice, Comparison, Rating
from accord.quality.agreement import agreement, opinions_of_pairs
from accord.quality.agreement_by import (
    Part,
    agreement_by_annotator,
    agreement_by_prompt,
    agreement_by_tag,
    agreement_by_time,
)
from accord.quality.wilson import wilson

AT = datetime(2026, 1, 1, tzinfo=UTC)

some_votes = st.dictionaries(st.tuples(st.sampled_from("ijklmn"), st.sampled_from("vwxyz")), st.sampled_from("abc"))


def vote(id, choice, annotator="ann", left="a", right="b", **more):
    hours = more.pop("hours", 0)
    return Comparison(
        str(id), annotator, more.pop("prompt", "p"), left, right, Choice(choice), AT + timedelta(hours=hours), **more
    )


def random_comparisons(seed, prompts=20, people=6):
    chance = random.Random(seed)
    return [
        vote(
            f"{p} {pair} {who}",
            chance.choice(("left", "left", "left", "right", "tie")),
            f"ann{who}",
            pair[0],
            pair[1],
            prompt=f"p{p}",
            hours=chance.randrange(100),
            extra={"tags": chance.sample(("clear", "rude", "long"), chance.randrange(3))},
        )
        for p in range(prompts)
        for pair in ("ab", "bc")
        for who in range(people)
        if chance.random() < 0.6
    ]


def slowly(opinions, mine):
    """Votes, items, share of pairs that agree, and the mean share of others who said something else, of `mine`."""
    votes, items, same, pairs, differing = 0, set(), 0, 0, 0.0
    for n in mine:
        others = [
            other.value
            for other in opinions
            if other.item == opinions[n].item and other.annotator != opinions[n].annotator
        ]
        if others:
            agreeing = others.count(opinions[n].value)
            votes, same, pairs = votes + 1, same + agreeing, pairs + len(others)
            items.add(opinions[n].item)
            differing += 1 - agreeing / len(others)
    return votes, len(items), same / pairs, differing / votes


def by_chance(opinions):
    """D_e, from all ordered pairs of votes on items with two or more."""
    items = [said.item for said in opinions]
    values = [said.value for said in opinions if items.count(said.item) > 1]
    n = len(values)
    return sum(values.count(a) * values.count(b) for a in set(values) for b in set(values) if a != b) / (n * (n - 1))


def test_annotators_by_hand():
    """Items aab, bba and ab.: n = 8 with n_a = n_b = 4: D_e = (64 - 32)/56 = 4/7.

    The first has d = 1/2, 1/2, 1; the third 1 and 1, and agrees in 0 of 4 pairs.
    """
    votes = [("1", "x", "a"), ("1", "y", "a"), ("1", "z", "b"), ("2", "x", "b"), ("2", "y", "b"), ("2", "z", "a")]
    x, y, z = agreement_by_annotator([*votes, ("3", "x", "a"), ("3", "y", "b")])
    assert (x.name, x.votes, x.items) == ("x", 3, 3)
    assert x.observed == pytest.approx(2 / 5)
    assert x.alpha == pytest.approx(1 - (2 / 3) / (4 / 7))
    assert asdict(y) == asdict(x) | {"name": "y"}
    assert (z.votes, z.observed) == (2, 0.0)
    assert z.alpha == pytest.approx(1 - 1 / (4 / 7))
    low, high = wilson(1, 3)  # 1/3 of what the others said, in 3 items
    assert (x.low, x.high) == pytest.approx((1 - (1 - low) / (4 / 7), 1 - (1 - high) / (4 / 7)))


@given(some_votes)
@settings(max_examples=200, deadline=None)
def test_alpha_is_the_mean_of_its_annotators(said):
    votes = [(item, annotator, value) for (item, annotator), value in said.items()]
    whole = agreement(votes)
    parts = agreement_by_annotator(votes)
    assert sum(part.votes for part in parts) == whole.votes
    assert {part.alpha is None for part in parts if part.votes} <= {whole.alpha is None}
    if whole.alpha is not None:
        mean = sum(part.alpha * part.votes for part in parts if part.votes) / whole.votes
        assert mean == pytest.approx(whole.alpha)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (agreement_by_prompt, lambda vote, _: {vote.prompt_id}),
        (agreement_by_tag, lambda vote, _: set(vote.extra["tags"])),
        (agreement_by_time, lambda vote, parts: {part.name for part in parts if within(vote.at, part.name)}),
        (
            lambda votes: agreement_by_annotator(opinions_of_pairs(votes)),
            lambda vote, _: {vote.annotator_id},
        ),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_by_definition(by, names, seed):
    votes = random_comparisons(seed)
    opinions = list(opinions_of_pairs(votes))
    parts = by(votes)
    chance = by_chance(opinions)
    assert len(parts) > 2
    for part in parts:
        mine = [n for n, one in enumerate(votes) if part.name in names(one, parts)]
        count, items, observed, differing = slowly(opinions, mine)
        assert (part.votes, part.items) == (count, items)
        assert (part.observed, part.alpha) == pytest.approx((observed, 1 - differing / chance))
        low, high = wilson((1 - differing) * items, items)
        if items < 2:
            assert (part.low, part.high) == (None, None)
        else:
            assert (part.low, part.high) == pytest.approx((1 - (1 - low) / chance, 1 - (1 - high) / chance))
        assert json.loads(json.dumps(asdict(part)))["name"] == part.name


def within(at, name):
    first, last = map(datetime.fromisoformat, name.split("/"))
    return first <= at <= last


@pytest.mark.parametrize("by", [agreement_by_prompt, agreement_by_time])
def test_prompts_and_times_make_up_the_whole(by):
    votes = random_comparisons(5)
    whole = agreement(opinions_of_pairs(votes))
    parts = by(votes)
    assert sum(part.votes for part in parts) == whole.votes
    assert sum(part.alpha * part.votes for part in parts) / whole.votes == pytest.approx(whole.alpha)


def test_a_prompt_with_one_pair_has_an_alpha_and_no_interval():
    """On p all agree, on q two differ: D_e of three for one and one for the other (or the like) is the whole's."""
    votes = [
        vote(1, "left", "x"),
        vote(2, "left", "y"),
        vote(3, "left", "x", prompt="q"),
        vote(4, "right", "y", prompt="q"),
        vote(5, "left", "x", prompt="alone"),
    ]
    p, q, alone = agreement_by_prompt(votes)
    assert (p.name, p.items, p.observed, p.alpha, p.low) == ("p", 1, 1.0, 1.0, None)
    assert q.alpha == pytest.approx(1 - 1 / by_chance(list(opinions_of_pairs(votes))))
    assert alone == Part("alone", 0, 0, None, None, None, None)


def test_slices_of_time_have_as_many_votes_each_and_keep_a_moment_together():
    votes = [vote(n, "left", f"ann{n % 2}", prompt=f"p{n // 2}", hours=n) for n in range(8)]
    parts = agreement_by_time(reversed(votes), 4)
    assert [part.votes for part in parts] == [2, 2, 2, 2]
    assert parts[0].name == "2026-01-01T00:00:00+00:00/2026-01-01T01:00:00+00:00"
    at_once = [vote(n, "left", f"ann{n % 2}", prompt=f"p{n // 2}", hours=n // 6) for n in range(8)]
    assert [part.votes for part in agreement_by_time(at_once, 4)] == [6, 2]
    assert [part.votes for part in agreement_by_time(votes, 1)] == [8]
    assert agreement_by_time([]) == []
    with pytest.raises(ValueError, match="slices 0"):
        agreement_by_time(votes, 0)


def test_whoever_votes_again_is_heard_when_they_did():
    """x answers the first question once more at the end, without taking back what they said."""
    votes = [vote(n, "left", "xy"[n % 2], prompt=f"p{n // 2}", hours=n) for n in range(4)]
    early, late = agreement_by_time([vote(9, "right", "x", prompt="p0", hours=9), *votes], 2)
    assert early.name == "2026-01-01T01:00:00+00:00/2026-01-01T02:00:00+00:00"
    assert late.name.endswith("2026-01-01T09:00:00+00:00")
    assert (early.observed, late.observed) == (1 / 2, 1 / 2)


def test_people_who_grow_together_are_seen_in_time():
    """At first each says what they like, later all say the same."""
    chance = random.Random(0)
    votes = [
        vote(
            f"{n} {who}", chance.choice(("left", "right")) if n < 50 else ("left", "right")[n % 2], who, prompt=f"p{n}"
        )
        for n in range(100)
        for who in "xyz"
    ]
    votes = [vote_at(one, int(one.prompt_id[1:])) for one in votes]
    early, late = agreement_by_time(votes, 2)
    assert early.alpha < 0.2
    assert early.high < late.low
    assert late.alpha == 1.0


def vote_at(one, hours):
    return vote(one.id, one.choice, one.annotator_id, prompt=one.prompt_id, hours=hours)


def test_tags_that_are_no_tags_are_passed_over():
    votes = [
        vote(1, "left", "x", extra={"tags": ["rude", "rude", 3, None]}),
        vote(2, "left", "y", extra={"tags": "rude"}),
        vote(3, "left", "z"),
    ]
    (rude,) = agreement_by_tag(votes)
    assert (rude.name, rude.votes, rude.observed) == ("rude", 1, 1.0)


def test_only_votes_that_stand_count():
    """A correction in another slice, or with another tag, takes the first vote back there too."""
    votes = [
        vote(1, "left", "x", extra={"tags": ["rude"]}),
        vote(2, "left", "y"),
        vote(3, "right", "x", supersedes="1", hours=5, extra={"tags": ["long"]}),
        vote(4, "left", "x", left="a", right="a"),
    ]
    assert [part.name for part in agreement_by_tag(votes)] == ["long"]
    assert [(part.votes, part.observed) for part in agreement_by_time(votes, 2)] == [(1, 0.0), (1, 0.0)]


def test_thumbs():
    thumbs = [
        Rating("1", "x", "p", "a", True, AT),
        Rating("2", "y", "p", "a", False, AT),
        Rating("3", "x", "q", "b", True, AT),
        Rating("4", "y", "q", "b", True, AT),
    ]
    p, q = agreement_by_prompt(thumbs)
    # three up, one down: D_e = 2·3·1 / (4·3) = 1/2
    assert (p.alpha, q.alpha) == pytest.approx((-1, 1))


def test_nobody():
    assert agreement_by_annotator([]) == agreement_by_prompt([]) == agreement_by_tag([]) == []
    (one,) = agreement_by_annotator([("item", "x", "a")])
    assert one == Part("x", 0, 0, None, None, None, None)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Who is right with probability r_j, else says one of 4 by chance, agrees beyond chance with r_j · mean of r_k."""
    covered = 0
    for seed in range(200):
        chance = random.Random(seed)
        truth = [chance.choice("abcd") for _ in range(60)]
        right = (0.3, 0.6, 0.9)
        votes = [
            (str(i), str(j), true if chance.random() < r else chance.choice("abcd"))
            for i, true in enumerate(truth)
            for j, r in enumerate(right)
        ]
        first = agreement_by_annotator(votes)[0]
        covered += first.low <= 0.3 * (0.6 + 0.9) / 2 <= first.high
    assert covered >= 186
