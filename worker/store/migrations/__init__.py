"""Alembic migrations, run by ``worker.store.database.schema.migrate``."""
