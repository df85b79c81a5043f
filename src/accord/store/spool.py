"""Imports into an SQLite project in which people vote meanwhile, all or nothing all the same.

The nouns first go to a spool, a file of their own beside the database, which refuses what the database would. When it
is whole it gets its other name, and from then on the import is accepted: it is poured into the database in short
transactions, by the next import or server if this process is killed.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.schema import CreateIndex, CreateTable

from accord.feedback import AccordError, Noun
from accord.store.engine import connect, parse
from accord.store.file_lock import locked
from accord.store.pour import pour
from accord.store.referred import referred, unlike
from accord.store.rows import MAPPERS
from accord.store.store import Store
from accord.store.turns import Turns

#: Nouns that go to the spool at a time. Ids come in no order, so that each time most of its pages are written anew.
BATCH = 20_000

#: Seconds to wait for another import.
PATIENCE = 60.0

#: Hears how many nouns were taken so far.
Taken = Callable[[int], None]
#: Hears how many rows are in the database, of how many.
Poured = Callable[[int, int], None]


def add_beside(
    store: Store, nouns: Iterable[Noun], taken: Taken | None = None, poured: Poured | None = None
) -> Counter[str]:
    """Adds `nouns` as `Store.add` does, except that on SQLite others write meanwhile, and see them come bit by bit.

    Raises AccordError as `Store.add` does, having added nothing, and where another import takes too long.
    """
    if (database := _file(store)) is None:
        return store.add(nouns, taken)
    with locked(_lock(database), PATIENCE) as alone:
        if not alone:
            raise AccordError(f"{database}: another import is going on; try again when it has finished")
        _finish(database)
        with closing(Turns(database)) as turns:  # already now, to know whether others write
            _fill(store, database, nouns, taken)
            return _pour(turns, database, poured)


def finish_imports(store: Store, poured: Poured | None = None) -> Counter[str]:
    """Adds the rest of an import that was accepted before its process was killed. Returns how much that was.

    Does nothing where there is none, or where another process is at it.
    """
    database = _file(store)
    if database is None or not (_part(database).exists() or _ready(database).exists()):
        return Counter()
    with locked(_lock(database), 0.0) as alone:
        return _finish(database, poured) if alone else Counter()


def _part(database: Path) -> Path:
    return Path(f"{database}.import")


def _ready(database: Path) -> Path:
    return Path(f"{database}.import.ready")


def _file(store: Store) -> Path | None:
    """The database's file; None where it has none of its own."""
    with store.reading() as connection:
        if connection.dialect.name != "sqlite":
            return None
        path = connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    return Path(path) if path else None


def _lock(database: Path) -> Path:
    return Path(f"{database}.import.lock")


def _fill(store: Store, database: Path, nouns: Iterable[Noun], taken: Taken | None) -> None:
    remaining, count = iter(nouns), 0
    part = _part(database)
    try:
        with _spool(part, like=database) as spool:
            while batch := list(islice(remaining, BATCH)):
                for addition in _with_what_it_needs(store, spool, batch):
                    spool.add(addition)
                count += len(batch)
                if taken:
                    taken(count)
    except BaseException:
        _discard(part)
        raise
    os.replace(part, _ready(database))
    _flush_folder(database.parent)


@contextmanager
def _spool(path: Path, like: Path) -> Iterator[Store]:
    """A new store of nouns only, which keeps every addition at once, but is of no use after a crash."""
    path.touch()
    path.chmod(like.stat().st_mode & 0o777)
    engine = connect(parse(path))
    event.listen(engine, "connect", _keep_no_journal)
    tables = [mapper.table for mapper in MAPPERS.values()]
    with engine.begin() as connection:
        for table in tables:
            connection.execute(CreateTable(table))
            for index in table.indexes:
                if index.unique:  # the others refuse nothing
                    connection.execute(CreateIndex(index))
    with Store(engine) as spool:
        yield spool


def _keep_no_journal(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = MEMORY")


def _with_what_it_needs(store: Store, spool: Store, batch: list[Noun]) -> list[list[Noun]]:
    """What `batch` needs of the project, and then what it brings."""
    with store.reading() as project, spool.reading() as there:
        if not any(project.execute(select(mapper.table.c.id).limit(1)).first() for mapper in MAPPERS.values()):
            return [batch]
        new = unlike(project, batch)
        return [referred(project, there, new), new]


def _pour(turns: Turns, database: Path, poured: Poured | None) -> Counter[str]:
    ready, refused = _ready(database), Path(f"{database}.import.refused")
    try:
        added = pour(turns, ready, poured)
    except sqlite3.IntegrityError as error:
        os.replace(ready, refused)
        raise AccordError(
            f"{database}: something was added meanwhile that the import does not fit: {error} "
            f"(its rest is in {refused.name}; import the files again to hear what it is)"
        ) from error
    except (sqlite3.Error, KeyboardInterrupt) as error:
        why = str(error) or "interrupted"
        raise AccordError(f"{database}: {why} (the import goes on with the next `accord import`)") from error
    _discard(ready)
    return added


def _finish(database: Path, poured: Poured | None = None) -> Counter[str]:
    """What a process left that was killed. Only for who is alone."""
    _discard(_part(database))
    if not _ready(database).exists():
        return Counter()
    with closing(Turns(database)) as turns:
        return _pour(turns, database, poured)


def _discard(spool: Path) -> None:
    for end in ("", "-journal", "-wal", "-shm"):
        Path(f"{spool}{end}").unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Waits until the names in `folder` are on disk. Windows does so by itself."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
