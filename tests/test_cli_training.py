"""`accord sft|dpo|kto` on a tiny model, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.exchange.writing import write_votes
from accord.quality.crowd import Role
from accord.runs import Run
from accord.runs.process import is_alive
from crowds import nouns, voted

ROWS = [
    {"prompt": f"Question {i}?", "chosen": f"Yes, {i * 7 % 11}.", "rejected": "No no no." + "!" * (i % 5)}
    for i in range(40)
]
COMMON = ["--use_cpu", "--bf16", "false", "--learning_rate", "1e-3", "--per_device_train_batch_size", "4"]


@pytest.fixture
def accord(tiny_model_dir, tmp_path, monkeypatch):
    """Run a command in this process, in a folder with pairs.jsonl."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "pairs.jsonl", ROWS)

    def run(*words):
        return CliRunner().invoke(app, [*map(str, words)])

    run.common = ["--model_name_or_path", str(tiny_model_dir), "--dataset_name", "pairs.jsonl", *COMMON]
    return run


def test_a_run_keeps_what_is_known_of_the_votes_that_it_learns_from(accord):
    crowd, asked, votes = voted((1.0,), {Role.HONEST: 9}, pairs=20, each=10)
    write_votes(Path("votes.jsonl"), nouns(crowd, asked, votes))
    words = ["dpo", *accord.common, "--output_dir", "out", "--max_steps", 2]
    words[words.index("pairs.jsonl")] = "votes.jsonl"
    done = accord(*words)
    assert done.exit_code == 0, done.output
    assert Run.open("out").quality()["votes"] == len(votes)
    page = Path("out/report.html").read_text()
    assert "90 votes on 20 pairs by 9 annotators, all of them simulated." in page
    assert accord("dpo", *accord.common, "--output_dir", "stated", "--max_steps", 2).exit_code == 0
    assert Run.open("stated").quality() == {}, "what a file states is nobody's vote"


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def said(done) -> str:
    """The line that a failed command ends with."""
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[-1]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_a_run_leaves_a_model_and_its_records(accord, method):
    done = accord(method, *accord.common, "--output_dir", "out", "--num_train_epochs", 2, "--logging_steps", 5)
    assert done.exit_code == 0, done.output
    out = Path("out")
    assert {"model.safetensors", "tokenizer.json", "run.json", "metrics.jsonl", "summary.json", "report.html"} <= {
        p.name for p in out.iterdir()
    }
    info, summary = json.loads((out / "run.json").read_text()), json.loads((out / "summary.json").read_text())
    assert info["method"] == method
    assert info["config"]["learning_rate"] == 1e-3
    assert info["config"]["test_fraction"] == 0.1
    assert info["snapshot_hash"] == json.loads((out / "data" / "manifest.json").read_text())["hash"]
    assert summary["n_train"] + summary["n_test"] == (80 if method == "kto" else 40)
    logged = lines(out / "metrics.jsonl")
    assert [record["step"] for record in logged] == list(range(5, summary["steps"] + 1, 5))
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert Run.open(out).progress()["max_steps"] == summary["steps"]
    assert "out/report.html" in done.output


def test_lora_leaves_an_adapter_alone(accord):
    done = accord("dpo", *accord.common, "--output_dir", "out", "--max_steps", 2, "--use_peft", "--lora_r", 4)
    assert done.exit_code == 0, done.output
    assert json.loads(Path("out/adapter_config.json").read_text())["r"] == 4
    assert not Path("out/model.safetensors").exists()
    again = accord("dpo", *accord.common, "--output_dir", "out2", "--use_peft", "--model_name_or_path", "out")
    assert said(again) == "out: is an adapter already; leave out use_peft to go on training it"
    assert Run.open("out2").summary() == {"error": said(again)}


def test_votes_of_a_project_are_trained_on(accord, tiny_model_dir):
    people = [{**row, "annotator": f"worker {i % 3}"} for i, row in enumerate(ROWS)]
    write(Path("votes.jsonl"), people)
    assert accord("init", "work", "--model", tiny_model_dir).exit_code == 0
    assert accord("import", "votes.jsonl", "--project", "work").exit_code == 0
    os.chdir("work")
    done = accord("dpo", *COMMON, "--max_steps", 1, "--labels", "vote_share")
    assert done.exit_code == 0, done.output
    rows = lines(Path("runs/dpo/data/train.jsonl"))
    assert [row["p_chosen"] for row in rows] == pytest.approx([2 / 3] * len(rows))  # one vote each: (1 + 1) / (1 + 2)
    assert json.loads(Path("runs/dpo/run.json").read_text())["config"]["model_name_or_path"] == str(tiny_model_dir)


def test_labels_close_to_a_coin_toss_are_counted(accord):
    def vote(n, who, right):
        answers = ["A short answer.", "Another, longer answer."]
        better, worse = answers if right else reversed(answers)
        return {"prompt": f"Question {n}?", "chosen": better, "rejected": worse, "annotator": who}

    rows = [vote(n, f"person {k}", k < 2 or n > 2) for n in range(6) for k in range(4)]  # on three they are even
    write(Path("pairs.jsonl"), rows)
    done = accord("dpo", *accord.common, "--labels", "vote_share", "--test_fraction", 0, "--output_dir", "out")
    assert "3 of 6 labels are close to a coin toss" in done.output
    assert "3 labels (50 %) are close to a coin toss" in Path("out/report.html").read_text(encoding="utf-8")
    again = accord("dpo", *accord.common, "--labels", "vote_share", "--test_fraction", 0, "--max_train_samples", 1)
    assert " of 1 labels" in again.output or "coin toss" not in again.output


def test_a_snapshot_trains_again_on_the_same_rows(accord):
    assert accord("dpo", *accord.common, "--output_dir", "first", "--max_steps", 1).exit_code == 0
    done = accord("dpo", *accord.common, "--output_dir", "second", "--max_steps", 1, "--dataset_name", "first/data")
    assert done.exit_code == 0, done.output
    first, second = (json.loads(Path(name, "run.json").read_text())["snapshot_hash"] for name in ("first", "second"))
    assert first == second
    wrong = accord("kto", *accord.common, "--output_dir", "third", "--dataset_name", "first/data")
    assert said(wrong) == "first/data: a snapshot of preference rows, and this method trains on unpaired rows"


def test_held_out_prompts_are_evaluated(accord):
    done = accord("dpo", *accord.common, "--output_dir", "out", "--max_steps", 4, "--eval_strategy", "steps",
                  "--eval_steps", 2, "--test_fraction", 0.25)  # fmt: skip
    assert done.exit_code == 0, done.output
    evaluated = [record for record in lines(Path("out/metrics.jsonl")) if "eval_loss" in record]
    assert [record["step"] for record in evaluated] == [2, 4]
    none = accord("dpo", *accord.common, "--output_dir", "o2", "--eval_strategy", "steps", "--eval_steps", 2,
                  "--test_fraction", 0)  # fmt: skip
    assert "eval_strategy: nothing is held out" in said(none)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset_name", "nowhere.jsonl"], "nowhere.jsonl: there is no such file or folder"),
        (["--dataset_train_split", "mine"], "dataset_train_split, dataset_test_split: these files have no splits"),
        (["--resume"], "out: there is no run to resume; leave out --resume to begin one"),
        (["--model_name_or_path", "./nowhere"], "./nowhere: no such folder"),
        (["--test_fraction", "0.1", "--dataset_name", "tests.jsonl"], "tests.jsonl: all 40 rows are held out"),
        (["--dataset_name", "prompts.jsonl"], "prompts.jsonl: nothing to train dpo on: it needs preferences"),
        (["--adapter_name_or_path", "a", "--use_peft"], "adapter_name_or_path goes on training that adapter"),
    ],
)
def test_what_a_user_can_mend_is_one_line(accord, words, message):
    write(Path("tests.jsonl"), [{**row, "split": "test"} for row in ROWS])
    write(Path("prompts.jsonl"), [{"prompt": row["prompt"]} for row in ROWS])
    done = accord("dpo", *accord.common, "--output_dir", "out", *words)
    assert said(done).startswith(message)
    assert not Path("out").exists() or words[0] == "--model_name_or_path"


def test_a_run_is_not_overwritten_by_chance(accord):
    first = ["dpo", *accord.common, "--output_dir", "out", "--max_steps", 1]
    assert accord(*first).exit_code == 0
    before = Path("out/run.json").read_bytes()
    assert said(accord(*first)) == ("out: holds a run; --resume goes on with it, --overwrite_output_dir deletes it")
    assert said(accord(*first, "--resume")).startswith("out: this run is finished")
    assert Path("out/run.json").read_bytes() == before
    Path("out/mark").touch()
    assert accord(*first, "--overwrite_output_dir").exit_code == 0
    assert not Path("out/mark").exists()
    Path("mine").mkdir()
    Path("mine/thesis.txt").touch()
    kept = accord("dpo", *accord.common, "--output_dir", "mine", "--overwrite_output_dir")
    assert said(kept) == "mine: holds files but no run, so it is not deleted; choose another output_dir"
    assert Path("mine/thesis.txt").exists()


def python(*words: object) -> list[str]:
    return [sys.executable, "-m", "accord", *map(str, words)]


@pytest.mark.parametrize("more", [[], ["--use_peft"]], ids=["full", "lora"])
def test_killed_and_resumed_ends_bit_for_bit_the_same(accord, more):
    words = ["dpo", *accord.common, *more, "--save_steps", 5, "--logging_steps", 5, "--num_train_epochs", 8]
    assert accord(*words, "--output_dir", "whole").exit_code == 0
    begun = subprocess.Popen(python(*words, "--output_dir", "killed"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not Path("killed/checkpoint-10/manifest.json").exists() and time.monotonic() < deadline:
        assert begun.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    assert not Path("killed/summary.json").exists()
    assert is_alive(Run.open("killed").progress()) is False
    changed = accord("dpo", "--output_dir", "killed", "--resume", "--beta", 0.5)
    assert "--resume: beta is 0.5 here and was 0.1" in said(changed)
    resumed = accord("dpo", "--output_dir", "killed", "--resume")  # all else is as it began
    assert resumed.exit_code == 0, resumed.output
    assert "resumed after step" in resumed.output
    weights = "adapter_model.safetensors" if more else "model.safetensors"
    assert Path("killed", weights).read_bytes() == Path("whole", weights).read_bytes()
    whole, killed = (lines(Path(name, "metrics.jsonl")) for name in ("whole", "killed"))
    assert [(r["step"], r["loss"]) for r in whole] == [(r["step"], r["loss"]) for r in killed]


def test_two_processes_learn_what_one_does(accord):
    """`accelerate launch --cpu` as a user types it; 37 rows, so that the last batches are unequal."""
    words = ["dpo", *accord.common, "--num_train_epochs", 1, "--logging_steps", 1, "--token_budget", 64]
    assert accord(*words, "--output_dir", "one").exit_code == 0
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "2"]
    words = [*launch, "-m", *python(*words, "--output_dir", "two", "--per_device_train_batch_size", 2)[2:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = ([r["loss"] for r in lines(Path(name, "metrics.jsonl"))] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-4)
    assert len(one) == 10


def test_help_has_every_key_of_the_method_and_stays_readable(accord):
    short, everything = accord("kto", "--help"), accord("kto", "--help-all")
    assert short.exit_code == everything.exit_code == 0
    for key in ("--desirable_weight 1.0", "--dataset_name", "--lora_r 16", "--learning_rate", "--resume"):
        assert key in short.output
    assert "--torch_compile" not in short.output
    assert "--torch_compile" in everything.output


@pytest.mark.parametrize("recipe", sorted(Path(__file__).parents[1].glob("recipes/*.yaml")), ids=lambda p: p.stem)
def test_recipes_are_understood(recipe, tmp_path):
    from accord import trainers
    from accord.cli.arguments import parse
    from accord.cli.environment_options import OPTIONS

    method = recipe.stem.split("-")[0]
    config = next(value for name, value in vars(trainers).items() if name.lower() == f"{method}config")
    words = ["--config", str(recipe), "--output_dir", str(tmp_path / "out")]
    options = parse(config, words, environment=OPTIONS.get(method))
    assert options.config.output_dir == str(tmp_path / "out")
    assert options.data.dataset_name
