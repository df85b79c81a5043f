"""The Arena's models answer in a process of their own, two at once."""

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing

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
from accord.web.arena.worker import Event
from conftest import make_tiny_llama
from test_arena_model_worker import in_a_loop

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


@pytest.mark.smollm2
def test_smollm2_knows_the_capital_of_france():
    said = [Message("user", "What is the capital of France?")]
    told = ask(ArenaModels(), asked("smollm2", messages=said, temperature=0.0))
    assert "Paris" in texts(told, 1)[0]
