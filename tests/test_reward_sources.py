"""Sources of rewards: what each gives, what it refuses and by which name, and a judge behind a real HTTP server."""

import sys
import time

import numpy as np
import pytest
import torch
from transformers import LlamaForSequenceClassification

from accord.feedback import AccordError
from accord.policy.reward_model import reward_rows
from accord.rollout.judge import Judge
from accord.rollout.rewards import Function, Mixture, RewardModel, Rewards
from conftest import make_tiny_llama
from openai_server import start, stop

PROMPTS, COMPLETIONS = ["one", "two"], ["a", "bbb"]


def length(completions, **columns):
    return [len(completion) for completion in completions]


# Functions


def test_function_in_the_form_of_trl():
    """TRL's own reward function, as it is; and it is called by keyword, as TRL calls it."""
    think_format_reward = pytest.importorskip(
        "trl.rewards", reason="TRL is an extra: pip install 'accord[trl]'"
    ).think_format_reward
    answers = [
        [{"role": "assistant", "content": text}] for text in ("<think>\nHm.\n</think>\nYes.", "<think>\nNo end. Yes.")
    ]
    assert Function(think_format_reward)(PROMPTS, answers) == Rewards([1.0, 0.0], {"think_format_reward": [1.0, 0.0]})


def test_function_is_handed_what_it_names():
    source = Function(lambda answer, completions: [a == c for a, c in zip(answer, completions, strict=True)], "right")
    assert source(PROMPTS, COMPLETIONS, answer=["a", "b"], id=["x", "y"]).total == [1.0, 0.0]
    with pytest.raises(AccordError, match=r"right: it takes 'answer', and there are only prompts, completions, id$"):
        source(PROMPTS, COMPLETIONS, id=["x", "y"])


@pytest.mark.parametrize("kind", [torch.tensor, np.array, tuple])
def test_function_may_return_any_row_of_numbers(kind):
    total = Function(lambda completions: kind([1, 2]), "f")(PROMPTS, COMPLETIONS).total
    assert total == [1.0, 2.0]
    assert {type(value) for value in total} == {float}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, None], "taste: gave None as the reward of completion 1"),
        ([float("nan"), 0.0], "taste: gave nan as the reward of completion 0"),
        ([float("inf"), 0.0], "taste: gave inf as the reward of completion 0"),
        (["1", 0.0], "taste: gave '1' as the reward of completion 0"),
        ([1.0], "taste: gave 1 rewards for 2 completions"),
        (None, "taste: gave NoneType, not a list of 2 rewards"),
    ],
)
def test_what_is_no_reward_is_refused(returned, message):
    with pytest.raises(AccordError, match=message):
        Function(lambda completions: returned, "taste")(PROMPTS, COMPLETIONS)


def test_function_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "my_rewards_here.py").write_text(
        "def short(completions, **_):\n    return [-len(c) for c in completions]"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = Function.load("my_rewards_here:short")
    assert source(PROMPTS, COMPLETIONS) == Rewards([-1.0, -3.0], {"short": [-1.0, -3.0]})
    with pytest.raises(AccordError, match="my_rewards_here has no function long"):
        Function.load("my_rewards_here:long")


@pytest.mark.parametrize(
    ("path", "message"),
    [("my_rewards", "write module:function"), ("no_such_module_:f", "No module named 'no_such_module_'")],
)
def test_path_that_leads_nowhere(path, message):
    with pytest.raises(AccordError, match=message):
        Function.load(path)


# Reward models


@pytest.fixture(scope="module")
def three_heads(byte_tokenizer):
    config = make_tiny_llama(byte_tokenizer).config
    config.num_labels = 3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForSequenceClassification(config).eval()


CHATS = [[{"role": "user", "content": text}] for text in ("tea?", "sun?")]
ANSWERS = [[{"role": "assistant", "content": text}] for text in ("yes", "no", "perhaps", "a cup", "", "rain")]


def stock_scores(model, tokenizer, prompts, answers):
    """[N, M] scores by Transformers' own forward, one row at a time."""
    texts = [
        tokenizer.apply_chat_template(prompt + answer, tokenize=False)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    with torch.no_grad():
        rows = [model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits for text in texts]
    return torch.cat(rows).double().numpy()


@pytest.mark.parametrize("order", [(0, 0, 0, 1, 1, 1), (0, 0, 0, 0, 1, 1), (0, 1, 0, 1, 1, 0)])
def test_reward_model_is_the_mean_of_its_heads_less_their_disagreement(order, three_heads, byte_tokenizer):
    """However the samples of a prompt stand: side by side, where they share its tokens, or mixed."""
    prompts = [CHATS[i] for i in order]
    scores_NM = stock_scores(three_heads, byte_tokenizer, prompts, ANSWERS)
    found = RewardModel(three_heads, byte_tokenizer, "taste", disagreement_penalty=0.5)(prompts, ANSWERS)
    mean_N, spread_N = scores_NM.mean(1), np.sqrt(((scores_NM - scores_NM.mean(1, keepdims=True)) ** 2).mean(1))
    assert spread_N.min() > 0.01
    np.testing.assert_allclose(found.total, mean_N - 0.5 * spread_N, atol=1e-5)
    np.testing.assert_allclose(found.parts["taste"], mean_N, atol=1e-5)
    np.testing.assert_allclose(found.parts["taste/disagreement"], spread_N, atol=1e-5)


def test_reward_model_computes_a_prompt_once_for_its_samples(three_heads, byte_tokenizer, monkeypatch):
    seen = []

    def watched(model, tokenizer, rows, completions, **options):
        rows = list(rows)
        seen.append((len(rows), len(completions)))
        return reward_rows(model, tokenizer, rows, completions, **options)

    monkeypatch.setattr("accord.rollout.rewards.reward_rows", watched)
    source = RewardModel(three_heads, byte_tokenizer)
    source([CHATS[0]] * 4 + [CHATS[1]] * 2, ANSWERS)
    source([CHATS[0]] * 3 + [CHATS[1]] * 3, ANSWERS)
    assert seen == [(3, 2), (2, 3)]


def test_reward_model_that_saw_nothing_of_an_answer(three_heads, byte_tokenizer):
    source = RewardModel(three_heads, byte_tokenizer, "taste", options={"max_length": 12})
    with pytest.raises(AccordError, match=r"taste: gave nan as the reward of completion 0 \(raise max_length"):
        source(CHATS[:1], ANSWERS[:1])
    assert RewardModel(three_heads, byte_tokenizer)([], []).total == []


# Mixtures


def test_mixture_weighs_and_keeps_each_part():
    mixture = Mixture([(2.0, Function(length)), (-1.0, Function(lambda completions: [0.5, 4.0], "taste"))])
    assert mixture(PROMPTS, COMPLETIONS) == Rewards(
        total=[2 * 1 - 0.5, 2 * 3 - 4.0], parts={"length": [1.0, 3.0], "taste": [0.5, 4.0]}
    )


def test_mixture_names_the_source_that_fails():
    mixture = Mixture([(1.0, Function(length)), (0.0, Function(lambda completions: [1.0, None], "taste"))])
    with pytest.raises(AccordError, match=r"^taste: gave None as the reward of completion 1"):
        mixture(PROMPTS, COMPLETIONS)


def test_mixtures_that_are_none():
    with pytest.raises(AccordError, match="no sources"):
        Mixture([])
    with pytest.raises(AccordError, match="two sources are called length"):
        Mixture([(1.0, Function(length)), (2.0, Function(length))])


# Judges


@pytest.fixture
def serve(monkeypatch):
    """A server whose model is `answer`: question -> (status, text)."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    servers = []

    def begin(answer, **options):
        def said(path, body):
            status, text = answer(body["messages"][-1]["content"])
            message = {"role": "assistant", "content": text}
            return status, {"choices": [{"message": message}]} if status == 200 else {"error": text}

        servers.append(start(said, **options))
        return servers[-1]

    yield begin
    for server in servers:
        stop(server)


def counts_letters(question):
    """A judge that gives a point for each letter of the answer."""
    answer = question.split("<answer>\n")[1].split("\n</answer>")[0]
    return 200, f"The answer has merits (3 of them).\nScore: {len(answer)}"


def in_turn(*answers):
    """Whatever is asked, one after the other."""
    left = iter(answers)
    return lambda question: next(left)


def test_judge_scores_every_completion_in_order(serve):
    server = serve(counts_letters)
    words = ["a" * n for n in (5, 1, 9, 3, 7, 2)]
    assert Judge(server.url, "m", "panel")(["q"] * 6, words) == Rewards(
        total=[5.0, 1.0, 9.0, 3.0, 7.0, 2.0], parts={"panel": [5.0, 1.0, 9.0, 3.0, 7.0, 2.0]}
    )


def test_judge_asks_as_openai_does(serve, monkeypatch):
    server = serve(in_turn((200, "Score: 7.5")))
    monkeypatch.setenv("MY_KEY", "secret")
    talk = [{"role": "assistant", "content": "add 1 1"}, {"role": "tool", "content": "2"}]
    judge = Judge(
        server.url + "/", "judge-model", key="MY_KEY", question="{prompt}\n->\n{completion}\n{low:g} {high:g}"
    )
    assert judge([[{"role": "user", "content": "1 + 1?"}]], [talk]).total == [7.5]
    ((path, key, body),) = server.asked
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("judge-model", 0)
    assert body["messages"] == [{"role": "user", "content": "user: 1 + 1?\n->\nassistant: add 1 1\n\ntool: 2\n0 10"}]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("7", 7.0),
        ("I would say 6.5.", 6.5),
        ("**Score:** 8/10", 8.0),
        ("Score: 3? No. It has 2 faults.\nscore: 4", 4.0),
    ],
)
def test_judge_reads_a_number(serve, answer, score):
    assert Judge(serve(in_turn((200, answer))).url, "m")(["q"], ["a"]).total == [score]


@pytest.mark.parametrize(
    "answer", ["Good.", "Between 6 and 8.", "A fair score. 3 faults, 2 merits.", "Score: 11", "Score: -1", ""]
)
def test_judge_does_not_guess(serve, answer):
    server = serve(in_turn((200, answer), (200, answer)))
    with pytest.raises(
        AccordError, match=r"^judge at http://127\S+ gave no score, asked 2 times: no score from 0 to 10"
    ):
        Judge(server.url, "m", retries=1, pause=0)(["q"], ["a"])


def test_judge_asks_again_while_the_server_is_busy(serve):
    server = serve(in_turn((429, "slow down"), (503, "loading"), (200, "Score: 2")))
    start = time.perf_counter()
    assert Judge(server.url, "m", pause=0.05)(["q"], ["a"]).total == [2.0]
    assert len(server.asked) == 3
    assert time.perf_counter() - start >= 0.05 + 0.1


def test_judge_does_not_repeat_what_cannot_succeed(serve):
    server = serve(in_turn((404, "no model m")))
    with pytest.raises(AccordError, match=r"asked once: 404 Not Found: .*no model m"):
        Judge(server.url, "m")(["q"], ["a"])
    assert len(server.asked) == 1


def test_judge_waits_no_longer_than_its_timeout(serve):
    server = serve(lambda question: (200, "Score: 2"), delay=1.0)
    with pytest.raises(AccordError, match="asked 2 times: timed out"):
        Judge(server.url, "m", timeout=0.1, retries=1, pause=0)(["q"], ["a"])


def test_judge_that_is_not_there(serve):
    server = serve(counts_letters)
    url = server.url
    stop(server)
    with pytest.raises(AccordError, match=f"judge at {url} gave no score, asked 2 times: .*refused"):
        Judge(url, "m", retries=1, pause=0)(["q"], ["a"])


def test_judge_set_up_wrongly():
    with pytest.raises(AccordError, match="'localhost:8000' is no address"):
        Judge("localhost:8000", "m")
    with pytest.raises(AccordError, match=r"question: 'answer': only {prompt}"):
        Judge("http://localhost", "m", question="How good is {answer}?")
