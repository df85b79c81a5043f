"""Sampling from a server: a real HTTP server in a thread, whose answers a real tiny model draws."""

import time

import pytest

from accord.feedback import AccordError, Message
from accord.rollout import Sampler
from accord.rollout.openai_client import NoAnswer, OpenAIClient
from accord.rollout.server import LOST, TEXT, ServerSampler, seed_of
from conftest import make_tiny_llama
from openai_server import ModelServer, start, stop

TALK = (Message("user", "tea?"),)
PROMPTS = ["Tea is", TALK, [5, 6, 7]]


@pytest.fixture(scope="module")
def sampler(byte_tokenizer):
    return Sampler(make_tiny_llama(byte_tokenizer), byte_tokenizer)


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    servers = []

    def begin(answer, **options):
        servers.append(start(answer, **options))
        return servers[-1]

    yield begin
    for server in servers:
        stop(server)


def ordered(samples):
    return sorted(samples, key=lambda sampled: (sampled.prompt, sampled.sample))


def drawn(server, prompts, **options):
    return ordered(ServerSampler(server.url, "tiny", pause=0).sample(prompts, **options))


def text_of(choices):
    """A server that gives these texts, whatever is asked."""
    return 200, {"choices": [{"text": text, "finish_reason": "stop"} for text in choices]}


def test_samples_are_those_that_the_servers_model_draws(sampler, serve):
    """Of texts, messages and token ids: tokens, text, log-probs, end, in all that `Sampler.sample` gives."""
    asked = {"n": 4, "max_new_tokens": 120, "temperature": 1.5}
    there = drawn(serve(ModelServer(sampler)), PROMPTS, seed=3, **asked)
    assert len(there) == 12
    for i, prompt in enumerate(PROMPTS):
        here = ordered(sampler.sample([prompt], seed=seed_of(3, i), **asked))
        for one, other in zip(here, there[4 * i :], strict=False):
            assert other == one._replace(prompt=i, logps=pytest.approx(one.logps, abs=1e-5))
    assert {sampled.finished for sampled in there} == {True, False}
    assert all(len(sampled.tokens) == len(sampled.logps) for sampled in there)


def test_draws_are_those_of_the_seed_whatever_else_is_asked(sampler, serve):
    server = serve(ModelServer(sampler))
    first = drawn(server, PROMPTS, n=3, seed=1, names=[7, 8, 9], top_p=0.9)
    again = drawn(server, PROMPTS[::-1], n=3, seed=1, names=[9, 8, 7], top_p=0.9)
    other = drawn(server, PROMPTS, n=3, seed=2, names=[7, 8, 9], top_p=0.9)
    texts = [sampled.text for sampled in first]
    assert [s.text for s in sorted(again, key=lambda s: (-s.prompt, s.sample))] == texts
    assert [s.text for s in other] != texts
    assert len(set(texts[:3])) == 3  # samples of a prompt differ


def test_question_as_openai_and_vllm_take_it(sampler, serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret\n")
    server = serve(ModelServer(sampler))
    asker = ServerSampler(server.url + "/", "tiny", "MY_KEY", settings={"seed": None, "user": "me"})
    settings = {"n": 2, "max_new_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "stop": ["\n"]}
    list(asker.sample([TALK], **settings))
    list(asker.sample(["Tea is"], max_new_tokens=3, seed=5))
    (chat_path, key, chat), (text_path, _, text) = server.asked
    assert (chat_path, text_path, key) == ("/v1/chat/completions", "/v1/completions", "Bearer secret")
    assert chat == {
        "model": "tiny", "messages": [{"role": "user", "content": "tea?"}], "n": 2, "max_tokens": 3, "user": "me",
        "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1, "stop": ["\n"],
        "logprobs": True, "return_token_ids": True,
    }  # fmt: skip
    assert text == {
        "model": "tiny", "prompt": "Tea is", "n": 1, "max_tokens": 3, "temperature": 1.0, "top_p": 1.0, "user": "me",
        "logprobs": 1, "return_token_ids": True,
    }  # fmt: skip
    assert asker.losses == []


def test_what_a_server_refuses_is_done_without_and_said(sampler, serve):
    server = serve(ModelServer(sampler, knows={"seed"}))
    asker = ServerSampler(server.url, "tiny", pause=0, workers=1)
    found = list(asker.sample([TALK, TALK], n=2, max_new_tokens=4, seed=3))
    assert [(s.tokens, s.logps) for s in found] == [([], [])] * 4
    assert all(sampled.text for sampled in found)
    assert asker.losses == [LOST["return_token_ids"], LOST["logprobs"]]
    assert len(server.asked) == 4  # twice refused, and then never asked for again


def test_what_changes_the_distribution_is_not_done_without(sampler, serve):
    server = serve(ModelServer(sampler, knows={"seed", "logprobs", "return_token_ids"}))
    with pytest.raises(NoAnswer, match=r"asked once: 400 Bad Request: .*argument supplied: top_k"):
        drawn(server, [TALK], top_k=5)


@pytest.mark.parametrize("field", ["temperature", "completions", "user", "seed"])
def test_what_was_asked_for_by_name_is_not_dropped(serve, field):
    server = serve(lambda path, body: (400, {"error": f"{field} is not supported"}))
    with pytest.raises(NoAnswer, match=f"asked once: 400 Bad Request: .*{field} is not"):
        list(ServerSampler(server.url, "m", settings={"user": "me", "seed": 7}).sample(["a"]))
    assert len(server.asked) == 1


def test_server_that_tells_texts_only(sampler, serve):
    asker = ServerSampler(serve(ModelServer(sampler, bare=True)).url, "tiny")
    (here,) = sampler.sample([TALK], max_new_tokens=8, temperature=0)
    (there,) = asker.sample([TALK], max_new_tokens=8, temperature=0)
    assert there == here._replace(tokens=[], logps=[])
    assert asker.losses == [LOST["return_token_ids"], LOST["logprobs"]]


def test_server_without_completions_is_asked_as_a_user(sampler, serve):
    server = serve(ModelServer(sampler, chat_only=True))
    asker = ServerSampler(server.url, "tiny", workers=1)
    (text,) = asker.sample(["tea?"], max_new_tokens=8, temperature=0)
    (talk,) = asker.sample([TALK], max_new_tokens=8, temperature=0)
    assert text == talk
    assert asker.losses == [LOST[TEXT]]
    with pytest.raises(NoAnswer, match="404 Not Found"):
        list(asker.sample([[5, 6, 7]]))


def test_server_that_gives_one_sample_a_question_is_asked_for_the_rest(sampler, serve):
    server = serve(ModelServer(sampler, most=1))
    asker = ServerSampler(server.url, "tiny")
    found = ordered(asker.sample([TALK], n=3, max_new_tokens=12, seed=4))
    assert [sampled.sample for sampled in found] == [0, 1, 2]
    assert len({sampled.text for sampled in found}) == 3
    assert [body["n"] for _, _, body in server.asked] == [3, 2, 1]
    assert [body["seed"] for _, _, body in server.asked] == [seed_of(4, 0) + i for i in range(3)]
    assert asker.losses == [LOST["n"]]


def test_server_that_does_not_sample_is_noticed(serve):
    asker = ServerSampler(serve(lambda path, body: text_of(["a"] * body["n"])).url, "m")
    list(asker.sample(["p", "q"], n=2, temperature=0))
    assert LOST["temperature"] not in asker.losses  # as it was asked to
    list(asker.sample(["p", "q"], n=1))
    assert LOST["temperature"] not in asker.losses  # nobody can tell
    list(asker.sample(["p", "q"], n=2))
    assert LOST["temperature"] in asker.losses
    varied = serve(lambda path, body: text_of(["a", "a" if body["prompt"] == "p" else "b"]))
    asker = ServerSampler(varied.url, "m")
    list(asker.sample(["p", "q"], n=2))
    assert LOST["temperature"] not in asker.losses


def test_questions_are_asked_side_by_side_and_no_more_than_workers(serve):
    server = serve(lambda path, body: text_of([body["prompt"]]), delay=0.2)
    prompts = [f"p{i}" for i in range(12)]
    start_ = time.perf_counter()
    found = ordered(ServerSampler(server.url, "m", workers=6).sample(prompts))
    assert [sampled.text for sampled in found] == prompts
    assert time.perf_counter() - start_ < 12 * 0.2 / 2
    few = ServerSampler(server.url, "m", workers=2).sample(prompts)
    next(few)
    few.close()
    assert len(server.asked) - 12 <= 6  # nobody waits for answers that nobody wants


def test_progress_counts_tokens(sampler, serve):
    seen = []
    found = drawn(serve(ModelServer(sampler)), [TALK], n=2, max_new_tokens=9, progress=seen.append)
    assert sorted(seen) == sorted(len(sampled.tokens) for sampled in found)


@pytest.mark.parametrize(
    ("status", "said", "message", "asked"),
    [
        (401, {"error": "bad key"}, r'asked once: 401 Unauthorized: .*bad key"} \(set OPENAI_API_KEY to', 1),
        (200, b"<html>", r"asked 2 times: its answer is no JSON: b'<html>'", 2),
        (200, b"\xff\xfe", r"asked 2 times: its answer is no JSON", 2),
        (200, {"choices": []}, r"asked 2 times: no completion in its answer", 2),
        (200, {"choices": [{"text": "a"}, 3]}, r"asked 2 times: no completion in its answer", 2),
        (200, {"choices": [{"text": ["a"]}]}, r"asked 2 times: no completion in its answer", 2),
        (200, ["choices"], r"asked 2 times: no completion in its answer", 2),
        (503, {"error": "loading"}, r"asked 2 times: 503 Service Unavailable: .*loading", 2),
        (302, {}, r"asked once: 302 Found", 1),
    ],
)
def test_answers_that_are_none(serve, status, said, message, asked):
    server = serve(lambda path, body: (status, said))
    with pytest.raises(AccordError, match=message) as raised:
        list(ServerSampler(server.url, "m", retries=1, pause=0).sample(["a"]))
    assert str(raised.value).startswith(f"{server.url} gave no answer, ")
    assert len(server.asked) == asked


def test_server_that_is_gone(serve):
    server = serve(lambda path, body: text_of("a"))
    stop(server)
    with pytest.raises(AccordError, match=r"gave no answer, asked 2 times: .*refused"):
        list(ServerSampler(server.url, "m", retries=1, pause=0).sample(["a"]))


def test_waits_no_longer_than_its_timeout(serve):
    server = serve(lambda path, body: text_of("a"), delay=1.0)
    with pytest.raises(AccordError, match="asked once: timed out"):
        list(ServerSampler(server.url, "m", timeout=0.1, retries=0).sample(["a"]))


def test_asked_again_while_busy(sampler, serve):
    busy = iter([429, 503])
    model = ModelServer(sampler)
    server = serve(lambda path, body: (status, {}) if (status := next(busy, 0)) else model(path, body))
    assert len(drawn(server, [TALK], max_new_tokens=2)) == 1
    assert len(server.asked) == 3


def test_key_is_not_carried_elsewhere(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    elsewhere = serve(lambda path, body: text_of("a"))

    server = serve(lambda path, body: (302, {}, {"Location": f"{elsewhere.url}/completions"}))
    with pytest.raises(AccordError, match="302 Found"):
        OpenAIClient(server.url).ask("completions", {}, lambda answer: answer)
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n": 0}, "n and max_new_tokens"), ({"top_p": 1.5}, "top_p is 1.5"), ({"temperature": -1}, "temperature is -1")],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        list(ServerSampler("http://localhost:1/v1", "m").sample(["a"], **options))


def test_address_that_is_none():
    with pytest.raises(AccordError, match="'localhost:8000' is no address"):
        ServerSampler("localhost:8000", "m")
