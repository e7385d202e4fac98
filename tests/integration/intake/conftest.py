from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.intake.folder_store import FolderStore
from worker.intake.association.server import Listener


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "spool")


@pytest.fixture
def listener(store: FolderStore) -> Iterator[Listener]:
    listener = Listener(store, ae_title="OVERREAD", port=0)
    listener.start()
    yield listener
    listener.stop(2.0)
