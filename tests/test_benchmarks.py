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

from tables import OTHERS, PAGE, RESULTS, loaded, page  # noqa: E402 (a folder of scripts, not a package)

ENTRY = {
    "method": "dpo", "mode": "full", "dtype": "bf16", "peer": "trl", "peer_version": "1.16.0", "throughput": 4.0,
    "peer_throughput": 0.8, "ratio": 5.0, "peak_memory_gb": 2.0, "peer_peak_memory_gb": 5.0, "memory_ratio": 0.4,
    "max_loss_difference": 1.2e-5, "unit": "pairs/s", "gradient_checkpointing": False, "peer_setting": "micro 4",
    "peer_tried": [{"setting": "micro 4", "throughput": 0.8, "peak_memory_gb": 5.0}],
    "machine": {"cpu": "a CPU", "threads": 2, "torch": "2.13.0", "transformers": "5.23.0"},
}  # fmt: skip


def test_the_page_says_what_was_measured():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, loaded(RESULTS), loaded(OTHERS)) == text, "run `make bench ARGS=--write-docs`"


def test_a_figure_reaches_the_page():
    made = page(PAGE.read_text(encoding="utf-8"), [ENTRY], [])
    line = "| DPO full bf16 | 4.00 pairs/s | 0.80 pairs/s | **5.0 ×** | 2.0 GB | 5.0 GB | 0.40 | 1e-05 |"
    assert line in made
    assert "TRL 1.16.0. Measured on a CPU, 2 threads, torch 2.13.0, transformers 5.23.0." in made
    assert "| DPO full bf16 | micro 4 | 0.80 pairs/s | 5.0 GB |" in made


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
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
    assert entry["max_loss_difference"] < 1e-3
    assert entry["ratio"] == pytest.approx(entry["throughput"] / entry["peer_throughput"])
