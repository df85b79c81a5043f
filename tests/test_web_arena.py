"""The Arena: two hidden models answer at once, a vote, and on from the better answer."""

import contextlib
import http.client
import json
import random
import sys
import threading
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from accord.cli.main import app as commands
from accord.feedback import (
    AccordError,
    Annotator,
    Choice,
    Comparison,
    Message,
    Prompt,
    Response,
    Role,
    Sides,
    to_json,
)
from accord.feedback.answers import withdrawn
from accord.quality.wilson import wilson
from accord.store import Store
from accord.store.arena import ArenaVotes, Tally
from accord.web import drawing
from accord.web.app import create_app
from accord.web.arena import answers as arena_answers
from accord.web.arena import conversations as arena
from accord.web.arena.contenders import FILE, choose, chosen, contenders, meeting
from accord.web.arena.conversations import IDLE, LONGEST, MOST, PER_USER, Contender, Conversations
from accord.web.arena.standings import standings
from accord.web.arena.worker import Event, ModelWorker
from accord.web.identity import csrf_token
from arena_kit import BASE, DONE, FIRST, SECOND, Scripted, both, make_run
from web_kit import ORIGIN, client, make_site, served, user

VOTE = "vote-0001"
PATH = "/api/arena/conversations"


@pytest.fixture
def runs(tmp_path):
    """Two finished runs, of which `run-omega` is the newer one, and a reward model."""
    runs = tmp_path / "runs"
    runs.mkdir()
    for n, name in enumerate((FIRST, SECOND)):
        run = make_run(runs, name)
        began(run, n)
    began(make_run(runs, "reward-kappa", method="reward"), 7)
    return runs


def began(run, day):
    """Sets when the run began."""
    info = json.loads((run.path / "run.json").read_text())
    info["started"] = datetime(2026, 1, 1 + day, tzinfo=UTC).isoformat()
    (run.path / "run.json").write_text(json.dumps(info))


@pytest.fixture
def site(sqlite_store_url, runs):
    with Store.open(sqlite_store_url) as store:
        yield make_site(store, runs=runs, team=True, worker=Scripted())


@pytest.fixture
def ann(site):
    return user(site, "ann")


@pytest.fixture
def browser(site, ann):
    return client(site, ann)


def begin(browser):
    begun = browser.post(PATH)
    assert begun.status_code == 201, begun.text
    return begun.json()["id"]


def ask(browser, id, message="Why?", **settings):
    """The events of an answer."""
    answer = browser.post(f"{PATH}/{id}/answers", json={"message": message, **settings})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines() if line]


def vote(browser, id, events, choice="left", vote_id=VOTE, **more):
    said = {"id": vote_id, "round": events[0]["round"], "choice": choice, **more}
    return browser.post(f"{PATH}/{id}/votes", json=said)


def standing(browser, id):
    return browser.get(f"{PATH}/{id}").json()


def texts(events):
    return [
        "".join(event["text"] for event in events if event["event"] == "piece" and event["side"] == side)
        for side in ("left", "right")
    ]


# Who meets


def test_those_who_answer_may_meet_and_the_newest_run_meets_its_beginning(site, runs):
    assert [contender.name for contender in contenders(site)] == [SECOND, FIRST, BASE, "smollm2"]
    newest, base = meeting(site)
    assert newest == Contender(SECOND, str(runs / SECOND), BASE)
    assert base == Contender(BASE, f"base:{runs / SECOND}")
    began(make_run(runs, "still-training", finished=False), 9)
    began(make_run(runs, "without-weights", weights=False), 9)
    assert [contender.name for contender in meeting(site)] == [SECOND, BASE]
    assert "still-training" in {contender.name for contender in contenders(site)}
    assert "without-weights" not in {contender.name for contender in contenders(site)}


def test_where_nothing_was_trained_nobody_meets(site, tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        site.runs = folder
        assert contenders(site) == meeting(site) == []


def test_what_a_run_began_with_is_told_apart(site, runs):
    began(make_run(runs, "further", base=runs / FIRST), 10)
    began(make_run(runs, "with-adapter", base="acme/b", adapter_name_or_path="acme/lora", model_revision="v1"), 11)
    began(make_run(runs, "echo", base="echo"), 12)
    began(make_run(runs, "silent", base=""), 13)
    found = {contender.name: contender for contender in contenders(site)}
    assert found["further"].base == FIRST, "a run that goes on from another began as that one"
    assert found["with-adapter"].base == "acme/b + acme/lora + v1"
    assert found["acme/b + acme/lora + v1"].source == f"base:{runs / 'with-adapter'}"
    assert found["echo"].source == str(runs / "echo")
    assert found["echo (base)"].source == f"base:{runs / 'echo'}", "a run may be called as a model is"
    assert found["silent"].base == ""
    assert [contender.name for contender in meeting(site)] == ["echo", "echo (base)"]


def test_a_curator_chooses_who_meets(site, runs):
    choose(site, [FIRST, BASE])
    assert [contender.name for contender in meeting(site)] == [FIRST, BASE]
    with pytest.raises(AccordError, match="choose two or more"):
        choose(site, [FIRST])
    with pytest.raises(AccordError, match="no-such: no such contender"):
        choose(site, [FIRST, "no-such"])
    assert chosen(site) == [FIRST, BASE]
    choose(site, [])
    assert [contender.name for contender in meeting(site)] == [SECOND, BASE]
    for damaged in ("{", "[]", '{"contenders": 3}', '{"contenders": ["gone", "lost"]}'):
        (runs / FILE).write_text(damaged)
        assert [contender.name for contender in meeting(site)] == [SECOND, BASE]


def test_all_who_are_chosen_come_to_be_drawn(site, ann):
    choose(site, [FIRST, SECOND, BASE])
    met = set()
    for _ in range(60):
        met.add(frozenset(contender.name for contender in site.conversations.begin(ann.id, meeting(site)).two))
    assert met == {frozenset(pair) for pair in ((FIRST, SECOND), (FIRST, BASE), (SECOND, BASE))}


def test_curators_choose_on_a_page_and_by_the_api(site):
    cora = client(site, user(site, "cora", Role.CURATOR))
    page = cora.get("/arena/standings")
    assert page.status_code == 200
    assert all(name in page.text for name in (FIRST, SECOND, BASE))
    assert "reward-kappa" not in page.text
    for ticked, why in (([], "Choose two or more"), ([FIRST], "Choose two or more"), ([FIRST, "x"], "X: no such")):
        refused = cora.post("/arena/contenders", data={"contender": ticked})
        assert refused.status_code == 422
        assert why in refused.text or why in refused.text.replace("One alone meets nobody (choose", "Choose"), why
    there = cora.post("/arena/contenders", data={"contender": [FIRST, BASE]})
    assert (there.status_code, there.headers["location"]) == (303, "/arena/standings?done=chosen")
    field = cora.get("/api/arena/contenders").json()
    assert field["chosen"]
    assert [each["name"] for each in field["contenders"] if each["meets"]] == [FIRST, BASE]
    back = cora.post("/arena/contenders", data={"default": "yes"})
    assert back.headers["location"] == "/arena/standings?done=default"
    changed = cora.put("/api/arena/contenders", json={"contenders": [FIRST, SECOND]}).json()
    assert [each["name"] for each in changed["contenders"] if each["meets"]] == [SECOND, FIRST]
    assert cora.put("/api/arena/contenders", json={"contenders": [FIRST]}).status_code == 400
    assert chosen(site) == [FIRST, SECOND]


# Talking and voting


def test_both_answer_and_the_vote_is_kept_with_all_of_it(site, ann, browser, runs, sqlite_store_url):
    id = begin(browser)
    events = ask(browser, id, "Why is the sky blue?", temperature=0.5, max_new_tokens=99)
    assert [event["event"] for event in events] == ["round", *["piece"] * 4, "end", "end", "done"]
    assert [event["side"] for event in events[1:5]] == ["left", "right", "left", "right"]
    assert texts(events) == ["Left says", "Right says"]
    assert events[-1] == {"event": "done", "stopped": False}
    (sources, messages, sampling), *_ = site.worker.asked
    assert messages == [{"role": "user", "content": "Why is the sky blue?"}]
    assert {name: sampling[name] for name in ("temperature", "top_p", "max_new_tokens")} == {
        "temperature": 0.5,
        "top_p": 0.95,
        "max_new_tokens": 99,
    }

    before = datetime.now(UTC)
    reply = vote(browser, id, events, "right", seconds=4.25)
    assert (reply.status_code, reply.json()) == (200, {"id": VOTE, "saved": True, "goes_on": "right"})
    with Store.open(sqlite_store_url) as other:  # it is on disk
        (kept,) = other.comparisons()
        assert (kept.id, kept.annotator_id, kept.choice) == (VOTE, ann.annotator_id, Choice.RIGHT)
        assert (kept.sides, kept.seconds) == (Sides.SHUFFLED, 4.25)
        assert before <= kept.at <= datetime.now(UTC)
        assert kept.extra == {"arena": True, "sampling": sampling, "conversation": id, "round": events[0]["round"]}
        assert other.prompt(kept.prompt_id).content == (Message("user", "Why is the sky blue?"),)
        named = {str(runs / SECOND): SECOND, f"base:{runs / SECOND}": BASE}
        for response_id, source, text in zip(
            (kept.left_id, kept.right_id), sources, ("Left says", "Right says"), strict=True
        ):
            response = other.response(response_id)
            assert (response.source, response.content) == (named[source], (Message("assistant", text),))
            assert response.extra == {"arena": True, "finished": True, "sampling": sampling}


@pytest.mark.parametrize(("choice", "side", "said"), [
    ("left", "left", "Left says"),
    ("right", "right", "Right says"),
    ("tie", "left", "Left says"),
    ("both_bad", "left", "Left says"),
])  # fmt: skip
def test_the_conversation_goes_on_from_the_preferred_answer(site, browser, choice, side, said):
    id = begin(browser)
    assert vote(browser, id, ask(browser, id, "One?"), choice).json()["goes_on"] == side
    assert standing(browser, id)["round"] is None
    vote(browser, id, ask(browser, id, "Two?"), vote_id="vote-0002")
    _, messages, _ = site.worker.asked[-1]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "One?"),
        ("assistant", said),
        ("user", "Two?"),
    ]
    assert [message["text"] for message in standing(browser, id)["messages"]] == ["One?", said, "Two?", "Left says"]
    first, second = site.store.comparisons()
    assert len(site.store.prompt(first.prompt_id).content) == 1
    assert to_json(site.store.prompt(second.prompt_id).content) == messages


def test_sides_are_drawn_anew_for_each_message(site, browser, runs):
    id, orders = begin(browser), set()
    for n in range(24):
        events = ask(browser, id)
        orders.add(tuple(site.worker.asked[-1][0]))
        vote(browser, id, events, vote_id=f"vote-{n:04}")
    sources = (str(runs / SECOND), f"base:{runs / SECOND}")
    assert orders == {sources, sources[::-1]}
    assert len({sampling["seed"] for *_, sampling in site.worker.asked}) == 24
    lefts = {site.store.response(kept.left_id).source for kept in site.store.comparisons()}
    assert lefts == {SECOND, BASE}


def test_the_same_vote_again_counts_once_and_is_answered_alike(site, browser, ann):
    id = begin(browser)
    events = ask(browser, id)
    first = vote(browser, id, events, "right")
    for choice in ("right", "left"):
        assert vote(browser, id, events, choice).json() == first.json()
    site.conversations = Conversations()  # as after a restart
    assert vote(browser, id, events, "right").json() == first.json()
    assert vote(browser, id, events, vote_id="vote-0002").status_code == 404
    (kept,) = site.store.comparisons(history=True)
    assert kept.choice is Choice.RIGHT


def test_votes_that_come_at_once_count_once(site, ann):
    app = create_app(site)
    browser = client(site, ann, app=app)
    id = begin(browser)
    events, replies = ask(browser, id), []
    barrier = threading.Barrier(4)

    def send():
        own = client(site, ann, app=app)
        barrier.wait()
        replies.append(vote(own, id, events, "right"))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(reply.status_code, reply.json()["goes_on"]) for reply in replies} == {(200, "right")}
    assert len(list(site.store.comparisons())) == 1
    assert len(standing(browser, id)["messages"]) == 2


def test_a_round_is_decided_about_once(site, browser):
    id = begin(browser)
    events = ask(browser, id)
    assert browser.post(f"{PATH}/{id}/answers", json={"message": "And?"}).status_code == 409, "vote first"
    assert vote(browser, id, [{"round": "another"}]).status_code == 409
    assert vote(browser, id, events).status_code == 200
    assert vote(browser, id, events, vote_id="vote-0002").status_code == 409
    assert browser.post(f"{PATH}/{id}/skip", json={"round": events[0]["round"]}).status_code == 200
    assert len(standing(browser, id)["messages"]) == 2, "what was voted stays"


def test_a_conversation_does_not_go_on_for_ever(site, browser, monkeypatch):
    monkeypatch.setattr(arena, "MOST_MESSAGES", 2)
    id = begin(browser)
    for n in range(2):
        vote(browser, id, ask(browser, id), vote_id=f"vote-000{n}")
    refused = browser.post(f"{PATH}/{id}/answers", json={"message": "And?"})
    assert (refused.status_code, "begin a new one" in refused.text) == (409, True)


def test_an_id_of_another_vote_is_taken(site, browser):
    other = client(site, user(site, "bea"))
    theirs = begin(other)
    vote(other, theirs, ask(other, theirs))
    id = begin(browser)
    events = ask(browser, id)
    refused = vote(browser, id, events)
    assert refused.status_code == 409
    assert "taken by another vote" in refused.json()["detail"]
    assert vote(browser, id, events, vote_id="vote-0002").status_code == 200


def test_of_two_that_say_the_same_neither_is_better(site, browser):
    site.worker.script = lambda models, messages: [*both("Same", "Same\n"), DONE]
    id = begin(browser)
    events = ask(browser, id)
    for choice in ("left", "right"):
        assert vote(browser, id, events, choice).status_code == 422
    assert vote(browser, id, events, "both_bad").status_code == 200


def test_a_vote_that_was_not_kept_can_be_sent_again(site, browser, monkeypatch):
    id = begin(browser)
    events = ask(browser, id)
    with monkeypatch.context() as broken:
        broken.setattr(site.store, "add", lambda nouns: (_ for _ in ()).throw(AccordError("the disk is full")))
        assert vote(browser, id, events).status_code == 400
    assert standing(browser, id)["round"]["id"] == events[0]["round"]
    assert vote(browser, id, events).status_code == 200


def test_a_conversation_is_put_before_nobody_else(site, browser):
    id = begin(browser)
    assert vote(browser, id, ask(browser, id)).status_code == 200
    assert len(list(site.store.responses())) == 2
    assert list(drawing.answers(site.store)) == []
    assert drawing.first_campaign(site) == 0


def test_what_is_skipped_is_not_kept(site, browser):
    id = begin(browser)
    events = ask(browser, id)
    left = browser.post(f"{PATH}/{id}/skip", json={"round": events[0]["round"]})
    assert left.json() == {"id": id, "messages": [], "round": None}
    assert vote(browser, id, events).status_code == 409
    assert site.store.counts() == {"prompts": 0, "responses": 0, "annotators": 1, "comparisons": 0, "ratings": 0}
    ask(browser, id, "Something else")
    assert len(site.worker.asked[-1][1]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"message": ""},
        {"message": " \n"},
        {"message": "x" * 20_001},
        {"message": "a\0b"},
        {"message": "a", "temperature": -1},
        {"message": "a", "max_new_tokens": 0},
        {"message": "a", "max_new_tokens": 100_000},
        {"message": "a", "models": ["/etc"]},
        {"message": "a", "annotator_id": "bea"},
    ],
)
def test_what_cannot_be_asked_is_refused(site, browser, body):
    assert browser.post(f"{PATH}/{begin(browser)}/answers", json=body).status_code == 422
    assert site.worker.asked == []


# What nobody may see


def test_annotators_never_read_a_name(site, browser, runs):
    site.worker.script = lambda models, messages: [
        Event("waiting", before=2),
        Event("loading"),
        Event("error", text=f"{runs / SECOND}: loading {BASE} failed"),
    ]
    id = begin(browser)
    answers = [browser.get("/arena"), browser.post(PATH), browser.get("/"), browser.get("/api/openapi.json")]
    answers.append(browser.post(f"{PATH}/{id}/answers", json={"message": "Why?"}))
    assert '{"event": "error", "why": "The models could not answer."}' in answers[-1].text

    def failing(models, messages):
        yield Event("piece", side=0, text="I")
        raise RuntimeError(f"no {models[0]} here")

    site.worker.script = failing
    answers.append(browser.post(f"{PATH}/{id}/answers", json={"message": "Why?"}))
    site.worker.script = Scripted().script
    answers.append(asked := browser.post(f"{PATH}/{id}/answers", json={"message": "Why?"}))
    events = [json.loads(line) for line in asked.text.splitlines()]
    answers.append(browser.get(f"{PATH}/{id}"))
    answers.append(browser.post(f"{PATH}/{id}/stop"))
    answers.append(browser.post(f"{PATH}/{id}/answers", json={"message": "Why?"}))
    answers += [vote(browser, id, events), vote(browser, id, events), vote(browser, id, events, vote_id="vote-0002")]
    answers.append(browser.post(f"{PATH}/{id}/skip", json={"round": "x"}))
    for path in ("/arena/standings", "/api/arena/standings", "/api/arena/contenders"):
        answers.append(refused := browser.get(path))
        assert refused.status_code == 403
    answers.append(browser.put("/api/arena/contenders", json={"contenders": [FIRST, BASE]}))
    answers.append(browser.post("/arena/contenders", data={"contender": [FIRST, BASE]}))
    assert [answer.status_code for answer in answers[-2:]] == [403, 403]
    for answer in answers:
        told = answer.text + str(answer.headers) + str(answer.url)
        assert not [name for name in ("acme", "secret", "sigma", "omega", "kappa", str(runs)) if name in told], told


def test_curators_read_what_went_wrong(site):
    site.worker.script = lambda models, messages: [Event("error", text="memory ran out")]
    cora = client(site, user(site, "cora", Role.CURATOR))
    assert ask(cora, begin(cora))[-1]["why"] == "The models could not answer. memory ran out"


def test_a_conversation_is_its_persons_own(site, browser):
    id = begin(browser)
    events = ask(browser, id)
    eve = client(site, user(site, "eve", Role.ADMIN))
    assert eve.get(f"{PATH}/{id}").status_code == 404
    assert eve.post(f"{PATH}/{id}/stop").status_code == 404
    assert eve.post(f"{PATH}/{id}/answers", json={"message": "Hi"}).status_code == 404
    assert eve.post(f"{PATH}/{id}/skip", json={"round": events[0]["round"]}).status_code == 404
    assert vote(eve, id, events).status_code == 404
    assert standing(browser, id)["round"] is not None


def test_who_is_nobody_is_let_nowhere(site):
    nobody = TestClient(create_app(site), base_url=ORIGIN, headers={"origin": ORIGIN}, follow_redirects=False)
    assert nobody.get("/arena").status_code == 303
    for method, path in (
        ("POST", PATH),
        ("GET", f"{PATH}/x"),
        ("POST", f"{PATH}/x/answers"),
        ("POST", f"{PATH}/x/votes"),
        ("GET", "/api/arena/standings"),
        ("GET", "/api/arena/contenders"),
    ):
        assert nobody.request(method, path).status_code == 401, path


def test_a_message_needs_the_pages_token(site, browser, ann):
    id = begin(browser)
    del browser.headers["x-csrf-token"]
    assert browser.post(f"{PATH}/{id}/answers", json={"message": "Hi"}).status_code == 403
    token = site.people.open_session(ann.id, name="script", days=1)
    script = TestClient(create_app(site), base_url=ORIGIN, headers={"authorization": f"Bearer {token}"})
    assert ask(script, id)[-1]["event"] == "done"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\u202eevil", "", "</pre>\r\n\x07", "a\0b\ud800c"])
def test_whatever_models_say_comes_as_text_and_is_kept(site, browser, text):
    site.worker.script = lambda models, messages: [*both(text, "fine"), DONE]
    id = begin(browser)
    events = ask(browser, id)
    clean = text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert texts(events) == [clean, "fine"]
    assert vote(browser, id, events).status_code == 200
    (kept,) = site.store.comparisons()
    assert site.store.response(kept.left_id).content == (Message("assistant", clean),)
    assert "script>" not in browser.get("/arena").text.replace("</script>", "").replace("noscript>", "")


def test_an_endless_answer_is_cut(site, browser):
    site.worker.script = lambda models, messages: (Event("piece", side=n % 2, text="x" * 9_999) for n in range(10_000))
    id = begin(browser)
    events = ask(browser, id)
    assert events[-1] == {"event": "done", "stopped": True}
    assert max(map(len, texts(events))) < LONGEST + 10_000
    assert site.worker.ended == 1
    assert vote(browser, id, events).status_code == 200


def test_an_answer_that_tells_its_model_is_marked(site, browser):
    site.worker.script = lambda models, messages: [*both("I am ChatGPT.", "Hello."), DONE]
    id = begin(browser)
    vote(browser, id, ask(browser, id))
    (kept,) = site.store.comparisons()
    assert kept.extra["named"] == "I am ChatGPT"
    cora = client(site, user(site, "cora", Role.CURATOR))
    assert cora.get("/api/arena/standings").json()[0]["named"] == 1


# While they answer


def test_who_waits_is_told_and_so_is_loading(site, browser):
    site.worker.script = lambda models, messages: [
        Event("waiting", before=2),
        Event("waiting", before=1),
        Event("loading"),
        *both("a", "b", finished=False),
        DONE,
    ]
    events = ask(browser, begin(browser))
    assert events[1:4] == [{"event": "waiting", "before": 2}, {"event": "waiting", "before": 1}, {"event": "loading"}]
    assert {"event": "end", "side": "right", "finished": False} in events


def test_silence_is_filled(site, browser, monkeypatch):
    monkeypatch.setattr(arena_answers, "BEAT", 0.01)
    site.worker.script = lambda models, messages: [0.1, *both("a", "b"), DONE]
    answer = browser.post(f"{PATH}/{begin(browser)}/answers", json={"message": "Hi"})
    assert answer.text.splitlines().count("") >= 2


def test_an_error_leaves_the_conversation_as_it_was(site, browser):
    site.worker.script = lambda models, messages: [Event("piece", text="I"), Event("error", text="out of memory")]
    id = begin(browser)
    events = ask(browser, id)
    assert events[-1] == {"event": "error", "why": "The models could not answer."}
    assert standing(browser, id) == {"id": id, "messages": [], "round": None}
    assert vote(browser, id, events).status_code == 409
    site.worker.script = Scripted().script
    assert ask(browser, id)[-1]["event"] == "done"


class Stream:
    """An answer that is read as it comes, from a real server."""

    def __init__(self, site, address, who, id, message="Hi"):
        secret = site.people.open_session(who.id)
        self.headers = {
            "origin": address,
            "cookie": f"{site.cookie}={secret}",
            "x-csrf-token": csrf_token(secret),
            "content-type": "application/json",
        }
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        self.connection.request("POST", f"{PATH}/{id}/answers", json.dumps({"message": message}), self.headers)
        self.answer = self.connection.getresponse()

    def until(self, kind):
        events = []
        while not events or events[-1]["event"] != kind:
            if line := self.answer.readline().strip():
                events.append(json.loads(line))
        return events

    def close(self):
        self.answer.close()
        self.connection.close()


def eventually(true, seconds=30):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def endless(models, messages):
    yield Event("loading")
    while True:
        yield Event("piece", side=0, text="a ")
        yield Event("piece", side=1, text="b ")
        yield 0.02


def waiting(models, messages):
    yield Event("waiting", before=1)
    yield 60


def half(models, messages):
    yield Event("piece", side=0, text="a ")
    yield 60


@pytest.mark.parametrize(("script", "seen", "stands"), [
    (endless, "piece", True),
    (waiting, "waiting", False),
    (half, "piece", False),
])  # fmt: skip
def test_closing_the_tab_stops_both(site, ann, script, seen, stands):
    site.worker.script = script
    with served(site) as address:
        conversation = site.conversations.begin(ann.id, meeting(site))
        stream = Stream(site, address, ann, conversation.id)
        stream.until(seen)
        time.sleep(0.1)
        assert site.worker.ended == 0
        stream.close()
        eventually(lambda: site.worker.ended == 1)
        eventually(lambda: conversation.round is None or not conversation.round.answering)
        assert (conversation.round is not None) is stands


def test_stopping_leaves_what_was_said(site, ann):
    site.worker.script = endless
    with served(site) as address:
        conversation = site.conversations.begin(ann.id, meeting(site))
        stream = Stream(site, address, ann, conversation.id)
        events = stream.until("piece")
        busy = Stream(site, address, ann, conversation.id)
        assert busy.answer.status == 409
        stopping = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        time.sleep(0.1)
        stopping.request("POST", f"{PATH}/{conversation.id}/stop", headers=stream.headers)
        shown = json.loads(stopping.getresponse().read())
        assert shown["round"]["stopped"]
        assert not shown["round"]["answering"]
        events += stream.until("done")
        assert events[-1] == {"event": "done", "stopped": True}
        assert texts(events) == [shown["round"][side]["text"] for side in ("left", "right")]
        assert site.worker.ended == 1
        for connection in (stream, busy, stopping):
            connection.close()
    browser = client(site, ann)
    assert vote(browser, conversation.id, events).status_code == 200
    (kept,) = site.store.comparisons()
    assert kept.extra["stopped"] is True
    assert site.store.response(kept.left_id).extra["finished"] is False


def test_stopping_before_both_said_something_is_as_if_nothing_was_asked(site, ann):
    site.worker.script = half
    with served(site) as address:
        conversation = site.conversations.begin(ann.id, meeting(site))
        stream = Stream(site, address, ann, conversation.id)
        stream.until("piece")
        stopping = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        stopping.request("POST", f"{PATH}/{conversation.id}/stop", headers=stream.headers)
        assert json.loads(stopping.getresponse().read())["round"] is None
        assert stream.until("dropped")[-1] == {"event": "dropped"}
        stream.close()
        stopping.close()


# What is remembered


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


TWO = [Contender("a", "/a"), Contender("b", "/b")]


def test_conversations_end_when_nothing_happens():
    clock = Clock()
    known = Conversations(clock)
    first = known.begin("ann", TWO)
    clock.now += IDLE - 1
    assert known.get("ann", first.id) is first
    clock.now += IDLE - 1
    second = known.begin("bea", TWO)
    assert known.get("ann", first.id) is first
    clock.now += IDLE + 1
    assert known.get("ann", first.id) is None
    assert known.get("bea", second.id) is None


def test_so_many_conversations_are_remembered():
    known = Conversations(Clock(), random.Random(0))
    made = [known.begin("ann", TWO) for _ in range(PER_USER)]
    assert known.get("ann", made[0].id)
    made.append(known.begin("ann", TWO))
    assert [bool(known.get("ann", one.id)) for one in made[:3]] == [True, False, True], "the one used longest ago goes"
    for n in range(MOST):
        known.begin(f"user {n}", TWO)
    assert known.get("ann", made[0].id) is None
    assert len(known._known) == MOST


def test_a_conversation_that_has_ended_says_so(site, browser):
    id = begin(browser)
    events = ask(browser, id)
    site.conversations = Conversations()
    for answer in (
        browser.get(f"{PATH}/{id}"),
        browser.post(f"{PATH}/{id}/answers", json={"message": "Hi"}),
        browser.post(f"{PATH}/{id}/stop"),
        vote(browser, id, events),
    ):
        assert answer.status_code == 404
        assert "this conversation has ended" in answer.json()["detail"]


# Where there is no arena


def test_without_a_worker_the_page_says_what_to_do(site):
    site.worker = None
    ann, cora = client(site, user(site, "anna")), client(site, user(site, "cora", Role.CURATOR))
    assert "It is not open yet" in ann.get("/arena").text
    assert "--no-arena" in cora.get("/arena").text
    assert ann.post(PATH).status_code == 409
    assert cora.get("/arena/standings").status_code == 200
    assert 'href="/arena"' not in ann.get("/").text


def test_without_a_run_the_page_says_what_to_do(site, tmp_path):
    site.runs = tmp_path / "none"
    ann, cora = client(site, user(site, "anna")), client(site, user(site, "cora", Role.CURATOR))
    assert "It is not open yet" in ann.get("/arena").text
    assert "accord dpo" in cora.get("/arena").text
    assert ann.post(PATH).status_code == 409
    assert "Nobody has met yet" in cora.get("/arena/standings").text
    assert cora.get("/api/arena/standings").json() == []


# Standings


def test_standings_count_from_either_side():
    told = [
        Tally("run", "base", Choice.LEFT, "ann", 5, 1),
        Tally("base", "run", Choice.RIGHT, "ann", 3, 0),
        Tally("base", "run", Choice.LEFT, "bea", 1, 0),
        Tally("run", "base", Choice.TIE, "bea", 2, 0),
        Tally("base", "run", Choice.BOTH_BAD, "cem", 4, 0),
        Tally("tie", "both_bad", Choice.RIGHT, "cem", 1, 0),
    ]
    first, second, third = standings(told, ["run", "base", "new"], ["base", "new"])
    assert (first.first, first.second, first.votes, first.annotators, first.named) == ("run", "base", 15, 3, 1)
    assert (first.wins, first.ties, first.losses, first.both_bad) == (8, 2, 1, 4)
    assert first.share == pytest.approx(9 / 11)
    assert (first.low, first.high) == wilson(9, 11)
    assert first.meaning == "People prefer run, more than chance would do."
    assert (second.first, second.second, second.wins, second.losses) == ("both_bad", "tie", 1, 0)
    assert (third.first, third.second, third.votes, third.share) == ("base", "new", 0, None)
    assert third.meaning == "Nobody knows yet: no vote prefers either."


@pytest.mark.parametrize(("wins", "losses", "people", "meaning"), [
    (9, 0, 2, "about 10 votes would tell"),
    (10, 0, 2, "People prefer run, more than chance would do."),
    (10, 0, 1, "The one person who voted prefers run, more than chance would do."),
    (0, 10, 2, "People prefer base, more than chance would do."),
    (6, 6, 2, "so far neither is preferred"),
    (60, 40, 2, "People prefer run, more than chance would do."),
    (59, 41, 2, "about 119 votes would tell"),
    (5_010, 4_990, 2, "more than 10,000 votes would tell"),
])  # fmt: skip
def test_standings_say_whether_they_say_anything(wins, losses, people, meaning):
    told = [Tally("run", "base", Choice.LEFT, "ann", wins, 0), Tally("run", "base", Choice.RIGHT, "ann", losses, 0)]
    told += [Tally("run", "base", Choice.BOTH_BAD, f"person {n}", 1, 0) for n in range(people - 1)]
    (found,) = standings(told, ["run", "base"])
    assert meaning in found.meaning
    low, high = wilson(wins, wins + losses)
    assert ("prefer" in found.meaning and "neither" not in found.meaning) == (
        wins + losses >= 10 and not low <= 0.5 <= high
    )


def test_votes_that_count_in_the_arena(database_url):
    prompt = Prompt("Why?")
    left, right = (Response(prompt.id, text, source=text) for text in ("run", "base"))
    common = {"annotator_id": "ann", "prompt_id": prompt.id, "left_id": left.id, "right_id": right.id}
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def cast(id, choice=Choice.LEFT, **extra):
        return Comparison(id, choice=choice, at=at, extra=extra, **common)

    taken_back = cast("taken-back", arena=True)
    with Store.open(database_url) as store:
        store.add([prompt, left, right, Annotator("ann")])
        store.add([
            cast("one", arena=True, named="I am run"),
            cast("two", arena=True),
            cast("three", Choice.TIE, arena=True),
            cast("elsewhere"),
            cast("odd", arena="yes"),
            cast("odder", arena={"true": 1}),
            cast("no", arena=False),
            taken_back,
            withdrawn(taken_back, "taken-back-2", at),
        ])  # fmt: skip
        found = ArenaVotes(store)
        assert sorted(found.tallies()) == [
            Tally("run", "base", Choice.LEFT, "ann", 2, 1),
            Tally("run", "base", Choice.TIE, "ann", 1, 0),
        ]
        assert found.get("two") == cast("two", arena=True)
        assert found.get("four") is None


def test_standings_on_the_page_escape_names(site, browser):
    id = begin(browser)
    vote(browser, id, ask(browser, id), "tie")
    cora = client(site, user(site, "cora", Role.CURATOR))
    page = cora.get("/arena/standings")
    assert "50 %" in page.text
    assert "so far neither is preferred" in page.text
    prompt = Prompt("Why?")
    responses = [Response(prompt.id, text, source=f"<b>{text}\u202e</b>") for text in ("x", "y")]
    ids = [response.id for response in responses]
    given = Comparison("hostile", "ann", prompt.id, *ids, Choice.LEFT, at=datetime.now(UTC), extra={"arena": True})
    site.store.add([prompt, *responses, given])
    page = cora.get("/arena/standings").text
    assert "&lt;b&gt;x⟨U+202E⟩&lt;/b&gt;" in page
    assert "<b>x" not in page
    assert "\u202e" not in page


# All of it


def test_two_real_models(sqlite_store_url, tiny_model_dir, byte_tokenizer, tmp_path):
    """The real process, a tiny run and its beginning; then what people said is exported."""
    import torch
    from peft import LoraConfig, get_peft_model

    from conftest import make_tiny_llama

    runs = tmp_path / "runs"
    run = make_run(runs, "tuned", base=tiny_model_dir, weights=False, use_peft=True)
    torch.manual_seed(1)
    model = make_tiny_llama(byte_tokenizer)
    model.name_or_path = str(tiny_model_dir)
    lora = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    get_peft_model(model, lora).save_pretrained(run.path)
    byte_tokenizer.save_pretrained(run.path)
    with Store.open(sqlite_store_url) as store:
        worker = ModelWorker([sys.executable, "-m", "accord.cli.arena_worker"])
        site = make_site(store, runs=runs, worker=worker)
        with served(site) as address:
            conversation = site.conversations.begin(site.local.id, meeting(site))
            stream = Stream(site, address, site.local, conversation.id, "Hello")
            events = stream.until("done")
            stream.close()
        assert {"event": "loading"} in events
        assert all(texts(events))
        browser = client(site, site.local)
        assert vote(browser, conversation.id, events, "right").status_code == 200
        (kept,) = store.comparisons()
        assert {store.response(id).source for id in (kept.left_id, kept.right_id)} == {"tuned", str(tiny_model_dir)}
    (tmp_path / "accord.yaml").write_text(f"name: test\ndatabase: {sqlite_store_url}\n")
    out = tmp_path / "votes.jsonl"
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(commands, ["export", str(out), "--labels", "majority"])
    assert done.exit_code == 0, done.output
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["prompt"] == [{"role": "user", "content": "Hello"}]
    assert row["chosen"] == [{"role": "assistant", "content": texts(events)[1]}]
