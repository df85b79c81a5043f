"""The data doctor: every finding on data that has the fault, none on data that is sound; lengths counted by hand."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.exchange.doctor import Severity, examine
from accord.feedback import Annotator, AnnotatorKind, Choice, Comparison, Message, Prompt, Rating, Response, Sides

AT = datetime(2026, 1, 1, tzinfo=UTC)
FILE = Annotator("dataset:file", AnnotatorKind.DATASET)
DATA = Path(os.environ.get("ACCORD_DATA", Path(__file__).parents[2] / "shared" / "data"))


class Feedback(list):
    """Nouns, as a file would give them."""

    def prompt(self, content="What is two and two?", split="", **more):
        prompt = Prompt((Message("user", content),) if more.pop("talk", False) else content, split, **more)
        self.append(prompt)
        return prompt

    def response(self, prompt, text, **more):
        talk = not isinstance(prompt.content, str)
        response = Response(prompt.id, (Message("assistant", text),) if talk else text, **more)
        self.append(response)
        return response

    def compare(self, prompt, left, right, choice="left", annotator="ann", sides=Sides.SHUFFLED, **more):
        left = left if isinstance(left, Response) else self.response(prompt, left)
        right = right if isinstance(right, Response) else self.response(prompt, right)
        self.append(
            Comparison(str(len(self)), annotator, prompt.id, left.id, right.id, Choice(choice), AT, sides, **more)
        )
        return left, right

    def rate(self, prompt, text, desirable, annotator="ann"):
        response = self.response(prompt, text)
        self.append(Rating(str(len(self)), annotator, prompt.id, response.id, desirable, AT))


def sound(n=40, talk=True):
    """Enough varied, shuffled pairs, with a test split, that there is nothing to remark."""
    data = Feedback()
    for i in range(n):
        prompt = data.prompt(f"Question {i}?", "test" if i % 10 == 0 else "train", talk=talk)
        good, bad = ("yes " * (i % 7 + 1), "no " * ((i * 3) % 7 + 1))
        pair = data.compare(prompt, good, bad, "left" if i % 2 else "right", "ann")
        data.compare(prompt, *pair, "left" if i % 2 else "right", "bob")
    return data


def found(data, *tokenizer, **options):
    return {finding.name: finding for finding in examine(data, *tokenizer, **options).problems}


@pytest.mark.parametrize("talk", [True, False])
def test_sound_data_has_no_findings(byte_tokenizer, talk):
    diagnosis = examine(sound(talk=talk), byte_tokenizer)
    assert list(diagnosis.problems) == []
    assert diagnosis.facts["lengths"]["examples"] == 80


def test_nothing_to_learn():
    data = Feedback()
    data.response(data.prompt(), "4")
    assert found(data)["nothing_to_learn"].severity is Severity.ERROR
    data.response(data.prompt("Three?"), "3", demonstration=True)
    assert "nothing_to_learn" not in found(data)


def test_only_ties_have_no_winner():
    data = Feedback()
    data.compare(data.prompt(), "4", "four", "tie")
    data.compare(data.prompt("Three?"), "3", "three", "both_bad")
    assert found(data)["no_winner"].count == 2


@pytest.mark.parametrize("thumb", [True, False])
def test_one_label_cannot_train_kto(thumb):
    data = Feedback()
    for i in range(3):
        data.rate(data.prompt(), f"{i}", thumb)
    assert found(data)["one_label"].severity is Severity.ERROR
    data.rate(data.prompt(), "another", not thumb)
    assert "one_label" not in found(data)


def test_unbalanced_thumbs_come_with_the_weight_that_balances_them():
    data = Feedback()
    for i in range(10):
        data.rate(data.prompt(), f"{i}", i < 2)
    assert "--desirable_weight 4," in found(data)["unbalanced"].remedy
    for i in range(10, 16):
        data.rate(data.prompt(), f"{i}", True)
    assert "unbalanced" not in found(data)


def test_a_prompt_in_train_and_test_is_an_error_even_if_written_otherwise():
    data = sound()
    data.compare(data.prompt("question 0", "train", talk=True), "yes", "no")
    finding = found(data)["split_overlap"]
    assert (finding.severity, finding.count) == (Severity.ERROR, 1)
    assert "1 prompt of the test (25 %)" in finding.what


def test_one_prompt_marked_both_ways_is_an_error_too():
    data = sound()
    data.append(Prompt(data[0].content, "train"))
    assert found(data)["split_overlap"].where == (data[0].id,)


def test_chosen_is_rejected():
    data = sound()
    data.compare(data.prompt(), "4", "4 ")
    same = data.response(data.prompt(), "5")
    data.compare(data.prompt(), same, same)
    data.compare(data.prompt(), "Six.", "six")
    finding = found(data)["chosen_is_rejected"]
    assert (finding.severity, finding.count) == (Severity.WARNING, 2)
    assert found(data)["near_identical"].count == 1
    all_same = Feedback()
    all_same.compare(all_same.prompt(), "4", "4 ")
    assert found(all_same)["chosen_is_rejected"].severity is Severity.ERROR


def test_empty_texts():
    data = sound()
    data.compare(data.prompt(), " \n", "4")
    data.compare(data.prompt("  "), "5", "6")
    assert found(data)["empty_completion"].count == 1
    assert found(data)["empty_prompt"].count == 1


def test_repeated_votes_count_unless_superseded_or_of_another():
    data = sound()
    first = data.compare(data.prompt(), "4", "5")
    data.compare(data.prompt(), *first, annotator="bob")
    assert "repeated_votes" not in found(data)
    data.compare(data.prompt(), *first)
    data.compare(data.prompt(), *first[::-1], "right")
    assert found(data)["repeated_votes"].count == 2
    corrected = data[-1].id
    data.compare(data.prompt(), *first, supersedes=corrected)
    assert found(data)["repeated_votes"].count == 2


def test_repeated_prompts():
    data = sound()
    for text in ("Two and two?", "two and two", "Two  and  two ?"):
        data.compare(data.prompt(text), "4", "5")
    finding = found(data)["repeated_prompts"]
    assert (finding.count, finding.severity) == (3, Severity.NOTE)


def test_conflicts_of_people_are_noted_and_of_a_file_warned_of():
    data = sound()
    pair = data.compare(data.prompt(), "4", "5")
    data.compare(data.prompt(), *pair, "right", "bob")
    assert "in 1 pair, 2 % of those" in found(data)["conflicting_votes"].what
    assert "contradictions" not in found(data)
    data.append(FILE)
    stated = data.compare(data.prompt("Three?"), "3", "4", annotator=FILE.id)
    data.compare(data.prompt("Three?"), *stated[::-1], annotator=FILE.id)
    assert found(data)["contradictions"].count == 1
    assert found(data)["conflicting_votes"].count == 1


def test_ties_and_both_bad_are_noted_where_there_are_many():
    data = Feedback()
    for i in range(10):
        data.compare(data.prompt(f"{i}?"), "a", "b c", "tie" if i < 4 else "both_bad" if i < 6 else "left")
    assert "40 % of the votes are ties" in found(data)["ties"].what
    assert found(data)["both_bad"].count == 2


def test_length_bias():
    data = Feedback()
    for i in range(40):
        data.compare(data.prompt(f"{i}?"), "long " * 5, "short", "left" if i < 32 else "right")
    diagnosis = examine(data)
    assert diagnosis.facts["chosen_longer"] == 0.8
    (finding,) = (f for f in diagnosis.problems if f.name == "length_bias")
    assert "longer response was preferred in 80 %" in finding.what
    assert "length_bias" not in found(sound())


def test_an_annotator_who_always_says_left_is_named():
    data = Feedback()
    for i in range(40):
        data.compare(data.prompt(f"{i}?"), "a", "b", "left", "hasty")
        data.compare(data.prompt(f"{i}?"), "a", "b", "left" if i % 2 else "right", "careful")
    finding = found(data)["side_bias"]
    assert finding.where == ("hasty",)
    assert "left response in 100 % of 40 comparisons" in finding.what


def test_sides_that_were_not_shuffled_are_noted_for_people_only():
    data = sound()
    data.append(FILE)
    data.compare(data.prompt(), "4", "5", annotator=FILE.id, sides=Sides.UNKNOWN)
    assert "sides_not_shuffled" not in found(data)
    data.compare(data.prompt(), "4", "5", sides=Sides.FIXED)
    assert found(data)["sides_not_shuffled"].count == 1


def test_pairs_that_one_person_each_judged_say_nothing_of_reliability():
    data = Feedback()
    for i in range(20):
        data.compare(data.prompt(f"{i}?"), "a", "b", annotator=f"ann{i % 3}")
    assert found(data)["no_overlap"].count == 20
    for i in range(5):
        data.compare(data.prompt(f"{i}?"), "a", "b", annotator="ann9")
    assert "no_overlap" not in found(data)


def test_missing_test_split_and_few_prompts_are_noted():
    data = Feedback()
    data.compare(data.prompt(), "4", "5")
    assert "--test_fraction" in found(data)["no_test_split"].remedy
    assert found(data)["few_prompts"].count == 1


def test_responses_that_name_their_model():
    data = sound()
    data.compare(data.prompt(), "As an AI model trained by OpenAI, I say 4.", "I'm Claude.")
    data.compare(data.prompt("Bye?"), "Say bye to Claude.", "OpenAI is a company.")
    assert found(data)["model_names"].count == 2


def talk(data, question, answer):
    data.response(data.prompt(question, talk=True), answer, demonstration=True)


def test_lengths_are_those_of_training(byte_tokenizer):
    """One token a byte, so that lengths can be counted: ChatML's tags are 1 token each, roles and newlines bytes."""
    data = Feedback()
    talk(data, "Hi", "Hello")
    lengths = examine(data, byte_tokenizer).facts["lengths"]
    prompt = len("<user\nHi>\n") + len("<assistant\n")
    completion = len("Hello>\n")
    assert (lengths["prompt"]["max"], lengths["completion"]["max"]) == (prompt, completion)
    assert lengths["both"]["p50"] == prompt + completion

    texts = Feedback()
    texts.response(texts.prompt("Hi"), "Hello", demonstration=True)
    lengths = examine(texts, byte_tokenizer).facts["lengths"]
    assert (lengths["prompt"]["max"], lengths["completion"]["max"]) == (2, 5 + 1), "and the end of the text"


def test_what_the_limit_cuts(byte_tokenizer):
    frame = 28 - len("Hi") - len("Hello")
    data = Feedback()
    for question, answer in [(5, 5), (70, 20), (80, 20), (5, 150), (90, 5)]:
        talk(data, "q" * question, "a" * answer)
    problems, facts = found(data, byte_tokenizer, max_length=100), examine(data, byte_tokenizer, 100).facts["lengths"]
    assert facts["cut"]["examples"] == 4
    assert (facts["cut"]["completions"], facts["cut"]["dropped"]) == (3, 1)
    assert problems["completion_cut"].count == 3
    assert f"{100 + frame - 100} in the median, {155 + frame - 100} tokens at most" in problems["completion_cut"].what
    assert f"({155 + frame} keeps everything)" in problems["completion_cut"].remedy
    assert (problems["prompt_fills_limit"].count, problems["prompt_fills_limit"].severity) == (1, Severity.WARNING)
    assert not found(data, byte_tokenizer, max_length=155 + frame).keys() & {"completion_cut", "prompt_fills_limit"}
    assert found(data, byte_tokenizer, max_length=5)["prompt_fills_limit"].severity is Severity.ERROR


@pytest.fixture
def with_template(byte_tokenizer):
    """The byte tokenizer with another chat template, for one test."""
    before = byte_tokenizer.chat_template

    def change(template):
        byte_tokenizer.chat_template = template
        return byte_tokenizer

    yield change
    byte_tokenizer.chat_template = before


def test_a_template_that_rewrites_the_prompt_is_an_error(with_template):
    tokenizer = with_template(
        "{{ messages|length }}{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    )
    finding = found(sound(), tokenizer)["prompt_not_prefix"]
    assert (finding.severity, finding.count) == (Severity.ERROR, 80)


def test_a_template_that_refuses_is_quoted(with_template):
    tokenizer = with_template(
        "{% for m in messages %}{% if m['content'] == 'Question 3?' %}{{ raise_exception('no threes') }}{% endif %}"
        "<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
    )
    finding = found(sound(), tokenizer)["template_refuses"]
    assert (finding.severity, finding.count) == (Severity.ERROR, 2)
    assert "no threes" in finding.what
    assert examine(sound(), tokenizer).facts["lengths"]["examples"] == 78


def test_conversations_need_a_template(with_template):
    tokenizer = with_template(None)
    assert found(sound(), tokenizer)["no_chat_template"].count == 80
    assert "no_chat_template" not in found(sound(talk=False), tokenizer)


@pytest.mark.smollm2
def test_white_space_that_merges_into_the_prompt_is_found():
    from accord.policy.load import load_tokenizer

    data = sound()
    talk(data, "Hi", "\n\nHello")
    finding = found(data, load_tokenizer())["prompt_merged"]
    assert (finding.count, finding.severity) == (1, Severity.WARNING)


def test_the_worst_comes_first_and_json_holds_it_all(byte_tokenizer):
    data = sound()
    data.compare(data.prompt(talk=True), "", "4")
    data.append(Prompt(data[0].content, "train"))
    diagnosis = examine(data, byte_tokenizer)
    assert [f.name for f in diagnosis.problems] == ["split_overlap", "empty_completion"]
    assert [f.name for f in diagnosis.errors] == ["split_overlap"]
    told = json.loads(json.dumps(diagnosis.to_json()))
    assert told["errors"] == 1
    assert told["problems"][1]["name"] == "empty_completion"
    assert told["facts"]["annotators"]["human"] == {"annotators": 2, "votes": 81, "median": 40.5, "most": 41}
    assert told["facts"]["splits"] == {"test": 4, "train": 36, "unmarked": 1}


def write_pairs(path, pairs):
    rows = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_command_tells_what_is_there_and_what_to_do(tmp_path, tiny_model_dir):
    file = write_pairs(
        tmp_path / "mine.jsonl", [("Q?", "yes", "no"), ("R [bold]?", "no", "yes"), ("S?", "same", "same ")]
    )
    result = CliRunner().invoke(app, ["doctor", file, "--model", str(tiny_model_dir)])
    assert result.exit_code == 0, result.output
    for words in ("mine.jsonl", "prompts", "3 votes on 3 pairs", "Both responses are the same text in 1 pair", "Ready"):
        assert words in result.output


def test_command_exits_with_1_on_errors_and_speaks_json(tmp_path):
    file = write_pairs(tmp_path / "mine.jsonl", [("Q?", "same", "same "), ("R?", "same", "same ")])
    result = CliRunner().invoke(app, ["doctor", file, "--no-model", "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["errors"] == 1
    assert (told["problems"][0]["name"], told["problems"][0]["count"]) == ("chosen_is_rejected", 2)


def test_command_looks_at_the_projects_votes(tmp_path, monkeypatch):
    from accord.store import Store

    assert CliRunner().invoke(app, ["init", str(tmp_path)]).exit_code == 0
    with Store.open(tmp_path / "accord.db") as store:
        data = sound()
        store.add([Annotator("ann"), Annotator("bob"), *data])
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["doctor", "--no-model", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["facts"]["comparisons"] == 80


@pytest.mark.smollm2
@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the data sets in {DATA} (set ACCORD_DATA)")
def test_real_pairs_without_torch():
    """On 1,800 real dialogues; torch would cost more than the whole examination."""
    code = (
        "import sys; from accord.exchange import read; from accord.exchange.doctor import examine;"
        "from accord.policy.load import load_tokenizer;"
        f"d = examine(read({str(DATA / 'hh-rlhf/harmless-base.jsonl.gz')!r}), load_tokenizer());"
        "assert 'torch' not in sys.modules;"
        "import json; print(json.dumps(d.to_json()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["errors"] == 0
    assert told["facts"]["pairs"] == 1800
    assert told["facts"]["lengths"]["both"]["max"] == 1025
