"""The socket of an association: every read and write has a total deadline, and nothing is polled."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Final

from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from pynetdicom.association import Association

_READ: Final = 65536
_EMPTY: Final = memoryview(b"")
ABORT_BY_PROVIDER: Final = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00"


class PeerGoneError(Exception):
    """The connection is of no more use. ``reason``: closed, idle-timeout, pdu-timeout, slow-message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DeadlineSocket(AssociationSocket):
    """pynetdicom's socket with bounded waits and its own read buffer.

    A waiting read holds no buffer: 300 silent peers cost 300 sleeping threads and hardly any memory.
    """

    def __init__(self, association: Association, client: socket.socket, *, send_s: float) -> None:
        super().__init__(association, client_socket=client)
        client.setblocking(False)  # noqa: FBT003 - the name of the standard library
        self._client = client
        self._readable = select.poll()
        self._readable.register(client, select.POLLIN)
        self._send_s = send_s
        self._buffer = _EMPTY
        self.reason_of_deadline = "idle-timeout"
        self.deadline = time.monotonic() + send_s
        self.bytes_received = 0
        self.bytes_sent = 0

    def wait_for_pdu(self, *, idle_s: float, pdu_s: float) -> bytes:
        """Return the six bytes of a PDU header: ``idle_s`` for the first to come, ``pdu_s`` for the whole PDU."""
        if not self._buffer:
            self.deadline = time.monotonic() + idle_s
            self.reason_of_deadline = "idle-timeout"
            self._fill()
        self.deadline = time.monotonic() + pdu_s
        self.reason_of_deadline = "pdu-timeout"
        return self.exactly(6)

    def exactly(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; keep it small."""
        data = bytes(self.some(count)) if count else b""
        while len(data) < count:
            data += self.some(count - len(data))
        return data

    def some(self, most: int) -> memoryview:
        """Return at least one byte and at most ``most``: a view that stays valid."""
        if not self._buffer:
            self._fill()
        buffer = self._buffer
        if len(buffer) <= most:
            self._buffer = _EMPTY  # an idle association must not hold what it read last
            return buffer
        self._buffer = buffer[most:]
        return buffer[:most]

    def _fill(self) -> None:
        while True:
            try:
                data = self._client.recv(_READ)
            except BlockingIOError:
                self._wait(self._readable)
            except OSError as error:
                raise PeerGoneError("closed") from error
            else:
                if not data:
                    raise PeerGoneError("closed")
                self.bytes_received += len(data)
                self._buffer = memoryview(data)
                return

    def _wait(self, poll: select.poll) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise PeerGoneError(self.reason_of_deadline)

    # What pynetdicom calls

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly, within the current deadline."""
        return bytearray(self.exactly(nr_bytes))

    def send(self, bytestream: bytes) -> None:
        """Send all of it within the deadline of an answer; a peer that does not read is closed."""
        deadline = time.monotonic() + self._send_s
        view = memoryview(bytestream)
        try:
            while view:
                try:
                    sent = self._client.send(view)
                    self.bytes_sent += sent
                    view = view[sent:]
                except BlockingIOError:
                    poll = select.poll()
                    poll.register(self._client, select.POLLOUT)
                    left = deadline - time.monotonic()
                    if left <= 0 or not poll.poll(left * 1000):
                        self.shut()
                        return
        except OSError:
            self.shut()

    @property
    def ready(self) -> bool:
        """Tell whether a read would return at once."""
        return bool(self._buffer) or bool(self._readable.poll(0))

    def shut(self) -> None:
        """End both directions: the thread that waits on the socket wakes up. From any thread."""
        try:
            self._client.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Leave closing to the acceptor, so that the last PDU reaches the peer before the connection ends."""

    def _shutdown_socket(self) -> None:
        """Leave that to the acceptor as well, as ``close`` does."""
