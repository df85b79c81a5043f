"""Answers that models gave, one a line of a JSON-lines file: what is there need not be asked again."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from accord.runs.files import append_line, read_lines


class Key(NamedTuple):
    """Equal keys, equal answers.

    model     the id of who answered
    base      the id of the model that the answer's distance is measured from
    decoding  how it was drawn, with the seed
    prompt    the prompt's id
    sample    which of the answers to it
    """

    model: str
    base: str
    decoding: str
    prompt: str
    sample: int


class Answer(NamedTuple):
    """What a model wrote, in how many tokens, and whether it ended by itself.

    logp, base_logp  of all its tokens, in nats, under the model and under the base; None for the base's own answers
                     and away from temperature 1, where they say nothing about KL
    """

    text: str
    tokens: int
    finished: bool
    logp: float | None = None
    base_logp: float | None = None


class KeptAnswers:
    """The answers in a file, and the way to add some. Raises ValueError where the file holds something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[Key, Answer] = {}
        for number, line in enumerate(read_lines(path), 1):
            try:
                key = Key(*(line[name] for name in Key._fields))
                self._known[key] = Answer(*(line[name] for name in Answer._fields))
            except KeyError as error:
                raise ValueError(f"{path}:{number}: {error} is missing; delete the file to ask again") from None

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def __getitem__(self, key: Key) -> Answer:
        return self._known[key]

    def add(self, name: str, answers: Iterable[tuple[Key, Answer]]) -> None:
        """Keep answers of the model that people call `name`."""
        for key, answer in answers:
            if key not in self._known:
                append_line(self.path, {"name": name, **key._asdict(), **answer._asdict()})
                self._known[key] = answer
