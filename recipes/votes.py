"""The first step of every recipe: from votes, raw, to training rows and rows that are held out."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from accord.exchange import read
from accord.exchange.rows import split_prompts
from accord.feedback import Annotator, Comparison, Prompt, Rating, Response
from accord.store import Store

DEMO = "demo/accord.db"  # where `accord demo` keeps its votes


class Votes(NamedTuple):
    """What was asked, what was answered, who judged, and what they said."""

    prompts: list[Prompt]
    responses: list[Response]
    annotators: list[Annotator]
    comparisons: list[Comparison]
    ratings: list[Rating]


class Rows(NamedTuple):
    """Training rows and others of prompts that training never sees."""

    train: list[dict[str, Any]]
    held_out: list[dict[str, Any]]


def votes_of(source: str) -> Votes:
    """Votes out of a project's database (`.db`) or of a file in any form that `accord import` reads."""
    if not source.endswith(".db"):
        nouns = list(read([source]))
        return Votes(*([n for n in nouns if isinstance(n, kind)] for kind in KINDS))
    if not Path(source).is_file():
        raise SystemExit(f"{source}: there is no such database; run `accord demo` first, or name a file of votes")
    with Store.open(source) as store:
        named = (store.prompts(), store.responses(), store.annotators(), store.comparisons(), store.ratings())
        return Votes(*map(list, named))


KINDS = (Prompt, Response, Annotator, Comparison, Rating)


def divided(votes: Votes, rows: Callable[[list[Prompt]], Iterable[dict[str, Any]]]) -> Rows:
    """The rows that `rows` makes of prompts, of four fifths of the prompts that were judged and of the rest."""
    judged = {vote.prompt_id for vote in (*votes.comparisons, *votes.ratings)}
    split = split_prompts([replace(p, split="") for p in votes.prompts if p.id in judged], test_fraction=0.2)
    found = Rows(*(list(rows(part)) for part in split))
    print(
        f"{len(votes.comparisons) + len(votes.ratings)} votes: {len(found.train)} rows to train on, "
        f"{len(found.held_out)} held out"
    )
    return found
