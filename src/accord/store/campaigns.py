"""What curators make: campaigns, their guidelines, their questions."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from accord.feedback import AccordError, Campaign, Flag, Form, Guideline, Question
from accord.store import tables, web_rows, web_tables
from accord.store.engine import insert_new
from accord.store.search import holding
from accord.store.store import BATCH, Store

#: How many questions a page of a list holds.
PAGE = 50
#: What no campaign is called: these addresses are taken.
RESERVED = frozenset({"new"})


class Campaigns:
    """The campaigns of a store."""

    def __init__(self, store: Store):
        self._store = store

    def all(self) -> list[Campaign]:
        """Every campaign, the oldest first."""
        with self._store.reading() as connection:
            rows = connection.execute(select(web_tables.campaigns).order_by("created", "id"))
            return [web_rows.campaign(row) for row in rows]

    def get(self, id: str) -> Campaign:
        """One campaign. Raises KeyError."""
        with self._store.reading() as connection:
            return _campaign(connection, id)

    def create(self, campaign: Campaign, guideline: str = "", author: str = "") -> Campaign:
        """Adds a campaign with the first version of its guideline. An empty id is made from the title.

        Raises AccordError where the id is taken.
        """
        with self._store.writing() as connection:
            made = campaign if campaign.id else replace(campaign, id=_free_id(connection, campaign.title))
            added = connection.execute(
                insert_new(connection.dialect, web_tables.campaigns), [web_rows.campaign_row(made)]
            ).rowcount
            if not added:
                raise AccordError(f"campaign {made.id}: there is one already (choose another id)")
            connection.execute(insert(web_tables.guidelines), _guideline_row(made.id, 1, guideline, author))
        return made

    def change(self, campaign: Campaign) -> None:
        """Puts `campaign` in the place of the one with its id; a new overlap holds for all its questions.

        Raises KeyError, and AccordError where the form would change: votes were cast in the old one.
        """
        row = web_rows.campaign_row(campaign)
        with self._store.writing() as connection:
            before = _campaign(connection, campaign.id)
            if before.form is not campaign.form:
                raise AccordError(f"campaign {campaign.id}: form: it stays {before.form} (make another campaign)")
            connection.execute(
                update(web_tables.campaigns)
                .where(web_tables.campaigns.c.id == campaign.id)
                .values({name: row[name] for name in ("title", "open", "settings")})
            )
            if before.overlap != campaign.overlap:
                connection.execute(
                    update(web_tables.questions)
                    .where(web_tables.questions.c.campaign_id == campaign.id)
                    .values(overlap=campaign.overlap)
                )

    def guideline(self, campaign_id: str, version: int | None = None) -> Guideline:
        """The guideline as it stands, or one version of it. Raises KeyError."""
        table = web_tables.guidelines
        chosen = select(table).where(table.c.campaign_id == campaign_id)
        chosen = (
            chosen.order_by(table.c.version.desc()) if version is None else chosen.where(table.c.version == version)
        )
        with self._store.reading() as connection:
            row = connection.execute(chosen.limit(1)).first()
        if row is None:
            raise KeyError(campaign_id if version is None else f"{campaign_id}/{version}")
        return web_rows.guideline(row)

    def guidelines(self, campaign_id: str) -> list[Guideline]:
        """All versions, the newest first."""
        table = web_tables.guidelines
        chosen = select(table).where(table.c.campaign_id == campaign_id).order_by(table.c.version.desc())
        with self._store.reading() as connection:
            return [web_rows.guideline(row) for row in connection.execute(chosen)]

    def revise(self, campaign_id: str, text: str, author: str) -> Guideline:
        """Adds a version of the guideline; the same text again adds none. Gives the one that stands."""
        table = web_tables.guidelines
        with self._store.writing() as connection:
            _campaign(connection, campaign_id)
            newest = connection.execute(
                select(table).where(table.c.campaign_id == campaign_id).order_by(table.c.version.desc()).limit(1)
            ).first()
            if newest is not None and newest.text == text:
                return web_rows.guideline(newest)
            row = _guideline_row(campaign_id, (newest.version if newest else 0) + 1, text, author)
            connection.execute(insert(table), row)
        return Guideline(**row)

    def votes_by_version(self, campaign_id: str) -> dict[int, int]:
        """How many answers were given while each version of the guideline was in view, later corrected ones too."""
        prefix = f"{campaign_id}/"
        with self._store.reading() as connection:
            campaign = _campaign(connection, campaign_id)
            table = tables.ratings if campaign.form is Form.THUMB else tables.comparisons
            counted = (
                select(table.c.guideline, func.count())
                .where(
                    table.c.guideline.startswith(prefix, autoescape=True),
                    ~table.c.withdrawn,
                    ~table.c.id.contains(".", autoescape=True),  # a ranking's votes are one answer: `feedback.answers`
                )
                .group_by(table.c.guideline)
            )
            found = {name.removeprefix(prefix): votes for name, votes in connection.execute(counted).tuples()}
        return {int(version): votes for version, votes in found.items() if version.isdecimal()}

    def add_questions(self, questions: Iterable[Question]) -> int:
        """Adds questions, all or none. One whose id is there already is left as it is. Returns how many were new.

        Raises AccordError for a question whose responses do not all answer its prompt.
        """
        with self._store.writing() as connection:
            return insert_questions(connection, questions)

    def question_ids(self, campaign_id: str) -> set[str]:
        """The ids of all its questions."""
        table = web_tables.questions
        with self._store.reading() as connection:
            return set(connection.scalars(select(table.c.id).where(table.c.campaign_id == campaign_id)))

    def questions(
        self, campaign_id: str, *, page: int = 0, size: int = PAGE, only: str = "all", words: str = ""
    ) -> tuple[list[Question], int]:
        """One page of a campaign's questions in their order, and how many there are in all.

        only   `all`, `open`, `done` (answered often enough), `control`, `flagged`, `named` (a response tells its
               model) or `closed`
        words  those whose prompt or responses hold each of these words
        """
        table = web_tables.questions
        flagged = select(web_tables.flags.c.question_id).where(
            web_tables.flags.c.campaign_id == campaign_id, ~web_tables.flags.c.resolved
        )
        wanted: dict[str, list[Any]] = {
            "all": [],
            "open": [table.c.open, table.c.right_answer.is_(None), table.c.answered < table.c.overlap],
            "done": [table.c.right_answer.is_(None), table.c.answered >= table.c.overlap],
            "control": [table.c.right_answer.is_not(None)],
            "flagged": [table.c.id.in_(flagged)],
            "named": [table.c.named != ""],
            "closed": [~table.c.open],
        }
        found: Select = select(table).where(table.c.campaign_id == campaign_id, *wanted[only], *holding(words))
        with self._store.reading() as connection:
            total = connection.scalar(select(func.count()).select_from(found.subquery())) or 0
            rows = connection.execute(found.order_by(table.c.rank, table.c.id).limit(size).offset(page * size))
            return [web_rows.question(row) for row in rows], total

    def question(self, id: str) -> Question:
        """One question. Raises KeyError."""
        with self._store.reading() as connection:
            row = connection.execute(select(web_tables.questions).where(web_tables.questions.c.id == id)).first()
        if row is None:
            raise KeyError(id)
        return web_rows.question(row)

    def set_question(self, id: str, *, open: bool) -> None:
        """Ask a question again, or no longer; what was answered stays. Raises KeyError."""
        with self._store.writing() as connection:
            changed = connection.execute(
                update(web_tables.questions).where(web_tables.questions.c.id == id).values(open=open)
            )
            if not changed.rowcount:
                raise KeyError(id)

    def flags(self, campaign_id: str, *, resolved: bool = False) -> list[Flag]:
        """What annotators said is wrong, the latest first."""
        table = web_tables.flags
        chosen = select(table).where(table.c.campaign_id == campaign_id, table.c.resolved == resolved)
        with self._store.reading() as connection:
            return [web_rows.flag(row) for row in connection.execute(chosen.order_by(table.c.at.desc(), table.c.id))]

    def flags_on(self, question_ids: Iterable[str]) -> list[Flag]:
        """What annotators said of these questions, the latest first, with what was dealt with."""
        table = web_tables.flags
        chosen = select(table).where(table.c.question_id.in_(list(question_ids)))
        with self._store.reading() as connection:
            return [web_rows.flag(row) for row in connection.execute(chosen.order_by(table.c.at.desc(), table.c.id))]

    def resolve(self, flag_id: str) -> None:
        """Marks a flag as dealt with. Raises KeyError."""
        table = web_tables.flags
        with self._store.writing() as connection:
            if not connection.execute(update(table).where(table.c.id == flag_id).values(resolved=True)).rowcount:
                raise KeyError(flag_id)


def insert_questions(connection: Connection, questions: Iterable[Question]) -> int:
    """As `Campaigns.add_questions`, in a transaction that is under way."""
    added = 0
    statement = insert_new(connection.dialect, web_tables.questions)
    for batch in _batches(questions):
        _check_responses(connection, batch)
        added += connection.execute(statement, [web_rows.question_row(question) for question in batch]).rowcount
    return added


def _campaign(connection: Connection, id: str) -> Campaign:
    row = connection.execute(select(web_tables.campaigns).where(web_tables.campaigns.c.id == id)).first()
    if row is None:
        raise KeyError(id)
    return web_rows.campaign(row)


def is_campaign_id(id: str) -> bool:
    """Whether a campaign can be called so: what can stand in an address as it is, and is no address already."""
    return id not in RESERVED and re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", id) is not None


def _free_id(connection: Connection, title: str) -> str:
    """`title` as it can stand in an address, numbered where that is taken."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "campaign"
    taken = RESERVED.union(connection.scalars(select(web_tables.campaigns.c.id)))
    return next(name for n in range(1, len(taken) + 2) if (name := stem if n == 1 else f"{stem}-{n}") not in taken)


def _guideline_row(campaign_id: str, version: int, text: str, author: str) -> dict:
    return {
        "campaign_id": campaign_id,
        "version": version,
        "text": text,
        "author": author,
        "at": datetime.now(UTC),
    }


def _batches(questions: Iterable[Question]) -> Iterator[list[Question]]:
    batch: list[Question] = []
    for question in questions:
        batch.append(question)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_responses(connection: Connection, questions: list[Question]) -> None:
    wanted = {id for question in questions for id in question.response_ids}
    table = tables.responses
    answers = {
        row.id: row.prompt_id
        for row in connection.execute(select(table.c.id, table.c.prompt_id).where(table.c.id.in_(wanted)))
    }
    for question in questions:
        for id in question.response_ids:
            if answers.get(id) != question.prompt_id:
                raise AccordError(f"question {question.id}: response {id} does not answer prompt {question.prompt_id}")
