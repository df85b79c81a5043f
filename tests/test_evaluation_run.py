"""`accord evaluate` on small real models: what the command reports is what the models say."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.evaluation import preference_report
from accord.exchange.snapshot import write_snapshot
from accord.runs import Run
from conftest import make_tiny_llama


def rows(n):
    return [
        {
            "id": f"r{i}",
            "prompt": [{"role": "user", "content": f"What is {i % 6} and {i}?"}],
            "chosen": [{"role": "assistant", "content": f"It is {i + i % 6}."}],
            "rejected": [{"role": "assistant", "content": "No idea, sorry."}],
            "p_chosen": 0.9,
            "weight": 1.0,
        }
        for i in range(n)
    ]


def unpaired(n):
    halves = ((row, label) for row in rows(n) for label in (True, False))
    return [
        {
            "id": f"{row['id']}-{label}",
            "prompt": row["prompt"],
            "completion": row["chosen" if label else "rejected"],
            "label": label,
            "p_desirable": float(label),
            "weight": 1.0,
        }
        for row, label in halves
    ]


def make_run(path, tiny_model_dir, model, tokenizer, method="dpo", **config):
    run = Run.create(
        path,
        config={"beta": 0.1, "max_length": 256, "dtype": "float32", **config},
        command="accord dpo",
        method=method,
        base_model=str(tiny_model_dir),
    )
    held_out = {"dpo": ("preference", rows(12)), "kto": ("unpaired", unpaired(12))}[method]
    write_snapshot(run.data, held_out[0], {"train": held_out[1][:1], "test": held_out[1]})
    model.save_pretrained(path)
    if tokenizer:
        tokenizer.save_pretrained(path)
    run.update_summary({"seconds": 1.0})
    return run


@pytest.fixture
def full_run(tmp_path, tiny_model_dir, byte_tokenizer):
    """A model that differs from its base in every weight."""
    return make_run(tmp_path / "full", tiny_model_dir, make_tiny_llama(byte_tokenizer, seed=1), byte_tokenizer)


def adapted(tiny_model_dir, seed=None):
    """The tiny Llama with an adapter, which changes nothing unless `seed` draws its second half."""
    import torch
    from peft import LoraConfig, get_peft_model

    from accord.policy.load import load_policy

    torch.manual_seed(seed or 0)
    model = get_peft_model(
        load_policy(tiny_model_dir).model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    if seed is not None:
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.5)
    return model


def accord(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def evaluated(run, *arguments):
    result = accord("evaluate", run.path, "--max-new-tokens", 12, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_full_run_against_figures_from_the_padded_oracle(full_run, tiny_model_dir, byte_tokenizer):
    import torch

    from accord.policy.load import load_policy

    summary = evaluated(full_run, "--judge", "shorter")

    def by_hand(model, row, name):
        prompt = byte_tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
        whole = byte_tokenizer.apply_chat_template([*row["prompt"], *row[name]], tokenize=False)
        ids = torch.tensor([byte_tokenizer(whole)["input_ids"]])
        start = len(byte_tokenizer(prompt)["input_ids"])
        logps = model(ids).logits[0, :-1].log_softmax(-1)
        return logps[range(ids.shape[1] - 1), ids[0, 1:]][start - 1 :].sum().item()

    models = load_policy(full_run.path).model, load_policy(tiny_model_dir).model
    with torch.no_grad():
        policy, base = (
            np.array([[by_hand(model, row, name) for name in ("chosen", "rejected")] for row in rows(12)])
            for model in models
        )
    expected = preference_report(policy, base, 0.9, prompt_ids=[str(i % 6) + str(i) for i in range(12)])
    assert summary["n_test_pairs"] == 12
    for name in ("accuracy", "margin", "log_loss", "likelihood_margin"):
        assert summary[name] == pytest.approx(getattr(expected.policy, name).value, rel=1e-4), name
    assert summary["base_likelihood_margin"] == pytest.approx(expected.base.likelihood_margin.value, rel=1e-4)


def test_everything_is_left_in_the_run_folder(full_run):
    summary = evaluated(full_run, "--judge", "shorter")
    assert full_run.summary() == summary
    assert summary["win_rate_ci"][0] <= summary["win_rate"] <= summary["win_rate_ci"][1]
    assert summary["wins"] + summary["ties"] + summary["losses"] == summary["n_answers"] == 12
    assert summary["kl"] > 0
    assert summary["kl_per_token"] > 0
    assert sum(summary["margins"]["reward"]["after"]) == 12
    samples = full_run.samples()
    assert [sample["prompt"] for sample in samples] == [row["prompt"] for row in rows(12)]
    assert all(sample["before"] != sample["after"] for sample in samples)
    page = (full_run.path / "report.html").read_text("utf-8")
    assert "Held-out preferences" in page
    assert "What is 5 and 11?" in page


def test_a_new_evaluation_replaces_the_last(full_run):
    first = evaluated(full_run, "--judge", "shorter")
    full_run.add_sample({"step": 3, "prompt": "kept"})
    second = evaluated(full_run, "--max-prompts", 4, "--temperature", 0.7)
    assert "win_rate" not in second
    assert "kl" not in second
    assert second["accuracy"] == first["accuracy"]
    assert second["seconds"] == 1.0
    assert len(full_run.samples()) == 5
    assert full_run.samples()[0] == {"step": 3, "prompt": "kept"}


def test_an_adapter_that_changes_nothing_measures_as_nothing(tmp_path, tiny_model_dir):
    run = make_run(tmp_path / "lora", tiny_model_dir, adapted(tiny_model_dir), None, use_peft=True)
    summary = evaluated(run, "--judge", "shorter")
    assert summary["accuracy"] == summary["win_rate"] == 0.5
    assert summary["log_loss"] == pytest.approx(np.log(2), abs=1e-12)
    assert summary["kl"] == summary["kl_k3"] == 0
    assert all(sample["before"] == sample["after"] for sample in run.samples())


def test_an_adapter_is_compared_with_the_model_under_it(tmp_path, tiny_model_dir):
    run = make_run(tmp_path / "lora", tiny_model_dir, adapted(tiny_model_dir, seed=0), None, use_peft=True)
    with_adapter_off = evaluated(run)
    run = make_run(tmp_path / "same", tiny_model_dir, adapted(tiny_model_dir, seed=0), None, use_peft=False)
    with_base_loaded = evaluated(run)
    for name in ("accuracy", "log_loss", "kl", "words_before", "words_after"):
        assert with_adapter_off[name] == pytest.approx(with_base_loaded[name], rel=1e-4), name
    assert with_adapter_off["kl"] > 0.1


def test_single_answers_are_ranked(tmp_path, tiny_model_dir, byte_tokenizer):
    run = make_run(
        tmp_path / "kto", tiny_model_dir, make_tiny_llama(byte_tokenizer, seed=1), byte_tokenizer, method="kto"
    )
    summary = evaluated(run, "--max-prompts", 0)
    assert summary["n_test_answers"] == 24
    assert summary["accuracy_ci"][0] <= summary["accuracy"] <= summary["accuracy_ci"][1]
    assert "words_before" not in summary


def test_prompts_and_data_of_ones_own(full_run, tmp_path):
    lines = tmp_path / "prompts.txt"
    lines.write_text("Hello?\n\nWhat now?\n")
    data = tmp_path / "mine.jsonl"
    data.write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
    summary = evaluated(full_run, "--prompts", lines, "--data", data, "--samples", 2)
    assert (summary["n_test_pairs"], summary["n_answers"]) == (1, 4)
    assert summary["margin_ci"] == [None, None]
    asked = [sample["prompt"][0]["content"] for sample in full_run.samples()]
    assert asked == ["Hello?"] * 2 + ["What now?"] * 2


def test_what_a_person_reads(full_run):
    result = accord("evaluate", full_run.path, "--judge", "concise", "--max-prompts", 6, "--max-new-tokens", 8)
    assert result.exit_code == 0
    assert "Win rate" in result.stdout
    assert "Accuracy (reward)   " in result.stdout
    assert str(full_run.path / "report.html") in result.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--judge", "mother"], "--judge mother: the judges are shorter, longer, concise"),
        (["--prompts", "/nowhere.txt"], "nowhere.txt"),
    ],
)
def test_what_cannot_be_is_one_line(full_run, arguments, why):
    result = accord("evaluate", full_run.path, *arguments)
    assert result.exit_code == 1
    assert why in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_held_out_names_the_remedy(tmp_path):
    run = Run.create(tmp_path / "bare", config={}, command="accord dpo", method="dpo")
    result = accord("evaluate", run.path)
    assert result.exit_code == 1
    assert "train with --test_fraction 0.1, or give --data FILE" in result.stderr


def test_report_command(full_run):
    result = accord("report", full_run.path)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(full_run.path / "report.html")
    assert "no run 'nothere'" in accord("report", "nothere").stderr
