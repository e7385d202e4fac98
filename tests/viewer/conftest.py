"""A PACS, a web server and a browser for the whole run; a study of its own for each test.

These tests are not part of the whole suite: they want a browser and, once, a download of 50 MB. They run when this
folder is asked for by name, as ``make viewer`` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.viewer.chromium import Chromium
from tests.viewer.download import ohif
from tests.viewer.pacs import DicomWebPacs
from tests.viewer.reading_room import ReadingRoom
from tests.viewer.web import ViewerServer

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "viewer"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the viewer out unless it was asked for; the tests of the pixel arithmetic are quick and stay."""
    if not collection_path.name.startswith("test_viewer_"):
        return None
    words = [str(one).partition("::")[0] for one in config.invocation_params.args if not str(one).startswith("-")]
    return None if {Path(one).resolve() for one in words} & {HERE, collection_path} else True


@pytest.fixture(scope="session")
def album() -> Path | None:
    """Where the screenshots for the documents go, when they are wanted."""
    folder = os.environ.get("VIEWER_SCREENSHOTS")
    return Path(folder).resolve() if folder else None


@pytest.fixture(scope="session")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomWebPacs]:
    with DicomWebPacs(tmp_path_factory.mktemp("pacs")) as running:
        yield running


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="session")
def web(pacs: DicomWebPacs) -> Iterator[ViewerServer]:
    with ViewerServer(ohif(CACHE), pacs_port=pacs.port) as running:
        yield running


@pytest.fixture
def room(pacs: DicomWebPacs, web: ViewerServer, browser: Chromium, album: Path | None, tmp_path: Path) -> ReadingRoom:
    """An empty PACS with a viewer in front of it."""
    pacs.forget_everything()
    return ReadingRoom(pacs, browser, web.url, album=album, folder=tmp_path)
