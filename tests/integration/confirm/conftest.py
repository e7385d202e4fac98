"""Databases of both kinds."""

from tests.contract.store.fixtures import database_url

__all__ = ["database_url"]
