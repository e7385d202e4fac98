"""The socket under an association, and how long a peer may keep us on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a destination may take, in seconds.

    ``response_s`` is for one DIMSE answer; the time that ``slowest_bytes_per_s`` needs for the object is added.
    """

    connect_s: float = 10.0
    association_s: float = 30.0
    response_s: float = 60.0
    network_s: float = 60.0
    slowest_bytes_per_s: float = 250_000.0

    def for_object(self, size_bytes: int) -> float:
        """Total time for one C-STORE: sending and answer."""
        return self.response_s + size_bytes / self.slowest_bytes_per_s


@dataclass(slots=True)
class Wire:
    """The raw socket under an association, so that a deadline can end it."""

    socket: socket.socket | None = None
    connected: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)

    def opened(self, event: Any) -> None:
        """EVT_CONN_OPEN: set what pynetdicom does not."""
        self.connected = True
        self.socket = event.assoc.dul.socket.socket
        if self.socket is None:
            return
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.timeouts.network_s * 1000))
        self.socket.settimeout(self.timeouts.network_s)

    def cut(self) -> None:
        """End both directions: every thread that waits on the socket wakes up."""
        if self.socket is not None:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already

    def close(self) -> None:
        """Leave no socket to the garbage collector (pynetdicom does after a refusal)."""
        self.cut()
        if self.socket is not None:
            self.socket.close()


@contextmanager
def deadline(wire: Wire, seconds: float) -> Iterator[None]:
    """Cut the connection when the block takes longer."""
    timer = threading.Timer(seconds, wire.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
