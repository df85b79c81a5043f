"""What some nouns need of a store before another store takes them and refuses what the first one would."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Connection, literal_column, select

from accord.feedback import Noun
from accord.store.rows import MAPPERS
from accord.store.store import BATCH

KINDS = {mapper.table: kind for kind, mapper in MAPPERS.items()}
Ids = dict[type, set[str]]


def _named(column: Column[Any]) -> type | None:
    """The kind of noun whose id is in `column`, if any."""
    for key in column.foreign_keys:
        return KINDS[key.column.table] if key.column.name == "id" else _named(key.column)
    return None


#: The fields of each kind that name another noun, and of which kind that is.
REFERENCES: dict[type, dict[str, type]] = {
    kind: {c.name: other for c in mapper.table.c if (other := _named(c)) is not None}
    for kind, mapper in MAPPERS.items()
}


def unlike(project: Connection, nouns: list[Noun]) -> list[Noun]:
    """Those of `nouns` that are not in the project as they are."""
    ids: Ids = {kind: set() for kind in MAPPERS}
    for noun in nouns:
        ids[type(noun)].add(noun.id)
    there = {(kind, noun.id): noun for kind in ids for _, noun in _read(project, kind, ids[kind])}
    return [noun for noun in nouns if there.get((type(noun), noun.id)) != noun]


def referred(project: Connection, spool: Connection, nouns: Iterable[Noun]) -> list[Noun]:
    """All of the project that decides whether `nouns` may be added to it, each before its use; but what `spool` has.

    That is what they name, what has their ids, what supersedes what they supersede, and all that these name.
    """
    wanted: Ids = {kind: set() for kind in MAPPERS}
    corrected: Ids = {kind: set() for kind in MAPPERS if "supersedes" in REFERENCES[kind]}
    for noun in nouns:
        wanted[type(noun)].add(noun.id)
        for name, kind in _names(noun):
            wanted[kind].add(name)
        if (old := getattr(noun, "supersedes", None)) is not None:
            corrected[type(noun)].add(old)
    for kind, ids in corrected.items():
        table = MAPPERS[kind].table
        wanted[kind] |= set(_scalars(project, table.c.id, table.c.supersedes, ids))
    found: dict[type, list[tuple[int, Noun]]] = {kind: [] for kind in MAPPERS}
    asked: Ids = {kind: set() for kind in MAPPERS}
    while any(wanted.values()):
        for kind in MAPPERS:
            ids, wanted[kind] = wanted[kind] - asked[kind], set()
            asked[kind] |= ids
            id = MAPPERS[kind].table.c.id
            for rowid, noun in _read(project, kind, ids.difference(_scalars(spool, id, id, ids))):
                found[kind].append((rowid, noun))
                for name, other in _names(noun):
                    wanted[other].add(name)
    return [noun for kind in found for _, noun in sorted(found[kind], key=lambda pair: pair[0])]  # the older came first


def _names(noun: Noun) -> Iterator[tuple[str, type]]:
    for field, kind in REFERENCES[type(noun)].items():
        if (name := getattr(noun, field)) is not None:
            yield name, kind


def _read(connection: Connection, kind: type, ids: Iterable[str]) -> Iterator[tuple[int, Noun]]:
    """The nouns of a kind that have such ids, with their places in the table."""
    table, to_noun = MAPPERS[kind].table, MAPPERS[kind].to_noun
    chosen = select(table, literal_column("rowid").label("place"))
    for part in _parts(ids):
        for row in connection.execute(chosen.where(table.c.id.in_(part))):
            yield row.place, to_noun(row)


def _scalars(connection: Connection, wanted: Column[Any], key: Column[Any], values: Iterable[str]) -> Iterator[str]:
    for part in _parts(values):
        yield from connection.scalars(select(wanted).where(key.in_(part)))


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Lists short enough for a statement, without what no database takes as text."""
    sound = [id for id in ids if isinstance(id, str) and id.encode(errors="ignore").decode() == id]
    return (sound[start : start + BATCH] for start in range(0, len(sound), BATCH))
