"""kill -9 of the server while people vote, again and again: is every vote there that was called saved? `make crash`.

    python benchmarks/voting_crash.py --trials 100             # SQLite; prints JSON and keeps it in others.json
    python benchmarks/voting_crash.py --trials 100 --postgres  # PostgreSQL: its server stays up, ours is killed

Each trial starts the server on the same database, lets eight annotators vote as fast as they can, and kills it at a
moment that chance chooses. Then the votes are looked up, and the questions' counts are compared with them.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

from sqlalchemy import func, select
from tables import keep, write_docs
from voters import place, project, serving, voting

from accord.feedback import Turn
from accord.store import Store
from accord.store.web_tables import assignments, questions

PEOPLE = 8


def trial(folder: Path, campaign: str, tokens: list[str], chance: random.Random) -> list[str]:
    """One server's life. Gives the ids that it called saved."""
    with serving(folder) as server, voting(server.address, campaign, tokens, 0) as voters:
        while not any(voter.saved for voter in voters):
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.3))
        server.kill()
    return [id for voter in voters for id in voter.saved]


def wrong_counts(store: Store) -> int:
    """Questions whose count is not the number of people who answered them."""
    answered = (
        select(func.count())
        .where(assignments.c.question_id == questions.c.id, assignments.c.turn == Turn.ANSWERED)
        .scalar_subquery()
    )
    with store.reading() as connection:
        return (
            connection.scalar(select(func.count()).select_from(questions).where(questions.c.answered != answered)) or 0
        )


def run(folder: Path, database: str, trials: int, seed: int = 0) -> dict:
    """All trials on one database; how many votes were called saved, lost, or there twice."""
    chance = random.Random(seed)
    campaign, tokens = project(folder, database, prompts=40 * trials + 400, people=PEOPLE, overlap=PEOPLE)
    saved: list[str] = []
    for _ in range(trials):
        saved += trial(folder, campaign, tokens, chance)
    with Store.open(folder / database if "://" not in database else database) as store:
        votes = list(store.comparisons(history=True))
        there = {vote.id for vote in votes}
        by_question = {(vote.annotator_id, vote.extra["question"]) for vote in votes}
        return {
            "trials": trials,
            "acknowledged": len(saved),
            "lost": sum(id not in there for id in saved),
            "twice": len(votes) - len(by_question),
            "wrong_counts": wrong_counts(store),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="write it to others.json")
    asked = parser.parse_args()
    with place(asked.postgres) as (folder, database):
        found = run(folder, database, asked.trials)
    kind = "PostgreSQL" if asked.postgres else "SQLite"
    print(json.dumps({"database": kind, **found}))
    if asked.keep:
        keep(
            [
                {
                    "what": f"the server killed with kill -9 amid votes, {kind}",
                    "figure": f"{found['lost']} of {found['acknowledged']:,} acknowledged votes lost in "
                    f"{found['trials']} kills, {found['twice']} twice",
                    "command": "python benchmarks/voting_crash.py" + (" --postgres" if asked.postgres else ""),
                }
            ]
        )
        write_docs()
    sys.exit(1 if found["lost"] or found["twice"] or found["wrong_counts"] else 0)


if __name__ == "__main__":
    main()
