"""A row of a file as a prompt and the answers to it that can be scored, and the columns that their scores go to."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from accord.evaluation.interval import Floats
from accord.exchange import conversation
from accord.exchange.containers import sources
from accord.exchange.formats import FORMATS, hh_rlhf
from accord.exchange.rows import alike
from accord.exchange.source import Record, kind
from accord.feedback import Content, Prompt, Response

DIGITS = 6  # behind the point, of a score


class Answered(NamedTuple):
    """`column` is the one that says of which form the row is; prompt and answers are texts, or lists of messages."""

    record: Record
    column: str
    prompt: Any
    answers: list[Any]


def read_answers(path: Path) -> Iterator[Answered]:
    """Every row of a file, or of a folder that `datasets` saved. Raises BadInput where one holds no answer."""
    for source in sources(path):
        for record in source.records():
            yield answered(record)


def answered(record: Record) -> Answered:
    for column, read in FORMS.items():
        if record.values.get(column) is not None:
            prompt, *answers = alike(*read(record))
            return Answered(record, column, prompt, answers)
    columns = ", ".join(map(str, record.values)) or "none"
    forms = "prompt and completion, chosen and rejected, prompt and completions, or messages"
    raise record.bad("columns", f"{columns} hold no answer to score (name them {forms})")


def _pair(record: Record) -> list[Content]:
    """As training reads it: the prompt may be what both answers begin with."""
    form = FORMATS["hh-rlhf" if hh_rlhf.is_dialogue(record.values) else "preference"]
    alone = replace(record.source, lines=lambda progress: iter([(record.line, record.values)]))
    return [noun.content for noun in form.read([alone]) if isinstance(noun, Prompt | Response)]


def _one(record: Record) -> list[Content]:
    asked = conversation.prompt(record)
    return [asked, conversation.answer(record, "completion", asked)]


def _several(record: Record) -> list[Content]:
    asked, values = conversation.prompt(record), record.values["completions"]
    if not isinstance(values, list) or not values:
        raise record.bad("completions", f"is {kind(values)}, expected a list of one answer or more")
    places = {f"completions[{place}]": value for place, value in enumerate(values)}
    each = replace(record, values=places)
    return [asked, *(conversation.answer(each, place, asked) for place in places)]


def _talk(record: Record) -> list[Content]:
    """The last answer, to all that was said before it."""
    *before, last = conversation.messages(record, "messages", record.present("messages"))
    if not before:
        raise record.bad("messages", "has one message, expected an answer and what it answers")
    return [tuple(before), conversation.said_by_assistant(record, "messages", (last,))]


#: column -> the prompt and its answers, in a row that has this column
FORMS: dict[str, Callable[[Record], list[Content]]] = {
    "chosen": _pair,
    "completions": _several,
    "completion": _one,
    "messages": _talk,
}


def columns(row: Answered, name: str, scores_KM: Floats) -> dict[str, Any]:
    """What `row` gets, under names that begin with `name`: the mean of the heads' scores of each answer, null for NaN,
    and of an ensemble how far its heads disagree.

    A head's zero is arbitrary, so the disagreement is that about differences, wherever there are any: of a pair the
    standard deviation, over heads, of chosen − rejected; of several answers that of each answer's lead over their mean.
    Of a lone answer it is that of its score.
    """
    rewards_K = scores_KM.mean(1)
    match row.column:
        case "chosen":
            found = {f"{name}_chosen": plain(rewards_K[0]), f"{name}_rejected": plain(rewards_K[1])}
            spread = plain((scores_KM[0] - scores_KM[1]).std())
        case "completions":
            found = {f"{name}s": plain(rewards_K)}
            spread = plain((scores_KM - scores_KM.mean(0)).std(1))
        case _:
            found = {name: plain(rewards_K[0])}
            spread = plain(scores_KM[0].std())
    return found | ({f"{name}_disagreement": spread} if scores_KM.shape[1] > 1 else {})


def plain(score: Any) -> Any:
    """A score, or a list of them, as JSON has it."""
    if np.ndim(score):
        return [plain(each) for each in score]
    return round(float(score), DIGITS) if np.isfinite(score) else None
