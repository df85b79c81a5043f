"""What methods that sample draw from: prompts, without answers."""

import logging
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Sampler

from accord.rollout.rewards import Text
from accord.rollout.sample import prompt_ids
from accord.trainers.examples import OptimizerBatches
from accord.tree import PromptTree

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as training draws it: `tree` has no completions yet; `columns` go to the source of rewards."""

    id: str
    tree: PromptTree
    text: Text
    columns: Mapping[str, Any]


def prompts_of(
    dataset: Iterable[Mapping[str, Any]],
    name: str,
    tokenizer: Any,
    longest: int | None,
    progress: Callable[[str, int, int], None],
) -> list[Prompt]:
    """The rows of the `name` dataset: `prompt`, a text or messages, and further columns.

    longest  most tokens of a prompt; longer ones are left out, which is counted and logged

    Raises ValueError, naming the row, for one that cannot be used.
    """
    rows, found = list(dataset), list[Prompt]()
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"{name} row {index} is a {type(row).__name__}: rows are dicts of columns")
        row_id = str(index if row.get("id") is None else row["id"])
        text = row.get("prompt")
        if not text:
            raise ValueError(f"{name} row {row_id}: no prompt: give each row a text or messages under `prompt`")
        ids = prompt_ids(tokenizer, text)
        columns = {column: value for column, value in row.items() if column not in ("id", "prompt")}
        if longest is None or len(ids) <= longest:
            found.append(Prompt(row_id, PromptTree(array("i", ids), ()), text, columns))
        progress(f"tokenising {name} prompts", index + 1, len(rows))
    if not found:
        most = "" if longest is None else f" with a prompt of at most {longest} tokens: raise max_length"
        raise ValueError(f"{name}_dataset has no row{most}")
    if len(found) < len(rows):
        log.warning(
            "left out %d of %d %s prompts of more than %d tokens: max_length less max_completion_length",
            len(rows) - len(found), len(rows), name, longest,
        )  # fmt: skip
    return found


class Repeated(Sampler[list[int]]):
    """Each batch of `batches` so many times in a row: once for each optimizer step that a rollout is trained on."""

    def __init__(self, batches: OptimizerBatches, times: int) -> None:
        self.batches, self.times = batches, times

    def set_epoch(self, epoch: int) -> None:
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches) * self.times

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield from [batch] * self.times
