"""What has no peer to be compared with: import, doctor and demo, timed as a user runs them. Writes others.json.

python benchmarks/others.py               # import and doctor on hh-rlhf's 1,800 pairs; takes seconds
python benchmarks/others.py --million     # import_million.py too: a minute or two
python benchmarks/others.py --demo        # accord demo too: some minutes
python benchmarks/others.py --second-run  # second_run.py too: some minutes
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rows import default_data
from tables import keep

HERE = Path(__file__).resolve().parent


def accord(*words: str | Path, cwd: Path | str) -> float:
    """Seconds that one command took, start of Python included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "accord", *map(str, words)], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def pairs(data: Path) -> dict[str, Any]:
    """Reading all of hh-rlhf into a project, then the doctor with SmolLM2's tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        accord("init", cwd=folder)
        seconds = accord("import", data.resolve(), cwd=folder)
        # The doctor's exit status 1 says that it found something in the data, and it does: duplicates, empty answers.
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "accord", "doctor"], cwd=folder, check=False, stdout=subprocess.DEVNULL)
        doctor = time.perf_counter() - start
    return {
        "what": "import and doctor, 1,800 pairs of hh-rlhf",
        "figure": f"{seconds + doctor:.1f} s ({seconds:.1f} + {doctor:.1f})",
        "command": "accord import harmless-base.jsonl.gz && accord doctor",
    }


def million() -> dict[str, Any]:
    done = subprocess.run([sys.executable, HERE / "import_million.py"], check=True, capture_output=True, text=True)
    said = json.loads(done.stdout)
    return {
        "what": f"import of {said['votes']:,} votes",
        "figure": f"{said['seconds']:.0f} s, {said['peak_rss_gb']:.2f} GB at most",
        "command": "python benchmarks/import_million.py",
    }


def demo() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        accord("demo", cwd=folder)
        said = json.loads((Path(folder) / "demo" / "runs" / "demo" / "summary.json").read_text())
    low, high = said["win_rate_ci"]
    return {
        "what": "demo: win rate over the base on held-out prompts",
        "figure": f"{said['win_rate']:.2f} ({low:.2f}–{high:.2f}) in {said['seconds'] / 60:.1f} min",
        "command": "accord demo",
    }


def second_run() -> list[dict[str, Any]]:
    """What the reference costs a second run, which finds its log-probs on disk."""
    done = subprocess.run([sys.executable, HERE / "second_run.py"], check=True, stdout=subprocess.PIPE, text=True)
    entries = []
    for said in map(json.loads, done.stdout.splitlines()):
        took, share, whole = said["second"], said["reference_share"], said["share_with_layout"]
        spent = f"{took['hash'] + took['lookup']:.1f} of {took['train']:.0f} s"
        entries.append(
            {
                "what": f"{said['method'].upper()} again with another β: the reference's share of the time",
                "figure": f"{share:.1%} ({spent}); {whole:.1%} with the layout check",
                "command": f"python benchmarks/second_run.py --methods {said['method']}",
            }
        )
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--second-run", action="store_true")
    asked = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    made = [
        pairs(asked.data),
        *([million()] if asked.million else []),
        *([demo()] if asked.demo else []),
        *(second_run() if asked.second_run else []),
    ]
    keep(made)
    for entry in made:
        print(f"{entry['what']}: {entry['figure']}")


if __name__ == "__main__":
    main()
