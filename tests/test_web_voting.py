"""The API of voting: what is given, what is kept, what is refused."""

import json
from dataclasses import replace
from itertools import count
from threading import Thread

import pytest

from accord.feedback import Campaign, Choice, Form, Message, Prompt, Question, Response, Sides
from accord.feedback.campaigns import Control
from accord.store import Store
from accord.web.app import create_app
from web_kit import campaign, client, make_site, user, world

PAIR, STRONG = {"choice": "left"}, {"choice": "right", "strength": 3}


@pytest.fixture
def site(database_url):
    with Store.open(database_url) as store:
        store.add(world(prompts=6, answers=4))
        yield make_site(store, team=True)


@pytest.fixture
def login(site):
    """Gives a browser in which somebody new is logged in."""
    app = create_app(site)
    return lambda name: client(site, user(site, name), app=app)


@pytest.fixture
def ann(login):
    return login("ann")


NUMBERS = count()


def new_id() -> str:
    return f"vote-{next(NUMBERS):08}"


def given(who, of: Campaign, want: int = 1, held: tuple[str, ...] = ()) -> list[dict]:
    """The questions that somebody is given next."""
    answer = who.post(f"/api/campaigns/{of.id}/next", json={"want": want, "held": held})
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(who, question: dict | str, answer: dict, **more):
    """An answer to a question, as the page sends it."""
    asked = question if isinstance(question, str) else question["question"]
    return who.post("/api/votes", json={"id": new_id(), "question": asked, "answer": answer} | more)


def control(site, of: Campaign, right: int = 0, reason: str = "") -> Question:
    """A control question on the first prompt, in which the answer of that number is right."""
    prompt = next(site.store.prompts())
    answers = [response.id for response in site.store.responses([prompt.id])][:2]
    made = Question("control", of.id, prompt.id, tuple(answers), -1.0, 1, Control(answers[right], reason))
    site.campaigns.add_questions([made])
    return made


def text(turns: list[dict]) -> str:
    return turns[0]["text"]


def test_a_pair_is_kept_as_a_comparison_of_what_stood_on_the_screen(site, ann):
    asked = campaign(site, tags=("Wrong", "Rude"))
    (question,) = given(ann, asked)
    saved = say(ann, question, PAIR, seconds=2.5, comment="so so", tags=["Rude"], guideline=1)
    assert saved.status_code == 200
    (kept,) = site.store.comparisons()
    assert kept.id == saved.json()["id"]
    assert (kept.annotator_id, kept.choice, kept.strength, kept.sides) == ("ann", Choice.LEFT, None, Sides.SHUFFLED)
    assert (kept.seconds, kept.comment, kept.guideline) == (2.5, "so so", f"{asked.id}/1")
    assert kept.extra == {"campaign": asked.id, "question": question["question"], "tags": ["Rude"]}
    shown = [site.store.response(id).content[0].content for id in (kept.left_id, kept.right_id)]
    assert shown == [text(turns) for turns in question["responses"]]


def test_strength_is_kept_and_both_bad_is_no_tie(site, ann):
    asked = campaign(site, strength=True)
    for question, answer in zip(given(ann, asked, 3), (STRONG, {"choice": "tie"}, {"choice": "both_bad"}), strict=True):
        assert say(ann, question, answer).status_code == 200
    kept = sorted((vote.choice, vote.strength) for vote in site.store.comparisons())
    assert kept == [(Choice.BOTH_BAD, None), (Choice.RIGHT, 3), (Choice.TIE, None)]


def test_a_thumb_is_kept_as_a_rating(site, ann):
    (question,) = given(ann, campaign(site, Form.THUMB))
    assert question["form"] == "thumb"
    assert say(ann, question, {"desirable": False}).status_code == 200
    (kept,) = site.store.ratings()
    assert (kept.desirable, kept.annotator_id) == (False, "ann")
    assert site.store.response(kept.response_id).content[0].content == text(question["responses"][0])


def test_a_ranking_is_kept_as_comparisons_of_each_two(site, ann):
    (question,) = given(ann, campaign(site, Form.RANKING))
    assert say(ann, question, {"ranking": [[2], [0, 1], [3]]}).status_code == 200
    words = {response.id: response.content[0].content for response in site.store.responses()}
    a, b, c, d = (text(turns) for turns in question["responses"])
    kept = {(words[vote.left_id], words[vote.right_id]): vote.choice for vote in site.store.comparisons()}
    assert kept == {
        (a, b): Choice.TIE,
        (a, c): Choice.RIGHT,
        (b, c): Choice.RIGHT,
        (a, d): Choice.LEFT,
        (b, d): Choice.LEFT,
        (c, d): Choice.LEFT,
    }


def test_the_same_vote_twice_is_one_vote_and_answered_alike(site, ann):
    asked = campaign(site, control_share=1.0)
    control(site, asked, reason="It says why.")
    (question,) = given(ann, asked)
    body = {"id": new_id(), "question": question["question"], "answer": PAIR}
    first, second = ann.post("/api/votes", json=body), ann.post("/api/votes", json=body)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.json()["feedback"]["reason"] == "It says why."
    assert len(list(site.store.comparisons(history=True))) == 1


def test_the_same_vote_at_once_is_one_vote(site, ann):
    (question,) = given(ann, campaign(site))
    body = {"id": new_id(), "question": question["question"], "answer": PAIR}
    said = []
    threads = [Thread(target=lambda: said.append(ann.post("/api/votes", json=body))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in said] == [200] * 4
    assert len(list(site.store.comparisons(history=True))) == 1


def test_what_was_not_given_cannot_be_answered(site, ann, login):
    asked = campaign(site)
    (question,) = given(login("bob"), asked)
    for path, body in (
        ("votes", {"id": new_id(), "answer": PAIR}),
        ("skips", {"reason": "no"}),
        ("undo", {"id": new_id()}),
        ("flags", {"id": new_id(), "reason": "Broken text"}),
    ):
        answer = ann.post(f"/api/{path}", json=body | {"question": question["question"]})
        assert answer.status_code == 404, path
    assert say(ann, "there is none", PAIR).status_code == 404
    assert ann.post("/api/campaigns/none/next", json={}).status_code == 404
    assert site.store.counts()["comparisons"] == 0


def test_an_id_that_another_vote_has_is_refused(site, ann, login):
    asked = campaign(site)
    bob = login("bob")
    (hers,), (his,) = given(ann, asked), given(bob, asked)
    body = {"id": new_id(), "question": hers["question"], "answer": PAIR}
    assert ann.post("/api/votes", json=body).status_code == 200
    taken = bob.post("/api/votes", json=body | {"question": his["question"]})
    assert taken.status_code == 409
    assert "the id is taken" in taken.json()["detail"]
    assert [vote.annotator_id for vote in site.store.comparisons(history=True)] == ["ann"]


def test_a_correction_names_the_vote_that_stands(site, ann):
    (question,) = given(ann, campaign(site))
    first = say(ann, question, PAIR).json()["id"]
    refused = say(ann, question, STRONG)
    assert refused.status_code == 409
    assert first in refused.json()["detail"]
    second = say(ann, question, STRONG, supersedes=first).json()["id"]
    assert say(ann, question, PAIR, supersedes=first).status_code == 409
    (kept,) = site.store.comparisons()
    assert (kept.id, kept.supersedes, kept.strength) == (second, first, 3)
    assert len(list(site.store.comparisons(history=True))) == 2


def test_what_was_taken_back_counts_no_more_and_is_asked_again(site, ann):
    asked = campaign(site)
    (question,) = given(ann, asked)
    vote = say(ann, question, PAIR).json()["id"]
    body = {"id": new_id(), "question": question["question"], "vote": vote}
    for _ in range(2):  # the first reply was lost
        again = ann.post("/api/undo", json=body)
        assert again.status_code == 200
        assert again.json() == question
    assert list(site.store.comparisons()) == []
    assert site.campaigns.question(question["question"]).answered == 0
    assert ann.get(f"/api/campaigns/{asked.id}/standing").json()["mine"] == 0
    assert given(ann, asked) == [question]
    assert say(ann, question, STRONG).status_code == 200
    assert [vote.choice for vote in site.store.comparisons()] == [Choice.RIGHT]
    assert site.campaigns.question(question["question"]).answered == 1


def test_a_ranking_is_taken_back_whole(site, ann):
    (question,) = given(ann, campaign(site, Form.RANKING))
    first = say(ann, question, {"ranking": [[0], [1], [2], [3]]}).json()["id"]
    second = say(ann, question, {"ranking": [[3, 2], [1], [0]]}, supersedes=first).json()["id"]
    assert len(list(site.store.comparisons())) == 6
    ann.post("/api/undo", json={"id": new_id(), "question": question["question"], "vote": second})
    assert list(site.store.comparisons()) == []


def test_a_later_vote_is_not_taken_back_in_the_place_of_the_one_that_was_meant(site, ann):
    (question,) = given(ann, campaign(site))
    first = say(ann, question, PAIR).json()["id"]
    say(ann, question, STRONG, supersedes=first)
    undone = ann.post("/api/undo", json={"id": new_id(), "question": question["question"], "vote": first})
    assert undone.status_code == 409
    assert len(list(site.store.comparisons())) == 1


def test_what_is_skipped_goes_to_others_and_can_be_taken_back(site, ann, login):
    asked = campaign(site, overlap=1)
    (question,) = given(ann, asked)
    more = ann.post("/api/skips", json={"question": question["question"], "reason": "Too long", "want": 1}).json()
    assert more[0]["question"] != question["question"]
    bob = login("bob")
    assert given(bob, asked)[0]["question"] == question["question"]
    (latest,) = ann.get(f"/api/campaigns/{asked.id}/recent").json()
    assert (latest["answer"], latest["vote"], latest["reason"]) == (None, None, "Too long")
    undone = ann.post("/api/undo", json={"id": new_id(), "question": question["question"], "vote": None})
    assert undone.json()["question"] == question["question"]
    assert ann.get(f"/api/campaigns/{asked.id}/recent").json() == []


def test_a_flag_is_kept_once(site, ann):
    asked = campaign(site)
    (question,) = given(ann, asked)
    body = {"id": new_id(), "question": question["question"], "reason": "Broken text", "comment": "see the end"}
    assert [ann.post("/api/flags", json=body).status_code for _ in range(2)] == [204, 204]
    (kept,) = site.campaigns.flags(asked.id)
    assert (kept.reason, kept.comment, kept.annotator_id) == ("Broken text", "see the end", "ann")


def test_what_is_no_answer_is_refused_with_what_is_expected(site, ann):
    ranking = [[0], [1], [2], [2]]
    wrong = {
        Form.PAIR: ({"choice": "neither"}, {"desirable": True}, {"choice": "tie", "strength": 2}),
        Form.THUMB: ({"desirable": 1}, PAIR),
        Form.RANKING: ({"ranking": ranking[:3]}, {"ranking": ranking}, {"ranking": [[0, 1, 2, 4]]}),
    }
    for form, answers in wrong.items():
        (question,) = given(ann, campaign(site, form))
        for answer in answers:
            refused = say(ann, question, answer)
            assert refused.status_code == 422, answer
            assert ("strength" if "strength" in answer else f"expected a {form}") in refused.json()["detail"]
    assert sum(site.store.counts()[kind] for kind in ("comparisons", "ratings")) == 0


def test_what_goes_with_an_answer_is_checked(site, ann):
    (question,) = given(ann, campaign(site, tags=("Rude",)))
    wrong = {
        "tags": ["Made up"],
        "comment": "a\0b",
        "seconds": float("nan"),
        "id": "1",
        "annotator_id": "bob",
        "guideline": 0,
    }
    for name, value in wrong.items():
        body = {"id": new_id(), "question": question["question"], "answer": PAIR} | {name: value}
        refused = ann.post("/api/votes", content=json.dumps(body), headers={"content-type": "application/json"})
        assert refused.status_code == 422, name
        assert name in refused.json()["detail"]
    assert site.store.counts()["comparisons"] == 0


def test_a_control_question_looks_like_all_others_and_tells_afterwards(site, ann):
    asked = campaign(site, control_share=1.0)
    right = control(site, asked, reason="The other one is wrong.")
    question = given(ann, asked)[0]
    assert question["question"] == right.id
    assert set(question) == {"question", "form", "prompt", "responses"}
    words = site.store.response(right.control.right).content[0].content
    best = [text(turns) for turns in question["responses"]].index(words)
    wrong = {"choice": ("right", "left")[best]}
    told = say(ann, question, wrong).json()
    assert told["feedback"] == {"passed": False, "best": best, "reason": "The other one is wrong."}
    better = say(ann, question, {"choice": ("left", "right")[best]}, supersedes=told["id"]).json()
    assert better["feedback"]["passed"] is True


def test_no_feedback_where_the_curator_wants_none(site, ann):
    asked = campaign(site, feedback=False, control_share=1.0)
    control(site, asked)
    assert say(ann, given(ann, asked)[0], PAIR).json()["feedback"] is None


def test_a_closed_campaign_gives_no_questions_and_takes_answers_that_come_late(site, ann):
    asked = campaign(site)
    (question,) = given(ann, asked)
    site.campaigns.change(replace(asked, open=False))
    assert given(ann, asked) == []
    assert ann.get(f"/api/campaigns/{asked.id}/standing").json()["open"] is False
    late = say(ann, question, PAIR, want=3)
    assert (late.status_code, late.json()["next"]) == (200, [])
    assert site.store.counts()["comparisons"] == 1


def test_markdown_is_sanitised_and_only_where_the_campaign_has_it(site, ann):
    prompt = Prompt((Message("user", "# Hi <script>alert(1)</script>"),))
    answers = [
        Response(prompt.id, (Message("assistant", f"**{k}** ![x](http://evil.test/x.png) [y](javascript:alert(1))"),))
        for k in range(2)
    ]
    site.store.add([prompt, *answers])
    plain, marked = campaign(site, title="Plain"), campaign(site, title="Marked", markdown=True)
    assert all(turn["html"] is None for shown in given(ann, plain, 10) for turn in shown["prompt"])
    (shown,) = [one for one in given(ann, marked, 10) if text(one["prompt"]).startswith("# Hi")]
    assert text(shown["prompt"]) == "# Hi <script>alert(1)</script>"
    assert "<script" not in shown["prompt"][0]["html"]
    for turns in shown["responses"]:
        assert "<strong>" in turns[0]["html"]
        assert "<img" not in turns[0]["html"]
        assert "href=" not in turns[0]["html"]


def test_no_more_people_than_wanted_are_given_a_question(site, ann, login):
    asked = campaign(site, overlap=1)
    bob = login("bob")
    hers = {one["question"] for one in given(ann, asked, 3)}
    his = {one["question"] for one in given(bob, asked, 10)}
    assert (len(hers), len(his), hers & his) == (3, 3, set())
    assert given(bob, asked, 3, tuple(his)) == []


def test_two_people_see_the_same_question_where_two_are_wanted(site, ann, login):
    asked = campaign(site, overlap=2)
    bob = login("bob")
    hers, his = given(ann, asked, 6), given(bob, asked, 6)
    assert {one["question"] for one in hers} == {one["question"] for one in his}
    assert given(login("cem"), asked) == []
    for who, shown in ((ann, hers), (bob, his)):
        assert all(say(who, one, PAIR).status_code == 200 for one in shown)
    standing = ann.get(f"/api/campaigns/{asked.id}/standing").json()
    assert standing == {"open": True, "guideline": 1, "mine": 6, "answers": 12, "wanted": 12}


def test_a_lease_that_has_ended_goes_to_somebody_else_and_a_late_answer_is_kept(site, ann, login):
    asked = campaign(site, overlap=1, lease_minutes=0.0)
    (question,) = given(ann, asked)
    bob = login("bob")
    assert given(bob, asked)[0]["question"] == question["question"]
    assert say(bob, question, PAIR).status_code == 200
    assert say(ann, question, PAIR).status_code == 200
    assert site.store.counts()["comparisons"] == 2


def test_a_page_that_is_loaded_again_is_given_what_it_had(site, ann):
    asked = campaign(site)
    before = given(ann, asked, 3)
    assert given(ann, asked, 3) == before
    held = [one["question"] for one in before[:2]]
    assert given(ann, asked, 1, tuple(held)) == before[2:]


def test_the_next_questions_come_with_the_answer(site, ann):
    asked = campaign(site)
    before = given(ann, asked, 3)
    ids = [one["question"] for one in before]
    more = say(ann, before[0], PAIR, want=1, held=ids[1:]).json()["next"]
    assert len(more) == 1
    assert more[0]["question"] not in ids


def test_the_last_ten_decisions_are_listed_with_what_was_said(site, ann, login):
    asked = campaign(site, tags=("Rude",))
    first, second = given(ann, asked, 2)
    vote = say(ann, first, STRONG, comment="hm", tags=["Rude"]).json()["id"]
    ann.post("/api/skips", json={"question": second["question"], "reason": "Too long"})
    skipped, answered = ann.get(f"/api/campaigns/{asked.id}/recent").json()
    assert {name: answered[name] for name in ("answer", "vote", "comment", "tags")} == {
        "answer": STRONG,
        "vote": vote,
        "comment": "hm",
        "tags": ["Rude"],
    }
    assert answered["responses"] == first["responses"]
    assert skipped["question"] == second["question"]
    assert login("bob").get(f"/api/campaigns/{asked.id}/recent").json() == []


def test_the_guideline_is_given_as_it_stands_now(site, ann):
    asked = campaign(site)
    site.campaigns.revise(asked.id, "Be *quick* <script>", "me")
    assert ann.get(f"/api/campaigns/{asked.id}/standing").json()["guideline"] == 2
    shown = ann.get(f"/api/campaigns/{asked.id}/guideline").json()
    assert shown["version"] == 2
    assert "<em>quick</em>" in shown["html"]
    assert "<script" not in shown["html"]


def test_no_model_is_named_in_anything_that_the_page_is_given(site, ann):
    asked = campaign(site)
    questions = ann.post(f"/api/campaigns/{asked.id}/next", json={"want": 3})
    first = questions.json()[0]
    answers = [
        ann.get(f"/vote/{asked.id}"),
        questions,
        say(ann, first, PAIR, want=3),
        ann.get(f"/api/campaigns/{asked.id}/recent"),
        ann.post("/api/undo", json={"id": new_id(), "question": first["question"]}),
    ]
    ids = [response.id for response in site.store.responses()]
    for answer in answers:
        assert answer.status_code == 200
        assert "model-" not in answer.text
        assert not any(id in answer.text for id in ids)


def test_nothing_is_given_or_taken_without_a_login(site):
    asked, nobody = campaign(site), client(site)
    assert nobody.get(f"/vote/{asked.id}").status_code == 303
    for path in ("votes", "skips", "undo", "flags", f"campaigns/{asked.id}/next"):
        assert nobody.post(f"/api/{path}", json={}).status_code == 401
    for path in ("recent", "standing", "guideline"):
        assert nobody.get(f"/api/campaigns/{asked.id}/{path}").status_code == 401
