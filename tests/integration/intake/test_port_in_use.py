"""The port of a listener that is still going down: the next one waits a moment for it, and not for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.intake.raw_peer import RawPeer
from worker.domain.errors import ConfigurationError
from worker.settings import Settings
from worker.settings.load import validate
from worker.wiring.listener import build_listener


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield found


def settings(tmp_path: Path, port: int) -> Settings:
    return validate({"node": {"data": str(tmp_path)}, "listener": {"port": port}}, origin="test")


def test_a_port_that_is_free_a_moment_later_is_taken(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    listener = build_listener(settings(tmp_path, port))
    goes_down = threading.Timer(0.3, taken.close)
    goes_down.start()
    listener.start()
    try:
        with RawPeer(port) as peer:
            kind, _ = peer.open()
            assert (kind, peer.echo()) == (0x02, 0)
    finally:
        listener.stop(grace_s=1.0)
        goes_down.join()


def test_a_port_that_stays_taken_is_an_error(tmp_path: Path, taken: socket.socket) -> None:
    listener = build_listener(settings(tmp_path, taken.getsockname()[1]))
    assert listener.port_wait_s == 5.0
    listener.port_wait_s = 0.2
    with pytest.raises(ConfigurationError) as caught:
        listener.start()
    listener.stop(grace_s=0.0)
    assert caught.value.code == "port-in-use"
