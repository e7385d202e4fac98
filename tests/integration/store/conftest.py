"""Databases and stores; and which tests need a tool that is no server."""

import os
import shutil

from tests.contract.store.fixtures import clock, database_kind, database_url, empty_url, kit, sqlite_kit

__all__ = ["clock", "database_kind", "database_url", "empty_url", "kit", "sqlite_kit"]

# Without strace nobody can watch system calls. In CI (TESTS_NO_SKIP) the test then fails, elsewhere it is left out.
collect_ignore = [] if shutil.which("strace") or os.environ.get("TESTS_NO_SKIP") else ["test_fsync_order.py"]
