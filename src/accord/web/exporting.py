"""All that people said, as a file: what the command line, the page and the API give."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

from accord.exchange.writing import write_export, write_votes
from accord.feedback import AccordError, PairLabel, ResponseLabel, Vote
from accord.quality.labels import pair_labels, response_labels
from accord.store import Store

V = TypeVar("V", bound=Vote)


def export(store: Store, file: Path, form: str, labels: str, campaign: str = "") -> Counter[str]:
    """Writes `file` and counts what is in it, as `exchange.writing` says.

    form      `dpo`, `kto` or `reward`: TRL's rows, from votes that are added up by the method `labels`; or `votes`:
              everything, in Accord's own form
    campaign  only the votes that were cast in this campaign

    Raises AccordError where there is nothing to write.
    """
    return _everything(store, file, campaign) if form == "votes" else _rows(store, file, form, labels, campaign)


def _rows(store: Store, file: Path, form: str, labels: str, campaign: str) -> Counter[str]:
    who = list(store.annotators())
    comparisons = _of(campaign, store.comparisons())
    found: list[PairLabel] | list[ResponseLabel]
    if form == "kto":
        found = response_labels(comparisons, _of(campaign, store.ratings()), labels, annotators=who)
    else:
        found = pair_labels(comparisons, labels, annotators=who)
    if not found:
        wanted = "votes" if form == "kto" else "comparisons (thumbs alone make `--form kto`)"
        where = f"campaign {campaign}" if campaign else "the project"
        raise AccordError(f"{where} has no {wanted}; read some with `accord import FILE`")
    return write_export(form, file, store.prompts(), store.responses(), found)


def _everything(store: Store, file: Path, campaign: str) -> Counter[str]:
    """All nouns, each before its use: what corrects a vote stands after what is corrected."""

    def votes(corrections: bool) -> Iterator[Vote]:
        every: Iterator[Vote] = chain(store.comparisons(history=True), store.ratings(history=True))
        return (vote for vote in _of(campaign, every) if (vote.supersedes is not None) is corrections)

    nouns = chain(store.annotators(), store.prompts(), store.responses(), votes(False), votes(True))
    counts = write_votes(file, nouns)
    return Counter(rows=counts.total(), **counts)


def _of(campaign: str, votes: Iterator[V]) -> Iterator[V]:
    return (vote for vote in votes if vote.extra.get("campaign") == campaign) if campaign else votes
