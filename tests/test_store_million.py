"""A million votes go in within a gigabyte. Prints what it took: `pytest -s -m slow tests/test_store_million.py`."""

import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from accord.feedback import Annotator, Choice, Comparison, Prompt, Response, Sides, fingerprint
from accord.store import Store

VOTES, PROMPTS, PEOPLE = 1_000_000, 50_000, 100


def nouns():
    """Votes at scattered times, with scattered ids, on prompts and responses of a few hundred characters."""
    yield from (Annotator(f"annotator {n}") for n in range(PEOPLE))
    for n in range(PROMPTS):
        prompt = Prompt(f"Prompt {n}: " + "what do people want of a model? " * 5, id=f"p{n}")
        yield prompt
        for side in "ab":
            yield Response(prompt.id, f"Answer {side} to {n}. " + "It depends on whom you ask. " * 10, id=f"p{n}{side}")
    choices, start = tuple(Choice), datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(VOTES):
        prompt = f"p{n * 7919 % PROMPTS}"
        at = start + timedelta(seconds=n * 7 % 1_000_003)
        yield Comparison(
            *(
                fingerprint("vote", n),
                f"annotator {n % PEOPLE}",
                prompt,
                f"{prompt}a",
                f"{prompt}b",
                choices[n % 4],
                at,
            ),
            *(Sides.SHUFFLED, n % 3 + 1, "a comment" if n % 10 == 0 else "", n % 60 + 0.5, "v1"),
        )


def measure(path):
    """Seconds (by the clock, and of the processor) of each step, and the peak memory of it all."""
    counted, seconds, cpu_seconds = {}, {}, {}
    with Store.open(path) as store:
        steps = {
            "make": lambda: sum(1 for _ in nouns()),
            "add": lambda: store.add(nouns()),
            "read": lambda: sum(1 for _ in store.comparisons()),
        }
        for name, step in steps.items():
            clock, cpu = time.perf_counter(), time.process_time()
            counted[name] = step()
            seconds[name] = round(time.perf_counter() - clock, 1)
            cpu_seconds[name] = round(time.process_time() - cpu, 1)
    peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"counted": counted, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_memory_mb": peak_memory_mb}


@pytest.mark.slow
def test_a_million_votes_in_bounded_memory(tmp_path):
    child = subprocess.run(
        [sys.executable, __file__, tmp_path / "votes.db"], stdout=subprocess.PIPE, text=True, check=True
    )
    print(child.stdout)
    took = json.loads(child.stdout)
    assert took["counted"]["add"]["comparisons"] == took["counted"]["read"] == VOTES
    assert took["peak_memory_mb"] < 1000


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
