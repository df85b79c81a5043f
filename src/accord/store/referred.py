"""What some nouns need of an SQLite store before another store takes them and refuses what the first one would."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, func, literal_column, select

from accord.feedback import Noun
from accord.store.rows import MAPPERS

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
    ids = _ids()
    for noun in nouns:
        ids[type(noun)].add(noun.id)
    there = {(kind, noun.id): noun for kind in ids for _, noun in _read(project, kind, ids[kind])}
    return [noun for noun in nouns if there.get((type(noun), noun.id)) != noun]


def referred(project: Connection, spool: Connection, nouns: list[Noun]) -> list[Noun]:
    """All of the project that decides whether `nouns` may be added to it, each before its use; but what `spool` has.

    That is what they name, what has their ids, what supersedes what they supersede, and all that these name.
    """
    wanted = _ids()
    corrected = {kind: set[str]() for kind in MAPPERS if "supersedes" in REFERENCES[kind]}
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
    asked = _ids()
    while any(wanted.values()):
        for kind in MAPPERS:
            ids, wanted[kind] = wanted[kind] - asked[kind], set()
            asked[kind] |= ids
            id = MAPPERS[kind].table.c.id
            there = set(_scalars(project, id, id, ids))
            for place, noun in _read(project, kind, there.difference(_scalars(spool, id, id, there))):
                found[kind].append((place, noun))
                for name, other in _names(noun):
                    wanted[other].add(name)
    return [noun for kind in found for _, noun in sorted(found[kind], key=lambda pair: pair[0])]  # the older came first


def _ids() -> Ids:
    return {kind: set() for kind in MAPPERS}


def _names(noun: Noun) -> Iterator[tuple[str, type]]:
    for field, kind in REFERENCES[type(noun)].items():
        if (name := getattr(noun, field)) is not None:
            yield name, kind


def _read(connection: Connection, kind: type, ids: Collection[str]) -> Iterator[tuple[int, Noun]]:
    """The nouns of a kind that have such ids, with their places in the table."""
    table, to_noun = MAPPERS[kind].table, MAPPERS[kind].to_noun
    chosen = select(table, literal_column("rowid").label("place"))
    for among in _among(table.c.id, ids):
        for row in connection.execute(chosen.where(among)):
            yield row.place, to_noun(row)


def _scalars(connection: Connection, wanted: Column[Any], key: Column[Any], values: Collection[str]) -> Iterator[str]:
    for among in _among(key, values):
        yield from connection.scalars(select(wanted).where(among))


def _among(column: Column[Any], values: Collection[str]) -> Iterator[ColumnElement[bool]]:
    """Conditions under which `column` is one of `values`: as one JSON text, which is quicker than a parameter each."""
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        yield column.in_(select(func.json_each(json.dumps(texts)).table_valued("value").c.value))
    cut = [text for text in texts if "\0" in text and text.encode(errors="ignore").decode() == text]
    if cut:  # SQLite's JSON ends at a NUL
        yield column.in_(cut)
