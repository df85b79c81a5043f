"""`accord rlhf` on a tiny model: the whole road, and on from where it stopped."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accord.cli.arguments import parse
from accord.cli.environment_options import OPTIONS
from accord.cli.main import app
from accord.cli.rlhf_settings import DEFAULTS, METHODS, sections, words
from accord.cli.rlhf_words import accuracy
from accord.feedback import AccordError
from test_docs import blocks

QUICK = ["--dtype", "float32", "--bf16", "false", "--use_cpu", "--max_steps", "2", "--per_device_train_batch_size", "4"]
ONLINE = [*QUICK, "--max_completion_length", "8", "--max_length", "64"]


@pytest.fixture
def accord(tiny_model_dir, tmp_path, monkeypatch):
    """Run a command in this process, in a folder with pairs.jsonl."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    rows = [
        {"prompt": f"Question {i}?", "chosen": f"Yes, {i * 7 % 11}.", "rejected": "No no no." + "!" * (i % 5)}
        for i in range(40)
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(*given):
        return CliRunner().invoke(app, [*map(str, given)])

    def rlhf(*given, method="ppo"):
        quick = [*words_of("reward", QUICK), *words_of(method, ONLINE)]
        return run("rlhf", "--method", method, *quick, "--json", *given)

    run.rlhf = rlhf
    run.files = ["--data", "pairs.jsonl", "--model", str(tiny_model_dir)]
    return run


def good(done):
    assert done.exit_code == 0, done.output
    return done


def said(done) -> str:
    """The line that a failed command ends with."""
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[-1]


def of(folder: str, name: str) -> dict:
    return json.loads(Path(folder, name).read_text())


def test_from_a_file_of_votes_and_again(accord):
    """Two runs and their figures; what is done is not done twice, and what is not is done."""
    done = good(accord.rlhf(*accord.files))
    told = json.loads(done.stdout)
    rewards, policy = "runs/rlhf-reward", "runs/rlhf-ppo"
    assert told["runs"] == [rewards, policy]
    assert told["reward_accuracy"] == of(rewards, "summary.json")["accuracy"]
    summary, config = of(policy, "summary.json"), of(policy, "run.json")["config"]
    assert (told["win_rate"], told["kl"]) == (summary["win_rate"], summary["kl"])
    assert config["reward_model_name_or_path"] == [rewards]
    assert config["kl_coef"] == float(DEFAULTS["ppo"]["kl_coef"])
    assert of(rewards, "run.json")["config"]["reward_heads"] == 3
    assert "Nobody else judges, so the reward model does" in done.stderr
    assert {Path(folder, "report.html").is_file() for folder in told["runs"]} == {True}
    trained = [line.split("$ accord ")[1] for line in done.stderr.splitlines() if "$ accord " in line]
    assert [line.split()[0] for line in trained[:4]] == ["reward", "evaluate", "ppo", "evaluate"]
    for line in (trained[0], trained[2]):  # they can be typed as they stand
        name, *typed = shlex.split(line)
        parse(configuration(name), typed, environment=OPTIONS.get(name))

    first = {folder: of(folder, "run.json")["started"] for folder in told["runs"]}
    Path(policy, "summary.json").unlink()  # as if it had been killed
    again = good(accord.rlhf(*accord.files))
    assert again.stderr.count("is there already and finished: not trained again") == 1
    assert of(rewards, "run.json")["started"] == first[rewards]
    assert "win_rate" in of(policy, "summary.json")
    other = accord.rlhf(*accord.files, "--reward.reward_heads", 2)
    assert said(other).startswith(f"{rewards}: was trained with another reward_heads; --overwrite trains it anew")


def test_a_project_of_a_simulated_panel_is_judged_by_its_taste(accord, tiny_model_dir):
    """The demo's kind of project: votes on prompts marked train, and none on those marked test."""
    from accord.cli.demo_votes import ask, demo_prompts
    from accord.cli.project import open_store, read
    from accord.feedback import Message, Response
    from accord.quality import panel

    good(accord("init", "work", "--model", tiny_model_dir))
    empty = accord.rlhf("--project", "work")
    assert said(empty).startswith("work: nobody has compared answers yet: bring votes with `accord import FILE`")
    prompts, voters = demo_prompts(30), panel("concise", seed=0)
    votes, answers = [], []
    for prompt in prompts:
        two = [Response(prompt.id, (Message("assistant", "word " * n),), extra={"finished": True}) for n in (3, 9)]
        answers += two
        if prompt.split == "train":
            votes += ask(voters, prompt, two, pairs=1)
    with open_store(read(Path("work"))) as store:
        store.add([*prompts, *answers, *(voter.annotator for voter in voters), *votes])
    done = good(accord.rlhf("--project", "work", "--rloo.max_length", 160, method="rloo"))
    told = json.loads(done.stdout)
    assert told["runs"] == ["work/runs/rlhf-reward", "work/runs/rlhf-rloo"]
    assert told["judge"] == "concise"
    assert "no votes on the prompts marked test" in done.stderr
    assert of(told["runs"][0], "summary.json")["n_test_pairs"] > 0
    held_out = [
        json.loads(line)["prompt"] for line in Path(told["runs"][1], "data/test.jsonl").read_text().splitlines()
    ]
    assert {row[0]["content"] for row in held_out} == {p.content[0].content for p in prompts if p.split == "test"}
    assert of(told["runs"][1], "summary.json")["reward_after"]  # beside the taste, the reward model's scores


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--method", "dpo"], "--method dpo: use one of ppo, rloo, grpo"),
        (["--learning_rate", "1"], "--learning_rate: no such option; a setting of the trainings is --reward.KEY or"),
        (["--rloo.beta", "1"], "--rloo.beta: no such option; a setting of the trainings is --reward.KEY or --ppo.KEY"),
        ([], "no accord.yaml here or above; run `accord init .`, or say --data FILE"),
        (["--judge", "me"], "--judge me: the judges are"),
    ],
)
def test_what_a_user_can_mend_is_one_line(accord, given, message):
    assert said(accord("rlhf", *given)).startswith(message)


def test_settings_of_the_users_win_over_the_defaults(tmp_path):
    """From the command line and from a file; what the command sets itself is refused on the line alone."""
    file = tmp_path / "reward.yaml"
    file.write_text("learning_rate: 3e-5\noutput_dir: elsewhere\n")
    told = sections(["--reward.config", str(file), "--reward.reward_heads=1", "--ppo.bf16"], "ppo")
    assert told == {"reward": ["--config", str(file), "--reward_heads", "1"], "ppo": ["--bf16"]}
    config = parse(configuration("reward"), words("reward", told["reward"], {"output_dir": str(tmp_path)})).config
    assert (config.learning_rate, config.reward_heads, config.output_dir) == (3e-5, 1, str(tmp_path))
    assert config.num_train_epochs == float(DEFAULTS["reward"]["num_train_epochs"])
    with pytest.raises(AccordError, match=r"^--ppo.output_dir: accord rlhf sets it itself"):
        words("ppo", ["--output_dir", "mine"], {"output_dir": "out"})


@pytest.mark.parametrize("method", ["reward", *METHODS])
def test_the_defaults_are_understood(method, tmp_path):
    options = parse(
        configuration(method), words(method, [], {"output_dir": str(tmp_path)}), environment=OPTIONS.get(method)
    )
    assert options.given.keys() == {*DEFAULTS[method], "output_dir"}


def test_an_interval_that_reaches_one_half_is_a_warning():
    sure = accuracy({"accuracy": 0.8, "accuracy_ci": [0.7, 0.9], "n_test_pairs": 30})
    assert sure.replace("\u202f", " ") == "It ranks 80 % of 30 held-out pairs as the votes do (70 % to 90 %)."
    unsure = accuracy({"accuracy": 0.8, "accuracy_ci": [0.5, 1.0], "n_test_pairs": 3})
    assert "as far as anybody can tell, it guesses" in unsure


def test_the_documentations_commands_run(accord, tiny_model_dir):
    """In their order, on the files that the page shows, with a small model and few steps."""
    page = Path(__file__).parents[1] / "docs" / "rlhf.md"
    good(accord("init", ".", "--model", tiny_model_dir))
    Path("pairs.jsonl").rename("votes.jsonl")
    for block in blocks(page):
        _, _, name = block.info.partition(" ")
        if name:
            Path(name).write_text("\n".join(block.lines) + "\n")
    shown = [line for block in blocks(page) for line in block.lines if line.startswith("accord ")]
    assert len(shown) >= 12
    quick = ["--max_steps", 1, *QUICK[:5]]
    brief = [*quick, "--per_device_train_batch_size", 2, "--num_generations", 2, "--max_completion_length", 8]
    for line in shown:
        _, name, *words = shlex.split(line)
        if not {"demo", "MODEL"} & set(words) and "recipes/" not in line and name in RUN:
            settings = {"reward": quick, "evaluate": ["--max-new-tokens", 8]}.get(name, [*brief, "--max_length", 96])
            if name == "rlhf":
                method = words[words.index("--method") + 1] if "--method" in words else "ppo"
                settings = [*words_of("reward", quick), *words_of(method, settings), "--model", tiny_model_dir]
            again = [] if name in ("rlhf", "evaluate") else ["--overwrite_output_dir"]
            good(accord(name, *words, *settings, *again))


def words_of(section: str, given: list) -> list[str]:
    """`--key` as `--SECTION.key`."""
    return [f"--{section}.{word[2:]}" if str(word).startswith("--") else str(word) for word in given]


RUN = {"rlhf", "reward", "ppo", "rloo", "grpo", "evaluate"}


def configuration(method: str) -> type:
    from importlib import import_module

    return import_module(f"accord.cli.{method}").method().config
