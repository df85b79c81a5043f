"""From `dataset_name` to nouns: files, the project, a database or the hub."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accord.cli.options import DataOptions
from accord.exchange import read
from accord.feedback import AccordError, Annotator, Comparison, Noun, Prompt, Rating, Response, text_of
from accord.store import Store

#: suffixes that no data set on the hub has
FILES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".gz")


@dataclass
class Votes:
    """All nouns at hand, by kind. `weights` say what an annotator's votes count, where that is not 1."""

    prompts: list[Prompt] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    annotators: dict[str, Annotator] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, str]:
        """What prompts and responses say, by id."""
        prompts = {prompt.id: text_of(prompt.content) for prompt in self.prompts}
        return prompts | {response.id: text_of(response.content) for response in self.responses}

    @classmethod
    def of(cls, nouns: Iterable[Noun]) -> "Votes":
        votes = cls()
        prompts: dict[tuple[str, str], Prompt] = {}
        responses: dict[str, Response] = {}
        for noun in nouns:
            match noun:
                case Prompt():
                    prompts.setdefault((noun.id, noun.split), noun)
                case Response():
                    responses.setdefault(noun.id, noun)
                case Annotator():
                    votes.annotators[noun.id] = noun
                case Comparison():
                    votes.comparisons.append(noun)
                case Rating():
                    votes.ratings.append(noun)
        votes.prompts, votes.responses = list(prompts.values()), list(responses.values())
        return votes


def nouns(data: DataOptions) -> Iterator[Noun]:
    """Everything that `dataset_name` holds; the project's votes where it is not given."""
    names = data.dataset_name or []
    if (database := database_of(names)) is not None:
        return _stored(database)
    if len(names) == 1:
        if not Path(names[0]).exists():
            return _from_hub(names[0], data)
        if (Path(names[0]) / "dataset_dict.json").is_file() and _splits_named(data):
            from datasets import load_from_disk

            return _selected(load_from_disk(names[0]), data)
    if _splits_named(data):
        raise AccordError("dataset_train_split, dataset_test_split: these files have no splits to choose from")
    return read(names, data.dataset_format)


def database_of(names: Sequence[str]) -> str | None:
    """The database that is meant: the project's where there are no names; None where files or a hub's data set are."""
    from accord.cli.project import find_project

    if not names:
        return find_project().database
    name, *others = names
    if others:
        return None
    if re.match(r"\w+(\+\w+)?://", name) or name.endswith((".db", ".sqlite", ".sqlite3")):
        return name
    return find_project(Path(name)).database if (Path(name) / "accord.yaml").is_file() else None


def _splits_named(data: DataOptions) -> bool:
    return (data.dataset_train_split, data.dataset_test_split) != ("train", "test")


def _stored(database: str) -> Iterator[Noun]:
    if "://" not in database and not Path(database).is_file():
        raise AccordError(f"{database}: there is no such database; make one with `accord init` and `accord import`")
    with Store.open(database) as store:
        yield from store.prompts()
        yield from store.responses()
        yield from store.annotators()
        yield from store.comparisons()
        yield from store.ratings()


def _from_hub(name: str, data: DataOptions) -> Iterator[Noun]:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or Path(name).suffix in FILES:
        raise AccordError(f"{name}: there is no such file or folder")
    from datasets import load_dataset

    try:
        loaded = load_dataset(name, data.dataset_config)
    except Exception as error:  # whatever the hub's client raises: no network, no such data set, a gated one …
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise AccordError(f"{name}: neither a file or folder here nor to be had from the hub ({why})") from error
    return _selected(loaded, data)


def _selected(loaded: Any, data: DataOptions) -> Iterator[Noun]:
    """The two splits that were named, through a folder, because files are what exchange reads."""
    from datasets import DatasetDict

    if data.dataset_train_split not in loaded:
        raise AccordError(f"dataset_train_split: '{data.dataset_train_split}' is none of {', '.join(loaded)}")
    wanted = {"train": data.dataset_train_split, "test": data.dataset_test_split}
    chosen = DatasetDict({split: loaded[name] for split, name in wanted.items() if name in loaded})
    with tempfile.TemporaryDirectory() as folder:
        chosen.save_to_disk(folder)
        yield from read(folder, data.dataset_format)
