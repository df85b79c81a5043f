"""Texts and conversations as people's files have them, made into `Content`."""

from typing import Any

from accord.exchange.bad_input import shown
from accord.exchange.source import Record, kind
from accord.feedback import Content, Message

ROLES = ("system", "user", "assistant", "tool")


def content(record: Record, field: str, *, blank: bool = False) -> Content:
    """The text, the list of messages or the one message in `field`. None of it may be blank, unless told so."""
    value = record.present(field)
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        return messages(record, field, value, blank=blank)
    return record.checked(field, value, blank=blank)


def messages(record: Record, field: str, value: Any, *, blank: bool = False) -> tuple[Message, ...]:
    """`value`, found at `field`, as messages: `[{"role", "content"}]`, at least one."""
    if not isinstance(value, list):
        raise record.bad(field, f"is {kind(value)}, expected a list of messages with role and content")
    if not value:
        raise record.bad(field, "has no messages (fill it in, or remove the row)")
    return tuple(_message(record, f"{field}[{place}]", item, blank) for place, item in enumerate(value))


def _message(record: Record, where: str, item: Any, blank: bool) -> Message:
    if not isinstance(item, dict):
        raise record.bad(where, f"is {kind(item)}, expected an object with role and content")
    role = item.get("role")
    if role not in ROLES:
        why = f"is {shown(role)}" if "role" in item else "is missing"
        raise record.bad(f"{where}.role", f"{why}, expected one of {', '.join(ROLES)}")
    if item.get("tool_calls"):
        raise record.bad(f"{where}.tool_calls", "cannot be kept: messages are text (write the call as content)")
    if item.get("content") is None:
        raise record.bad(f"{where}.content", "is missing" if "content" not in item else "is null")
    return Message(role, record.checked(f"{where}.content", _joined(record, where, item["content"]), blank=blank))


def _joined(record: Record, where: str, value: Any) -> Any:
    """The text of `[{"type": "text", "text": …}]`, as multimodal files write it; any other value as it is."""
    if not isinstance(value, list):
        return value
    for place, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise record.bad(f"{where}.content[{place}]", "is not text: images and sound cannot be read")
    return "".join(part["text"] for part in value)


def prompt(record: Record, field: str = "prompt") -> Content:
    """A prompt: a text, or messages of which the last is not the assistant's."""
    found = content(record, field)
    if not isinstance(found, str) and found[-1].role == "assistant":
        raise record.bad(field, "ends with the assistant: its answer belongs in a column of its own")
    return found


def answer(record: Record, field: str, asked: Content) -> Content:
    """The answer in `field` to the prompt `asked`, in the same form; the prompt's messages are cut off if repeated.

    A text prompt beside a conversation that holds it, as in `ultrafeedback_binarized`, is for `implicit` to read.
    """
    found = content(record, field)
    if isinstance(found, str) != isinstance(asked, str):
        text, talk = ("prompt", field) if isinstance(asked, str) else (field, "prompt")
        raise record.bad(field, f"{text} is text and {talk} is messages (write both as text, or both as messages)")
    if isinstance(found, str) or isinstance(asked, str):
        return found
    if found[: len(asked)] == asked:
        found = found[len(asked) :]
    return said_by_assistant(record, field, found)


def said_by_assistant(record: Record, field: str, found: tuple[Message, ...]) -> tuple[Message, ...]:
    """`found`, if the assistant (with its tools) says it all and has the last word."""
    if not found or found[-1].role != "assistant":
        raise record.bad(field, f"ends with {found[-1].role if found else 'the prompt'}, expected the assistant")
    for message in found:
        if message.role not in ("assistant", "tool"):
            raise record.bad(field, f"has a message of {message.role} that is not in the prompt")
    return found


def implicit(record: Record, first: str = "chosen", second: str = "rejected") -> tuple[Content, Content, Content]:
    """(prompt, answer, other answer) of two columns that both begin with the prompt: what they share is the prompt.

    As TRL's `extract_prompt`: of texts, a space at the end of the shared part goes to the answers.
    """
    one, other = content(record, first), content(record, second)
    if isinstance(one, str) and isinstance(other, str):
        return _shared_text(record, one, other)
    if isinstance(one, str) or isinstance(other, str):
        raise record.bad(second, f"{first} and {second} are not both text or both messages (write them alike)")
    return _shared_messages(record, first, second, one, other)


def _shared_text(record: Record, one: str, other: str) -> tuple[str, str, str]:
    shorter = min(len(one), len(other))
    end = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    if 0 < end < shorter and one[end - 1] == " ":
        end -= 1
    asked, *answers = one[:end], one[end:], other[end:]
    if not asked.strip():
        raise record.bad("prompt", "is missing, and chosen and rejected do not begin alike (add a column prompt)")
    if not all(text.strip() for text in answers):
        raise record.bad("prompt", "is missing, and one of chosen and rejected begins the other (add a column prompt)")
    return asked, answers[0], answers[1]


def _shared_messages(
    record: Record, first: str, second: str, one: tuple[Message, ...], other: tuple[Message, ...]
) -> tuple[Content, Content, Content]:
    end = 0
    while end < min(len(one), len(other)) and one[end] == other[end]:
        end += 1
    while end and one[end - 1].role in ("assistant", "tool"):
        end -= 1  # both may go on alike: the answer begins after the last question
    if not end:
        raise record.bad("prompt", f"is missing, and {first} and {second} share no beginning (add a column prompt)")
    return one[:end], said_by_assistant(record, first, one[end:]), said_by_assistant(record, second, other[end:])
