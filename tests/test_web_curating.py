"""Curating through the API and the pages' forms: campaigns, guidelines, questions, right answers, files, figures."""

import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

from accord.exchange import read
from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Campaign,
    Comparison,
    Form,
    Message,
    Prompt,
    Response,
    Role,
    Said,
)
from accord.report.charts import column_chart
from accord.store import Store
from accord.store.progress import Decision
from accord.web.agreeing import in_words
from accord.web.app import create_app
from accord.web.figures import figures, opinions
from accord.web.routes.guidelines import changes
from accord.web.timeline import outlook, over_time, pace
from accord.web.uploads import plain_name
from web_kit import campaign, client, make_site, user, world

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday
EVIL = '<script>alert(1)</script> "onerror=x" \u202e {{ 7 * 7 }}'


@pytest.fixture
def site(database_url, tmp_path):
    with Store.open(database_url) as store:
        store.add(world())
        yield make_site(store, team=True, runs=tmp_path)


@pytest.fixture
def curator(site):
    return user(site, "cleo", Role.CURATOR)


@pytest.fixture
def api(site, curator):
    return client(site, curator)


def vote(site, made, who, choose, n=100, **more):
    """`who` answers what they are given, as `choose(item)` says; the ids of the questions."""
    answered = []
    while len(answered) < n and (items := site.asking.next(made.id, who.annotator_id, 1)):
        question = items[0].assignment.question_id
        said = Said(f"vote-{next(NUMBERS)}-{who.annotator_id}", question, choose(items[0]), **{"seconds": 4.0} | more)
        site.asking.answer(who.annotator_id, said)
        answered.append(question)
    return answered


NUMBERS = itertools.count(1)


def undo(site, who, question):
    """Takes back what `who` said of a question."""
    (given,) = [one for one in site.progress.on_question(question) if one.annotator_id == who]
    site.asking.undo(who, question, f"withdrawal-{next(NUMBERS)}", given.vote_id)


def left(_):
    return {"choice": "left"}


def better(item):
    """The first model's answer."""
    return {"choice": "left" if item.responses[0].source == "model-0" else "right"}


# Campaigns


def test_a_campaign_is_made_changed_and_listed(api):
    wish = {"title": "  Which is clearer? ", "form": "pair", "strength": True, "tags": ["Correct", "Correct", "Short"]}
    made = api.post("/api/campaigns", json=wish).json()
    assert made["id"] == "which-is-clearer"
    assert made["title"] == "Which is clearer?"
    assert made["tags"] == ["Correct", "Short"]
    assert made["totals"]["wanted"] == 0
    rules = {name: made[name] for name in made if name not in ("id", "created", "totals")}
    changed = api.put("/api/campaigns/which-is-clearer", json=rules | {"overlap": 5, "open": False})
    assert changed.json()["overlap"] == 5
    assert api.get("/api/campaigns/which-is-clearer").json() == changed.json()
    assert [one["id"] for one in api.get("/api/campaigns").json()] == ["which-is-clearer"]
    refused = api.put("/api/campaigns/which-is-clearer", json=rules | {"form": "thumb", "strength": False})
    assert refused.status_code == 400
    assert "form: it stays pair" in refused.json()["detail"]


NONSENSE = [
    ({"title": " "}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"title": "a\0b"}, "title"),
    ({"form": "essay"}, "form"),
    ({"form": "thumb", "strength": True}, "strength"),
    ({"overlap": 0}, "overlap"),
    ({"lease_minutes": 0}, "lease_minutes"),
    ({"control_share": 1.5}, "control_share"),
    ({"tags": ["x"] * 31}, "tags"),
    ({"overlapp": 3}, "overlapp"),
]


def test_a_campaign_that_makes_no_sense_is_refused(api, site):
    for wish, why in NONSENSE:
        answer = api.post("/api/campaigns", json={"title": "T", "form": "pair"} | wish)
        assert answer.status_code == 422, wish
        assert why in answer.json()["detail"]
    assert not site.campaigns.all()


def test_no_campaign_takes_an_address_of_another_page(api):
    assert api.post("/api/campaigns", json={"title": "New", "form": "pair"}).json()["id"] == "new-2"


FORM = {
    "title": "Best first",
    "kind": "ranking",
    "overlap": "2",
    "lease_minutes": "7.5",
    "tags": "Right\n\nShort ",
    "skip_reasons": "No",
    "control_percent": "25",
    "markdown": "yes",
    "open": "yes",
    "guideline": "Be *kind*.",
}


def test_the_pages_form_makes_the_same_campaign(api, site):
    assert api.post("/campaigns/new", data=FORM).headers["location"] == "/campaigns/best-first/draw?done=made"
    made = site.campaigns.get("best-first")
    assert (made.form, made.strength, made.overlap, made.lease_minutes) == (Form.RANKING, False, 2, 7.5)
    assert (made.tags, made.skip_reasons, made.control_share) == (("Right", "Short"), ("No",), 0.25)
    assert (made.markdown, made.feedback, made.open) == (True, False, True)
    assert site.campaigns.guideline("best-first").text == "Be *kind*."
    assert site.campaigns.guideline("best-first").author == "cleo"
    page = api.get("/campaigns/best-first/settings").text
    assert 'value="7.5"' in page
    assert 'value="25"' in page
    api.post("/campaigns/best-first/settings", data=FORM | {"title": "Worst last", "overlap": "4"})
    assert (site.campaigns.get("best-first").title, site.campaigns.get("best-first").overlap) == ("Worst last", 4)


def test_what_was_typed_stays_beside_what_is_wrong(api, site):
    answer = api.post("/campaigns/new", data=FORM | {"title": "", "overlap": "many", "control_percent": "120"})
    assert answer.status_code == 422
    for words in ("Write something here.", "Write a whole number.", "Write a number from 0 to 100.", 'value="many"',
                  "Be *kind*.", 'value="ranking" checked', 'aria-invalid="true"'):  # fmt: skip
        assert words in answer.text
    assert not site.campaigns.all()


def test_a_campaign_is_closed_and_opened_again(api, site):
    made = campaign(site)
    api.post(f"/campaigns/{made.id}/open", data={"open": "no"})
    assert not site.campaigns.get(made.id).open
    assert "Closed" in api.get(f"/campaigns/{made.id}").text
    api.post(f"/campaigns/{made.id}/open", data={"open": "yes"})
    assert site.campaigns.get(made.id).open


# Guidelines


def test_guidelines_are_kept_with_their_votes(api, site):
    made = campaign(site, overlap=2)
    ann, bob = user(site, "ann"), user(site, "bob")
    vote(site, made, ann, left, n=2, guideline=1)
    address = f"/campaigns/{made.id}/guideline"
    assert "<strong>kind</strong>" in api.post(address, data={"text": "Be **kind**.", "do": "preview"}).text
    assert site.campaigns.guideline(made.id).version == 1, "a preview keeps nothing"
    api.post(address, data={"text": "Be **kind**.\r\n", "base": "1", "do": "save"})
    vote(site, made, bob, left, n=3, guideline=2)
    versions = api.get(f"/api/campaigns/{made.id}/guidelines").json()
    assert [(one["version"], one["author"], one["votes"]) for one in versions] == [(2, "cleo", 3), (1, "me", 2)]
    assert versions[0]["text"] == "Be **kind**.\n"
    page = api.get(f"{address}/2").text
    assert '<p class="removed" dir="auto"><span class="visually-hidden">removed: </span>Be **fair**.</p>' in page
    assert api.get(f"{address}/1").status_code == 200
    assert api.get(f"{address}/3").status_code == 404


def test_a_guideline_that_another_saved_meanwhile_is_not_lost(api, site):
    made = campaign(site)
    site.campaigns.revise(made.id, "Theirs.", "ada")
    answer = api.post(f"/campaigns/{made.id}/guideline", data={"text": "Mine.", "base": "1", "do": "save"})
    assert answer.status_code == 422
    assert "ada has saved version 2 meanwhile" in answer.text
    assert "Mine." in answer.text
    assert site.campaigns.guideline(made.id).text == "Theirs."


def test_a_ranking_is_one_vote_under_its_guideline(api, site):
    site.store.add(world(prompts=2, answers=4))
    made = campaign(site, Form.RANKING)
    vote(site, made, user(site, "ann"), lambda item: {"ranking": [[0], [1], [2, 3]]}, guideline=1)
    assert api.get(f"/api/campaigns/{made.id}/guidelines").json()[0]["votes"] == 2


def test_changes_are_lines():
    assert list(changes("a\nb\nc", "a\nx\nc\nd")) == [
        ("kept", "a"), ("removed", "b"), ("added", "x"), ("kept", "c"), ("added", "d"),
    ]  # fmt: skip


# Questions


def test_questions_are_drawn_once(api, site):
    site.store.add(world(prompts=6, answers=4))
    api.post("/api/campaigns", json={"title": "Pairs", "form": "pair"})
    draw = "/api/campaigns/pairs/questions"
    assert api.post(draw, json={"per_prompt": 2, "dry_run": True}).json() == {"drawn": 12, "new": 12, "named": 0}
    assert not site.campaigns.question_ids("pairs")
    assert api.post(draw, json={"per_prompt": 2}).json()["new"] == 12
    assert api.post(draw, json={"per_prompt": 2}).json() == {"drawn": 12, "new": 0, "named": 0}
    assert api.post(draw, json={"per_prompt": 3}).json()["new"] == 6
    assert api.post(draw, json={"size": 3}).status_code == 400


def test_only_some_answers_are_asked_about(api, site):
    marked = Prompt("Marked?", split="test")
    answers = [Response(marked.id, f"{n}", source=f"model-{n}") for n in range(3)]
    site.store.add([*world(prompts=6, answers=4), marked, *answers])
    api.post("/api/campaigns", json={"title": "Pairs", "form": "pair"})
    api.post("/api/campaigns/pairs/questions", json={"sources": ["model-0", "model-1"], "per_prompt": 9})
    found = api.get("/api/campaigns/pairs/questions").json()["questions"]
    assert len(found) == 7
    sources = {id: site.store.response(id).source for one in found for id in one["response_ids"]}
    assert set(sources.values()) == {"model-0", "model-1"}
    api.post("/api/campaigns", json={"title": "Test", "form": "pair"})
    assert api.post("/api/campaigns/test/questions", json={"splits": ["test"], "per_prompt": 9}).json()["new"] == 3


def test_the_page_counts_before_it_draws(api, site):
    api.post("/api/campaigns", json={"title": "Pairs", "form": "pair"})
    typed = {"per_prompt": "1", "seed": "3", "source": ["model-0", "model-1"]}
    page = api.post("/campaigns/pairs/draw", data=typed | {"do": "count"})
    assert "This makes 6 new questions" in page.text
    assert "18 answers to give, 3 for each" in page.text
    assert not site.campaigns.question_ids("pairs")
    drawn = api.post("/campaigns/pairs/draw", data=typed | {"do": "draw"})
    assert drawn.headers["location"] == "/campaigns/pairs/questions?done=drawn&n=6"
    assert "New questions: 6." in api.get(drawn.headers["location"]).text
    wrong = api.post("/campaigns/pairs/draw", data={"per_prompt": "x", "seed": "3"})
    assert wrong.status_code == 422
    assert "Write a whole number." in wrong.text


def test_a_list_can_be_filtered_and_searched(api, site):
    marked = Prompt('Who said "Straße"?')
    site.store.add([marked, *(Response(marked.id, text) for text in ("I am ChatGPT.", "Über alles: 100%."))])
    made = campaign(site, overlap=1)
    first, second, *_ = vote(site, made, user(site, "ann"), left, n=2)
    site.campaigns.set_question(second, open=False)

    def found(**query):
        page = api.get(f"/api/campaigns/{made.id}/questions", params=query).json()
        assert page["total"] == len(page["questions"])
        return {one["id"] for one in page["questions"]}

    everything = found()
    assert len(everything) == 7
    assert found(only="done") == {first, second}
    assert found(only="open") == everything - {first, second}
    assert found(only="closed") == {second}
    (named,) = found(only="named")
    for words in ("straße", '"straße"', "who chatgpt", "über 100%", "ÜBER"):
        assert found(words=words) == {named}, words
    assert found(words="question 3:") == found(words="QUESTION 3: why")
    assert len(found(words="question 3:")) == 1
    assert found(words="100_") == set()
    assert found(words="why nonesuch") == set()
    assert api.get(f"/api/campaigns/{made.id}/questions", params={"only": "some"}).status_code == 422
    assert api.get(f"/api/campaigns/{made.id}/questions", params={"words": "\0"}).status_code == 422
    assert api.get(f"/campaigns/{made.id}/questions", params={"words": "straße", "only": "named"}).status_code == 200


def test_a_question_is_shown_with_sources_votes_and_flags(api, site):
    made = campaign(site, overlap=3, strength=True, tags=("Correct",))
    ann, bob = user(site, "ann"), user(site, "bob")
    (question,) = vote(
        site, made, ann, lambda item: better(item) | {"strength": 2}, n=1, comment="Better.", tags=("Correct",)
    )
    site.asking.next(made.id, bob.annotator_id, 1)
    site.asking.skip(bob.annotator_id, question, "Too long")
    site.asking.flag(bob.annotator_id, question, "flag-0001", "Broken text", "It ends nowhere.")
    found = api.get(f"/api/questions/{question}").json()
    assert [one["source"] for one in found["responses"]] == [
        site.store.response(id).source for id in found["question"]["response_ids"]
    ]
    assert found["question"]["sources"] == [one["source"] for one in found["responses"]]
    answered, skipped = found["decisions"]
    assert site.store.response(answered["prefers"]).source == "model-0"
    assert (answered["annotator"], answered["kind"], answered["strength"]) == ("ann", "human", 2)
    assert (answered["comment"], answered["tags"], answered["seconds"]) == ("Better.", ["Correct"], 4.0)
    assert (skipped["prefers"], skipped["reason"], skipped["annotator"]) == (None, "Too long", "bob")
    assert [(one["reason"], one["resolved"]) for one in found["flags"]] == [("Broken text", False)]
    page = api.get(f"/campaigns/{made.id}/questions/{question}").text
    for words in ("model-0", "model-1", "clearly better", "Better.", "Skipped", "It ends nowhere."):
        assert words in page
    assert "It ends nowhere." in api.get(f"/campaigns/{made.id}/questions?only=flagged").text
    assert [one["id"] for one in api.get(f"/api/campaigns/{made.id}/flags").json()] == ["flag-0001"]
    assert api.post("/api/flags/flag-0001/resolve").status_code == 204
    assert api.get(f"/api/campaigns/{made.id}/flags").json() == []
    assert api.get(f"/api/campaigns/{made.id}/flags", params={"resolved": True}).json()[0]["resolved"]
    assert api.post("/api/flags/flag-0002/resolve").status_code == 404


def test_questions_of_all_forms_are_shown(api, site):
    site.store.add(world(prompts=3, answers=4))
    for form, answer in ((Form.THUMB, {"desirable": False}), (Form.RANKING, {"ranking": [[2], [0, 1], [3]]})):
        made = campaign(site, form)
        (question,) = vote(site, made, user(site, f"a-{form}"), lambda _, said=answer: said, n=1)
        found = api.get(f"/api/questions/{question}").json()["decisions"][0]
        if form is Form.THUMB:
            assert found["prefers"] == "down"
        else:
            shown = found["shown"]
            assert found["ranking"] == [[shown[2]], [shown[0], shown[1]], [shown[3]]]
        assert api.get(f"/campaigns/{made.id}/questions/{question}").status_code == 200
        assert api.get(f"/campaigns/{made.id}").status_code == 200


def test_a_question_is_closed_and_asked_again(api, site):
    made = campaign(site)
    question = sorted(site.campaigns.question_ids(made.id))[0]
    assert not api.patch(f"/api/questions/{question}", json={"open": False}).json()["open"]
    ann = user(site, "ann")
    assert question not in vote(site, made, ann, left)
    api.post(f"/campaigns/{made.id}/questions/{question}/open", data={"open": "yes"})
    assert vote(site, made, ann, left) == [question]
    assert api.patch("/api/questions/nowhere", json={"open": False}).status_code == 404


# Control questions


def test_a_question_becomes_a_control_question_and_judges_what_was_answered(api, site):
    made = campaign(site, overlap=2)
    ann, bob = user(site, "ann"), user(site, "bob")
    question = vote(site, made, ann, better)[0]
    vote(site, made, bob, lambda item: {"choice": "tie"})
    right = next(
        id for id in site.campaigns.question(question).response_ids if site.store.response(id).source == "model-0"
    )
    address = f"/api/questions/{question}/control"
    told = api.put(address, json={"right": right, "reason": "It says why."}).json()
    assert told["control"] == {"right": right, "reason": "It says why."}

    def judged():
        return {one["annotator"]: one["passed"] for one in api.get(f"/api/questions/{question}").json()["decisions"]}

    def passed():
        workers = api.get(f"/api/campaigns/{made.id}/annotators").json()
        return {one["annotator"]: one["passed"] and one["passed"]["k"] for one in workers}

    assert judged() == {"ann": True, "bob": False}
    assert passed() == {"ann": 1, "bob": 0}
    api.post(f"/campaigns/{made.id}/questions/{question}/control", data={"right": "tie", "reason": ""})
    assert judged() == {"ann": False, "bob": True}
    assert passed() == {"ann": 0, "bob": 1}
    assert api.get(f"/api/campaigns/{made.id}/progress").json()["totals"]["controls"] == 1
    assert api.delete(address).json()["control"] is None
    assert judged() == {"ann": None, "bob": None}
    refused = api.put(address, json={"right": "nothing"})
    assert refused.status_code == 400
    assert "right: nothing is none of" in refused.json()["detail"]
    page = api.post(f"/campaigns/{made.id}/questions/{question}/control", data={"reason": "Because."})
    assert page.status_code == 422
    assert "Choose the right answer." in page.text
    assert "Because." in page.text


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ROWS = [
    {"prompt": "What is 2 + 2?", "responses": ["4", "5"], "right": 0, "reason": "It is 4."},
    {"prompt": "What is 2 + 2?", "responses": ["7", "6"], "right": "tie"},
    {"prompt": [{"role": "user", "content": "Question 0: why?"}],
     "responses": [[{"role": "assistant", "content": f"Answer {k} to question 0."}] for k in (1, 0)], "right": 1},
]  # fmt: skip


def test_control_questions_are_uploaded(api, site):
    made = campaign(site, control_share=1.0)
    address = f"/api/campaigns/{made.id}/controls"
    sent = {"file": ("right.jsonl", lines(*ROWS))}
    assert api.post(address, files=sent).json() == {"added": 2, "marked": 1}  # the third was an ordinary question
    assert api.post(address, files=sent).json() == {"added": 0, "marked": 3}
    controls = site.campaigns.questions(made.id, only="control")[0]
    right = {site.store.response(one.control.right).content for one in controls if one.control.right != "tie"}
    assert right == {"4", (Message("assistant", "Answer 0 to question 0."),)}
    feedback = [site.asking.next(made.id, user(site, name).annotator_id, 3) for name in ("ann", "bob")]
    assert all({item.assignment.question_id for item in items} == {one.id for one in controls} for items in feedback)
    page = api.post(f"/campaigns/{made.id}/controls", files=sent)
    assert page.headers["location"].endswith("?added=0&marked=3")
    drawn = api.post(f"/api/campaigns/{made.id}/questions", json={"dry_run": True, "per_prompt": 9}).json()
    assert drawn["drawn"] == 6, "what was made up for control questions is asked about nowhere else"
    assert site.material.sources() == {"model-0": 6, "model-1": 6}


def test_the_training_questions_of_llmfao_are_read(api, site):
    row = {"id": -1, "prompt": 13, "text": "Extract the name.", "model_x": 84, "result_x": "Nike", "model_y": 22,
           "result_y": "", "golden": "left", "reason": "A is shorter."}  # fmt: skip
    made = campaign(site)
    sent = {"file": ("pairs-crowd-training.jsonl", lines(row, row | {"result_x": "NIKE", "golden": "tie"}))}
    assert api.post(f"/api/campaigns/{made.id}/controls", files=sent).json() == {"added": 2, "marked": 0}
    first, second = site.campaigns.questions(made.id, only="control")[0]
    assert site.store.response(first.control.right).content == (Message("assistant", "Nike"),)
    assert (first.control.reason, second.control.right) == ("A is shorter.", "tie")


BAD_ROWS = [
    ({"right": 2}, "2: right: is 2, expected a place from 0 to 1 or tie"),
    ({"right": "left"}, "2: right: is 'left'"),
    ({"right": True}, "2: right: is True"),
    ({"responses": ["4"], "right": 0}, "2: responses: has 1, expected 2"),
    ({"responses": ["4", "4"]}, "2: responses: holds the same response twice"),
    ({"responses": "4"}, "2: responses: is text, expected a list"),
    ({"responses": ["4", " "]}, "2: responses[1]: is empty"),
    ({"prompt": None}, "2: prompt: is null"),
    ({"reasons": "typo"}, "2: reasons: is no field of a control question"),
    ({"reason": 5}, "2: reason: is a number, expected text"),
]


def test_a_bad_file_of_control_questions_says_where(api, site):
    made = campaign(site)
    before = site.store.counts()
    for row, why in BAD_ROWS:
        sent = {"file": ("right.jsonl", lines(ROWS[0], ROWS[0] | row))}
        for address, status in ((f"/api/campaigns/{made.id}/controls", 400), (f"/campaigns/{made.id}/controls", 422)):
            answer = api.post(address, files=sent)
            assert answer.status_code == status
            assert f"right.jsonl:{why}" in answer.text.replace("&#39;", "'")
            assert "accord-upload" not in answer.text
    assert site.store.counts() == before


@pytest.mark.parametrize(
    ("form", "row", "why"),
    [
        (Form.THUMB, {"prompt": "2 + 2?", "responses": ["4"], "right": 0}, "expected up or down"),
        (Form.RANKING, {"prompt": "2 + 2?", "responses": ["4", "5"], "right": 0}, "has 2, expected 3 to 10"),
    ],
)
def test_control_questions_fit_the_form(api, site, form, row, why):
    made = campaign(site, form)
    address = f"/api/campaigns/{made.id}/controls"
    assert why in api.post(address, files={"file": ("a.jsonl", lines(row))}).json()["detail"]
    good = {"prompt": "2 + 2?", "responses": ["4", "5", "6"], "right": 2}
    if form is Form.THUMB:
        good = {"prompt": "2 + 2?", "responses": ["4"], "right": "up"}
    assert api.post(address, files={"file": ("a.jsonl", lines(good))}).json() == {"added": 1, "marked": 0}
    assert "file: none was sent" in api.post(address, data={"csrf": "x"}).json()["detail"]


# Files


PREFERENCE = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}


def test_files_are_imported(api, site):
    rows = lines(PREFERENCE, PREFERENCE | {"prompt": "How?"})
    told = api.post("/api/import", files={"file": ("prefs.jsonl", rows)}, data={"split": "test"}).json()
    assert told["added"] == {"prompts": 2, "responses": 4, "annotators": 1, "comparisons": 2, "ratings": 0}
    assert told["questions"] == 8, "the first campaign is made: what there was and what came"
    assert {prompt.content for prompt in site.store.prompts("test")} == {"Why?", "How?"}
    assert [one.id for one in site.store.annotators() if one.kind is AnnotatorKind.DATASET] == ["dataset:prefs"]
    again = api.post("/api/import", files={"file": ("prefs.jsonl", rows)}).json()
    assert again["already_there"] == {"comparisons": 2, "ratings": 0}
    assert sum(again["added"].values()) == 0
    looked = api.post("/api/import", files={"file": ("more.jsonl", lines({"prompt": "New"}))}, data={"dry_run": "true"})
    assert looked.json()["added"]["prompts"] == 1
    assert site.store.counts()["prompts"] == 8


def test_files_that_belong_together_are_sent_together(api, site):
    votes = b"id,model_x,model_y,left,right,worker,winner\n1,7,8,small,large,w1,left\n"
    texts = lines({"id": 1, "text": "Why?", "model_x": 7, "result_x": "a", "model_y": 8, "result_y": "b"})
    told = api.post("/api/import", files=[("file", ("votes.csv", votes)), ("file", ("texts.jsonl", texts))]).json()
    assert told["added"]["comparisons"] == 1
    assert {response.source for response in site.store.responses()} >= {"small", "large"}


BAD_FILES = [
    ("bad.jsonl", lines(PREFERENCE, PREFERENCE | {"chosen": 5}), "bad.jsonl:2: chosen: is a number, expected text"),
    ("../../etc/bad.jsonl", b"{", "bad.jsonl:1: json:"),
    ("C:\\bad.exe", b"MZ", "bad.exe:1: file: has the suffix"),
    ("bad.jsonl", b"", "bad.jsonl:1: file: is empty"),
    ("bad.csv", b"prompt,chosen,rejected\nWhy?,So.,\x00\n", "bad.csv:2:"),
]


def test_a_bad_file_is_one_line_and_nothing_is_written(api, site):
    before = site.store.counts()
    for name, content, why in BAD_FILES:
        told = api.post("/api/import", files={"file": (name, content)})
        assert told.status_code == 400, name
        assert why in told.json()["detail"]
        assert "\n" not in told.json()["detail"]
        assert "/tmp" not in told.json()["detail"]
        page = api.post("/import", files={"file": (name, content)}, data={"sure": "yes", "do": "import"})
        assert page.status_code == 422, name
        assert why.split(": is")[0] in page.text
    assert site.store.counts() == before


def test_the_page_imports_when_somebody_is_sure(api, site):
    sent = {"file": ("prefs.jsonl", lines(PREFERENCE))}
    assert "Tick this first" in api.post("/import", files=sent, data={"do": "import"}).text
    assert "Nothing was written" in api.post("/import", files=sent, data={"do": "look"}).text
    assert site.store.counts()["comparisons"] == 0
    assert "Imported." in api.post("/import", files=sent, data={"do": "import", "sure": "yes"}).text
    assert site.store.counts()["comparisons"] == 1
    wrong = api.post("/api/import", files=sent, data={"split": "dev", "format": "x"})
    assert wrong.status_code == 422
    assert api.post("/api/import", files=sent, data={"format": "preferences"}).status_code == 400


def test_names_of_files_lead_nowhere():
    assert plain_name("../../etc/passwd") == "passwd"
    assert plain_name("C:\\Users\\a.csv") == "a.csv"
    assert plain_name("..") == "upload"
    assert plain_name("a\n\0b?.jsonl") == "a__b_.jsonl"
    assert plain_name("Größe (1).jsonl") == "Größe (1).jsonl"
    assert len(plain_name("x" * 500 + ".jsonl")) == 100


@pytest.fixture
def voted(site):
    made = campaign(site, title="=cmd()|' /C calc'!A0", overlap=2)
    for name in ("ann", "bob"):
        vote(site, made, user(site, name), better, n=5, comment="=1+1")
    return made


@pytest.mark.parametrize("form", ["dpo", "reward", "kto"])
def test_exports_are_read_back(api, site, voted, tmp_path, form):
    for type in ("jsonl", "csv", "parquet"):
        answer = api.get("/api/export", params={"form": form, "type": type, "labels": "majority"})
        assert answer.headers["content-disposition"] == f'attachment; filename="a test-{form}.{type}"'
        assert len(answer.content) == int(answer.headers["content-length"])
        file = tmp_path / f"export.{type}"
        file.write_bytes(answer.content)
        nouns = list(read(file))
        texts = {noun.id: noun.content for noun in nouns if isinstance(noun, Response)}
        assert len(texts) == 10
        chosen = {texts[noun.left_id][-1].content.split()[1] for noun in nouns if isinstance(noun, Comparison)}
        assert chosen == ({"0"} if form != "kto" else set())


def test_everything_is_exported_and_read_back(api, site, voted, tmp_path, database_url):
    question = site.campaigns.questions(voted.id, only="done")[0][0].id
    undo(site, "ann", question)
    file = tmp_path / "all.jsonl"
    file.write_bytes(api.get("/api/export", params={"form": "votes"}).content)
    with Store.open(tmp_path / "other.db") as other:
        other.add(read(file))
        assert other.counts() == site.store.counts()
        assert list(other.comparisons(history=True)) == list(site.store.comparisons(history=True))


def test_an_export_can_be_of_one_campaign(api, site, voted):
    other = campaign(site, title="Other")
    vote(site, other, user(site, "cat"), left, n=1)
    rows = [
        json.loads(line)
        for line in api.get("/api/export", params={"form": "votes", "campaign": other.id}).text.splitlines()
    ]
    assert sum(row["noun"] == "comparison" for row in rows) == 1
    assert api.get("/api/export", params={"campaign": "nowhere"}).status_code == 404


def test_an_export_of_nothing_says_so(api):
    told = api.get("/api/export")
    assert told.status_code == 400
    assert "has no comparisons" in told.json()["detail"]
    page = api.get("/export/file", params={"form": "votes", "type": "csv"})
    assert page.status_code == 422
    assert "a test-votes.csv: votes are written as .jsonl" in page.text
    assert "accord-export" not in page.text


# Figures


def decision(annotator, question, answer, seconds=5.0, passed=None, at=NOON, answered=True):
    return Decision(question, annotator, answered, at, seconds, passed, ("x", "y"), answer)


def test_workers_are_counted():
    made = figures(
        Form.PAIR,
        [
            decision("ann", "q1", {"choice": "left", "strength": 3}, 2.0),
            decision("ann", "q2", {"choice": "left", "strength": None}, 8.0),
            decision("ann", "q3", {"choice": "tie"}, None, at=NOON + timedelta(hours=1)),
            decision("ann", "q4", {}, None, answered=False),
            decision("ann", "q5", {"choice": "right"}, 4.0, passed=True),
            decision("bob", "q5", {"choice": "left"}, 3.0, passed=False),
        ],
        {"bob": AnnotatorKind.SIMULATED},
    )
    ann, bob = made.workers
    assert (ann.annotator_id, ann.answers, ann.skips, ann.seconds) == ("ann", 4, 1, 4.0)
    assert (ann.last, ann.kind, bob.kind) == (NOON + timedelta(hours=1), AnnotatorKind.HUMAN, AnnotatorKind.SIMULATED)
    assert (ann.left, ann.ties, ann.passed, bob.passed) == ((2, 3), (1, 4), (1, 1), (0, 1))
    assert made.answers == {"left": 2, "tie": 1}, "control questions are left out"
    assert made.strengths == {3: 1}
    assert (made.skips, len(made.times)) == (1, 3)


def test_opinions_say_what_is_preferred_and_not_where_it_stood():
    one = Decision("q", "ann", True, NOON, None, None, ("x", "y"), {"choice": "left"})
    other = Decision("q", "bob", True, NOON, None, None, ("y", "x"), {"choice": "right"})
    (_, _, first), (_, _, second) = opinions(Form.PAIR, [one, other])
    assert first == second
    values = {next(opinions(Form.PAIR, [one._replace(question_id=f"q{n}")])).value for n in range(30)}
    assert values == {"first", "second"}, "which is called the first is chance"
    ranked = one._replace(shown=("x", "y", "z"), answer={"ranking": [[2], [0, 1]]})
    turned = one._replace(shown=("z", "y", "x"), answer={"ranking": [[0], [2, 1]]})
    assert sorted(opinions(Form.RANKING, [ranked])) == sorted(opinions(Form.RANKING, [turned]))
    assert [opinion.value for opinion in opinions(Form.RANKING, [ranked])].count("tie") == 1
    assert [opinion.value for opinion in opinions(Form.THUMB, [one._replace(answer={"desirable": True})])] == ["up"]


def test_the_pace_tells_when_it_ends():
    times = [NOON + timedelta(hours=n) for n in range(48)]
    now = NOON + timedelta(hours=48)
    found = pace(times, 24, now)
    assert found.per_day == 24
    assert found.ends == now + timedelta(days=1)
    assert "24 answers a day" in outlook(found, now)
    assert pace(times, 0, now).ends is None
    assert pace(times, 24, now + timedelta(days=30)).ends is None
    assert outlook(pace(times, 24, now + timedelta(days=30)), now) == "Nothing came in during the last week."
    assert pace([], 24, now) is None
    assert pace([now - timedelta(minutes=5)], 24, now) is None
    week = pace(times, 70, NOON + timedelta(days=8))
    assert week.per_day == pytest.approx(24 / 7), "of the last seven days"


def test_columns_begin_at_round_times():
    columns, width = over_time([NOON + timedelta(minutes=7), NOON + timedelta(minutes=8), NOON + timedelta(minutes=20)])
    assert width == 300
    assert [(column.start.minute, column.answers) for column in columns] == [(5, 2), (10, 0), (15, 0), (20, 1)]
    columns, width = over_time([NOON, NOON + timedelta(days=40)])
    assert (width, columns[0].start, len(columns)) == (86_400, NOON - timedelta(hours=12), 41)
    columns, width = over_time([NOON, NOON + timedelta(days=300)])
    assert (width, columns[0].start.weekday(), len(columns)) == (7 * 86_400, 0, 43)
    assert over_time([]) == ([], 300)


def test_a_chart_of_columns_names_as_many_as_there_is_room_for():
    drawn = str(column_chart([(f"{n} <May>", f"Day {n} & night", 10 * n) for n in range(30)], 'A "chart"'))
    assert drawn.count('class="area one"') == 30
    assert "<title>Day 29 &amp; night: 290</title>" in drawn
    assert 2 <= drawn.count("&lt;May&gt;") <= 8
    assert 'aria-label="A &#34;chart&#34;"' in drawn
    assert "<svg" in column_chart([], "Nothing")


def test_progress_annotators_and_agreement(api, site):
    made = campaign(site, overlap=2)
    address = f"/api/campaigns/{made.id}"
    assert api.get(f"{address}/agreement").json()["alpha"] is None
    assert api.get(f"/campaigns/{made.id}").status_code == 200
    ann, bob = user(site, "ann"), user(site, "bob")
    vote(site, made, ann, better)
    for n, question in enumerate(vote(site, made, bob, better)):
        if n == 0:
            undo(site, "bob", question)
    told = api.get(f"{address}/progress").json()
    assert told["totals"] | {"flags": 0} == {
        "questions": 6, "done": 5, "wanted": 12, "answers": 11, "controls": 0, "flags": 0, "named": 0,
    }  # fmt: skip
    assert sum(column["answers"] for column in told["over_time"]) == 11
    assert sum(told["answers_by_kind"].values()) == 11
    workers = {one["annotator"]: one for one in api.get(f"{address}/annotators").json()}
    assert (workers["ann"]["answers"], workers["bob"]["answers"]) == (6, 5)
    assert workers["ann"]["left"]["n"] == 6
    assert 0 <= workers["ann"]["left"]["low"] <= workers["ann"]["left"]["high"] <= 1
    agreed = api.get(f"{address}/agreement").json()
    assert (agreed["alpha"], agreed["observed"], agreed["items"]) == (1.0, 1.0, 5)
    vote(site, made, bob, lambda item: {"choice": "tie"})
    assert api.get(f"{address}/agreement").json()["items"] == 6, "one more vote, and the figures are new"
    page = api.get(f"/campaigns/{made.id}").text
    for words in ("12 of 12 answers", "Everything is answered.", "ann", "Person", "Answers over time"):
        assert words in page


def test_what_agreement_means(api, site):
    made = figures(Form.PAIR, [decision("ann", "q1", {"choice": "left"})], {})
    assert in_words(made.agreement) == "Nobody knows yet: no question has the answers of two people."


def test_simulated_annotators_are_called_so(api, site):
    made = campaign(site)
    site.store.add([Annotator("robot", AnnotatorKind.SIMULATED)])
    (item,) = site.asking.next(made.id, "robot", 1)
    site.asking.answer("robot", Said("vote-0001", item.assignment.question_id, {"choice": "left"}))
    assert api.get(f"/api/campaigns/{made.id}/annotators").json()[0]["kind"] == "simulated"
    assert "Simulated: a program" in api.get(f"/campaigns/{made.id}").text
    assert "simulated" in api.get(f"/campaigns/{made.id}/questions/{item.assignment.question_id}").text


# Who may do it, and what is shown


def test_annotators_may_not_curate(site):
    made = campaign(site)
    question = sorted(site.campaigns.question_ids(made.id))[0]
    annotator = client(site, user(site, "ann"))
    version = site.campaigns.guideline(made.id).version
    for method, path in curating(site):
        address = path.format(campaign_id=made.id, question_id=question, version=version, flag_id="flag-0001")
        assert annotator.request(method, address).status_code == 403, (method, path)
    assert annotator.get("/").status_code == 200


def curating(site):
    """(method, path) of all routes for curators of what this file is about."""
    files = ("campaigns", "dashboard", "guidelines", "drawing", "questions", "controls", "importing", "exporting")
    begin = ("/api/campaigns", "/api/questions", "/api/import", "/api/export", "/api/flags/")
    described = create_app(site).openapi()["paths"]
    api = [(method, path) for path in described for method in described[path] if path.startswith(begin)]
    voting = ("/next", "/recent", "/standing", "/guideline")
    routers = [import_module(f"accord.web.routes.{name}").router for name in files]
    pages = [(method.lower(), route.path) for router in routers for route in router.routes for method in route.methods]
    found = {*pages, *((method, path) for method, path in api if not path.endswith(voting))}
    assert len(found) > 40
    return sorted(found)


def test_foreign_text_is_shown_as_text(api, site):
    hostile = Prompt((Message("user", EVIL),))
    answers = [Response(hostile.id, (Message("assistant", f"{EVIL} {n}"),), source=EVIL + str(n)) for n in range(2)]
    site.store.add([hostile, *answers])
    wish = {"title": EVIL, "form": "pair", "tags": [EVIL], "skip_reasons": [EVIL], "guideline": EVIL, "overlap": 2}
    made = api.post("/api/campaigns", json=wish).json()
    api.post(f"/api/campaigns/{made['id']}/questions", json={"per_prompt": 1, "sources": [EVIL + "0", EVIL + "1"]})
    (question,) = site.campaigns.question_ids(made["id"])
    ann, _ = user(site, EVIL[:20]), user(site, "bob")
    standing = site.campaigns.get(made["id"])
    vote(site, standing, ann, left, comment=EVIL, tags=(EVIL,))
    site.asking.next(standing.id, "bob", 1)
    site.asking.skip("bob", question, EVIL)
    site.asking.flag("bob", question, "flag-0001", EVIL, EVIL)
    api.put(f"/api/questions/{question}/control", json={"right": "tie", "reason": EVIL})
    base = f"/campaigns/{made['id']}"
    for page in ("/", "/campaigns", base, f"{base}/settings", f"{base}/questions", f"{base}/questions?only=flagged",
                 f"{base}/questions/{question}", f"{base}/controls", f"{base}/guideline", f"{base}/guideline/1",
                 f"{base}/draw", "/export", f"{base}/questions?words={EVIL}"):  # fmt: skip
        text = api.get(page).text
        assert "<script>alert" not in text, page
        assert "\u202e" not in re.sub(r'<textarea.*?</textarea>|value="[^"]*"', "", text, flags=re.DOTALL), page
    shown = api.get(f"{base}/questions/{question}").text
    assert "&lt;script&gt;" in shown
    assert "{{ 7 * 7 }}" in shown
    typed = api.post("/campaigns/new", data=FORM | {"title": EVIL, "overlap": EVIL, "kind": EVIL, "tags": EVIL})
    assert typed.status_code == 422
    assert "<script>alert" not in typed.text


def test_the_first_page_says_what_is_next(database_url, tmp_path):
    with Store.open(database_url) as store:
        site = make_site(store, runs=tmp_path)
        page = client(site, site.local).get("/").text
        for words in ("accord import FILE", "accord sample --store", "accord ask"):
            assert words in page
        store.add(world(prompts=2))
        assert "Prompts are there" in client(site, site.local).get("/").text
        annotator = client(site, user(site, "ann"))
        assert "There is nothing to vote on yet." in annotator.get("/").text
        assert "accord import" not in annotator.get("/").text
        made = campaign(site, title="Mine")
        assert "2 questions left for you" in annotator.get("/").text
        vote(site, made, user(site, "bob"), left)
        vote(site, made, site.people.all()[0], left)
        assert "Finished for you" in annotator.get("/").text
        items = client(site, site.local).get("/").text
        assert f'href="/vote/{made.id}" aria-label="Vote: Mine"' in items


def test_a_question_in_hand_is_still_left_for_its_annotator(site):
    made = campaign(site)
    site.asking.next(made.id, user(site, "ann").annotator_id, 6)
    assert site.progress.left(made.id, "ann") == 6


def test_campaigns_by_other_means_are_listed_too(api, site):
    site.campaigns.create(Campaign("", "By hand", Form.PAIR, NOON), "", "me")
    assert "No questions yet" in api.get("/campaigns").text
