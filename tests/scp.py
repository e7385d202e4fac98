"""How the SCPs of the tests end: at once."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any


def stop(server: Any) -> None:
    """Shut a server of pynetdicom down. Its loop looks for the end twice a second: a closed socket wakes it."""
    with suppress(OSError):
        server.socket.shutdown(socket.SHUT_RDWR)
    server.shutdown()
