"""Alembic asks here how to reach the database: through the connection that ``database.schema`` passed in."""

from alembic import context

from worker.store.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
