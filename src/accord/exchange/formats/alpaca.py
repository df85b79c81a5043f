"""Alpaca files: `instruction` (with `input`, `system`, `history`), and how it is answered.

With `chosen` and `rejected` they are preferences (older files: `output` as a list of the two), with `output` and
`label` or `kto_tag` ratings, with `output` alone demonstrations.
https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md.
"""

from collections.abc import Iterator
from typing import Any

from accord.exchange.formats.form import Format
from accord.exchange.judgements import Votes, by_row, demonstration, thumb
from accord.exchange.source import Record, kind
from accord.feedback import Message, Noun

COLUMNS = ("instruction", "input", "system", "history", "output", "chosen", "rejected", "label", "kto_tag")


def _asked(record: Record) -> tuple[Message, ...]:
    """The system's words, what was said before, and the instruction with its input on the next line."""
    talk = []
    if record.values.get("system"):
        talk.append(Message("system", record.text("system")))
    history = record.values.get("history") or []
    if not isinstance(history, list):
        raise record.bad("history", f"is {kind(history)}, expected a list of questions and answers")
    for place, turn in enumerate(history):
        where = f"history[{place}]"
        if not isinstance(turn, list) or len(turn) != 2:
            raise record.bad(where, f"is {kind(turn)}, expected a list of a question and its answer")
        question, answer = (record.checked(where, said) for said in turn)
        talk += [Message("user", question), Message("assistant", answer)]
    words = [record.text("instruction")]
    if record.values.get("input"):
        words.append(record.text("input"))
    return (*talk, Message("user", "\n".join(words)))


def _said(record: Record, field: str, value: Any) -> tuple[Message, ...]:
    return (Message("assistant", record.checked(field, value)),)


def _rows(record: Record, votes: Votes) -> Iterator[Noun]:
    asked, extra, row = _asked(record), record.others(*COLUMNS), record.values
    label = next((name for name in ("label", "kto_tag") if name in row), None)
    pair = row.get("output")
    if "chosen" in row or "rejected" in row:
        better, worse = (_said(record, name, record.present(name)) for name in ("chosen", "rejected"))
        yield from votes.comparison(record, asked, better, worse, extra)
    elif isinstance(pair, list):
        if len(pair) != 2:
            raise record.bad("output", f"is a list of {len(pair)}, expected the chosen and the rejected answer")
        better, worse = (_said(record, f"output[{place}]", said) for place, said in enumerate(pair))
        yield from votes.comparison(record, asked, better, worse, extra)
    elif label:
        said = _said(record, "output", record.present("output"))
        yield from votes.rating(record, asked, said, thumb(record, label), extra)
    else:
        yield from demonstration(record, asked, _said(record, "output", record.present("output")), extra)


ALPACA = Format(
    "instruction (input, system, history), and chosen, rejected or output, label or output alone",
    lambda row: "instruction" in row and bool({"output", "chosen", "rejected"} & row.keys()),
    by_row(_rows),
)
