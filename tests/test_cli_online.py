"""`accord ppo|rloo|grpo` on a tiny model, as a user runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from training_kit import make_tiny_reward_model

PROMPTS = [{"prompt": f"Question {i}?", "wanted": i % 3, "split": "test" if i > 11 else "train"} for i in range(14)]
REWARDS = """
def brevity(completions, **columns):
    return [-float(len(said)) for said in completions]


def told(completions, wanted, **columns):
    with open("told.txt", "a") as file:
        print(*wanted, file=file)
    return [float(each) for each in wanted]


def doubt(messages):
    return {"role": "user", "content": "Sure?"}
"""
COMMON = ["--use_cpu", "--bf16", "false", "--learning_rate", "1e-3", "--per_device_train_batch_size", "4",
          "--max_completion_length", "8", "--max_length", "64", "--logging_steps", "1"]  # fmt: skip
METHODS = {"ppo": ["--num_ppo_epochs", "2"], "rloo": ["--num_generations", "2"], "grpo": ["--num_generations", "2"]}
REWARD = {"ppo": "objective/scores", "rloo": "reward", "grpo": "reward"}


@pytest.fixture
def accord(tiny_model_dir, byte_tokenizer, tmp_path, monkeypatch):
    """Run a command in this process, in a folder with prompts.jsonl, a module of rewards and a reward model."""
    monkeypatch.chdir(tmp_path)
    write("prompts.jsonl", PROMPTS)
    name = f"rewards_{tmp_path.name}".replace("-", "_")  # each test's own: Python keeps what it has imported
    Path(f"{name}.py").write_text(REWARDS)
    model = make_tiny_reward_model(byte_tokenizer, heads=2)
    model.save_pretrained("rm")
    byte_tokenizer.save_pretrained("rm")

    def run(*words):
        return CliRunner().invoke(app, [*map(str, words)])

    run.common = ["--model_name_or_path", str(tiny_model_dir), "--dataset_name", "prompts.jsonl", *COMMON]
    run.function = lambda which: f"{name}:{which}"
    return run


def write(path: str, rows: list[dict]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def summary(folder: str) -> dict:
    return json.loads(Path(folder, "summary.json").read_text())


def good(done):
    assert done.exit_code == 0, done.output
    return done


def said(done) -> str:
    """The line that a failed command ends with."""
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_a_model_and_what_was_rewarded(accord, method):
    """The rewards that are logged are those of the texts that are kept."""
    done = good(accord(method, *accord.common, *METHODS[method], "--output_dir", "out", "--max_steps", 3,
                       "--reward_functions", accord.function("brevity"), "--eval_strategy", "steps",
                       "--eval_steps", 3))  # fmt: skip
    assert {"model.safetensors", "run.json", "report.html", "rollouts.jsonl"} <= {p.name for p in Path("out").iterdir()}
    info, logged, rollouts = (
        json.loads(Path("out/run.json").read_text()),
        lines("out/metrics.jsonl"),
        lines("out/rollouts.jsonl"),
    )
    assert info["method"] == method
    assert info["data"]["form"] == "prompt"
    assert info["config"]["reward_functions"] == [accord.function("brevity")]
    assert (summary("out")["n_train"], summary("out")["n_test"]) == (12, 2)
    assert {sample["step"] for sample in rollouts} == ({1, 3} if method == "ppo" else {1, 2, 3})
    assert {sample["step"] for sample in rollouts} <= {record["step"] for record in logged}
    for sample in rollouts:
        assert sample["reward"] == -len(sample["completion"])
        assert sample["prompt"] in {row["prompt"] for row in PROMPTS[:12]}
    held_out = [record for record in logged if f"eval_{REWARD[method]}" in record]
    assert [record["step"] for record in held_out] == [3]
    line = next(line for line in done.stderr.splitlines() if line.startswith("step 1/3"))
    assert f"reward {logged[0][REWARD[method]]:+.3f}" in line
    assert "held out" in done.stderr


def test_a_reward_model_a_function_and_columns_are_mixed(accord):
    """total = Σ weight · source: the model first, then functions; `wanted` is the data's own column."""
    good(accord("grpo", *accord.common, "--num_generations", 2, "--output_dir", "out", "--max_steps", 2,
                "--reward_model_name_or_path", "rm", "--reward_functions", accord.function("told"),
                "--reward_weights", 0.5, 2))  # fmt: skip
    for record in lines("out/metrics.jsonl"):
        if "reward" in record:
            parts = 0.5 * record["rewards/rm/mean"] + 2 * record["rewards/told/mean"]
            assert record["reward"] == pytest.approx(parts, abs=1e-5)
    assert set(Path("told.txt").read_text().split()) <= {"0", "1", "2"}
