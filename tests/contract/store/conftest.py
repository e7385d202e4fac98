"""Databases and stores."""

from tests.contract.store.fixtures import clock, database_kind, database_url, empty_url, kit, sqlite_kit

__all__ = ["clock", "database_kind", "database_url", "empty_url", "kit", "sqlite_kit"]
