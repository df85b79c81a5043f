"""ShareGPT files, as LLaMA-Factory reads them: `conversations` (or `messages`) of {from, value} (or {role, content}).

With `chosen` and `rejected` they are preferences, with `label` or `kto_tag` ratings of the last answer, else
demonstrations. https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md. `system`, a column, goes first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from accord.exchange.bad_input import shown
from accord.exchange.formats.form import Format
from accord.exchange.judgements import Votes, by_row, demonstration, thumb
from accord.exchange.source import Record, kind
from accord.feedback import Message, Noun

SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}
#: Who may speak after whom.
AFTER = {"system": ("user",), "user": ("assistant",), "tool": ("assistant",), "assistant": ("user", "tool")}
LABELS = ("label", "kto_tag")


def _message(record: Record, where: str, item: Any) -> Message:
    if not isinstance(item, dict):
        raise record.bad(where, f"is {kind(item)}, expected an object with from and value")
    speaker, said = ("from", "value") if "from" in item else ("role", "content")
    if item.get(speaker) not in list(SPEAKERS):
        why = f"is {shown(item[speaker])}" if speaker in item else "is missing"
        raise record.bad(f"{where}.{speaker}", f"{why}, expected one of {', '.join(SPEAKERS)}")
    if item.get(said) is None:
        raise record.bad(f"{where}.{said}", "is missing" if said not in item else "is null")
    return Message(SPEAKERS[item[speaker]], record.checked(f"{where}.{said}", item[said]))


def _talk(record: Record, column: str) -> tuple[Message, ...]:
    value = record.present(column)
    if not isinstance(value, list) or not value:
        raise record.bad(column, f"is {kind(value) if value != [] else 'empty'}, expected a list of messages")
    talk = [_message(record, f"{column}[{place}]", item) for place, item in enumerate(value)]
    if (system := record.values.get("system")) and talk[0].role != "system":
        talk.insert(0, Message("system", record.checked("system", system)))
    before = "system"
    for place, message in enumerate(talk):
        if message.role not in AFTER[before] and not (place == 0 and message.role == "system"):
            at = place - len(talk) + len(value)
            raise record.bad(f"{column}[{at}]", f"is said by {message.role} after {before}: they must take turns")
        before = message.role
    return tuple(talk)


def _rows(record: Record, votes: Votes) -> Iterator[Noun]:
    column = "conversations" if "conversations" in record.values else "messages"
    talk = _talk(record, column)
    label = next((name for name in LABELS if name in record.values), None)
    extra = record.others(column, "system", "chosen", "rejected", label or "")
    if "chosen" in record.values or "rejected" in record.values:
        if talk[-1].role == "assistant":
            raise record.bad(column, "ends with the assistant, expected a question that chosen and rejected answer")
        better, worse = (_answer(record, name) for name in ("chosen", "rejected"))
        yield from votes.comparison(record, talk, (better,), (worse,), extra)
        return
    if talk[-1].role != "assistant":
        raise record.bad(column, f"ends with {talk[-1].role}, expected the assistant")
    if label:
        yield from votes.rating(record, talk[:-1], talk[-1:], thumb(record, label), extra)
        return
    for place, message in enumerate(talk):
        if message.role == "assistant":
            yield from demonstration(record, talk[:place], (message,), extra)


def _answer(record: Record, field: str) -> Message:
    message = _message(record, field, record.present(field))
    if message.role != "assistant":
        raise record.bad(field, f"is said by {message.role}, expected the assistant (gpt)")
    return message


def _sniff(row: Mapping[str, Any]) -> bool:
    rated = "messages" in row and not row.keys().isdisjoint(LABELS)
    return "noun" not in row and ("conversations" in row or rated)


SHAREGPT = Format("conversations, and chosen, rejected or label or neither", _sniff, by_row(_rows))
