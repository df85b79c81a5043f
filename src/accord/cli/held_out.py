"""What is held out: the rows and prompts that training did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from accord.cli.judging import Scorer
from accord.evaluation import Judge
from accord.exchange import read
from accord.exchange.snapshot import read_snapshot
from accord.feedback import Content, Message, Prompt, fingerprint, from_json, to_json
from accord.policy.load import load_tokenizer
from accord.runs import Run


class Question(NamedTuple):
    """A prompt to answer, and the id that its answers share."""

    id: str
    content: Content


@dataclass
class Asked:
    """What is to be measured: rows of one form, prompts, and who judges: `judge`, or else the first of `scorers`."""

    rows: list[dict[str, Any]]
    prompts: list[Question] = field(default_factory=list)
    judge: Judge | None = None
    judge_name: str = ""
    scorers: list[Scorer] = field(default_factory=list)
    samples: int = 1
    decoding: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def form(self) -> str:
        """Of the rows: preference, unpaired, or "" where they hold nothing to rank."""
        first = self.rows[0] if self.rows else {}
        return "preference" if "chosen" in first else "unpaired" if "label" in first else ""

    @property
    def scored(self) -> list[dict[str, Any]]:
        """The rows whose answers are ranked."""
        return self.rows if self.form else []


def held_out_rows(run: Run, data: list[str] | None) -> list[dict[str, Any]]:
    """The rows of `data` that are held out (all of them where nothing is marked so), or those of the run's snapshot."""
    if not data:
        return list(read_snapshot(run.data).rows("test")) if run.data.is_dir() else []
    from accord.cli.options import DataOptions
    from accord.cli.training_data import rows_for  # brings the store: a run's own split does without

    method = str(run.info.get("method"))
    rows = rows_for("dpo" if method == "sft" else method, DataOptions(dataset_name=data))
    splits = {name: list(split) for name, split in rows.splits.items()}
    return splits.get("test") or splits.get("train") or []


def questions(run: Run, file: Path | None, rows: Sequence[Mapping[str, Any]]) -> list[Question]:
    """The different prompts of `file`, or of the rows, in their order.

    A line of a .txt file is what a user says, where the run's model knows a chat template.
    """
    contents: list[Content]
    if file is None:
        contents = [from_json(row["prompt"]) for row in rows if "prompt" in row]
    elif file.suffix == ".txt":
        lines = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
        chat = load_tokenizer(run.path).chat_template is not None
        contents = [(Message("user", line),) if chat else line for line in lines]
    else:
        contents = [noun.content for noun in read([str(file)]) if isinstance(noun, Prompt)]
    return [Question(key, content) for key, content in {prompt_id(content): content for content in contents}.items()]


def prompt_id(content: Any) -> str:
    """Equal for equal prompts, in either of their forms."""
    return fingerprint(to_json(content) if isinstance(content, tuple) else content)
