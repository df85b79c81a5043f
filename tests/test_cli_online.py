"""`accord ppo|rloo|grpo` on a tiny model, as a user runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.environment import critic_model
from accord.cli.environment_options import CriticOptions
from accord.cli.main import app
from training_kit import make_tiny_reward_model

PROMPTS = [{"prompt": f"Question {i}?", "wanted": i % 3, "split": "test" if i > 11 else "train"} for i in range(14)]
REWARDS = """
def brevity(completions, **columns):
    texts = [said if isinstance(said, str) else said[0]["content"] for said in completions]
    return [-float(len(text)) for text in texts]


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
    model = make_tiny_reward_model(byte_tokenizer)
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


def test_evaluate_asks_a_reward_model_or_a_taste(accord):
    """The reward model's figures are the means of its scores of the very answers; where training was rewarded by it,
    that is said."""
    from accord.policy.reward_model import load_reward_model
    from accord.rollout.rewards import RewardModel

    good(accord("rloo", *accord.common, "--num_generations", 2, "--output_dir", "runs/out", "--max_steps", 2,
                "--reward_model_name_or_path", "rm"))  # fmt: skip
    asked = ["evaluate", "out", "--max-new-tokens", 8, "--reward-model", "rm"]
    done = good(accord(*asked))
    assert "rm judges, and training was rewarded by it" in " ".join(done.stderr.split())
    samples, figures = lines("runs/out/samples.jsonl"), summary("runs/out")
    assert len(samples) == figures["n_answers"] == 2
    source = RewardModel(*load_reward_model("rm")[:2])
    prompts = [sample["prompt"] for sample in samples]
    means = [sum(source(prompts, [sample[when] for sample in samples]).total) / 2 for when in ("before", "after")]
    assert [figures["reward_before"], figures["reward_after"]] == pytest.approx(means, abs=1e-4)
    assert figures["win_rate"] == sum(sample["verdict"] for sample in samples) / 2
    for sample in samples:
        before, after = sample["reward"]
        alike = sample["before"] == sample["after"]  # one text, though its two scores differ in the last digit
        assert sample["verdict"] == (0.5 if alike else after > before)
    judged = good(accord(*asked, "--judge", "shorter"))
    assert "rewarded by it" not in judged.stderr
    assert (summary("runs/out")["judge"], "reward_after" in summary("runs/out")) == ("shorter", True)


def test_killed_and_resumed_is_the_same_run(accord):
    """A run that stopped in the middle of a rollout, and one that never stopped."""
    words = [
        "ppo",
        *accord.common,
        "--num_ppo_epochs",
        2,
        "--reward_model_name_or_path",
        "rm",
        "--save_steps",
        3,
        "--lr_scheduler_type",
        "constant",
    ]
    good(accord(*words, "--output_dir", "whole", "--max_steps", 6))
    good(accord(*words, "--output_dir", "half", "--max_steps", 3))
    good(accord("ppo", "--output_dir", "half", "--resume", "--max_steps", 6))
    assert Path("half/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert Path("half/rollouts.jsonl").read_bytes() == Path("whole/rollouts.jsonl").read_bytes()
    changed = accord(
        "ppo", "--output_dir", "half", "--resume", "--max_steps", 9, "--reward_model_name_or_path", "other"
    )
    assert "--resume: reward_model_name_or_path is ['other'] here and was ['rm']" in said(changed)


def test_rewind_forgets_rollouts_that_are_drawn_again(tmp_path):
    from accord.runs import Run

    run = Run.create(tmp_path / "run", config={}, command="accord ppo")
    for step in (0, 2, 4):
        run.log_rollout(step, [{"prompt": "a", "completion": "b", "reward": 1.0, "finished": True}] * 2)
    run.rewind(4)  # the steps 5, 6 … are learnt again: theirs is the rollout that was drawn after step 4
    assert [sample["step"] for sample in run.rollouts()] == [1, 1, 3, 3]


def test_a_budget_of_kl_ends_the_run_and_says_why(accord):
    done = good(accord("rloo", *accord.common, "--learning_rate", "0.05", "--num_generations", 2, "--output_dir", "out",
                       "--max_steps", 20, "--reward_model_name_or_path", "rm", "--kl_budget", "0.5"))  # fmt: skip
    assert summary("out")["steps"] < 20
    assert "over kl_budget 0.5" in summary("out")["stopped"]
    assert f"it ended early: {summary('out')['stopped']}" in done.stderr


def test_ppos_separate_critic_begins_as_the_reward_model(accord):
    """Where there is one; of two, neither."""
    for told, kind, begins in (
        (CriticOptions(["rm"]), "separate", "rm"),
        (CriticOptions(["rm"]), "shared", None),
        (CriticOptions(["rm", "rm"]), "separate", None),
        (CriticOptions(["rm"], critic_model_name_or_path="other"), "separate", "other"),
    ):
        assert critic_model(told, kind) == begins
    words = ["ppo", *accord.common, "--reward_model_name_or_path", "rm", "--max_steps", 1]
    good(accord(*words, "--critic", "separate", "--output_dir", "out"))
    shared = accord(*words, "--critic_model_name_or_path", "rm")
    assert said(shared) == "critic_model_name_or_path: the critic is shared with the policy; say critic: separate"


def test_prompts_of_preferences_and_of_their_snapshot(accord):
    """Each prompt once; a snapshot keeps its own split."""
    pairs = [{"prompt": f"Question {i // 2}?", "chosen": "Yes." + "!" * i, "rejected": "No."} for i in range(40)]
    write("pairs.jsonl", pairs)
    words = ["grpo", *accord.common, "--num_generations", 2, "--max_steps", 1,
             "--reward_functions", accord.function("brevity")]  # fmt: skip
    good(accord(*words, "--dataset_name", "pairs.jsonl", "--output_dir", "one"))
    one = [row["prompt"] for split in ("train", "test") for row in lines(f"one/data/{split}.jsonl")]
    assert sorted(one) == sorted({pair["prompt"] for pair in pairs})
    good(
        accord(
            "reward", *accord.common[:-6], "--dataset_name", "pairs.jsonl", "--output_dir", "rewarded", "--max_steps", 1
        )
    )
    good(accord(*words, "--dataset_name", "rewarded/data", "--output_dir", "two"))
    for split in ("train", "test"):
        frozen = {row["prompt"] for row in lines(f"rewarded/data/{split}.jsonl")}
        assert {row["prompt"] for row in lines(f"two/data/{split}.jsonl")} == frozen


def test_someone_replies(accord):
    talks = [{"prompt": [{"role": "user", "content": row["prompt"]}]} for row in PROMPTS]
    write("talks.jsonl", talks)
    good(accord("grpo", *accord.common, "--num_generations", 2, "--max_steps", 1, "--dataset_name", "talks.jsonl",
                "--reward_functions", accord.function("brevity"), "--reply", accord.function("doubt"),
                "--turns", 2, "--output_dir", "out", "--max_length", 160))  # fmt: skip
    for sample in lines("out/rollouts.jsonl"):
        roles = [message["role"] for message in sample["completion"]]
        assert roles == ["assistant", "user", "assistant"]
        assert sample["completion"][1]["content"] == "Sure?"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing gives rewards: give reward_model_name_or_path FOLDER"),
        (["--reward_functions", "nowhere:brevity"], "reward function 'nowhere:brevity': No module named 'nowhere'"),
        (["--reward_functions", "brevity"], "reward function 'brevity': write module:function"),
        (["--reply", "json:answer", "--reward_model_name_or_path", "rm"], "reply 'json:answer': json has no function"),
        (["--judge_url", "http://localhost:1/v1"], "judge_url and judge_model belong together: give both"),
        (["--judge_question", "q.txt", "--reward_model_name_or_path", "rm"], "judge_question: there is no judge"),
        (
            ["--reward_model_name_or_path", "rm", "--reward_weights", "1", "2"],
            "reward_weights: 2 weights for 1 sources",
        ),
        (
            ["--reward_funcs", "a:b"],
            "--reward_funcs: 'reward_funcs' is a key of TRL's that Accord has not: use reward_f",
        ),
        (["--dataset_name", "empty.jsonl", "--reward_model_name_or_path", "rm"], "empty.jsonl"),
    ],
)
def test_what_a_user_can_mend_is_one_line(accord, words, message):
    write("empty.jsonl", [])
    assert said(accord("ppo", *accord.common, "--output_dir", "out", *words)).startswith(message)
    assert not Path("out").exists()


def test_a_language_model_gives_no_rewards(accord, tiny_model_dir):
    done = accord("grpo", *accord.common, "--num_generations", 2, "--reward_model_name_or_path", tiny_model_dir)
    assert said(done).endswith("a language model, which gives no rewards; train a reward model: `accord reward`")


@pytest.mark.parametrize("method", METHODS)
def test_help_has_the_methods_own_keys(accord, method):
    shown = good(accord(method, "--help")).output
    for key in ("--reward_functions", "--reward_model_name_or_path", "--judge_url", "--reply", "--num_generations",
                "--kl_budget"):  # fmt: skip
        assert key in shown
    assert ("--critic_model_name_or_path" in shown) == (method == "ppo")
