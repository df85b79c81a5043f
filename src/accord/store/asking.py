"""The way of a vote: the next questions for an annotator, their answer, second thoughts.

Every method is one transaction. A question is leased to whom it is shown, so that no more people than wanted work on
it; a lease that has ended gives it to somebody else, but an answer that comes late is still taken.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, tuple_, update

from accord.feedback import (
    AccordError,
    Assignment,
    Campaign,
    Comparison,
    Flag,
    Form,
    Prompt,
    Question,
    Rating,
    Response,
    Said,
    Turn,
    from_json,
)
from accord.feedback.answers import answer_json, answer_of, numbered, passed, votes, withdrawn
from accord.store import tables, web_rows
from accord.store.engine import DatabaseTrouble, insert_new
from accord.store.leases import lease, until
from accord.store.rows import MAPPERS, Mapper, Row
from accord.store.store import Store
from accord.store.web_tables import assignments, campaigns, flags, questions

#: An annotator's latest decisions, which their page offers for correction.
RECENT = 10

# Statements are built once: building them anew takes longer than running them.
THE_CAMPAIGN = select(campaigns).where(campaigns.c.id == bindparam("the_campaign"))
_KEY = assignments.c.question_id == bindparam("the_question"), assignments.c.annotator_id == bindparam("the_annotator")
#: What annotators were given: the assignments, each with its question and its campaign.
GIVEN = (
    select(*(column for table in (assignments, questions, campaigns) for column in web_rows.labelled(table)))
    .join(questions, questions.c.id == assignments.c.question_id)
    .join(campaigns, campaigns.c.id == assignments.c.campaign_id)
    .where(
        assignments.c.question_id.in_(bindparam("ids", expanding=True)),  # by which SQLite finds them
        tuple_(assignments.c.question_id, assignments.c.annotator_id).in_(bindparam("keys", expanding=True)),
    )
    .with_for_update(of=assignments)
)
CHANGE_ASSIGNMENT = update(assignments).where(*_KEY)
COUNT = (
    update(questions)
    .where(questions.c.id == bindparam("the_question"))
    .values(answered=questions.c.answered + bindparam("more"))
)
#: Responses, each with the prompt that it answers.
TEXTS = (
    select(
        tables.responses,
        *(tables.prompts.c[name].label(f"prompt_{name}") for name in ("content", "split", "extra")),
    )
    .join(tables.prompts, tables.prompts.c.id == tables.responses.c.prompt_id)
    .where(tables.responses.c.id.in_(bindparam("ids", expanding=True)))
)


class Conflict(AccordError):
    """The annotator's page does not know how things stand: another page of theirs has answered since."""


class Given(NamedTuple):
    """A question that an annotator was given."""

    campaign: Campaign
    question: Question
    assignment: Assignment


class Item(NamedTuple):
    """A question with all that is shown of it; `responses` stand as they are to stand on the screen."""

    campaign: Campaign
    assignment: Assignment
    prompt: Prompt
    responses: tuple[Response, ...]


class Cast(NamedTuple):
    """What an annotator says, and how many questions they would like next beside those that they hold."""

    annotator_id: str
    said: Said
    want: int = 0
    held: Sequence[str] = ()


class Saved(NamedTuple):
    """A vote that is on disk, and the next questions. `repeated`: it was there before."""

    vote_id: str
    campaign: Campaign
    assignment: Assignment
    question: Question
    repeated: bool
    next: list[Item]


class Asking:
    """What annotators see and say. `annotator_id` is always the one who is logged in."""

    def __init__(self, store: Store, rng: random.Random | None = None):
        self._store = store
        self._rng = rng or random.SystemRandom()

    def next(self, campaign_id: str, annotator_id: str, want: int, held: Sequence[str] = ()) -> list[Item]:
        """Up to `want` questions beside those that the annotator's page holds (`held`), leased to the annotator.

        Those that were leased and are not held come first: the page was loaded anew. Raises KeyError where there is no
        such campaign; one that is closed gives nothing.
        """
        with self._store.writing() as connection:
            campaign = _campaign(connection, campaign_id)
            return self._next(connection, campaign, annotator_id, want, held)

    def answer(self, annotator_id: str, said: Said, want: int = 0, held: Sequence[str] = ()) -> Saved:
        """Keeps an answer and leases the next questions, as in `next`. When it returns, the vote is on disk.

        The same vote again changes nothing and is answered alike. Raises KeyError for a question that the annotator
        was not given, ValueError for an answer that is none to it, Conflict where another vote of theirs stands than
        `said.supersedes` names, or where the id is taken by another vote.
        """
        return self._answer([Cast(annotator_id, said, want, held)])[0]

    def answer_all(self, answers: Sequence[Cast]) -> list[Saved | Exception]:
        """Does as `answer` for each, in one transaction if it can: so they are written with one flush, and together.

        What `answer` would raise for one stands in its place, and keeps no other from being saved.
        """
        if len({(one.annotator_id, one.said.question_id) for one in answers}) == len(answers) > 1:
            try:
                return [*self._answer(answers)]
            except DatabaseTrouble as trouble:  # nobody is at fault: none is tried again, and waited for, by itself
                return [trouble] * len(answers)
            except Exception:
                pass  # one of them is at fault: each by itself then
        return [self._outcome(one) for one in answers]

    def _outcome(self, one: Cast) -> Saved | Exception:
        try:
            return self.answer(*one)
        except Exception as error:
            return error

    def _answer(self, answers: Sequence[Cast]) -> list[Saved]:
        """Keeps answers to questions of which no two are the same annotator's same one; all, or none."""
        with self._store.writing() as connection:
            found = _given(connection, [(one.said.question_id, one.annotator_id) for one in answers])
            kept = _keep(connection, [one.said for one in answers], found)
            # A page that sends a vote again may have missed what was leased to it with the first answer.
            leased = [
                self._lease(connection, given.campaign, one.annotator_id, one.want, one.held if now is None else None)
                for one, given, now in zip(answers, found, kept, strict=True)
            ]
            texts = _texts(connection, chain.from_iterable(leased))
            return [
                Saved(
                    one.said.vote_id,
                    given.campaign,
                    now or given.assignment,
                    given.question,
                    now is None,
                    _items(given.campaign, more, texts),
                )
                for one, given, now, more in zip(answers, found, kept, leased, strict=True)
            ]

    def skip(
        self, annotator_id: str, question_id: str, reason: str, want: int = 0, held: Sequence[str] = ()
    ) -> list[Item]:
        """Leaves a question to others, and leases the next. A question that is answered stays so.

        Raises KeyError for a question that the annotator was not given.
        """
        with self._store.writing() as connection:
            [(campaign, _, given)] = _given(connection, [(question_id, annotator_id)])
            if given.turn is not Turn.ANSWERED:
                _put(connection, [replace(given, turn=Turn.SKIPPED, reason=reason, at=datetime.now(UTC))])
            return self._next(connection, campaign, annotator_id, want, held)

    def undo(self, annotator_id: str, question_id: str, withdrawal_id: str, vote_id: str | None = None) -> Item:
        """Takes back the annotator's answer to a question, or that they skipped it, and gives it to them again.

        A vote that was taken back stays on record, and counts no more. `vote_id` names the vote that is meant, if one
        is. Raises KeyError for a question that the annotator was not given, Conflict where another vote than that
        stands.
        """
        now = datetime.now(UTC)
        with self._store.writing() as connection:
            [(campaign, question, given)] = _given(connection, [(question_id, annotator_id)])
            if vote_id and given.vote_id and given.vote_id != vote_id:
                raise Conflict(f"question {question_id}: {_stands(given)} (load the page again, and undo it there)")
            if given.turn is Turn.ANSWERED and given.vote_id is not None:
                _withdraw(connection, campaign.form, question, given.vote_id, withdrawal_id, now)
                connection.execute(COUNT, {"the_question": question_id, "more": -1})
            if given.turn is not Turn.LEASED:
                given = replace(
                    given, turn=Turn.LEASED, vote_id=None, passed=None, reason="", at=now, until=until(campaign, now)
                )
                _put(connection, [given])
            return _items(campaign, [given], _texts(connection, [given]))[0]

    def flag(self, annotator_id: str, question_id: str, flag_id: str, reason: str, comment: str) -> None:
        """Keeps the annotator's word that something is wrong with a question. The same flag again changes nothing."""
        with self._store.writing() as connection:
            [(campaign, _, _)] = _given(connection, [(question_id, annotator_id)])
            flag = Flag(flag_id, question_id, campaign.id, annotator_id, reason, comment, datetime.now(UTC))
            connection.execute(insert_new(connection.dialect, flags), [web_rows.flag_row(flag)])

    def recent(self, campaign_id: str, annotator_id: str, count: int = RECENT) -> list[Item]:
        """The annotator's latest decisions, the newest first. Raises KeyError where there is no such campaign."""
        chosen = select(assignments).where(
            assignments.c.campaign_id == campaign_id,
            assignments.c.annotator_id == annotator_id,
            assignments.c.turn != Turn.LEASED,
        )
        with self._store.reading() as connection:
            rows = connection.execute(chosen.order_by(assignments.c.at.desc()).limit(count))
            given = [web_rows.assignment(row) for row in rows]
            return _items(_campaign(connection, campaign_id), given, _texts(connection, given))

    def _next(
        self, connection: Connection, campaign: Campaign, annotator_id: str, want: int, held: Sequence[str]
    ) -> list[Item]:
        leased = self._lease(connection, campaign, annotator_id, want, held)
        return _items(campaign, leased, _texts(connection, leased))

    def _lease(
        self, connection: Connection, campaign: Campaign, annotator_id: str, want: int, held: Sequence[str] | None
    ) -> list[Assignment]:
        return lease(connection, campaign, annotator_id, want, held, self._rng) if campaign.open and want > 0 else []


def _keep(connection: Connection, said: Sequence[Said], found: Sequence[Given]) -> list[Assignment | None]:
    """Adds the votes and gives what becomes of each assignment; None where these very votes were cast before."""
    now = datetime.now(UTC)
    outcomes = [
        None if _is_repeated(connection, one, given) else _outcome(one, given, now)
        for one, given in zip(said, found, strict=True)
    ]
    new = [outcome for outcome in outcomes if outcome is not None]
    for mapper in (MAPPERS[Comparison], MAPPERS[Rating]):
        rows = [row for outcome in new if outcome.mapper is mapper for row in outcome.rows]
        if rows and connection.execute(insert_new(connection.dialect, mapper.table), rows).rowcount < len(rows):
            if len(said) > 1:
                raise Conflict("one of several votes is there already")  # which one, is found by trying each by itself
            [one], [given] = said, found
            if _is_own(connection, mapper, one.vote_id, given.assignment):
                return [None]
            raise Conflict(
                f"vote {one.vote_id}: the id is taken by another vote (make a new one, such as a random UUID)"
            )
    if first := [outcome.assignment.question_id for outcome in new if outcome.first]:
        connection.execute(COUNT, [{"the_question": question_id, "more": 1} for question_id in first])
    _put(connection, [outcome.assignment for outcome in new])
    return [outcome and outcome.assignment for outcome in outcomes]


class _Outcome(NamedTuple):
    """What an answer comes to: rows of votes, and the assignment. `first`: the annotator had not answered before."""

    mapper: Mapper
    rows: list[Row]
    assignment: Assignment
    first: bool


def _outcome(said: Said, given: Given, at: datetime) -> _Outcome:
    """Raises ValueError for an answer that is none to the question."""
    campaign, question, before = given
    answer = answer_of(campaign.form, said.answer, len(question.response_ids))
    if unknown := set(said.tags) - set(campaign.tags):
        raise ValueError(f"tags: {min(unknown)!r} is none of this campaign's")
    answered = replace(
        before,
        turn=Turn.ANSWERED,
        at=at,
        seconds=said.seconds,
        vote_id=said.vote_id,
        answer=answer_json(answer) | {"comment": said.comment, "tags": list(said.tags)},
        reason="",
        passed=passed(answer, before.shown, question.control) if question.control else None,
    )
    mapper = _mapper(campaign.form)
    rows = [mapper.to_row(vote) for vote in votes(said, answer, before, question.prompt_id, at)]
    return _Outcome(mapper, rows, answered, first=before.turn is not Turn.ANSWERED)


def _is_repeated(connection: Connection, said: Said, given: Given) -> bool:
    """Whether this vote was cast before. Raises Conflict where another stands than it corrects."""
    stands = given.assignment.vote_id
    if stands == said.supersedes and stands != said.vote_id:
        return False
    if stands == said.vote_id or _is_own(connection, _mapper(given.campaign.form), said.vote_id, given.assignment):
        return True
    raise Conflict(
        f"question {given.question.id}: {_stands(given.assignment)} (load the page again, and correct it there)"
    )


def _stands(given: Assignment) -> str:
    return f"your vote {given.vote_id} stands" if given.vote_id else "no vote of yours stands"


def _is_own(connection: Connection, mapper: Mapper, vote_id: str, given: Assignment) -> bool:
    """Whether the annotator has cast this vote before, on this question."""
    said = mapper.table.c
    row = connection.execute(select(said.annotator_id, said.extra).where(said.id == vote_id)).first()
    return row is not None and (row.annotator_id, row.extra.get("question")) == (given.annotator_id, given.question_id)


def _withdraw(
    connection: Connection, form: Form, question: Question, vote_id: str, withdrawal_id: str, now: datetime
) -> None:
    """Adds the withdrawal of every vote that the answer `vote_id` made."""
    mapper = _mapper(form)
    n = len(question.response_ids)
    ids = [numbered(vote_id, i) for i in range(1, max(1, n * (n - 1) // 2) + 1)]
    rows = {row.id: row for row in connection.execute(select(mapper.table).where(mapper.table.c.id.in_(ids)))}
    standing: list[Any] = [mapper.to_noun(rows[id]) for id in ids]
    connection.execute(
        insert_new(connection.dialect, mapper.table),
        [mapper.to_row(withdrawn(vote, numbered(withdrawal_id, i), now)) for i, vote in enumerate(standing, 1)],
    )


def _mapper(form: Form) -> Mapper:
    return MAPPERS[Rating if form is Form.THUMB else Comparison]


def _campaign(connection: Connection, id: str) -> Campaign:
    row = connection.execute(THE_CAMPAIGN, {"the_campaign": id}).first()
    if row is None:
        raise KeyError(id)
    return web_rows.campaign(row)


def _given(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[Given]:
    """What was given, by questions' and annotators' ids; locked until the transaction ends. Raises KeyError."""
    found = {}
    for row in connection.execute(GIVEN, {"keys": keys, "ids": [question_id for question_id, _ in keys]}):
        campaign, question, given = (web_rows.part(row, table) for table in (campaigns, questions, assignments))
        one = Given(web_rows.campaign(campaign), web_rows.question(question), web_rows.assignment(given))
        found[one.question.id, one.assignment.annotator_id] = one
    if missing := [key for key in keys if key not in found]:
        raise KeyError(missing[0][0])
    return [found[key] for key in keys]


def _put(connection: Connection, changed: Sequence[Assignment]) -> None:
    if changed:
        rows = [
            web_rows.changes(one) | {"the_question": one.question_id, "the_annotator": one.annotator_id}
            for one in changed
        ]
        connection.execute(CHANGE_ASSIGNMENT, rows)


def _texts(connection: Connection, given: Iterable[Assignment]) -> dict[str, tuple[Prompt, Response]]:
    """What is shown, by the responses' ids."""
    ids = {id for one in given for id in one.shown}
    if not ids:
        return {}
    found: dict[str, tuple[Prompt, Any]] = {}
    for row in connection.execute(TEXTS, {"ids": list(ids)}):
        prompt = Prompt(from_json(row.prompt_content), row.prompt_split, row.prompt_extra, row.prompt_id)
        found[row.id] = prompt, MAPPERS[Response].to_noun(row)
    return found


def _items(campaign: Campaign, given: Sequence[Assignment], texts: Mapping[str, tuple[Prompt, Response]]) -> list[Item]:
    return [
        Item(campaign, one, texts[one.shown[0]][0], tuple(texts[response_id][1] for response_id in one.shown))
        for one in given
    ]
