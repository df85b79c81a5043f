"""Where `accord sample` keeps answers: a JSONL file, the project. Both know what they hold, so that a run can go on."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from accord.exchange.bad_input import BadInput
from accord.feedback import AccordError, Content, Message, Prompt, Response, from_json, text_of, to_json
from accord.store import Store

if TYPE_CHECKING:
    from accord.rollout import Sampled


class Answer(NamedTuple):
    """One sample of a prompt. `tokens` and `logp` (nats, summed over tokens) are None where a server does not tell."""

    sample: int
    text: str
    finished: bool
    tokens: int | None
    logp: float | None

    @classmethod
    def of(cls, sampled: "Sampled") -> Self:
        """What is kept of a sample. Characters that no file or database takes become U+FFFD."""
        text = sampled.text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        tokens = len(sampled.tokens) or len(sampled.logps) or None
        logp = sum(sampled.logps) if sampled.logps else None
        return cls(sampled.sample, text, sampled.finished, tokens, logp)

    def said(self, prompt: Prompt) -> Content:
        """The answer in the form of what it answers."""
        return self.text if isinstance(prompt.content, str) else (Message("assistant", self.text),)


class Origin(NamedTuple):
    """Who answers, and how: only answers with one origin are samples of one distribution."""

    model: str
    sampling: dict[str, Any]


#: prompt's id -> sample's index -> answer
Held = defaultdict[str, dict[int, Answer]]


class Place(Protocol):
    """Keeps answers of one origin. `held` are those that are there."""

    held: Held

    def keep(self, prompt: Prompt, answers: Iterable[Answer]) -> None:
        """Keeps those of `answers` that are not held yet. Once it returns, a crash does not lose them."""


@dataclass
class JSONLines:
    """A row an answer, appended in whole lines: {"id", "prompt", "completion", "model", "sample", "finished", "tokens",
    "logp", "sampling"}, the split and the prompt's own columns.

    others  answers in the file that have another origin; they stay
    """

    path: Path
    origin: Origin
    held: Held = field(default_factory=lambda: defaultdict(dict))
    others: int = 0

    def __post_init__(self) -> None:
        if self.path.suffix != ".jsonl":
            raise AccordError(f"{self.path}: answers are appended to a .jsonl file (rename it)")
        try:
            with self.path.open("a+b") as file:
                file.seek(0)
                file.truncate(self._read(file))
        except OSError as error:
            raise AccordError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def keep(self, prompt: Prompt, answers: Iterable[Answer]) -> None:
        fresh = [answer for answer in answers if answer.sample not in self.held[prompt.id]]
        lines = [json.dumps(self._row(prompt, answer), ensure_ascii=False) + "\n" for answer in fresh]
        with self.path.open("ab") as file:
            file.write("".join(lines).encode())

    def _row(self, prompt: Prompt, answer: Answer) -> dict[str, Any]:
        row = {
            "id": prompt.id,
            "prompt": to_json(prompt.content),
            "completion": to_json(answer.said(prompt)),
            "model": self.origin.model,
            "sample": answer.sample,
            "finished": answer.finished,
            "tokens": answer.tokens,
            "logp": answer.logp,
            "sampling": self.origin.sampling,
        }
        return (
            row
            | ({"split": prompt.split} if prompt.split else {})
            | {k: v for k, v in prompt.extra.items() if k not in row}
        )

    def _read(self, file: Any) -> int:
        """Takes up the rows that are there. Returns where the last whole line ends: a kill may have cut off the next.

        Raises BadInput, before anything is changed, for a row that `accord sample` did not write.
        """
        end = 0
        for number, line in enumerate(file, 1):
            whole = line.endswith(b"\n")
            try:
                row = json.loads(line)
                text = text_of(from_json(row["completion"]))
                answer = Answer(row["sample"], text, row["finished"], row["tokens"], row["logp"])
                held, origin = self.held[row["id"]], Origin(row["model"], row["sampling"])
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, ValueError) and not whole and line.startswith(b'{"id": '):
                    break
                raise BadInput(
                    self.path, number, "row", "accord sample did not write it (name another file, or remove the row)"
                ) from None
            if not whole:
                break
            if origin == self.origin:
                held[answer.sample] = answer
            else:
                self.others += 1
            end += len(line)
        return end


@dataclass
class InProject:
    """Responses in the project's store, for people to vote on. Answers to a prompt that read alike are one response:
    its `extra` says which samples said it, whether they ended by themselves, and how likely they were.
    """

    store: Store
    origin: Origin
    prompts: Iterable[Prompt]
    held: Held = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        for response in self.store.responses(prompt.id for prompt in self.prompts):
            told = response.extra
            if "samples" in told and Origin(response.source, told["sampling"]) == self.origin:
                for sample in told["samples"]:
                    text = text_of(response.content)
                    answer = Answer(sample, text, told["finished"], told["tokens"], told["logp"])
                    self.held[response.prompt_id][sample] = answer

    def keep(self, prompt: Prompt, answers: Iterable[Answer]) -> None:
        alike: dict[str, list[Answer]] = defaultdict(list)
        for answer in answers:
            if answer.sample not in self.held[prompt.id]:
                alike[answer.text].append(answer)
        self.store.add([prompt, *(self._response(prompt, same) for same in alike.values())])

    def _response(self, prompt: Prompt, same: Sequence[Answer]) -> Response:
        first = same[0]
        extra = {
            "samples": [answer.sample for answer in same],
            "finished": first.finished,
            "tokens": first.tokens,
            "logp": first.logp,
            "sampling": self.origin.sampling,
        }
        return Response(prompt.id, first.said(prompt), source=self.origin.model, extra=extra)
