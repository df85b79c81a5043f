"""`accord chat` answers on stdout and nothing else; a conversation goes on until it is reset."""

import _thread
import signal
import sys

import pytest
import torch
from typer.testing import CliRunner

from accord.cli.chat import Chat, load
from accord.cli.main import app
from accord.feedback import AccordError, Message
from accord.policy.load import load_policy
from accord.rollout import Sampler

DECODING = {"temperature": 0.0, "max_new_tokens": 8}


@pytest.fixture
def chat(tiny_model_dir):
    return Chat(load(str(tiny_model_dir), False, {}), None, DECODING)


@pytest.fixture
def adapter_dir(tiny_llama, byte_tokenizer, tiny_model_dir, tmp_path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    tiny_llama.name_or_path = str(tiny_model_dir)
    model = get_peft_model(tiny_llama, LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj", "v_proj"]))
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def run(*arguments, typed=None):
    result = CliRunner().invoke(app, ["chat", *map(str, arguments)], input=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def answer(model_dir, *messages, **settings):
    """What the model says to a conversation, greedily, by the sampler itself."""
    policy = load_policy(model_dir)
    sampled = next(Sampler(policy.model, policy.tokenizer).sample([messages], **DECODING | settings))
    return sampled.text


def test_one_message_is_answered_and_nothing_else_printed(tiny_model_dir):
    said = run(tiny_model_dir, "-m", "Hello", "--temperature", 0, "--max-new-tokens", 8)
    assert said == answer(tiny_model_dir, Message("user", "Hello")) + "\n"


def test_the_system_message_comes_first(tiny_model_dir):
    said = run(tiny_model_dir, "-m", "Hello", "--system", "Be brief", "--temperature", 0, "--max-new-tokens", 8)
    assert said == answer(tiny_model_dir, Message("system", "Be brief"), Message("user", "Hello")) + "\n"


def test_a_piped_conversation_remembers_until_reset(tiny_model_dir):
    typed = "Hello\n\nAnd then?\n/help\n/reset\nHello\n/quit\nnever asked\n"
    said = run(tiny_model_dir, "--temperature", 0, "--max-new-tokens", 8, typed=typed)
    first = answer(tiny_model_dir, Message("user", "Hello"))
    second = answer(tiny_model_dir, Message("user", "Hello"), Message("assistant", first), Message("user", "And then?"))
    assert said == f"{first}\n{second}\n{first}\n"


def test_a_seed_draws_the_same_conversation_again(tiny_model_dir):
    def said(seed):
        return run(tiny_model_dir, "--seed", seed, "--max-new-tokens", 8, typed="Hi\nHi\n")

    assert said(1) == said(1) != said(2)


def test_base_and_tuned_answer_one_after_the_other(adapter_dir, tiny_model_dir):
    said = run(adapter_dir, "-m", "Hello", "--compare", "--temperature", 0, "--max-new-tokens", 8)
    message = Message("user", "Hello")
    before, after = answer(tiny_model_dir, message), answer(adapter_dir, message)
    assert before != after
    assert said == f"{before}\n{after}\n"


def test_comparing_needs_a_base(tiny_model_dir):
    with pytest.raises(AccordError, match="needs a run or an adapter"):
        load(str(tiny_model_dir), True, {})


def test_what_cannot_be_loaded_is_one_line():
    result = CliRunner().invoke(app, ["chat", "/no/such/model", "-m", "Hello"])
    assert result.exit_code == 1
    assert result.stderr == "/no/such/model: no such folder\n"


def test_an_interrupted_answer_is_kept_as_far_as_it_came(chat, capsys, monkeypatch):
    chat.voices[0].sampler.ends = frozenset()
    chat.decoding = {"temperature": 1.0, "max_new_tokens": 2000}
    write, written = sys.stdout.write, []

    def interrupted(text):
        written.append(text)
        if len(written) == 20:
            _thread.interrupt_main()
        return write(text)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it
    try:
        with monkeypatch.context() as patched:
            patched.setattr(sys.stdout, "write", interrupted)
            chat.turn("Tell me everything")
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().out.endswith(" …\n")
    assert chat.messages[-1].role == "assistant"
    assert 0 < len(chat.messages[-1].content) < 2000
    chat.voices[0].sampler.ends = frozenset({3})
    chat.decoding = DECODING
    chat.turn("And now?")
    assert len(chat.messages) == 4


def test_the_oldest_turn_is_forgotten_when_the_model_cannot_see_it(chat, capsys):
    chat.system = "Be brief"
    chat.reset()
    for letter in "abc":
        chat.turn(letter * 700)
    assert [m.content[:1] for m in chat.messages if m.role != "assistant"] == ["B", "b", "c"]
    assert "oldest turn" in capsys.readouterr().err
    with pytest.raises(AccordError, match="exceed the 2048 tokens"):
        chat.turn("d" * 2048)


def test_without_a_chat_template_text_is_continued(chat, capsys):
    chat.tokenizer.chat_template = None
    chat.turn("Once upon a time")
    policy = load_policy(chat.voices[0].sampler.model.name_or_path)
    expected = next(Sampler(policy.model, policy.tokenizer).sample(["Once upon a time"], **DECODING)).text
    assert capsys.readouterr().out == expected + "\n"


def test_pieces_of_a_stream_are_whole_characters_and_make_the_text(chat):
    sampler = chat.voices[0].sampler
    sampler.ends = frozenset()
    pieces = list(sampler.stream("Hello", max_new_tokens=60, temperature=1.0))
    sampled = next(sampler.sample(["Hello"], max_new_tokens=60))
    assert "".join(pieces) == sampled.text
    assert len(pieces) > 10


@pytest.mark.smollm2
def test_smollm2_knows_the_capital_of_france():
    assert "Paris" in run("smollm2", "-m", "What is the capital of France?", "--temperature", 0)
