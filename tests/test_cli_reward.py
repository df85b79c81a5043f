"""`accord reward` on a tiny model, as a user runs it."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from accord.cli.main import TRAINING, app
from accord.cli.measure_rewards import log_odds
from accord.evaluation import reward_report
from accord.policy.reward_model import load_reward_model, reward_rows
from test_docs import blocks

COMMON = ["--use_cpu", "--bf16", "false", "--learning_rate", "1e-3", "--per_device_train_batch_size", "4"]
ROWS = [
    {"prompt": f"Question {i}?", "chosen": f"Yes, {i * 7 % 11}.", "rejected": "No no no." + "!" * (i % 5)}
    for i in range(40)
]


@pytest.fixture
def accord(tiny_model_dir, tmp_path, monkeypatch):
    """Run a command in this process, in a folder with pairs.jsonl."""
    monkeypatch.chdir(tmp_path)
    write(Path("pairs.jsonl"), ROWS)

    def run(*words):
        return CliRunner().invoke(app, [*map(str, words)])

    run.reward = ["reward", "--model_name_or_path", str(tiny_model_dir), "--dataset_name", "pairs.jsonl", *COMMON]
    return run


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def good(done):
    assert done.exit_code == 0, done.output
    return done


def said(done) -> str:
    """The line that a failed command ends with."""
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[-1]


def test_a_run_leaves_a_reward_model_and_its_records(accord):
    done = good(accord(*accord.reward, "--output_dir", "out", "--num_train_epochs", 2, "--logging_steps", 5))
    summary, logged = json.loads(Path("out/summary.json").read_text()), lines(Path("out/metrics.jsonl"))
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert summary["train_accuracy"] == logged[-1]["accuracy"]
    assert "accuracy" not in summary  # that is the held-out one's name
    page = Path("out/report.html").read_text("utf-8")
    assert "trained as a reward model on" in page
    assert "Where training stands" in page
    for curve in ("Loss", "Accuracy", "Margin", "Rewards"):
        assert f"<strong>{curve}</strong>" in page
    assert "implied" not in page.partition("All ")[0]
    assert "KL" not in page
    assert "accord score FILE --model out" in done.output
    assert json.loads(Path("out/run.json").read_text())["method"] == "reward"


def test_transformers_gives_the_same_scores(accord):
    """Loaded as its documentation says, a prompt and an answer a row; an ensemble has a label for each head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    good(accord(*accord.reward, "--output_dir", "out", "--max_steps", 8, "--reward_heads", 3,
                "--center_rewards_coefficient", 0.01))  # fmt: skip
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained("out"), AutoTokenizer.from_pretrained("out")
    texts = [row["prompt"] + row[name] + tokenizer.eos_token for row in ROWS[:4] for name in ("chosen", "rejected")]
    with torch.no_grad():
        theirs = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.view(4, 2, 3)
    ours = reward_rows(*load_reward_model("out")[:2], ROWS[:4])
    torch.testing.assert_close(torch.tensor(ours).float(), theirs, rtol=1e-4, atol=1e-5)
    assert theirs.std() > 0.01


def test_lora_keeps_the_head_with_the_adapter(accord, tiny_model_dir):
    words = [*accord.reward, "--use_peft", "--lora_r", 4, "--num_train_epochs", 3, "--lr_scheduler_type", "constant"]
    good(accord(*words, "--output_dir", "out"))
    assert json.loads(Path("out/adapter_config.json").read_text())["task_type"] == "SEQ_CLS"
    trained = reward_rows(*load_reward_model("out")[:2], ROWS)
    assert (trained[:, 0, 0] > trained[:, 1, 0]).mean() > 0.9
    fresh = reward_rows(*load_reward_model(tiny_model_dir)[:2], ROWS)
    assert abs(trained - fresh).max() > 0.1

    good(accord(*words, "--output_dir", "half", "--max_steps", 10, "--save_steps", 10))
    good(accord("reward", "--output_dir", "half", "--resume", "--max_steps", -1))
    weights = [Path(name, "adapter_model.safetensors").read_bytes() for name in ("out", "half")]
    assert weights[0] == weights[1]


def test_margins_in_any_row_reach_the_loss(accord):
    """A margin of 3 in every row but the first: the columns are those of all rows, not of the first."""
    write(Path("margins.jsonl"), [ROWS[0], *({**row, "margin": 3.0} for row in ROWS[1:])])
    words = [*accord.reward, "--test_fraction", 0, "--max_steps", 1, "--logging_steps", 1]
    good(accord(*words, "--output_dir", "plain"))
    good(accord(*words, "--output_dir", "margins", "--dataset_name", "margins.jsonl"))
    plain, margins = (lines(Path(name, "metrics.jsonl"))[0]["loss"] for name in ("plain", "margins"))
    assert margins > plain + 1.5  # where rewards are near zero: −log σ(−3) + log σ(0) = 2.4


def test_ties_among_votes_reach_the_loss(accord, tiny_model_dir):
    """Two say that the first is better, one that both are alike. The first loss is that of the fresh heads' scores."""
    from accord.exchange import read
    from accord.exchange.writing import write_votes
    from accord.feedback import Annotator, Choice, Comparison
    from accord.losses.reward import davidson

    choices = {"ann": Choice.LEFT, "ben": Choice.LEFT, "cem": Choice.TIE}
    nouns = list(read("pairs.jsonl"))
    votes = [
        Comparison(f"{vote.id}-{who}", who, vote.prompt_id, vote.left_id, vote.right_id, choice, vote.at)
        for vote in nouns
        if isinstance(vote, Comparison)
        for who, choice in choices.items()
    ]
    others = [noun for noun in nouns if not isinstance(noun, Comparison | Annotator)]
    write_votes("votes.jsonl", [*others, *map(Annotator, choices), *votes])
    words = [*accord.reward, "--dataset_name", "votes.jsonl", "--labels", "vote_share", "--test_fraction", 0]
    good(accord(*words, "--output_dir", "out", "--ties", "davidson", "--max_steps", 1, "--logging_steps", 1,
                "--per_device_train_batch_size", 40))  # fmt: skip

    rows = lines(Path("out/data/train.jsonl"))
    fresh = load_reward_model(tiny_model_dir, seed=42)
    chosen, rejected = torch.tensor(reward_rows(fresh.model, fresh.tokenizer, rows))[..., 0].unbind(1)
    p_chosen, p_tie = (torch.tensor([row[name] for row in rows]) for name in ("p_chosen", "p_tie"))
    assert (p_tie > 0.1).all()
    expected = davidson(chosen, rejected, p_chosen=p_chosen, p_tie=p_tie, tie_probability=0.3).mean()
    assert lines(Path("out/metrics.jsonl"))[0]["loss"] == pytest.approx(expected.item(), rel=1e-4)


def test_evaluate_measures_what_the_model_says(accord):
    """Against the report on the scores that the run's model gives the rows that were held out."""
    good(accord(*accord.reward, "--output_dir", "runs/out", "--num_train_epochs", 2, "--reward_heads", 3,
                "--test_fraction", 0.5, "--ties", "davidson"))  # fmt: skip
    done = good(accord("evaluate", "out"))
    for line in ("Held-out accuracy", "Does length decide?", "Where its heads disagree", "Report: "):
        assert line in done.stdout
    summary = json.loads(Path("runs/out/summary.json").read_text())
    held_out = lines(Path("runs/out/data/test.jsonl"))
    scores = reward_rows(*load_reward_model("runs/out")[:2], held_out)
    lengths = [[len(row["chosen"]), len(row["rejected"])] for row in held_out]
    logits = log_odds((scores[:, 0] - scores[:, 1]).mean(1), "davidson", 0.3)
    expected = reward_report(scores, lengths, 1, logits=logits, prompt_ids=[row["prompt"] for row in held_out])
    for name, value in expected.to_summary().items():
        if not name.endswith("_ci") and isinstance(value, float):
            assert summary[name] == pytest.approx(value, abs=1e-6), name
    assert summary["train_accuracy"] != summary["n_test_pairs"] == len(held_out) > 10
    page = Path("runs/out/report.html").read_text("utf-8")
    for shown in ("How well it judges", "“The longer one wins”", "Where its heads disagree", "Margins of the reward",
                  "How sure, and how often right"):  # fmt: skip
        assert shown in page
    assert "Base</th>" not in page
    told = accord("evaluate", "out", "--judge", "shorter")
    assert said(told) == "--judge, --prompts: a reward model writes no answers to be judged; leave them out"
    assert good(accord("evaluate", "out", "--data", "pairs.jsonl", "--json")).stdout.startswith("{")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ties", "thurstone"], "ties is 'thurstone': use one of none, rao_kupper, davidson"),
        (["--beta", "0.1"], "--beta: unknown key 'beta'"),
        (["--dataset_name", "prompts.jsonl"], "prompts.jsonl: nothing to train reward on: it needs preferences"),
    ],
)
def test_what_a_user_can_mend_is_one_line(accord, words, message):
    write(Path("prompts.jsonl"), [{"prompt": row["prompt"]} for row in ROWS])
    assert said(accord(*accord.reward, "--output_dir", "out", *words)).startswith(message)


def test_help_has_the_methods_own_keys(accord):
    shown = good(accord("reward", "--help")).output
    for key in ("--reward_heads", "--ties none", "--center_rewards_coefficient", "--lora_r 16"):
        assert key in shown


def test_the_documentations_commands_run(accord, tiny_model_dir):
    """In their order, on the files that the page shows, with a small model; and its Python gives the same scores."""
    page = Path(__file__).parents[1] / "docs" / "reward-models.md"
    good(accord("init", ".", "--model", tiny_model_dir))
    for block in blocks(page):
        _, _, name = block.info.partition(" ")
        if name:
            Path(name).write_text("\n".join(block.lines) + "\n")
    shown = [line for block in blocks(page) for line in block.lines if line.startswith("accord ")]
    assert len(shown) >= 10
    for line in shown:
        if "recipes/" in line:
            continue
        fast = ["--use_cpu", "--bf16", "false"] if line.split()[1] in TRAINING else []
        good(accord(*shlex.split(line)[1:], *fast))
    names: dict = {}
    for block in blocks(page):
        if block.info == "python":
            exec("\n".join(block.lines), names)
    torch.testing.assert_close(names["rewards"].detach().double(), torch.tensor(names["scores"]).mean(-1)[0],
                               rtol=1e-4, atol=1e-5)  # fmt: skip
