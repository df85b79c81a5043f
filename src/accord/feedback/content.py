"""What people are shown: prompts and responses."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `role` is `system`, `user`, `assistant` or `tool`."""

    role: str
    content: str


#: A plain text is used as it is; messages are rendered with the model's chat template.
Content = str | tuple[Message, ...]


def to_json(content: Content) -> str | list[dict[str, str]]:
    """`content` as TRL's formats write it: a string, or a list of role/content objects."""
    return content if isinstance(content, str) else [{"role": m.role, "content": m.content} for m in content]


def from_json(value: str | list[dict[str, str]]) -> Content:
    """The inverse of `to_json`. Raises KeyError or TypeError where `value` is neither form."""
    return value if isinstance(value, str) else tuple(Message(m["role"], m["content"]) for m in value)


def text_of(content: Content) -> str:
    """The words alone: the text, or the messages' texts one under the other."""
    return content if isinstance(content, str) else "\n\n".join(m.content for m in content)


def beginning(text: str, letters: int) -> str:
    """A text on one line of at most so many letters."""
    line = " ".join(text.split())
    return line if len(line) <= letters else line[: letters - 1] + "…"


def fingerprint(*parts: object) -> str:
    """20 hex digits of SHA-256 over the parts' JSON: equal content has an equal id, wherever it was read."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. `split` is `train`, `test`, or empty where nobody has decided yet."""

    content: Content
    split: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", fingerprint("prompt", to_json(self.content)))


@dataclass(frozen=True, slots=True)
class Response:
    """One answer to a prompt.

    `source` is the model (or person) that wrote it, never shown to annotators. `demonstration` marks a response that
    is to be imitated (supervised fine-tuning) rather than judged.
    """

    prompt_id: str
    content: Content
    source: str = ""
    demonstration: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            parts = ("response", self.prompt_id, self.source, to_json(self.content))
            object.__setattr__(self, "id", fingerprint(*parts))
