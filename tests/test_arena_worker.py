"""The Arena's models answer in a process of their own, two at once; the web server asks it and outlives it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing, suppress

import psutil
import pytest
import torch

from accord.cli import arena_models, arena_worker
from accord.cli.arena_models import ArenaModels
from accord.cli.arena_worker import Question, answer
from accord.cli.chat import Chat, load
from accord.cli.fitting import fitted
from accord.feedback import AccordError, Message
from accord.policy.load import load_policy
from accord.rollout import Sampler
from accord.runs import Run
from accord.web.arena.worker import Event, ModelWorker
from conftest import make_tiny_llama, run_apart

pytestmark = pytest.mark.xdist_group("arena-worker")  # they share a process and runs

REAL = [sys.executable, "-m", "accord.cli.arena_worker"]
HELLO = [Message("user", "Hello")]


@pytest.fixture(scope="module")
def make_run(tmp_path_factory, tiny_model_dir, byte_tokenizer):
    """make_run(name, seed, ...) -> the folder of a run that began with the tiny Llama; an adapter unless `whole`."""

    def make(name, seed, whole=False, method="dpo", **lora):
        from peft import LoraConfig, get_peft_model

        path = tmp_path_factory.mktemp("runs") / name
        Run.create(
            path, config={"use_peft": not whole}, command="accord", method=method, base_model=str(tiny_model_dir)
        )
        model = make_tiny_llama(byte_tokenizer, seed if whole else 0)
        if not whole:
            torch.manual_seed(seed)
            model.name_or_path = str(tiny_model_dir)
            config = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"], **lora)
            model = get_peft_model(model, config)
        model.save_pretrained(path)
        byte_tokenizer.save_pretrained(path)
        return str(path)

    return make


@pytest.fixture(scope="module")
def tuned(make_run):
    return make_run("tuned", 1)


def asked(*models, messages=HELLO, temperature=0.7, top_p=0.95, max_new_tokens=24, seed=3):
    return Question(list(models), messages, temperature, top_p, max_new_tokens, seed)


def alone(place, question, side=0):
    """What a model says when it is loaded for itself, through `Sampler.stream`, and whether it ended."""
    policy = load_policy(place)
    sampler = Sampler(policy.model, policy.tokenizer)
    decoding = {name: getattr(question, name) for name in ("temperature", "top_p", "max_new_tokens")}
    decoding["seed"] = question.seed + side
    said = "".join(sampler.stream(question.messages, **decoding))
    sampled = next(sampler.sample([question.messages], **decoding))
    assert said == sampled.text
    return said, sampled.finished


def ask(models, question, cancelled=lambda told: False):
    """(event, what came with it) of a question, in this process."""
    told = []
    answer(models, question, lambda event, **more: told.append((event, more)), lambda: cancelled(told))
    return told


def texts(told, sides=2):
    return [
        "".join(more["text"] for event, more in told if event == "piece" and more["side"] == s) for s in range(sides)
    ]


def ends(told):
    return {more["side"]: more["finished"] for event, more in told if event == "end"}


def test_both_answer_at_once_what_each_would_alone(tuned, tiny_model_dir):
    models, question = ArenaModels(), asked(f"base:{tuned}", tuned)
    told = ask(models, question)
    before, after = alone(tiny_model_dir, question), alone(tuned, question, side=1)
    assert before[0] != after[0]
    assert texts(told) == [before[0], after[0]]
    assert ends(told) == {0: before[1], 1: after[1]}
    assert len(models.kept) == 1, "the base is there once, with the adapter on it"
    sides = [more["side"] for event, more in told if event == "piece"]
    assert sides[:6] == [0, 1, 0, 1, 0, 1]
    assert [event for event, _ in told][:1] == ["loading"]
    assert [event for event, _ in told][-1] == "done"


def test_the_same_as_accord_chat_says(tuned, capsys):
    chat = Chat(
        load(tuned, True, {"dtype": "auto"}), None, {"temperature": 0.7, "top_p": 0.95, "max_new_tokens": 24}, 3
    )
    chat.turn("Hello")
    models, pair = ArenaModels(), [f"base:{tuned}", tuned]
    told = [texts(ask(models, asked(*order)))[0] for order in (pair, pair[::-1])]  # each as the first, with its seed
    assert capsys.readouterr().out == "".join(f"{text}\n" for text in told)


def test_an_answer_says_whether_its_model_ended_it(tuned):
    models, found = ArenaModels(), set()
    for seed in range(40):
        question = asked(tuned, tuned, seed=seed, max_new_tokens=60, temperature=1.0)
        told = ask(models, question)
        beside = [alone(tuned, question, side) for side in (0, 1)]  # a model beside itself
        assert texts(told) == [text for text, _ in beside]
        assert texts(told)[0] != texts(told)[1]
        assert ends(told) == {side: finished for side, (_, finished) in enumerate(beside)}
        found |= set(ends(told).values())
        if len(found) == 2:
            break
    assert found == {True, False}


@pytest.mark.parametrize("turn", [0.0, 0.02])
@pytest.mark.parametrize("lora", [{}, {"use_dora": True}], ids=["copied", "bound"])
def test_several_adapters_share_one_base(make_run, tiny_model_dir, monkeypatch, lora, turn):
    """DoRA cannot be taken out of its modules: its steps need the adapter switched on again each time."""
    monkeypatch.setattr(arena_worker, "TURN_SECONDS", turn)
    first, second = make_run("first", 1, **lora), make_run("second", 2, **lora)
    models, truth = ArenaModels(), {}
    sources = {"base": str(tiny_model_dir), "first": first, "second": second}
    for name, place in sources.items():
        truth[name] = [alone(place, asked(""), side)[0] for side in (0, 1)]
    assert len({text for sides in truth.values() for text in sides}) == 6
    for pair in (("base", "first"), ("second", "first"), ("first", "base"), ("base", "second"), ("base", "base")):
        assert texts(ask(models, asked(*(sources[name] for name in pair)))) == [
            truth[name][side] for side, name in enumerate(pair)
        ]
        assert len(models.kept) == 1
    bound = [speaker.bound for speaker in models.speakers([first, second], lambda: pytest.fail("loaded again"))]
    assert bound == [bool(lora)] * 2


def test_a_whole_model_stands_beside_its_base(make_run, tiny_model_dir):
    run = make_run("whole", 5, whole=True)
    models = ArenaModels()
    told = ask(models, asked(run, f"base:{run}"))
    assert texts(told) == [alone(place, asked(""), side)[0] for side, place in enumerate((run, tiny_model_dir))]
    assert len(models.kept) == 2
    assert "loading" not in dict(ask(models, asked(str(tiny_model_dir), run)))


def test_a_plain_base_is_loaded_again_for_its_first_adapter(tuned, tiny_model_dir):
    models = ArenaModels()
    plain = texts(ask(models, asked(str(tiny_model_dir))), 1)
    both = texts(ask(models, asked(str(tiny_model_dir), tuned)))
    assert both == [*plain, alone(tuned, asked(""), side=1)[0]]
    assert len(models.kept) == 1


def test_a_run_that_was_trained_again_is_loaded_again(make_run, byte_tokenizer):
    run = make_run("again", 5, whole=True)
    models = ArenaModels()
    first = texts(ask(models, asked(run)), 1)
    make_tiny_llama(byte_tokenizer, 6).save_pretrained(run)
    second = texts(ask(models, asked(run)), 1)
    assert first != second == [alone(run, asked(""))[0]]


def test_those_asked_for_longest_ago_are_let_go(make_run, monkeypatch):
    runs = [make_run(f"run{seed}", seed, whole=True) for seed in range(4)]
    models = ArenaModels()

    def kept():
        return [int(base.place[-1]) for base in models.kept]

    for i in (0, 1, 2, 0, 3):
        models.speakers([runs[i]], lambda: None)
    assert kept() == [2, 0, 3]
    monkeypatch.setattr(arena_models, "free_bytes", lambda: 0)
    models.speakers([runs[1]], lambda: None)
    assert kept() == [1], "no memory, no others"
    models.speakers([runs[1], runs[2]], lambda: None)
    assert kept() == [1, 2], "but those that are asked now"


def test_cancelling_stops_at_the_next_token(tuned):
    told = ask(ArenaModels(), asked(f"base:{tuned}", tuned, max_new_tokens=1000), lambda told: len(told) >= 7)
    assert [event for event, _ in told][1:] == ["piece"] * 6 + ["done"]


def test_without_a_chat_template_the_last_message_is_continued(tmp_path, tiny_llama, byte_tokenizer):
    tiny_llama.save_pretrained(tmp_path)
    byte_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    said = [Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "Once upon a time")]
    told = ask(ArenaModels(), asked(str(tmp_path), messages=said, temperature=0.0))
    sampler = Sampler(tiny_llama, byte_tokenizer)
    assert texts(told, 1) == ["".join(sampler.stream("Once upon a time", temperature=0.0, max_new_tokens=24))]


def test_the_oldest_turns_are_forgotten_where_the_model_cannot_see_them(tiny_model_dir):
    policy = load_policy(tiny_model_dir)
    sampler = Sampler(policy.model, policy.tokenizer)
    talk = [Message("system", "S")]
    for letter in "abc":
        talk += [Message("user", letter * 300), Message("assistant", letter * 300)]
    talk.append(Message("user", "d"))
    whole = fitted(sampler, talk, 8)
    assert (whole.ids, whole.messages) == (sampler.prompt_ids(tuple(talk)), tuple(talk))
    shorter = fitted(sampler, talk, 2048 - len(whole.ids) + 1)
    assert shorter.messages == (talk[0], *talk[3:])
    last = fitted(sampler, talk, 1900)
    assert last.messages == (talk[0], talk[-1])
    with pytest.raises(AccordError, match="exceed the 2048 tokens"):
        fitted(sampler, talk, 2040)


def test_a_reward_model_does_not_answer(make_run):
    with pytest.raises(AccordError, match="judge: a reward model"):
        ArenaModels().speakers([make_run("judge", 1, method="reward")], lambda: None)


# The process.


class Raw:
    """The process and its lines."""

    def __init__(self):
        self.process = subprocess.Popen(REAL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, line):
        self.process.stdin.write(line + "\n")

    def ask(self, id, *models, **changes):
        fields = asked(*models)._asdict() | {"messages": [{"role": "user", "content": "Hello"}]} | changes
        self.tell(json.dumps({"id": id, "ask": "answer", **fields}))

    def hear(self):
        return json.loads(self.process.stdout.readline())

    def until(self, *events):
        told = [self.hear()]
        while told[-1]["event"] not in events:
            told.append(self.hear())
        return told


@pytest.fixture(scope="module")
def raw():
    raw = Raw()
    yield raw
    raw.process.kill()
    raw.process.wait()


def test_the_process_answers_in_lines(raw, tuned, tiny_model_dir):
    raw.ask("a", f"base:{tuned}", tuned)
    told = raw.until("done", "error")
    assert told[0] == {"id": "a", "event": "loading"}
    assert told[-1] == {"id": "a", "event": "done"}
    plain = [(each.pop("event"), each) for each in told]
    assert texts(plain) == [alone(place, asked(""), side)[0] for side, place in enumerate((tiny_model_dir, tuned))]


def test_what_cannot_be_answered_is_one_line_and_the_next_is_answered(raw, tuned, tmp_path):
    bad = {
        "/no/such/model": "/no/such/model: no such folder",
        "base:/no/such/run": "/no/such/run: no run.json, so this is no run folder",
        str(tmp_path): "neither config.json nor adapter_config.json there",
    }
    for id, (source, why) in enumerate(bad.items()):
        raw.ask(id, tuned, source)
        told = raw.until("done", "error")[-1]
        assert (told["id"], told["event"]) == (id, "error")
        assert why in told["message"]
        assert "\n" not in told["message"]
    for line, why in {
        "hello": "JSON object",
        "[1]": "JSON object",
        '{"id": 5, "ask": "answer"}': "models: is missing",
    }.items():
        raw.tell(line)
        assert why in raw.hear()["message"]
    for changes, why in (
        ({"temperature": -1}, "temperature is -1: it must be between 0.0 and inf"),
        ({"max_new_tokens": 0}, "max_new_tokens: must be 1 or more"),
        ({"messages": []}, "messages: must be one or more"),
        ({"seed": None}, "seed: is missing"),
        ({"messages": [{"role": "user", "content": "x" * 3000}]}, "exceed the 2048 tokens"),
    ):
        raw.ask(9, tuned, tuned, **changes)
        assert why in raw.until("done", "error")[-1]["message"]
    raw.ask(10, tuned, tuned)
    assert raw.until("done", "error")[-1] == {"id": 10, "event": "done"}


def test_the_process_hears_a_cancel_while_it_answers(raw, tuned):
    endless = {"max_new_tokens": 1900, "temperature": 1.0}
    raw.ask(20, tuned, tuned, **endless)
    raw.ask(21, tuned, tuned, **endless)
    raw.ask(22, tuned, tuned, max_new_tokens=2)
    raw.until("piece")
    for id in (21, 20):
        raw.tell(json.dumps({"id": id, "ask": "cancel"}))
    told = raw.until("done")
    assert len(told) < 1000
    assert raw.hear() == {"id": 21, "event": "done"}
    assert {each["id"] for each in raw.until("done")} == {22}


def test_the_process_ends_with_its_input_also_while_it_answers(raw, tuned):
    raw.ask(30, tuned, tuned, max_new_tokens=1900, temperature=1.0)
    raw.until("piece")
    raw.process.stdin.close()
    assert raw.process.wait(timeout=60) == 0


# The web server's side. Most of it with a process that is quick to start and does as it is told.

STAND_IN = """
import json, os, queue, sys, threading, time
asked, cancelled = queue.Queue(), set()
def read():
    for line in sys.stdin:
        request = json.loads(line)
        cancelled.add(request["id"]) if request["ask"] == "cancel" else asked.put(request)
    os._exit(0)
threading.Thread(target=read, daemon=True).start()
while True:
    request = asked.get()
    id, words = request["id"], request["messages"][-1]["content"]
    def say(event, **more):
        print(json.dumps({"id": id, "event": event, **more}), flush=True)
    if words == "die":
        print("a line", "out of memory", "", sep="\\n", file=sys.stderr, flush=True)
        os._exit(3)
    if words == "load long":
        say("loading")
        time.sleep(1)
    if words == "stop talking":
        say("piece", side=0, text="I")
        say("piece", side=1, text="I")
        time.sleep(60)
    if words == "say nothing":
        time.sleep(60)
    while words == "for ever" and id not in cancelled:
        say("piece", side=0, text=str(os.getpid()))
        time.sleep(0.01)
    for side in (0, 1):
        say("piece", side=side, text=f"{words} {os.getpid()} " + "\\u00e4")
        say("end", side=side, finished=side == 1)
    say("done")
"""
QUICK = [sys.executable, "-S", "-c", STAND_IN]


def said(worker, words="hello"):
    return worker.answer(["a", "b"], [{"role": "user", "content": words}], seed=1)


async def heard(worker, words="hello"):
    return [event async for event in said(worker, words)]


def process_of(events):
    """The id of the stand-in that answered."""
    return int(events[0].text.split()[-2])


async def gone(pid, seconds=60):
    """Whether a process ends within some time. One that has ended and is not waited for yet has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.05)
                continue
        return True
    return False


def in_a_loop(story, **settings):
    """Runs story(worker) with a worker that is closed afterwards."""

    async def run():
        worker = ModelWorker(settings.pop("command", QUICK), **settings)
        try:
            async with asyncio.timeout(300):
                await story(worker)
        finally:
            await worker.close()

    run_apart(run())


def test_an_answer_is_a_series_of_events():
    async def story(worker):
        events = await heard(worker, "hi")
        pid = process_of(events)
        assert events == [
            Event("piece", side=0, text=f"hi {pid} ä"),
            Event("end", side=0, finished=False),
            Event("piece", side=1, text=f"hi {pid} ä"),
            Event("end", side=1, finished=True),
            Event("done"),
        ]
        assert process_of(await heard(worker)) == pid
        await worker.close()
        assert not psutil.pid_exists(pid)
        assert [event.text for event in await heard(worker)] == ["the server is closing"]

    in_a_loop(story)


def test_askers_are_answered_in_order_and_told_how_many_come_first():
    order = []

    async def asker(worker, name, words):
        async for event in said(worker, words):
            order.append((name, event.kind, event.before))

    async def story(worker):
        tasks = []
        for name, words in (("first", "load long"), ("second", "hi"), ("third", "hi")):
            tasks.append(asyncio.create_task(asker(worker, name, words)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    in_a_loop(story)
    assert order[:2] == [("second", "waiting", 1), ("third", "waiting", 2)]
    assert order[2] == ("first", "loading", 0)
    assert order.index(("first", "done", 0)) < order.index(("second", "piece", 0))
    assert order.index(("third", "waiting", 1)) < order.index(("second", "done", 0))
    assert order.index(("second", "done", 0)) < order.index(("third", "piece", 0))
    assert [each for each in order if each[1] == "waiting"] == [*order[:2], ("third", "waiting", 1)]


@pytest.mark.parametrize("way", ["close", "cancel"])
def test_who_stops_listening_cancels(way):
    async def story(worker):
        pids = []

        async def listen():
            async with aclosing(said(worker, "for ever")) as events:
                async for event in events:
                    pids.append(int(event.text))
                    if way == "close" and len(pids) == 3:
                        return

        task = asyncio.create_task(listen())
        while len(pids) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert process_of(await heard(worker)) == pids[0]

    in_a_loop(story)


def test_who_leaves_the_line_is_not_waited_for():
    async def story(worker):
        first = asyncio.create_task(heard(worker, "load long"))
        await asyncio.sleep(0)
        second, third = (asyncio.create_task(heard(worker)) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        events = await third
        assert [event.before for event in events if event.kind == "waiting"] == [2, 1]
        assert events[-1] == Event("done")
        assert first.done()

    in_a_loop(story)


def test_the_question_that_it_dies_in_is_told_and_the_next_one_answered():
    async def story(worker):
        pid = process_of(await heard(worker))
        assert await heard(worker, "die") == [
            Event("error", text="the process that answers has ended (exit status 3): out of memory")
        ]
        events = await heard(worker)
        assert events[-1] == Event("done")
        assert process_of(events) != pid
        psutil.Process(process_of(events)).kill()
        assert await gone(process_of(events))
        await asyncio.sleep(0.2)
        assert (await heard(worker))[-1] == Event("done"), "one that died between two questions is missed by nobody"

    in_a_loop(story)


@pytest.mark.parametrize(
    ("words", "limit"), [("say nothing", "loading_seconds"), ("stop talking", "answering_seconds")]
)
def test_one_that_is_silent_for_too_long_is_killed(words, limit):
    async def story(worker):
        pid = process_of(await heard(worker))
        usual = getattr(worker, limit)
        setattr(worker, limit, 0.3)
        events = await heard(worker, words)
        assert events[-1] == Event("error", text="the process that answers was silent for 0.3 seconds: ended it")
        assert not psutil.pid_exists(pid)
        setattr(worker, limit, usual)
        assert process_of(await heard(worker)) != pid

    in_a_loop(story)


def test_it_rests_when_nobody_asks():
    async def story(worker):
        pid = process_of(await heard(worker))
        assert (await heard(worker, "load long"))[-1] == Event("done"), "who is being answered keeps it awake"
        assert process_of(await heard(worker)) == pid
        assert await gone(pid)
        assert process_of(await heard(worker)) != pid

    in_a_loop(story, idle_seconds=0.7)


def test_closing_tells_who_is_being_answered():
    async def story(worker):
        tasks = [asyncio.create_task(heard(worker, words)) for words in ("for ever", "hi")]
        await asyncio.sleep(0.5)
        await worker.close()
        for task in tasks:
            assert (await task)[-1] == Event("error", text="the server is closing")

    in_a_loop(story)


def test_what_cannot_be_started_is_said():
    async def story(worker):
        (event,) = await heard(worker)
        assert event.kind == "error"
        assert "cannot be started: " in event.text
        assert "/no/such/program" in event.text

    in_a_loop(story, command=["/no/such/program"])


def test_the_models_survive_the_death_of_their_process(tuned, tiny_model_dir):
    messages = [{"role": "user", "content": "Hello"}]

    async def story(worker):
        async def answers():
            async with aclosing(worker.answer([f"base:{tuned}", tuned], messages, seed=3, max_new_tokens=24)) as events:
                return [event async for event in events]

        others = set(psutil.Process().children())
        before = await answers()
        (child,) = set(psutil.Process().children()) - others
        child.suspend()  # a random model may be done before it can be killed
        asked_again = asyncio.create_task(answers())
        await asyncio.sleep(0.2)
        child.kill()
        (event,) = await asked_again
        assert event.kind == "error"
        assert event.text.startswith("the process that answers has ended (Killed)")
        after = await answers()
        assert before[0] == after[0] == Event("loading")
        assert before[-1] == after[-1] == Event("done")
        for events in (before, after):
            said = ["".join(each.text for each in events if each.kind == "piece" and each.side == s) for s in (0, 1)]
            assert said == [alone(place, asked(""), side)[0] for side, place in enumerate((tiny_model_dir, tuned))]

    in_a_loop(story, command=REAL)


SERVER = """
import asyncio, sys
from accord.web.arena.worker import ModelWorker
async def main():
    worker = ModelWorker([sys.executable, "-m", "accord.cli.arena_worker"])
    async for event in worker.answer(["base:/no/such/run"], [{"role": "user", "content": "Hi"}], seed=0):
        print(event.kind, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_server_that_is_killed_leaves_no_process_behind():
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    while server.stdout.readline().strip() != "error":
        assert server.poll() is None
    (child,) = psutil.Process(server.pid).children()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert run_apart(gone(child.pid))


def test_the_server_does_not_import_torch():
    code = "import accord.web.arena.worker, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.smollm2
def test_smollm2_knows_the_capital_of_france():
    said = [Message("user", "What is the capital of France?")]
    told = ask(ArenaModels(), asked("smollm2", messages=said, temperature=0.0))
    assert "Paris" in texts(told, 1)[0]
