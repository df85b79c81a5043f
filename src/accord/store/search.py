"""Questions by the words in them."""

from typing import Any

from sqlalchemy import Text, and_, cast, or_, select

from accord.store.engine import JSON
from accord.store.tables import prompts, responses
from accord.store.web_tables import questions


def holding(words: str) -> list[Any]:
    """The conditions under which a question's prompt or its responses hold each of `words`, in capitals or not."""
    return [or_(_asked(word), _answered(word)) for word in words.split()]


def _asked(word: str) -> Any:
    return select(prompts.c.id).where(prompts.c.id == questions.c.prompt_id, _has(prompts.c.content, word)).exists()


def _answered(word: str) -> Any:
    is_shown = cast(questions.c.response_ids, Text).contains(responses.c.id)
    is_there = and_(responses.c.prompt_id == questions.c.prompt_id, is_shown)
    return select(responses.c.id).where(is_there, _has(responses.c.content, word)).exists()


def _has(content: Any, word: str) -> Any:
    """Texts are kept as JSON, in which a quotation mark has a backslash. SQLite knows small and capital letters of
    ASCII alone, so that other words are looked for as people write them."""
    spellings = {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
    text = cast(content, Text)
    return or_(*(text.icontains(JSON.encode(spelling)[1:-1], autoescape=True) for spelling in sorted(spellings)))
