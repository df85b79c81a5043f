"""The store keeps what it is given, once, in order, and refuses what makes no sense."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accord.feedback import (
    AccordError,
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Message,
    Prompt,
    Rating,
    Response,
    Sides,
)
from accord.store import Store
from accord.store import store as store_module

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANN, BOB = Annotator("ann"), Annotator("bob", AnnotatorKind.SIMULATED)
PROMPT, OTHER = Prompt("What is fair?"), Prompt((Message("system", "Be brief."), Message("user", "Why?")))
LEFT, RIGHT, ELSEWHERE = Response(PROMPT.id, "This."), Response(PROMPT.id, "That."), Response(OTHER.id, "Because.")
WORLD = [ANN, BOB, PROMPT, OTHER, LEFT, RIGHT, ELSEWHERE]
VOTE = Comparison("v1", "ann", PROMPT.id, LEFT.id, RIGHT.id, Choice.LEFT, NOON)
THUMB = Rating("t1", "ann", PROMPT.id, LEFT.id, True, NOON)


@pytest.fixture
def store(database_url):
    with Store.open(database_url) as opened:
        yield opened


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
contents = words | st.lists(st.builds(Message, words, words), min_size=1, max_size=3).map(tuple)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
extras = st.dictionaries(
    words,
    st.recursive(
        st.none() | st.booleans() | numbers | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
times = st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
fresh = itertools.count()


@st.composite
def worlds(draw):
    """Every kind of noun, with ids that no earlier world has."""
    tag = f"{next(fresh)}:"
    ids = words.map(lambda word: tag + word)
    annotator = draw(st.builds(Annotator, ids, st.sampled_from(AnnotatorKind), extras))
    prompt = draw(st.builds(Prompt, contents, words, extras, ids))
    answers = st.builds(Response, st.just(prompt.id), contents, words, st.booleans(), extras, ids)
    responses = draw(st.lists(answers, min_size=1, max_size=3, unique_by=lambda response: response.id))
    shown = st.sampled_from([response.id for response in responses])
    said = {
        "id": ids,
        "annotator_id": st.just(annotator.id),
        "prompt_id": st.just(prompt.id),
        "at": times,
        "comment": words,
        "seconds": st.none() | st.floats(0, allow_infinity=False),
        "guideline": words,
        "extra": extras,
    }
    comparison = st.builds(
        Comparison,
        **said,
        left_id=shown,
        right_id=shown,
        choice=st.sampled_from(Choice),
        sides=st.sampled_from(Sides),
        strength=st.sampled_from([None, 1, 2, 3]),
    )
    rating = st.builds(Rating, **said, response_id=shown, desirable=st.booleans())
    comparisons = draw(st.lists(comparison, max_size=3, unique_by=lambda vote: vote.id))
    ratings = draw(st.lists(rating, max_size=3, unique_by=lambda vote: vote.id))
    return tag, [annotator], [prompt], responses, comparisons, ratings


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds())
def test_what_comes_out_is_what_went_in(store, world):
    tag, *given_nouns = world
    added = store.add(itertools.chain.from_iterable(given_nouns))
    kept = [store.annotators(), store.prompts(), store.responses(), store.comparisons(), store.ratings()]
    names = ["annotators", "prompts", "responses", "comparisons", "ratings"]
    for name, before, after in zip(names, given_nouns, kept, strict=True):
        mine = [noun for noun in after if noun.id.startswith(tag)]
        assert sorted(mine, key=lambda noun: noun.id) == sorted(before, key=lambda noun: noun.id)
        assert added[name] == len(before)


def test_times_come_back_in_utc(store):
    summer = timezone(timedelta(hours=2))
    store.add([*WORLD, replace(VOTE, at=datetime(2026, 7, 1, 1, 30, tzinfo=summer))])
    (vote,) = store.comparisons()
    assert vote.at.isoformat() == "2026-06-30T23:30:00+00:00"


def test_one_thing_by_its_id(store):
    store.add(WORLD)
    assert store.prompt(OTHER.id) == OTHER
    assert store.response(RIGHT.id) == RIGHT
    with pytest.raises(KeyError, match="nothing"):
        store.prompt("nothing")


def test_prompts_of_a_split_and_responses_to_some_prompts(store):
    prompts = [Prompt(f"prompt {n}", split="test" if n % 3 == 0 else "train") for n in range(9)]
    answers = [Response(prompt.id, f"answer {k}") for prompt in prompts for k in range(2)]
    store.add([*prompts, *answers])
    assert list(store.prompts("test")) == sorted(prompts[::3], key=lambda prompt: prompt.id)
    wanted = [prompts[4].id, prompts[1].id, prompts[4].id]
    expected = [answer for answer in answers if answer.prompt_id in wanted]
    assert list(store.responses(wanted)) == sorted(expected, key=lambda answer: (answer.prompt_id, answer.id))
    assert list(store.responses([])) == []
    assert len(list(store.responses())) == 18


def test_votes_come_in_the_order_of_time_then_id(store):
    late, early, same = replace(VOTE, id="a", at=NOON + timedelta(1)), replace(VOTE, id="z"), replace(VOTE, id="B")
    store.add([*WORLD, late, early, same])
    assert [vote.id for vote in store.comparisons()] == ["B", "z", "a"]


@pytest.mark.parametrize("vote", [VOTE, THUMB], ids=["comparison", "rating"])
def test_a_correction_supersedes_and_the_first_vote_stays_on_record(store, vote):
    votes = store.comparisons if isinstance(vote, Comparison) else store.ratings
    second = replace(vote, id="second", supersedes=vote.id, comment="on reflection")
    third = replace(vote, id="third", supersedes="second", at=NOON + timedelta(1))
    store.add([*WORLD, vote, replace(vote, id="unrelated")])
    store.add([second])
    assert [v.id for v in votes()] == ["second", "unrelated"]
    store.add([third])
    assert [v.id for v in votes()] == ["unrelated", "third"]
    assert list(votes(history=True)) == sorted(
        [vote, second, replace(vote, id="unrelated"), third], key=lambda v: (v.at, v.id)
    )
    assert store.counts()["comparisons"] + store.counts()["ratings"] == 2


def test_the_same_vote_twice_is_one_vote(store):
    correction = replace(VOTE, id="v2", supersedes="v1")
    assert store.add([*WORLD, VOTE, VOTE, correction, THUMB, LEFT]) == {
        "annotators": 2,
        "prompts": 2,
        "responses": 3,
        "comparisons": 2,
        "ratings": 1,
    }
    assert not store.add([*WORLD, VOTE, correction, THUMB, replace(VOTE, comment="changed behind our back")])
    assert [vote.comment for vote in store.comparisons(history=True)] == ["", ""]


REFUSED = {
    "unknown annotator": (replace(VOTE, annotator_id="eve"), "annotator eve is not in the store"),
    "unknown prompt": (replace(VOTE, prompt_id="p"), "prompt p is not in the store"),
    "unknown response": (replace(VOTE, right_id="r"), "right_id: response r is not in the store"),
    "another prompt's response": (replace(VOTE, left_id=ELSEWHERE.id), f"answers prompt {OTHER.id}, not {PROMPT.id}"),
    "rating of nothing": (replace(THUMB, id="v1", response_id="r"), "response r is not in the store"),
    "choice": (replace(VOTE, choice="middle"), "'middle' is none of left, right, tie, both_bad"),
    "sides": (replace(VOTE, sides="up"), "'up' is none of shuffled, fixed, unknown"),
    "strength": (replace(VOTE, strength=4), "4 is none of 1, 2, 3, None"),
    "strength of nought": (replace(VOTE, strength=0), "0 is none of 1, 2, 3, None"),
    "huge strength": (replace(VOTE, strength=2**80), "is none of 1, 2, 3, None"),
    "no time zone": (replace(VOTE, at=datetime(2026, 5, 1)), "at: 2026-05-01T00:00:00 has no time zone"),
    "surrogate": (replace(VOTE, comment="\ud83d"), "comment: half of a surrogate pair"),
    "surrogate in extra": (replace(VOTE, extra={"note": "\ud83d"}), "extra: half of a surrogate pair"),
    "not a number": (replace(VOTE, extra={"score": float("nan")}), "extra: cannot be written as JSON"),
    "not JSON": (replace(VOTE, extra={"when": NOON}), "extra: cannot be written as JSON"),
    "no comment": (replace(VOTE, comment=None), "comment"),
    "supersedes nothing": (replace(VOTE, supersedes="v0"), "supersedes v0, which is not in the store"),
    "supersedes itself": (replace(VOTE, supersedes="v1"), "supersedes itself"),
    "somebody else's vote": (
        replace(VOTE, annotator_id="bob", supersedes="old"),
        "bob cannot supersede old, a vote of",
    ),
    "a vote on another prompt": (
        replace(VOTE, prompt_id=OTHER.id, left_id=ELSEWHERE.id, right_id=ELSEWHERE.id, supersedes="old"),
        "another prompt than old",
    ),
    "superseded already": (replace(VOTE, supersedes="older"), "old has superseded already (supersede old)"),
}


@pytest.mark.parametrize(("vote", "why"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused_in_one_line_and_nothing_is_kept(store, vote, why):
    store.add([*WORLD, replace(VOTE, id="older"), replace(VOTE, id="old", supersedes="older")])
    before = store.counts()
    good = [replace(VOTE, id=f"good {n}") for n in range(3)]
    with pytest.raises(AccordError) as refusal:
        store.add([Prompt("new"), *good[:2], vote, good[2]])
    said = str(refusal.value)
    assert said.startswith(("comparison v1: ", "rating v1: "))
    assert why in said
    assert "\n" not in said
    assert store.counts() == before


@pytest.mark.parametrize(
    ("noun", "why"),
    [
        (Response("p", "answer", id="r"), "response r: prompt p is not in the store (add the prompt first)"),
        (Annotator("eve", "alien"), "annotator eve: kind: 'alien' is none of human, simulated, dataset"),
        (Annotator(""), "annotator : id: empty"),
        (Prompt("\udc00", id="p"), "prompt p: content: half of a surrogate pair"),
    ],
)
def test_other_nouns_are_refused_too(store, noun, why):
    with pytest.raises(AccordError) as refusal:
        store.add([noun])
    assert str(refusal.value).startswith(why)


def test_votes_within_one_batch_may_correct_each_other_but_not_each_others(store):
    with pytest.raises(AccordError, match="only its own annotator"):
        store.add([*WORLD, VOTE, replace(VOTE, id="v2", annotator_id="bob", supersedes="v1")])
    store.add([*WORLD, VOTE, replace(VOTE, id="v2", supersedes="v1"), replace(VOTE, id="v3", supersedes="v2")])
    assert [vote.id for vote in store.comparisons()] == ["v3"]


def test_a_failing_source_leaves_nothing_behind(store, monkeypatch):
    monkeypatch.setattr(store_module, "BATCH", 10)
    taken = []

    def source():
        yield from WORLD
        for n in range(95):
            yield replace(VOTE, id=f"v{n}")
        raise OSError("the disk was pulled out")

    with pytest.raises(OSError, match="pulled out"):
        store.add(source(), progress=taken.append)
    assert taken == list(range(10, 101, 10))
    assert set(store.counts().values()) == {0}


def test_a_refusal_in_a_late_batch_undoes_the_early_ones(store, monkeypatch):
    monkeypatch.setattr(store_module, "BATCH", 10)
    votes = [replace(VOTE, id=f"v{n:03}") for n in range(100)]
    votes[77] = replace(votes[77], left_id="gone")
    with pytest.raises(AccordError, match="comparison v077: left_id: response gone"):
        store.add([*WORLD, *votes])
    assert set(store.counts().values()) == {0}


def test_many_batches_and_their_progress(store, monkeypatch):
    monkeypatch.setattr(store_module, "BATCH", 10)
    taken = []
    votes = [replace(VOTE, id=f"v{n:03}", at=NOON + timedelta(seconds=-n)) for n in range(100)]
    assert store.add(itertools.chain(WORLD, votes, votes), progress=taken.append)["comparisons"] == 100
    assert taken == [*range(10, 207, 10), 207]
    assert list(store.comparisons()) == votes[::-1]


def test_nothing_is_lost_of_a_nul_character(sqlite_store_url):
    with Store.open(sqlite_store_url) as store:
        store.add([Prompt("a\0b"), *WORLD, replace(VOTE, comment="c\0d")])
        assert [vote.comment for vote in store.comparisons()] == ["c\0d"]
        assert store.prompt(Prompt("a\0b").id).content == "a\0b"


def test_postgresql_refuses_a_nul_character_in_one_line(postgres_store_url):
    with Store.open(postgres_store_url) as store:
        with pytest.raises(AccordError, match=r"^comparison v1: .*NUL.*$"):
            store.add([*WORLD, replace(VOTE, comment="c\0d")])
        assert set(store.counts().values()) == {0}


def test_a_store_can_be_copied_from_itself_while_it_is_read(store):
    store.add([*WORLD, *(replace(VOTE, id=f"v{n}") for n in range(20))])
    store.add(replace(vote, id=f"copy of {vote.id}") for vote in store.comparisons())
    assert store.counts()["comparisons"] == 40
