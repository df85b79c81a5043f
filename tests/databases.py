"""Databases for tests on a PostgreSQL server: some with nothing in them, and migrated stores without rows.

A database serves test after test, set back in between: that takes a tenth of the time that a new one would.
"""

from contextlib import contextmanager
from uuid import uuid4

import psycopg
from sqlalchemy import make_url

from accord.store import Store
from accord.store.tables import REVISION

#: Deletes everything.
TO_NOTHING = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"

#: Deletes all rows, in any order, past the foreign keys; and says again how far the database is migrated.
TO_NO_ROWS = f"""
DO $$ DECLARE name regclass; BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('DELETE FROM %s', name);
    END LOOP;
END $$;
INSERT INTO alembic_version VALUES ('{REVISION}')
"""

#: Another answer tells that more has changed than rows. It is made of every column, and of what depends on anything.
SCHEMA = """
SELECT md5(string_agg(said, ' ' ORDER BY said)) FROM (
    SELECT concat_ws(' ', attrelid, attname, xmin) FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL
    SELECT concat_ws(' ', classid, objid, objsubid, refobjid, refobjsubid) FROM pg_depend WHERE objid >= 16384
) AS catalog(said)
"""


class Databases:
    """Lends databases on the server at `url`, whose user is a superuser. Leaves none behind when closed."""

    def __init__(self, url):
        self.url = make_url(url).set(drivername="postgresql")
        self.server = psycopg.connect(self._address(self.url.database), autocommit=True)
        self.empties, self.stores = {}, {}  # those that wait for the next test: their names and schemas

    def empty(self):
        """The URL of a database with nothing in it."""
        return self._lent(self.empties, lambda _: None, TO_NOTHING)

    def store(self):
        """The URL of a store at the newest revision with no rows in it."""
        return self._lent(self.stores, lambda url: Store.open(url).close(), TO_NO_ROWS)

    def close(self):
        for name in [*self.empties, *self.stores]:
            self._drop(name)
        self.server.close()

    @contextmanager
    def _lent(self, waiting, prepare, back):
        name, schema = waiting.popitem() if waiting else self._made(prepare)
        try:
            yield self._address(name)
        finally:
            if self._schema(name, after=back) == schema:
                waiting[name] = schema
            else:
                self._drop(name)

    def _made(self, prepare):
        name = f"accord_test_{uuid4().hex}"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            prepare(self._address(name))
        except BaseException:
            self._drop(name)
            raise
        return name, self._schema(name)

    def _schema(self, name, after=""):
        """What the schema is `after` a statement, whoever was still connected; the error if that failed."""
        self.server.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            with psycopg.connect(self._address(name)) as connection:
                connection.execute(after)
                return connection.execute(SCHEMA).fetchone()
        except psycopg.Error as error:
            return error

    def _drop(self, name):
        self.server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _address(self, name):
        return self.url.set(database=name).render_as_string(hide_password=False)
