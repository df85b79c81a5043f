"""A million votes from a JSONL file into a fresh project: seconds, and the most memory that it took.

    python benchmarks/import_million.py       # prints votes, file_mb, seconds, votes_per_second, peak_rss_gb as JSON

The votes are a crowd's: 50,000 prompts of ordinary length, four answers each, 500 people who vote on random pairs.
`accord import` runs as a user runs it, in a process of its own; its memory is what the system says it took at most.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

PROMPTS, ANSWERS, PEOPLE = 50_000, 4, 500
WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "for",
    "on",
    "are",
    "with",
    "his",
    "they",
)


def write(path: Path, votes: int) -> None:
    """`votes` preference rows with annotators, from a fixed seed."""
    chance = random.Random(0)
    phrases = [" ".join(chance.choices(WORDS, k=30)) for _ in range(1000)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(votes):
            prompt = chance.randrange(PROMPTS)
            better, worse = chance.sample(range(ANSWERS), 2)
            row = {
                "prompt": f"Question {prompt}: {phrases[prompt % 1000]}?",
                "chosen": f"Answer {better} to {prompt}: {phrases[(prompt + better) % 1000]}.",
                "rejected": f"Answer {worse} to {prompt}: {phrases[(prompt + worse) % 1000]}.",
                "annotator": f"worker {chance.randrange(PEOPLE)}",
                "margin": round(chance.random(), 3),
            }
            file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=1_000_000)
    votes = parser.parse_args().votes
    with TemporaryDirectory() as folder:
        file = Path(folder) / "votes.jsonl"
        write(file, votes)
        accord = [sys.executable, "-m", "accord"]
        subprocess.run([*accord, "init", folder], check=True, stdout=subprocess.DEVNULL)
        start = time.perf_counter()
        told = subprocess.run(
            [*accord, "import", str(file), "--project", folder, "--json"], check=True, stdout=subprocess.PIPE
        ).stdout
        seconds = time.perf_counter() - start
        added = json.loads(told)["added"]["comparisons"]
        if added != votes:
            sys.exit(f"{added} of {votes} votes were added")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # the import: `init` takes less
        result = {
            "votes": votes,
            "file_mb": round(file.stat().st_size / 1e6),
            "seconds": round(seconds, 1),
            "votes_per_second": round(votes / seconds),
            "peak_rss_gb": round(peak / 1e9, 3),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
