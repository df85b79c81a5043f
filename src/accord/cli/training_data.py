"""From `dataset_name` to the rows that a method trains on: files, project, snapshot or hub → nouns → labels → rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from accord.cli.options import DataOptions
from accord.cli.reading import Votes, nouns
from accord.cli.whose_votes import hear, quality
from accord.exchange.rows import (
    Split,
    demonstration_rows,
    preference_rows,
    prompt_rows,
    split_prompts,
    unpaired_rows,
)
from accord.exchange.snapshot import MANIFEST, read_snapshot
from accord.feedback import COIN, AccordError, Prompt, from_json
from accord.quality import pair_labels, response_labels

Row = dict[str, Any]

#: method -> the form of its rows
FORMS = {"sft": "sft", "dpo": "preference", "kto": "unpaired", "reward": "preference"}
FORMS |= dict.fromkeys(("ppo", "rloo", "grpo"), "prompt")
#: method -> the columns that its trainer reads; the snapshot keeps the others too. Methods that sample read all: their
#: rewards may ask for any
COLUMNS = {
    "sft": ("id", "prompt", "completion", "messages"),
    "dpo": ("id", "prompt", "chosen", "rejected", "p_chosen", "weight"),
    "kto": ("id", "prompt", "completion", "label", "p_desirable", "weight"),
    "reward": ("id", "prompt", "chosen", "rejected", "p_chosen", "weight", "margin", "p_tie"),
}


class Rows(NamedTuple):
    """`splits` are {"train": …, "test": …}; `meta` says where they come from; `notes` are for the user to read.

    quality  looks through the votes that they come from, for a page: `whose_votes.quality`; None where there are none
    """

    form: str
    splits: Mapping[str, Iterable[Row]]
    meta: dict[str, Any]
    notes: list[str]
    quality: Callable[[], dict[str, Any] | None] | None = None


def rows_for(method: str, data: DataOptions) -> Rows:
    """The rows that `method` trains on and those held out. Raises AccordError where the data has none for it."""
    form, names = FORMS[method], data.dataset_name or []
    if len(names) == 1 and (Path(names[0]) / MANIFEST).is_file():
        return _limited(_frozen(form, Path(names[0]), data), data)
    votes, notes = Votes.of(nouns(data)), list[str]()
    look = partial(quality, list(votes.comparisons), list(votes.annotators.values()), votes.texts, data)
    hear(votes, data, notes)
    split = split_prompts(votes.prompts, data.test_fraction)
    if method == "reward":
        split = _voted_on(votes, split, data.test_fraction, notes)
    meta: dict[str, Any] = {"source": names, "labels": data.labels, "test_fraction": data.test_fraction}
    meta["annotators"] = dict(Counter(annotator.kind.value for annotator in votes.annotators.values()))
    if data.group is not None:
        meta["group"] = data.group
    if data.weigh_annotators:
        meta["weights"] = votes.weights
    make = {"sft": _demonstrations, "preference": _preferences, "unpaired": _unpaired, "prompt": _prompts}[form]
    train, test = (list(rows) for rows in make(votes, data.labels, split, notes))
    if not train:
        raise AccordError(_nothing(method, names, votes, test=len(test)))
    labelled = (said := _how_sure(form, train[: data.max_train_samples])) is not None
    if said is not None:
        meta["coin_tosses"] = sum(abs(p - 0.5) < COIN for p in said)
        if tosses := meta["coin_tosses"]:
            notes.append(f"{tosses:,} of {len(said):,} labels are close to a coin toss (see accord quality)")
    rows = Rows(form, {"train": train, "test": test}, meta, notes, look if labelled else None)
    return _limited(rows, data)


def _how_sure(form: str, rows: Sequence[Row]) -> list[float] | None:
    """The probabilities that the rows carry; None where their form has none."""
    column = {"preference": "p_chosen", "unpaired": "p_desirable"}.get(form)
    return None if column is None else [row.get(column, 1.0) for row in rows]


def _preferences(votes: Votes, labels: str, split: Split, notes: list[str]) -> Iterator[Iterable[Row]]:
    weighed = pair_labels(votes.comparisons, labels, annotators=votes.annotators.values(), weights=votes.weights)
    telling = [label for label in weighed if label.weight > 0]
    if len(telling) < len(weighed):
        unheard = ", or votes that count nothing" if 0.0 in votes.weights.values() else ""
        why = f"both answers called bad, or the same answer twice{unheard}"
        notes.append(f"{len(weighed) - len(telling)} pairs left out: {why}")
    for prompts in split:
        yield preference_rows(prompts, votes.responses, telling)


def _unpaired(votes: Votes, labels: str, split: Split, notes: list[str]) -> Iterator[Iterable[Row]]:
    weighed = response_labels(
        votes.comparisons, votes.ratings, labels, annotators=votes.annotators.values(), weights=votes.weights
    )
    if votes.comparisons and not votes.ratings:
        notes.append("no thumbs in the data: preferred answers count as desirable, the others as undesirable")
    for prompts in split:
        yield unpaired_rows(prompts, votes.responses, weighed)


def _prompts(votes: Votes, labels: str, split: Split, notes: list[str]) -> Iterator[Iterable[Row]]:
    for prompts in split:
        yield prompt_rows(prompts)


def _voted_on(votes: Votes, split: Split, test_fraction: float, notes: list[str]) -> Split:
    """A reward model is only worth as much as it gets right of pairs that it was not shown: where nobody voted on the
    prompts that are marked for testing, some of the others are held out."""
    voted = {vote.prompt_id for vote in votes.comparisons}
    if not split.test or any(prompt.id in voted for prompt in split.test):
        return split
    again = split_prompts([replace(p, split="") for p in split.train if p.id in voted], test_fraction)
    if again.test:
        notes.append(f"no votes on the prompts marked test: {len(again.test)} of the others are held out")
    return again


def _demonstrations(votes: Votes, labels: str, split: Split, notes: list[str]) -> Iterator[Iterable[Row]]:
    if any(response.demonstration for response in votes.responses):
        for prompts in split:
            yield demonstration_rows(prompts, votes.responses)
        return
    notes.append("no demonstrations in the data: the preferred answers are imitated")
    for rows in _preferences(votes, labels, split, []):
        yield ({"id": row["id"], "prompt": row["prompt"], "completion": row["chosen"]} for row in rows)


def _frozen(form: str, directory: Path, data: DataOptions) -> Rows:
    if data.group is not None or data.weigh_annotators:
        raise AccordError(f"{directory}: in a snapshot, votes are labels already: no --group, no --weigh_annotators")
    snapshot = read_snapshot(directory)
    if form == "prompt" and snapshot.form != form:
        asked = {split: _asked(snapshot.rows(split)) for split in snapshot.counts}
        return Rows(form, asked, {**snapshot.meta, "snapshot": str(directory)}, [])
    if snapshot.form != form:
        raise AccordError(f"{directory}: a snapshot of {snapshot.form} rows, and this method trains on {form} rows")
    splits = {split: snapshot.rows(split) for split in snapshot.counts}
    return Rows(form, splits, {**snapshot.meta, "snapshot": str(directory)}, [])


def _asked(rows: Iterable[Row]) -> list[Row]:
    """The prompts of rows of another form, each once."""
    prompts = [Prompt(from_json(row["prompt"])) for row in rows if "prompt" in row]
    return list(prompt_rows({prompt.id: prompt for prompt in prompts}.values()))


def _limited(rows: Rows, data: DataOptions) -> Rows:
    if data.max_train_samples is None:
        return rows
    splits = {**rows.splits, "train": islice(rows.splits["train"], data.max_train_samples)}
    return rows._replace(splits=splits, meta={**rows.meta, "max_train_samples": data.max_train_samples})


_NEEDS = {
    "sft": "answers to imitate (prompt and completion, messages) or preferences",
    "dpo": "preferences (prompt, chosen, rejected, or votes on pairs)",
    "kto": "thumbs (prompt, completion, label) or preferences",
    "reward": "preferences (prompt, chosen, rejected, or votes on pairs)",
    **dict.fromkeys(("ppo", "rloo", "grpo"), "prompts (a column prompt)"),
}


def _nothing(method: str, names: list[str], votes: Votes, test: int) -> str:
    where = ", ".join(names) or "the project"
    if test:
        return f"{where}: all {test} rows are held out for testing, none is left to train on"
    found = {
        "prompts": len(votes.prompts),
        "responses": len(votes.responses),
        "comparisons": len(votes.comparisons),
        "ratings": len(votes.ratings),
    }
    there = ", ".join(f"{count:,} {name}" for name, count in found.items() if count) or "nothing"
    return f"{where}: nothing to train {method} on: it needs {_NEEDS[method]}; there: {there}"
