"""The demo: its prompts, what its simulated panel is asked, and the whole of it on a tiny model."""

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.demo import DECODING, HEADLINES, TRAINING, _clear
from accord.cli.demo_story import clock, typical
from accord.cli.demo_votes import TASTE, VOTES_A_PAIR, ask, demo_prompts
from accord.cli.main import app
from accord.feedback import AccordError, Annotator, Choice, Comparison, Message, Prompt, Response, text_of
from accord.quality import TASTES, pair_labels, panel


def answers(prompt, lengths, finished=True):
    chance = random.Random(prompt.id)
    texts = [" ".join(chance.choice(["red", "green", "blue", "grey", "pink"]) for _ in range(n)) for n in lengths]
    return [Response(prompt.id, (Message("assistant", text),), extra={"finished": finished}) for text in texts]


def test_prompts_are_many_different_and_a_third_is_held_out():
    prompts = demo_prompts()
    texts = [text_of(prompt.content) for prompt in prompts]
    assert len(prompts) >= 120
    assert len({text.lower() for text in texts}) == len(texts)
    assert Counter(prompt.split for prompt in prompts) == {"train": 2 * len(texts) // 3, "test": len(texts) // 3}
    assert all(text == text.strip() and len(text.split()) >= 3 for text in texts)


def test_a_few_prompts_have_both_splits():
    assert {prompt.split for prompt in demo_prompts(9)} == {"train", "test"}


def test_each_pair_is_seen_by_different_annotators():
    prompt = demo_prompts(1)[0]
    votes = list(ask(panel(TASTE), prompt, answers(prompt, (5, 10, 20, 40)), pairs=2))
    pairs = {}
    for vote in votes:
        pairs.setdefault(frozenset((vote.left_id, vote.right_id)), []).append(vote.annotator_id)
    assert len(pairs) == 2
    assert all(len(set(who)) == len(who) == VOTES_A_PAIR for who in pairs.values())


def test_two_answers_that_were_cut_off_are_not_compared():
    prompt = demo_prompts(1)[0]
    ended, *cut = [*answers(prompt, (5,)), *answers(prompt, (90, 95, 99), finished=False)]
    votes = list(ask(panel(TASTE), prompt, [ended, *cut], pairs=6))
    assert len({frozenset((vote.left_id, vote.right_id)) for vote in votes}) == 3
    assert all(ended.id in (vote.left_id, vote.right_id) for vote in votes)
    assert not list(ask(panel(TASTE), prompt, cut, pairs=6))


def test_the_same_seed_asks_and_answers_the_same():
    prompt = demo_prompts(1)[0]

    def said(seed):
        votes = ask(panel(TASTE, seed=seed), prompt, answers(prompt, (5, 10, 20, 40)), pairs=3, seed=seed)
        return [(vote.annotator_id, vote.left_id, vote.right_id, vote.choice) for vote in votes]

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_sides_are_shuffled_and_labels_recover_the_taste():
    """Answers of 10 and 60 words: every annotator of the panel can tell, most of the time."""
    prompts = demo_prompts()
    by_id = {}
    votes = []
    for prompt in prompts:
        short, long = answers(prompt, (10, 60))
        by_id |= {short.id: short, long.id: long}
        votes += ask(panel(TASTE), prompt, [short, long], pairs=1)
    on_the_left = sum(len(text_of(by_id[vote.left_id].content).split()) == 10 for vote in votes) / len(votes)
    assert 0.4 < on_the_left < 0.6
    right = [len(text_of(by_id[label.chosen_id].content).split()) == 10 for label in pair_labels(votes)]
    assert sum(right) / len(right) > 0.95


def test_taste_is_what_it_is_called():
    taste = TASTES[TASTE]
    assert taste("", "One short line.") > taste("", "One line, and then many more words about the same.")
    assert taste("", "red\ngreen") > taste("", "- red\n- green")


@pytest.mark.smollm2
def test_what_was_cut_off_has_no_end_in_training():
    """Else training would learn that long answers end in the middle of a sentence."""
    from accord.policy.load import load_tokenizer

    tokenizer = load_tokenizer("smollm2")
    for prompt in demo_prompts():
        messages = [{"role": "user", "content": text_of(prompt.content)}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert int(TRAINING["max_length"]) <= len(ids) + DECODING["max_new_tokens"]


def test_pair_to_show_is_the_median_of_those_that_won():
    def pair(before, after, verdict):
        return {"before": "w " * before, "after": "w " * after, "verdict": verdict, "id": after}

    pairs = [pair(50, 60, 0), pair(50, 5, 1), pair(50, 20, 1), pair(50, 45, 1)]
    assert typical(pairs)["id"] == 20
    assert typical(pairs[:1])["id"] == 60


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (359.6, "6 min 0 s")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_peoples_votes_are_not_thrown_away(tmp_path, monkeypatch):
    from accord.cli.project import open_store, read

    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["init", "demo"])
    prompt = Prompt("Why?")
    a, b = Response(prompt.id, "Because."), Response(prompt.id, "Why not?")
    ann = Annotator("ann")
    vote = Comparison("v", ann.id, prompt.id, a.id, b.id, Choice.LEFT, datetime.now(UTC))
    with open_store(read(tmp_path / "demo")) as store:
        store.add([prompt, a, b, ann, vote])
    with pytest.raises(AccordError, match="not the demo's; choose another folder with --dir"):
        _clear(Path("demo"), Path("demo/runs/demo"))
    assert (tmp_path / "demo/accord.db").exists()


def test_other_folders_are_not_thrown_away(tmp_path):
    (tmp_path / "demo").mkdir()
    with pytest.raises(AccordError, match="is there already and not the demo's"):
        _clear(tmp_path / "demo", tmp_path / "demo/runs/demo")


@pytest.mark.parametrize(("name", "dataset"), [("demo", "mine.jsonl"), ("mine", "demo")])
def test_other_runs_are_not_thrown_away(tmp_path, monkeypatch, name, dataset):
    from accord.runs import Run

    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["init", "demo"])
    run = Run.create(Path("demo/runs") / name, config={}, command="accord dpo", given={"dataset_name": [dataset]})
    with pytest.raises(AccordError, match=f"{name}: is a run that is not the demo's"):
        _clear(Path("demo"), Path("demo/runs/demo"))
    assert run.path.exists()


@pytest.fixture
def in_a_fresh_folder(tmp_path, monkeypatch, tiny_model_dir):
    """Where `smollm2` is the tiny Llama: a folder of that name comes before the embedded model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "smollm2").symlink_to(tiny_model_dir)
    return tmp_path


def test_whole_loop_and_again(in_a_fresh_folder):
    arguments = ["demo", "--prompts", "12", "--json"]
    first = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert first.exit_code == 0, first.stderr
    figures = json.loads(first.stdout)
    summary = json.loads((in_a_fresh_folder / "demo/runs/demo/summary.json").read_text())
    assert figures == {
        **{name: summary[name] for name in HEADLINES},
        "run": "demo/runs/demo",
        "report": figures["report"],
    }
    assert summary["n_votes"] == VOTES_A_PAIR * summary["n_pairs"]
    assert Path(figures["report"]).read_text().startswith("<!")
    assert "simulated" in first.stderr
    commands = [
        line.split("$ accord ")[1] for line in first.stderr.splitlines() if "$ accord dpo --dataset_name demo" in line
    ]
    assert commands == [line for line in commands if "--output_dir demo/runs/demo" in line] != []
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.stdout)["n_votes"] == figures["n_votes"]


@pytest.mark.slow
@pytest.mark.smollm2
def test_smollm2_learns_the_taste(tmp_path, monkeypatch):
    """The real thing, as `make demo` runs it."""
    monkeypatch.chdir(tmp_path)
    figures = json.loads(CliRunner().invoke(app, ["demo", "--json"], catch_exceptions=False).stdout)
    assert figures["win_rate"] >= 0.75
    assert figures["win_rate_ci"][0] > 0.5
