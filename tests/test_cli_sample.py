"""`accord sample` with a tiny model and with a server: what it writes, where it goes on, what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.answers import read_answers
from accord.cli.main import app
from accord.cli.project import find_project, open_store
from accord.exchange import read
from accord.feedback import Message, Prompt, Response
from accord.policy.load import load_policy
from accord.rollout import Sampler
from openai_server import ModelServer, start, stop

QUICK = ("--max-new-tokens", 8, "--seed", 3)
ROWS = [{"prompt": "Tea is"}, {"prompt": [{"role": "user", "content": "tea?"}], "split": "test", "topic": "tea"}]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write("prompts.jsonl", ROWS)


@pytest.fixture
def serve():
    servers = []

    def begin(answer, **options):
        servers.append(start(answer, **options))
        return servers[-1]

    yield begin
    for server in servers:
        stop(server)


@pytest.fixture
def project(tiny_model_dir):
    accord("init", ".", "--model", tiny_model_dir)
    accord("import", "prompts.jsonl")


def write(path, rows):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def accord(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def sample(*words):
    """The figures that `accord sample --json` prints."""
    return json.loads(accord("sample", *words, *QUICK, "--json").stdout)


def refused(*words):
    """The one line that a failed command says."""
    done = CliRunner().invoke(app, ["sample", *map(str, words)])
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


def by_hand(folder, content, n=1, **settings):
    """[n] samples by the sampler itself, of one prompt, named as the command names it."""
    from accord.feedback import fingerprint

    policy = load_policy(folder)
    name = int(fingerprint(Prompt(content).id), 16)
    settings = {"max_new_tokens": 8, "seed": 3} | settings
    drawn = Sampler(policy.model, policy.tokenizer).sample([content], n=n, names=[name], **settings)
    return sorted(drawn, key=lambda sampled: sampled.sample)


def echo(path, body):
    """A server that says again what it was asked, n times."""
    asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    said = [
        {"message": {"content": f"{asked} {i}"}, "text": f"{asked} {i}", "finish_reason": "stop"}
        for i in range(body["n"])
    ]
    return 200, {"choices": said}


def test_rows_hold_what_the_sampler_gives(tiny_model_dir):
    told = sample("prompts.jsonl", "--model", tiny_model_dir, "--out", "answers.jsonl", "--n", 2)
    rows = sorted(lines("answers.jsonl"), key=lambda row: (isinstance(row["prompt"], list), row["sample"]))
    contents = ["Tea is", (Message("user", "tea?"),)]
    expected = [each for content in contents for each in by_hand(tiny_model_dir, content, n=2)]
    for row, one in zip(rows, expected, strict=True):
        text = row["completion"] if isinstance(row["prompt"], str) else row["completion"][0]["content"]
        assert text == one.text.replace("\0", "\ufffd")
        assert (row["sample"], row["finished"], row["tokens"]) == (one.sample, one.finished, len(one.tokens))
        assert row["logp"] == pytest.approx(sum(one.logps), abs=1e-4)
        assert row["model"] == str(tiny_model_dir)
    assert rows[0]["sampling"] == {
        "max_new_tokens": 8, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": 3
    }  # fmt: skip
    assert rows[2] == rows[2] | ROWS[1]  # the prompt as it was, its split and its own columns
    assert rows[2]["id"] == Prompt(contents[1]).id
    assert told == told | {
        "prompts": 2, "asked": 2, "answers": 4, "finished": sum(e.finished for e in expected),
        "losses": [], "server": None,
        "mean_tokens": sum(len(e.tokens) for e in expected) / 4, "out": "answers.jsonl", "stored": False,
    }  # fmt: skip


def test_rows_can_be_scored_and_imported(serve):
    accord("sample", "prompts.jsonl", "--out", "answers.jsonl", "--server", serve(echo).url, "--model", "m", "--n", 2)
    assert ["Tea is 0"] in [row.answers for row in read_answers(Path("answers.jsonl"))]
    said = [noun for noun in read("answers.jsonl") if isinstance(noun, Response)]
    assert len(said) == 4
    assert said[0].extra["sample"] == 0


def test_responses_in_the_project_are_there_to_be_voted_on(project, tiny_model_dir):
    told = sample("--store", "--n", 3)
    assert (told["model"], told["asked"], told["answers"], told["stored"]) == (str(tiny_model_dir), 2, 6, True)
    with open_store(find_project()) as store:
        prompt = next(p for p in store.prompts() if not isinstance(p.content, str))
        found = list(store.responses([prompt.id]))
    expected = {each.sample: each for each in by_hand(tiny_model_dir, prompt.content, n=3)}
    assert sorted(k for response in found for k in response.extra["samples"]) == [0, 1, 2]
    for response in found:
        one = expected[response.extra["samples"][0]]
        assert response.content == (Message("assistant", one.text.replace("\0", "\ufffd")),)
        assert (response.source, response.demonstration) == (str(tiny_model_dir), False)
        assert response.extra["finished"] == one.finished
        assert response.extra["logp"] == pytest.approx(sum(one.logps), abs=1e-4)
    assert sample("--store", "--n", 3)["asked"] == 0


def test_answers_that_read_alike_are_one_response(project, serve):
    server = serve(
        lambda path, body: (200, {"choices": [{"message": {"content": "Yes."}, "text": "Yes."}] * body["n"]})
    )
    asked = ("--store", "--n", 3, "--server", server.url, "--model", "m")
    assert sample(*asked)["answers"] == 6
    with open_store(find_project()) as store:
        assert [response.extra["samples"] for response in store.responses()] == [[0, 1, 2]] * 2
    assert sample(*asked)["asked"] == 0


def test_prompts_of_a_file_come_into_the_project_with_their_answers(project, serve):
    Path("more.txt").write_text("one\n\n two \n")
    sample("more.txt", "--store", "--server", serve(echo).url, "--model", "m")
    with open_store(find_project()) as store:
        contents = {prompt.content for prompt in store.prompts()}
        assert {(Message("user", "one"),), (Message("user", "two"),)} <= contents
        assert {response.content[0].content for response in store.responses()} == {"one 0", "two 0"}


def test_split_is_the_one_of_training(project, serve):
    url = serve(echo).url
    told = sample("--split", "test", "--out", "test.jsonl", "--server", url, "--model", "m")
    assert [row["split"] for row in lines("test.jsonl")] == ["test"]
    assert told["prompts"] == 1
    sample("--split", "train", "--out", "train.jsonl", "--server", url, "--model", "m")
    assert [row["prompt"] for row in lines("train.jsonl")] == ["Tea is"]


def test_lines_are_what_a_user_says_where_there_is_a_template(tiny_model_dir, byte_tokenizer, tmp_path):
    Path("lines.txt").write_text("tea?\n")
    sample("lines.txt", "--model", tiny_model_dir, "--out", "chat.jsonl")
    load_policy(tiny_model_dir).model.save_pretrained("plain")
    plain = load_policy(tiny_model_dir).tokenizer
    plain.chat_template = None
    plain.save_pretrained("plain")
    sample("lines.txt", "--model", "./plain", "--out", "plain.jsonl")
    assert lines("chat.jsonl")[0]["prompt"] == [{"role": "user", "content": "tea?"}]
    assert lines("plain.jsonl")[0]["prompt"] == "tea?"


def test_conversations_are_asked_up_to_their_last_answer(serve):
    talk = [{"role": r, "content": c} for r, c in [("user", "a"), ("assistant", "b"), ("user", "c")]]
    write("talks.jsonl", [{"messages": talk}, {"messages": talk[:2]}, {"messages": talk[:1]}])
    told = sample("talks.jsonl", "--out", "out.jsonl", "--server", serve(echo).url, "--model", "m")
    assert told["prompts"] == 2  # the last two ask the same
    assert {len(row["prompt"]) for row in lines("out.jsonl")} == {1, 3}


def test_a_file_goes_on_where_it_ends(tiny_model_dir):
    write("prompts.jsonl", [{"prompt": f"Tea {i}"} for i in range(4)])
    asked = ("prompts.jsonl", "--model", tiny_model_dir, "--n", 2)
    sample(*asked, "--out", "whole.jsonl")
    whole = {(row["id"], row["sample"]): row for row in lines("whole.jsonl")}
    data = Path("whole.jsonl").read_bytes()
    for cut in (0, 9, 200, len(data) // 2, len(data) - 1):
        Path("cut.jsonl").write_bytes(data[:cut])
        told = sample(*asked, "--out", "cut.jsonl")
        assert 0 < told["asked"] < 4 or cut < 300
        rows = lines("cut.jsonl")
        assert len(rows) == 8
        assert {(row["id"], row["sample"]): row for row in rows} == {
            key: row | {"logp": pytest.approx(row["logp"], abs=1e-3)} for key, row in whole.items()
        }
        assert Path("cut.jsonl").read_bytes().startswith(data[:cut].rpartition(b"\n")[0])
    again = accord("sample", *asked, *QUICK, "--out", "cut.jsonl").stdout
    assert again.splitlines() == [
        f"0 answers by {tiny_model_dir} to 0 prompts → cut.jsonl", "  4 prompts had all answers already"
    ]  # fmt: skip


def test_more_answers_are_added_to_those_that_are_there(tiny_model_dir):
    asked = ("prompts.jsonl", "--model", tiny_model_dir)
    sample(*asked, "--out", "a.jsonl", "--n", 1)
    sample(*asked, "--out", "a.jsonl", "--n", 3)
    sample(*asked, "--out", "b.jsonl", "--n", 3)
    a, b = ({(row["id"], row["sample"]): row["completion"] for row in lines(name)} for name in ("a.jsonl", "b.jsonl"))
    assert a == b
    assert len(lines("a.jsonl")) == 6


def test_other_settings_are_other_answers(serve):
    asked = ("prompts.jsonl", "--out", "answers.jsonl", "--server", serve(echo).url)
    sample(*asked, "--model", "m")
    told = accord("sample", *asked, *QUICK, "--model", "other", "--json")
    assert json.loads(told.stdout)["asked"] == 2
    assert "answers.jsonl: 2 answers by another model or with other settings stay" in told.stderr
    assert sample(*asked, "--model", "m", "--temperature", 0.5)["asked"] == 2
    assert sample(*asked, "--model", "m")["asked"] == 0
    assert [row["model"] for row in lines("answers.jsonl")] == ["m", "m", "other", "other", "m", "m"]


def test_what_one_place_has_the_other_gets_without_asking(project, serve):
    server = serve(echo)
    asked = ("prompts.jsonl", "--server", server.url, "--model", "m", "--n", 2)
    sample(*asked, "--out", "answers.jsonl")
    assert sample(*asked, "--out", "answers.jsonl", "--store")["asked"] == 0
    assert sample(*asked, "--out", "copy.jsonl", "--store")["asked"] == 0
    assert len(server.asked) == 2
    assert sorted(map(str, lines("copy.jsonl"))) == sorted(map(str, lines("answers.jsonl")))


def test_a_killed_run_goes_on(serve):
    """SIGKILL between two answers of a slow server: nothing that was written is lost, or asked again."""
    write("prompts.jsonl", [{"prompt": f"p{i}"} for i in range(20)])
    server = serve(echo, delay=0.1)
    words = ("prompts.jsonl", "--out", "answers.jsonl", "--server", server.url, "--model", "m", "--workers", "1")
    command = [sys.executable, "-m", "accord", "sample", *words, *map(str, QUICK)]
    process = subprocess.Popen(command, env=os.environ | {"NO_PROXY": "127.0.0.1"}, stdout=subprocess.DEVNULL)
    out = Path("answers.jsonl")
    try:
        while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < 3):
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = out.read_bytes()
    done = kept.count(b"\n")
    assert 3 <= done < 20
    server.delay = 0
    told = sample(*words)
    assert told["asked"] == 20 - done
    assert out.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    assert sorted(row["completion"] for row in lines(out)) == sorted(f"p{i} 0" for i in range(20))


def test_a_server_that_goes_away_in_the_middle(serve):
    write("prompts.jsonl", [{"prompt": f"p{i}"} for i in range(6)])
    answers = iter([True] * 3)
    server = serve(lambda path, body: echo(path, body) if next(answers, False) else (403, {"error": "quota"}))
    words = ("prompts.jsonl", "--out", "answers.jsonl", "--server", server.url, "--model", "m", "--workers", 1)
    said = refused(*words)
    assert said.startswith(f"{server.url} gave no answer, asked once: 403 Forbidden: ")
    assert said.endswith("(3 answers were kept: the same command goes on)")
    server.answer = echo
    assert (
        sample(*words, "--max-new-tokens", 256, "--seed", 0)["asked"] == 6
    )  # QUICK's settings come last: another origin
    done = json.loads(accord("sample", *words, "--json").stdout)
    assert done["asked"] == 3


def test_what_a_server_does_not_give_is_said(serve, tiny_model_dir):
    policy = load_policy(tiny_model_dir)
    server = serve(ModelServer(Sampler(policy.model, policy.tokenizer), chat_only=True, knows={"seed"}))
    words = ("prompts.jsonl", "--out", "answers.jsonl", "--server", server.url, "--model", "tiny")
    said = accord("sample", *words, *QUICK).stdout
    assert "2 answers by tiny to 2 prompts → answers.jsonl" in said
    assert "a server's own weights and randomness" in said
    for loss in ("no token ids", "no log-probs", "plain texts were asked as a user's messages"):
        assert loss in said
    row = lines("answers.jsonl")[0]
    assert (row["tokens"], row["logp"], row["sampling"]["server"]) == (None, None, server.url)


def test_further_fields_go_to_the_server(serve):
    server = serve(echo)
    extra = '{"max_tokens": null, "max_completion_tokens": 8, "seed": null}'
    sample("prompts.jsonl", "--out", "a.jsonl", "--server", server.url, "--model", "m", "--extra-body", extra)
    bodies = [body for _, _, body in server.asked]
    assert all(body["max_completion_tokens"] == 8 and not {"max_tokens", "seed"} & body.keys() for body in bodies)
    for wrong, why in (("{", "no JSON: "), ("[1]", "no JSON object")):
        assert f"--extra-body: {why}" in refused(
            "prompts.jsonl", "--out", "b.jsonl", "--server", server.url, "--model", "m", "--extra-body", wrong
        )


def test_characters_that_cannot_be_kept_are_replaced(project, serve):
    said = {"choices": [{"message": {"content": "a\0b\ud800c"}, "text": "a\0b\ud800c", "finish_reason": "stop"}]}
    words = ("--out", "a.jsonl", "--store", "--server", serve(lambda path, body: (200, said)).url, "--model", "m")
    sample(*words)
    assert lines("a.jsonl")[0]["completion"] in ("a\ufffdb?c", [{"role": "assistant", "content": "a\ufffdb?c"}])
    assert sample(*words)["asked"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("prompts.jsonl --model m", "where shall the answers go? --out FILE.jsonl, --store"),
        ("prompts.jsonl --out a.jsonl --server http://127.0.0.1:9/v1", "--server: say which model to ask there"),
        ("prompts.jsonl --out a.jsonl --server 127.0.0.1:9 --model m", "'127.0.0.1:9' is no address"),
        ("prompts.jsonl --out a.txt --model m", "a.txt: answers are appended to a .jsonl file"),
        ("prompts.jsonl --out no/a.jsonl --model m", "no/a.jsonl: cannot be written: No such file"),
        ("prompts.jsonl --out prompts.jsonl --model m", "prompts.jsonl:1: row: accord sample did not write it"),
        ("none.jsonl --out a.jsonl --model m", "none.jsonl:1: file: does not exist"),
        ("none.txt --out a.jsonl --model smollm2 --server http://x", "none.txt:1: file: does not exist"),
        ("blank.txt --out a.jsonl --model m --server http://x", "blank.txt: no prompts"),
        ("bad.jsonl --out a.jsonl --model m", "bad.jsonl:2: prompt: is a number, expected text"),
        ("latin.txt --out a.jsonl --model m --server http://x", "latin.txt:2: text: is not UTF-8"),
        ("answered.jsonl --out a.jsonl --model m", "answered.jsonl:1: messages: has nothing that could be answered"),
        ("prompts.jsonl --out a.jsonl --model ./nowhere", "./nowhere: no such folder"),
        ("prompts.jsonl --store --model m", "no accord.yaml here or above"),
        ("--out a.jsonl", "no accord.yaml here or above"),
        ("prompts.jsonl --out a.jsonl --top-p 2 --model TINY", "top_p is 2.0"),
    ],
)
def test_what_is_refused_is_one_line(words, message, tiny_model_dir):
    Path("bad.jsonl").write_text('{"prompt": "a"}\n{"prompt": 3}\n')
    Path("latin.txt").write_bytes(b"tea\ncaf\xe9\n")
    Path("blank.txt").write_text("\n \n")
    write("answered.jsonl", [{"messages": [{"role": "assistant", "content": "Hi."}]}])
    assert refused(*words.replace("TINY", str(tiny_model_dir)).split()).startswith(message)
    assert Path("prompts.jsonl").read_text().count("\n") == len(ROWS)
