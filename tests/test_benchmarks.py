"""docs/benchmarks.md says what was measured, and the bench measures what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ACCORD_DATA") or ROOT.parent / "shared" / "data") / "hh-rlhf" / "harmless-base.jsonl.gz"
sys.path.insert(0, str(ROOT / "benchmarks"))

from tables import NOISY, OTHERS, PAGE, RESULTS, loaded, noisy, page  # noqa: E402 (a folder of scripts, not a package)

ENTRY = {
    "method": "dpo", "mode": "full", "dtype": "bf16", "peer": "trl", "peer_version": "1.16.0", "throughput": 4.0,
    "peer_throughput": 0.8, "ratio": 5.0, "peak_memory_gb": 2.0, "peer_peak_memory_gb": 5.0, "memory_ratio": 0.4,
    "max_loss_difference": 1.2e-5, "unit": "pairs/s", "gradient_checkpointing": False, "peer_setting": "micro 4",
    "peer_tried": [{"setting": "micro 4", "throughput": 0.8, "peak_memory_gb": 5.0}],
    "machine": {"cpu": "a CPU", "threads": 2, "torch": "2.13.0", "transformers": "5.23.0"},
}  # fmt: skip


def test_the_page_says_what_was_measured():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, loaded(RESULTS), loaded(OTHERS), loaded(NOISY) or {}) == text, (
        "run `make bench ARGS=--write-docs`"
    )


def test_a_figure_reaches_the_page():
    made = page(PAGE.read_text(encoding="utf-8"), [ENTRY], [], {})
    line = "| DPO full bf16 | 4.00 pairs/s | 0.80 pairs/s | **5.0 ×** | 2.0 GB | 5.0 GB | 0.40 | 1e-05 |"
    assert line in made
    assert "TRL 1.16.0. Measured on a CPU, 2 threads, torch 2.13.0, transformers 5.23.0." in made
    assert "| DPO full bf16 | micro 4 | 0.80 pairs/s | 5.0 GB |" in made


def test_results_of_other_work_stay(tmp_path):
    from run import keep

    out = tmp_path / "results.json"
    for method, ratio in (("dpo", 4.0), ("reward", 3.0), ("dpo", 5.0)):
        keep({**ENTRY, "method": method, "ratio": ratio}, out)
    assert [(e["method"], e["ratio"]) for e in loaded(out)] == [("dpo", 5.0), ("reward", 3.0)]
    assert "| reward model full bf16 |" in page(PAGE.read_text(encoding="utf-8"), loaded(out), [], {})


def noisy_runs(*log_losses_of_a_seed):
    """Three runs a seed: hard labels, and the two soft ones."""
    return {
        "votes": 500, "flip": 0.3, "held_out_votes": 90, "held_out_pairs": 30, "held_out_prompts": 5,
        "runs": [
            {"seed": seed, "labels": labels, "log_loss": loss, "accuracy": 0.7, "calibration_error": 0.1}
            for seed, losses in enumerate(log_losses_of_a_seed)
            for labels, loss in zip(("majority", "vote_share", "dawid_skene"), losses, strict=False)
        ],
    }  # fmt: skip


def test_soft_labels_are_compared_seed_by_seed():
    """Differences −0.3, −0.1, −0.2: their mean is −0.2, its standard error 0.1 / √3. And −0.1, 0.1, 0: nothing."""
    made = noisy(noisy_runs((1.0, 0.7, 0.9), (0.8, 0.7, 0.9), (0.9, 0.7, 0.9)))
    assert "| `vote_share` | 0.700 | 0.700 | 0.100 | -0.2000 ± 0.0577 | better |" in made
    assert "| `dawid_skene` | 0.900 | 0.700 | 0.100 | +0.0000 ± 0.0577 | within the standard error |" in made
    assert "500 votes, 30% of them flipped, 3 seeds" in made


def test_a_seed_that_is_not_finished_does_not_count():
    assert "1 seeds" in noisy(noisy_runs((1.0, 0.7, 0.9), (0.8, 0.7)))
    assert noisy(noisy_runs((1.0, 0.7))) == "Nothing measured yet."


def test_votes_are_flipped_by_lot_and_shares_are_plain():
    from datetime import UTC, datetime

    from noisy_labels import flipped, shares

    from accord.feedback import Choice, Comparison

    def vote(i, left, right, choice):
        return Comparison(f"vote-{i}", f"annotator-{i}", "prompt", left, right, choice, datetime.now(UTC))

    votes = [vote(i, "a", "b", Choice.LEFT) for i in range(1000)] + [vote(1000, "a", "b", Choice.TIE)]
    noisy = list(flipped(votes, 0.3, seed=0))
    assert noisy == list(flipped(votes, 0.3, seed=0))
    assert noisy != list(flipped(votes, 0.3, seed=1))
    assert sum(v.choice is Choice.RIGHT for v in noisy) == pytest.approx(300, abs=45)  # three standard deviations
    assert list(flipped(votes, 1.0, seed=0))[-1].choice is Choice.TIE

    sides = [vote(0, "a", "b", Choice.LEFT), vote(1, "b", "a", Choice.LEFT), vote(2, "b", "a", Choice.TIE)]
    (label,) = shares([*sides, vote(3, "b", "a", Choice.RIGHT)])
    assert (label.chosen_id, label.rejected_id, label.p_chosen) == ("a", "b", (1 + 0 + 0.5 + 1) / 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo", "kto", "reward"])
def test_both_tools_learn_the_same_from_the_same_rows(method, tiny_model_dir, tmp_path):
    """The bench as it runs, on a tiny model: its float32 losses agree with TRL's."""
    pytest.importorskip("trl")
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there; set ACCORD_DATA")
    out = tmp_path / "results.json"
    words = ["--quick", "--methods", method, "--modes", "full", "--model", tiny_model_dir, "--out", out]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run.py", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (entry,) = json.loads(out.read_text())
    assert entry["max_loss_difference"] < 1e-4  # fp32 leaves 2e-4 of log-probs near -3,000, and β is 0.1
    assert entry["ratio"] == pytest.approx(entry["throughput"] / entry["peer_throughput"])


@pytest.mark.slow
def test_a_second_run_reads_what_the_first_computed(tiny_model_dir):
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there; set ACCORD_DATA")
    words = ["--methods", "kto", "--examples", "16", "--model", tiny_model_dir]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "second_run.py", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert said["second"]["lookup"] < said["first"]["lookup"] / 5
    assert said["reference_share"] == pytest.approx(
        (said["second"]["hash"] + said["second"]["lookup"]) / said["second"]["train"]
    )


@pytest.mark.slow
@pytest.mark.smollm2
def test_noisy_labels_go_on_where_they_were(tmp_path):
    """Two steps of each run; the second call trains nothing, and finds the same figures."""
    out, work = tmp_path / "noisy.json", tmp_path / "work"
    words = ["--steps", "2", "--prompts", "9", "--seeds", "1", "--work", work, "--out", out]
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, ROOT / "benchmarks" / "noisy_labels.py", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(json.loads(out.read_text()))
    assert "labels majority" not in done.stderr
    assert found[0] == found[1]
    assert [run["labels"] for run in found[0]["runs"]] == ["majority", "vote_share", "dawid_skene"]
    assert len({run["log_loss"] for run in found[0]["runs"]}) == 3
