"""From a URL to a database connection that keeps what it was told to keep."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

from accord.feedback import AccordError

#: Text stays legible in the database; what is not JSON, such as NaN, is refused.
JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

#: How each database spells "insert unless it is there"; these are the databases that Accord runs on.
INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

#: Execution option for a connection that is going to write: it waits for its turn before it reads anything.
WRITING = {"accord_begin": "BEGIN IMMEDIATE"}

#: Execution options for a connection that only reads: all it reads is as of one moment, as it always is on SQLite.
READING: Mapping[str, Mapping[str, Any]] = {
    "sqlite": {},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}

#: A vote that was answered "saved" survives a power cut (FULL). Readers never wait; writers wait for a minute.
PRAGMAS: dict[str, Any] = {
    "busy_timeout": 60_000,
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "cache_size": -65_536,  # KiB
    "journal_size_limit": 67_108_864,
}

#: Seconds between two looks of who waits for SQLite's one writer.
LOOK = 0.001

REMEDIES = {
    "unable to open database file": "is there such a folder, and may you write in it?",
    "database is locked": "another process is writing for long; try again when it has finished",
    "file is not a database": "name another file",
    "Connection refused": "is the server running, and is this its address?",
    "timeout expired": "is the server running, and is this its address?",
}


class DatabaseTrouble(AccordError):
    """The database cannot be used just now: locked, full, unreachable, or two transactions wait for each other."""


#: Seconds in which a PostgreSQL server must answer.
PATIENCE = 10


def parse(url: str | Path) -> URL:
    """`url` as SQLAlchemy has it; what has no `://` is the path of an SQLite file."""
    if "://" not in str(url):
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(str(url))
    except ArgumentError:
        raise AccordError("the database URL cannot be read (write sqlite:///PATH or postgresql://HOST/NAME)") from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in INSERTS:
        raise AccordError(f"{shown(parsed)}: not a database that Accord runs on (use {' or '.join(INSERTS)})")
    return parsed


def shown(url: URL) -> str:
    """`url` for a message: the file's path, or the URL without its password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """An engine for `url`. Connects lazily, except that the driver must be installed."""
    server = url.get_backend_name() == "postgresql"
    soon = {"connect_timeout": PATIENCE} if server and "connect_timeout" not in url.query else {}
    try:
        # Pinged, because a PostgreSQL server may have been restarted since a connection was last used.
        engine = create_engine(url, json_serializer=JSON.encode, pool_pre_ping=server, connect_args=soon)
    except NoSuchModuleError:
        raise AccordError(f"{shown(url)}: SQLAlchemy knows no such driver") from None
    except ModuleNotFoundError as error:
        remedy = ' (pip install "accord[postgres]")' if error.name == "psycopg" else f" (pip install {error.name})"
        raise AccordError(f"{shown(url)}: the driver {error.name} is not installed{remedy}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # else Python's driver begins transactions by its own rules, and too late
    for name, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {name} = {value}")


def _begin(connection: Any) -> None:
    begin = connection.get_execution_options().get("accord_begin", "BEGIN")
    if begin == "BEGIN" or not _begun(connection.connection.dbapi_connection, begin):
        connection.exec_driver_sql(begin)


def _begun(connection: sqlite3.Connection, begin: str) -> bool:
    """Begins to write as soon as nobody else does; not where they do for longer than anybody would wait.

    SQLite itself lets who waits look again after 1, 2, 5, … 25, then every 100 ms, and so come too late for many gaps.
    """
    until = time.monotonic() + PRAGMAS["busy_timeout"] / 1000
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < until:
            try:
                connection.execute(begin)
                return True
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    return False
            time.sleep(LOOK)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {PRAGMAS['busy_timeout']}")
    return False


def insert_new(dialect: Dialect, table: Any) -> Any:
    """INSERT that leaves a row alone whose id is already there. Any other conflict is an error."""
    return _insert_new(dialect.name, table)


@cache  # building it takes longer than running it
def _insert_new(database: str, table: Any) -> Any:
    return INSERTS[database](table).on_conflict_do_nothing(index_elements=["id"])


@contextmanager
def one_line(url: URL) -> Iterator[None]:
    """Turns what a database says of itself (locked, full, unreachable, no database at all) into an AccordError; what
    may be over in a moment into DatabaseTrouble."""
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()[0]
        remedy = next((f" ({remedy})" for words, remedy in REMEDIES.items() if words in said), "")
        kind = DatabaseTrouble if isinstance(error, OperationalError | InterfaceError) else AccordError
        raise kind(f"{shown(url)}: {said}{remedy}") from error
