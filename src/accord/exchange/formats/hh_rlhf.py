r"""Anthropic's hh-rlhf: whole dialogues as texts, "\n\nHuman: …\n\nAssistant: …)", in `chosen` and `rejected`.

https://github.com/anthropics/hh-rlhf. The dialogues differ in the last turn of the assistant. Where one speaker has
two turns in a row (it happens), they are one turn. An empty answer is kept: a model gave it, and people judged it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from accord.exchange.formats.form import Format
from accord.exchange.judgements import Votes, by_row
from accord.exchange.source import Record
from accord.feedback import Message, Noun

TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def is_dialogue(row: Mapping[str, Any]) -> bool:
    """Whether `chosen` is such a dialogue and no prompt stands beside it."""
    chosen = row.get("chosen")
    return (
        "prompt" not in row
        and isinstance(chosen, str)
        and chosen.lstrip("\n").startswith(tuple(f"{r}:" for r in ROLES))
    )


def turns(record: Record, field: str) -> list[Message]:
    """The dialogue in `field`: it begins with a turn, alternates, and ends with the assistant's."""
    text = record.text(field)
    before, *parts = TURN.split("\n\n" + text.lstrip("\n"))
    if before.strip() or not parts:
        raise record.bad(field, "does not begin with Human: (is it hh-rlhf? say --format if not)")
    talk: list[Message] = []
    for speaker, said in zip(parts[::2], parts[1::2], strict=True):
        role, said = ROLES[speaker], said.strip()
        if talk and talk[-1].role == role:
            talk[-1] = Message(role, f"{talk[-1].content}\n\n{said}".strip())
        else:
            talk.append(Message(role, said))
    if talk[-1].role != "assistant":
        raise record.bad(field, "ends with Human:, expected an answer of the Assistant")
    return talk


def _pair(record: Record, votes: Votes) -> Iterator[Noun]:
    (*asked, better), (*also_asked, worse) = turns(record, "chosen"), turns(record, "rejected")
    if not asked:
        raise record.bad("chosen", "has no turn of Human: before the answer")
    if asked != also_asked:
        raise record.bad("rejected", "differs from chosen before the last answer (a pair answers one dialogue)")
    yield from votes.comparison(record, tuple(asked), (better,), (worse,), record.others("chosen", "rejected"))


HH_RLHF = Format(r"chosen, rejected (whole dialogues, \n\nHuman: … \n\nAssistant: …)", is_dialogue, by_row(_pair))
