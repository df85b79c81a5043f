"""The nouns of one SQLite file into another, to which people write meanwhile."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Table

from accord.store.rows import MAPPERS
from accord.store.turns import Turns

#: Rows of the first turn.
FEW = 100

INSERT = """
INSERT INTO main."{table}" ({columns}) SELECT {values} FROM spool."{table}" AS new
WHERE new.rowid > ? AND new.rowid <= ? ORDER BY new.rowid ON CONFLICT (id) DO NOTHING
"""

#: The vote that a new one supersedes; if others have superseded it meanwhile, the last of them.
LATEST = """
CASE WHEN new.supersedes IS NOT NULL THEN (
    WITH RECURSIVE later(id, place) AS (
        VALUES (new.supersedes, 0) UNION ALL
        SELECT old.id, place + 1 FROM main."{table}" AS old JOIN later ON old.supersedes = later.id
        WHERE old.id <> new.id
    ) SELECT id FROM later ORDER BY place DESC LIMIT 1
) END
"""


def pour(turns: Turns, spool: Path, progress: Callable[[int, int], None] | None = None) -> Counter[str]:
    """Adds what is in `spool` and not in the database, each noun before its use. Returns how many were new.

    `progress` is told how many rows are done, of how many. If it is broken off it can be begun again. Raises
    sqlite3.IntegrityError where something was added meanwhile with which the rest does not go together.
    """
    turns.connection.execute("ATTACH ? AS spool", [str(spool)])
    try:
        return _pour(turns, progress)
    finally:
        turns.connection.execute("DETACH spool")


def _pour(turns: Turns, progress: Callable[[int, int], None] | None) -> Counter[str]:
    ends = {mapper.table: _end(turns, mapper.table) for mapper in MAPPERS.values()}
    total, done, rows = sum(ends.values()), 0, FEW
    added: Counter[str] = Counter()
    for table, end in ends.items():
        statement, after = _statement(turns, table), 0
        while after < end:
            upto = min(after + rows, end)
            with turns.turn() as connection:
                added[table.name] += connection.execute(statement, (after, upto)).rowcount
            rows = max(1, int(rows * min(2.0, max(0.5, turns.length() / turns.took))))
            done += upto - after
            after = upto
            if progress:
                progress(done, total)
    return +added


def _end(turns: Turns, table: Table) -> int:
    return turns.connection.execute(f'SELECT max(rowid) FROM spool."{table.name}"').fetchone()[0] or 0


def _statement(turns: Turns, table: Table) -> str:
    """Its values are the rowids after which, and up to which. An older Accord's spool may lack a column."""
    found = turns.connection.execute("SELECT name FROM pragma_table_info(?, 'spool')", [table.name])
    there = {name for (name,) in found}
    names = [column.name for column in table.c if column.name in there]
    values = [LATEST.format(table=table.name) if name == "supersedes" else f'new."{name}"' for name in names]
    columns = ", ".join(f'"{name}"' for name in names)
    return INSERT.format(table=table.name, columns=columns, values=", ".join(values))
