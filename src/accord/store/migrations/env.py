"""Run by Alembic; the connection comes from `accord.store.migrate`, which also holds the transaction."""

from alembic import context

from accord.store import web_tables  # noqa: F401  (its tables belong to the metadata too)
from accord.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
