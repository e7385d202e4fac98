"""Alembic migrations, run by ``worker.store.schema.migrate``."""
