"""The store: feedback nouns in, feedback nouns out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, exists, func, select, text
from sqlalchemy.exc import OperationalError

from accord.feedback import Annotator, Comparison, Noun, Prompt, Rating, Response
from accord.store import tables
from accord.store.engine import READING, WRITING, connect, insert_new, one_line, parse
from accord.store.migrate import to_head
from accord.store.refusals import REFUSALS, explain, wrong_correction
from accord.store.rows import MAPPERS, Row

#: What `counts` and `add` call each kind of noun.
COUNTED = {
    name: tables.metadata.tables[name] for name in ("prompts", "responses", "annotators", "comparisons", "ratings")
}

AnyNoun = TypeVar("AnyNoun", bound=Noun)

#: Nouns that are written, or read, at a time: all that the store holds in memory.
BATCH = 5_000


class Store:
    """A database of feedback. Readers and writers may be in several threads and processes at once.

    Everything comes back in an order that depends on the data alone: prompts and annotators by id, responses by
    prompt and id, votes by time and id. What is iterated is one consistent state of the database, read as it goes.
    Votes are never changed: a correction is added with `supersedes`, and the vote that it supersedes is left out
    unless `history=True`; so is a withdrawal.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        # SQLite has one writer at a time, and those who wait look again only now and then: threads queue here instead.
        self._turn: AbstractContextManager[Any] = Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """The store at `url`: an SQLite file's path or any URL of SQLite or PostgreSQL, made or migrated as needed.

        Raises AccordError where it cannot be opened, or was made by a newer Accord.
        """
        parsed = parse(url)
        engine = connect(parsed)
        try:
            with one_line(parsed):
                to_head(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def url(self) -> str:
        """Where it is, for `open`: with the password, if there is one."""
        return self._engine.url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Closes the connections to the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, nouns: Iterable[Noun], progress: Callable[[int], None] | None = None) -> Counter[str]:
        """Adds `nouns`, all of them or, if anything fails on the way, none.

        A thing is named after it was given, or was in the store before. A noun whose id is there already is left as
        it is. `progress` is told how many nouns were taken so far. Returns how many were new, under the names of
        `counts()`. Raises AccordError for a noun that cannot be kept, naming its id.
        """
        remaining = iter(nouns)
        batch = list(islice(remaining, BATCH))  # before the database is locked: most additions are this one batch
        added: Counter[str] = Counter()
        taken = 0
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":  # else two that bring the same votes may wait for each other
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accord additions'))"))
            while batch:
                added += _insert(connection, batch)
                taken += len(batch)
                if progress:
                    progress(taken)
                batch = list(islice(remaining, BATCH))
        return added

    def prompts(self, split: str | None = None) -> Iterator[Prompt]:
        """All prompts, or those of one split."""
        chosen = select(tables.prompts).order_by(tables.prompts.c.id)
        return self._read(Prompt, chosen if split is None else chosen.where(tables.prompts.c.split == split))

    def responses(self, prompt_ids: Iterable[str] | None = None) -> Iterator[Response]:
        """All responses, or those to some prompts."""
        chosen = select(tables.responses).order_by(tables.responses.c.prompt_id, tables.responses.c.id)
        if prompt_ids is None:
            return self._read(Response, chosen)
        wanted = sorted(set(prompt_ids))
        parts = (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))
        return chain.from_iterable(
            self._read(Response, chosen.where(tables.responses.c.prompt_id.in_(part))) for part in parts
        )

    def annotators(self) -> Iterator[Annotator]:
        """Everybody who may have voted."""
        return self._read(Annotator, select(tables.annotators).order_by(tables.annotators.c.id))

    def comparisons(self, history: bool = False) -> Iterator[Comparison]:
        """The comparisons as they stand now; with `history`, the superseded and the withdrawn ones too."""
        return self._votes(Comparison, history)

    def ratings(self, history: bool = False) -> Iterator[Rating]:
        """The ratings as they stand now; with `history`, the superseded and the withdrawn ones too."""
        return self._votes(Rating, history)

    def prompt(self, id: str) -> Prompt:
        """One prompt. Raises KeyError."""
        return self._one(Prompt, id)

    def response(self, id: str) -> Response:
        """One response. Raises KeyError."""
        return self._one(Response, id)

    def counts(self) -> dict[str, int]:
        """How many prompts, responses, annotators, comparisons and ratings there are; superseded votes left out."""
        with self.reading() as connection:
            return {
                name: connection.scalar(_current(table, select(func.count()).select_from(table))) or 0
                for name, table in COUNTED.items()
            }

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that may write; on SQLite it waits for its turn before it reads anything."""
        with (
            one_line(self._engine.url),
            self._turn,
            self._engine.connect().execution_options(**WRITING, preserve_rowcount=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent state of the database, to be read."""
        options = READING[self._engine.dialect.name]
        with one_line(self._engine.url), self._engine.connect().execution_options(**options) as connection:
            yield connection

    def _read(self, kind: type[AnyNoun], chosen: Select[Any]) -> Iterator[AnyNoun]:
        with self.reading() as connection:
            rows = connection.execution_options(yield_per=BATCH).execute(chosen)
            yield from map(MAPPERS[kind].to_noun, rows)

    def _votes(self, kind: type[AnyNoun], history: bool) -> Iterator[AnyNoun]:
        table = MAPPERS[kind].table
        chosen = select(table).order_by(table.c.at, table.c.id)
        return self._read(kind, chosen if history else _current(table, chosen))

    def _one(self, kind: type[AnyNoun], id: str) -> AnyNoun:
        table = MAPPERS[kind].table
        for noun in self._read(kind, select(table).where(table.c.id == id)):
            return noun
        raise KeyError(id)


def _current(table: Table, chosen: Select[Any]) -> Select[Any]:
    """`chosen` without what was superseded or withdrawn, where `table` is one of votes."""
    if "supersedes" not in table.c:
        return chosen
    later = table.alias("later")
    return chosen.where(~table.c.withdrawn, ~exists().where(later.c.supersedes == table.c.id))


def _insert(connection: Connection, nouns: list[Noun]) -> Counter[str]:
    """Inserts one batch, table by table. Returns how many rows each table took."""
    rows: dict[type, list[Row]] = {kind: [] for kind in MAPPERS}
    for noun in nouns:
        rows[type(noun)].append(MAPPERS[type(noun)].to_row(noun))
    return Counter(
        {
            MAPPERS[kind].table.name: _insert_rows(connection, MAPPERS[kind].table, batch)
            for kind, batch in rows.items()
            if batch
        }
    )


def _insert_rows(connection: Connection, table: Table, rows: list[Row]) -> int:
    statement = insert_new(connection.dialect, table)
    try:
        with connection.begin_nested():
            added = connection.execute(statement, rows).rowcount
    except OperationalError:
        raise
    except REFUSALS as error:
        raise explain(connection, statement, table, rows) or error from error
    corrections = [row["id"] for row in rows if row.get("supersedes")]
    if corrections and (refusal := wrong_correction(connection, table, corrections)):
        raise refusal
    return added
