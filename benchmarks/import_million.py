"""A million votes from a JSONL file into a fresh project: seconds, and the most memory that it took.

    python benchmarks/import_million.py       # prints votes, file_mb, seconds, votes_per_second, peak_rss_gb as JSON
    python benchmarks/import_million.py --votes 100000 --meanwhile 5    # somebody else votes, 5 ms after each vote

With `--meanwhile`, what somebody else's votes took is added: median_ms, p99_ms, longest_ms. With `--alone` nothing is
imported for 20 seconds, which says what the machine itself does to votes.

The votes are a crowd's: 50,000 prompts of ordinary length, four answers each, 500 people who vote on random pairs.
`accord import` runs as a user runs it, in a process of its own; its memory is what the system says it took at most.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from accord.feedback import Annotator, Choice, Comparison, Prompt, Response
from accord.store import Store

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


def vote(path: Path, pause: float, over, told) -> None:
    """Votes, one transaction each, until it is over; then tells how many milliseconds each took."""
    prompt = Prompt("What is fair?")
    left, right = Response(prompt.id, "This."), Response(prompt.id, "That.")
    took: list[float] = []
    with Store.open(path) as store:
        store.add([Annotator("somebody else"), prompt, left, right])
        while not over.is_set():
            start = time.perf_counter()
            shown = ("somebody else", prompt.id, left.id, right.id)
            store.add([Comparison(f"vote {len(took)}", *shown, Choice.LEFT, datetime.now(UTC))])
            took.append((time.perf_counter() - start) * 1000)
            time.sleep(pause)
    told.put(took)


@contextmanager
def meanwhile(path: Path, pause_ms: float | None, result: dict) -> Iterator[None]:
    """Somebody else votes; what that took goes into `result`."""
    if pause_ms is None:
        yield
        return
    context = get_context("spawn")
    over, told = context.Event(), context.Queue()
    voter = context.Process(target=vote, args=(path, pause_ms / 1000, over, told))
    voter.start()
    try:
        yield
    finally:
        over.set()
        took = told.get()
        voter.join()
    result["meanwhile"] = {
        "votes": len(took),
        "median_ms": round(median(took), 1),
        "p99_ms": round(quantiles(took, n=100)[98], 1),
        "longest_ms": round(max(took), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--meanwhile", type=float, metavar="MS", help="somebody else votes, with such pauses")
    parser.add_argument("--alone", action="store_true", help="nothing is imported: somebody else votes for 20 seconds")
    options = parser.parse_args()
    votes = options.votes
    with TemporaryDirectory() as folder:
        accord = [sys.executable, "-m", "accord"]
        subprocess.run([*accord, "init", folder], check=True, stdout=subprocess.DEVNULL)
        database = Path(folder) / "accord.db"
        Store.open(database).close()
        if options.alone:
            result: dict = {}
            with meanwhile(database, options.meanwhile or 5.0, result):
                time.sleep(20)
            print(json.dumps(result))
            return
        file = Path(folder) / "votes.jsonl"
        write(file, votes)
        result = {"votes": votes, "file_mb": round(file.stat().st_size / 1e6)}
        with meanwhile(database, options.meanwhile, result):
            start = time.perf_counter()
            importing = subprocess.Popen(
                [*accord, "import", str(file), "--project", folder, "--json"], stdout=subprocess.PIPE
            )
            told = importing.stdout.read() if importing.stdout else b""
            _, status, used = os.wait4(importing.pid, 0)  # of the import alone
            seconds = time.perf_counter() - start
        if status:
            sys.exit("the import failed")
        added = json.loads(told)["added"]["comparisons"]
        if added != votes:
            sys.exit(f"{added} of {votes} votes were added")
        result |= {
            "seconds": round(seconds, 1),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
            "votes_per_second": round(votes / seconds),
            "peak_rss_gb": round(used.ru_maxrss * 1024 / 1e9, 3),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
