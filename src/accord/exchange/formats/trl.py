"""TRL's forms, standard (texts) and conversational (messages): https://huggingface.co/docs/trl/dataset_formats."""

from collections.abc import Iterator, Mapping
from typing import Any

from accord.exchange import conversation
from accord.exchange.formats import hh_rlhf
from accord.exchange.formats.form import Format
from accord.exchange.judgements import Votes, by_row, demonstration, split_of, thumb
from accord.exchange.source import Record
from accord.feedback import Content, Noun, Prompt

#: Columns that make something else of a row with a prompt.
JUDGED = {"chosen", "rejected", "completions", "messages", "conversations", "instruction", "response", "output"}
JUDGED |= {"model_x", "noun"}


def _preference(record: Record, votes: Votes) -> Iterator[Noun]:
    asked, better, worse = _with_prompt(record) if record.values.get("prompt") is not None else _implicit(record)
    yield from votes.comparison(record, asked, better, worse, record.others("prompt", "chosen", "rejected"))


def _implicit(record: Record) -> tuple[Content, Content, Content]:
    if "prompt" in record.values and not record.source.typed:
        raise record.bad("prompt", "is empty (fill it in, or remove the row)")
    return conversation.implicit(record)


def _with_prompt(record: Record) -> tuple[Content, Content, Content]:
    asked = conversation.prompt(record)
    if isinstance(asked, str) and _repeats(record.values.get("chosen"), asked):
        return conversation.implicit(record)
    return asked, conversation.answer(record, "chosen", asked), conversation.answer(record, "rejected", asked)


def _repeats(talk: Any, asked: str) -> bool:
    """Whether `talk` is a conversation in which the text prompt is said, as ultrafeedback_binarized writes it."""
    return isinstance(talk, list) and any(
        isinstance(item, dict) and item.get("role") == "user" and item.get("content") == asked for item in talk
    )


def _unpaired(record: Record, votes: Votes) -> Iterator[Noun]:
    asked = conversation.prompt(record)
    said = conversation.answer(record, "completion", asked)
    desirable = thumb(record, "label")
    yield from votes.rating(record, asked, said, desirable, record.others("prompt", "completion", "label"))


def _prompt_completion(record: Record, votes: Votes) -> Iterator[Noun]:
    asked = conversation.prompt(record)
    said = conversation.answer(record, "completion", asked)
    yield from demonstration(record, asked, said, record.others("prompt", "completion"))


def _messages(record: Record, votes: Votes) -> Iterator[Noun]:
    """Every answer of the assistant is to be imitated, after all that was said before it."""
    talk = conversation.messages(record, "messages", record.present("messages"))
    if talk[-1].role != "assistant":
        raise record.bad(
            "messages", f"ends with {talk[-1].role}, expected the assistant (its answer is what is learnt)"
        )
    if talk[0].role == "assistant":
        raise record.bad("messages[0].role", "is 'assistant': there is nothing that it answers (begin with the user)")
    extra = record.others("messages")
    for place, message in enumerate(talk):
        if message.role == "assistant":
            yield from demonstration(record, talk[:place], (message,), extra)


def _prompt_only(record: Record, votes: Votes) -> Iterator[Noun]:
    yield Prompt(conversation.prompt(record), split=split_of(record), extra=record.others("prompt"))


def _is_preference(row: Mapping[str, Any]) -> bool:
    other = {"instruction", "conversations"} & row.keys()
    return bool({"chosen", "rejected"} & row.keys()) and not other and not hh_rlhf.is_dialogue(row)


def _is_unpaired(row: Mapping[str, Any]) -> bool:
    nearly = "label" in row and {"prompt", "completion"} & row.keys() and not JUDGED & row.keys()
    return bool(nearly) or {"prompt", "completion", "label"} <= row.keys()


def _is_messages(row: Mapping[str, Any]) -> bool:
    return "messages" in row and not {"label", "kto_tag", "chosen", "rejected", "conversations", "noun"} & row.keys()


PREFERENCE = Format(
    "chosen, rejected, and prompt (or none: it is what they share)", _is_preference, by_row(_preference)
)
UNPAIRED = Format("prompt, completion, label (true or false)", _is_unpaired, by_row(_unpaired))
PROMPT_COMPLETION = Format(
    "prompt, completion (to imitate)",
    lambda row: "completion" in row and not (JUDGED | {"label"}) & row.keys(),
    by_row(_prompt_completion),
)
MESSAGES = Format("messages (conversations to imitate)", _is_messages, by_row(_messages))
PROMPT_ONLY = Format(
    "prompt (nothing else)",
    lambda row: "prompt" in row and not (JUDGED | {"completion", "label"}) & row.keys(),
    by_row(_prompt_only),
)
