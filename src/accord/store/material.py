"""What there is to ask about: the answers in a store, and the texts behind questions."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import func, select

from accord.feedback import Prompt, Question, Response
from accord.feedback.campaigns import MADE_UP
from accord.store.rows import MAPPERS
from accord.store.store import Store
from accord.store.tables import prompts, responses


class Texts(NamedTuple):
    """Prompts and responses by their ids."""

    prompts: dict[str, Prompt]
    responses: dict[str, Response]


class Material:
    """The prompts and responses of a store, as those who make questions see them."""

    def __init__(self, store: Store):
        self._store = store

    def sources(self) -> dict[str, int]:
        """Who wrote the answers that people can be asked about -> how many."""
        made_up = func.coalesce(responses.c.extra[MADE_UP].as_string(), "").in_(("true", "1"))  # as databases write it
        chosen = select(responses.c.source, func.count()).where(~responses.c.demonstration, ~made_up)
        chosen = chosen.group_by(responses.c.source)
        with self._store.reading() as connection:
            return dict(connection.execute(chosen.order_by(responses.c.source)).tuples().all())

    def splits(self) -> dict[str, int]:
        """`train`, `test` or nothing -> how many prompts."""
        chosen = select(prompts.c.split, func.count()).group_by(prompts.c.split).order_by(prompts.c.split)
        with self._store.reading() as connection:
            return dict(connection.execute(chosen).tuples().all())

    def texts(self, questions: Iterable[Question]) -> Texts:
        """What some questions, a page of them, ask about."""
        asked = list(questions)
        shown = {id for one in asked for id in one.response_ids}
        with self._store.reading() as connection:
            rows = connection.execute(select(prompts).where(prompts.c.id.in_({one.prompt_id for one in asked})))
            found: dict[str, Any] = {row.id: MAPPERS[Prompt].to_noun(row) for row in rows}
            rows = connection.execute(select(responses).where(responses.c.id.in_(shown)))
            answers: dict[str, Any] = {row.id: MAPPERS[Response].to_noun(row) for row in rows}
        return Texts(found, answers)
