"""Bringing a database to the newest schema. The migrations are in `migrations/versions`.

A new one is drafted by comparing `tables.py` with a database at the old head; read it before committing it:

    python -c "from accord.store.migrate import draft; draft('0003', 'Say what changes')"
"""

import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from accord.feedback import AccordError
from accord.store.engine import WRITING, connect, parse, shown
from accord.store.tables import REVISION

SCRIPTS = Path(__file__).parent / "migrations"


def config(connection: Connection) -> Any:
    """Alembic's configuration for `connection`, without an ini file."""
    from alembic.config import Config  # a third of a second: loaded only where there is something to migrate

    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    return made


def revision(connection: Connection) -> str | None:
    """Where the database stands; None where it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def to_head(engine: Engine, target: str = REVISION) -> None:
    """Migrates the database, in one transaction. Raises AccordError where it was made by a newer Accord."""
    with engine.connect() as connection:
        if revision(connection) == target:
            return
    with engine.connect().execution_options(**WRITING) as connection:
        _enforce(connection, False)  # SQLite alters a table by making it again; that must not look like a deletion
        try:
            with connection.begin():
                _migrate(connection, target)
        finally:
            _enforce(connection, True)


def _migrate(connection: Connection, target: str) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":  # several servers may start at once; SQLite has locked its file by now
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accord migrations'))"))
    now = revision(connection)  # asked again: another process may have been here since
    if now == target:
        return
    settings = config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    where = shown(connection.engine.url)
    if now is not None and now not in known:
        raise AccordError(
            f"{where}: made by a newer Accord (its schema is {now}, this one knows {REVISION}): pip install -U accord"
        )
    if now is None and (others := inspect(connection).get_table_names()):
        raise AccordError(f"{where}: not an Accord database: it has a table {others[0]} (name a new file or database)")
    command.upgrade(settings, target)
    if connection.dialect.name == "sqlite" and (broken := connection.execute(text("PRAGMA foreign_key_check")).first()):
        raise AccordError(f"{where}: a row of {broken[0]} points at nothing, so it was not migrated (mend it first)")


def _enforce(connection: Connection, keys: bool) -> None:
    if connection.dialect.name == "sqlite":  # past SQLAlchemy: this pragma does nothing inside a transaction
        connection.connection.execute(f"PRAGMA foreign_keys = {'ON' if keys else 'OFF'}")


def draft(name: str, message: str) -> None:
    """Writes the migration `name` from the difference between the old head and `tables.py`."""
    from alembic import command

    with tempfile.TemporaryDirectory() as folder:
        engine = connect(parse(Path(folder, "draft.db")))
        with engine.begin() as connection:
            command.upgrade(config(connection), "head")
            command.revision(config(connection), message, autogenerate=True, rev_id=name)
        engine.dispose()
