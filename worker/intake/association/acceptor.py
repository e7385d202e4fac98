"""The acceptor: one thread that holds every connection until its whole A-ASSOCIATE-RQ has arrived.

Silent, half-open and trickling connections cost a few hundred bytes each and no thread; their time is total, from the
connection to the last byte of the request. The same thread closes finished connections gently and is the watchdog.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from worker.intake.association.access_policy import AccessPolicy
from worker.intake.counters import Counters
from worker.intake.error_location import where
from worker.intake.limits import Limits
from worker.intake.upper_layer.negotiation import REQUEST_HEADER_BYTES

log = logging.getLogger(__name__)

_TICK_S: Final = 0.25
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 1 << 20
_HEADER: Final = 6
_REQUEST: Final = 0x01
_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def abort_pdu(reason: int) -> bytes:
    """A-ABORT by the service provider (PS3.8 9.3.8)."""
    return bytes((0x07, 0, 0, 0, 0, 4, 0, 0, 2, reason))


class _PendingConnection:
    """A connection without an association: still asking, ``waiting`` for a place, or ``leaving`` with its answer."""

    __slots__ = ("address", "client", "deadline", "drained", "leaving", "received", "waiting")

    def __init__(self, client: socket.socket, address: tuple[str, int], *, deadline: float, leaving: bool) -> None:
        self.client = client
        self.address = address
        self.deadline = deadline
        self.leaving = leaving
        self.waiting = False
        self.received = bytearray()
        self.drained = 0


class ConnectionAcceptor:
    """Accepts connections and hands over those that bring a whole request.

    Parameters
    ----------
    listening:
        A bound, listening socket; the connection acceptor closes it.
    admit:
        Called with (socket, address, request PDU, whether it may wait); takes the socket over and returns True, or
        returns False when there is no place now: it is asked again a moment later. Must not block.
    watch:
        Called about four times a second.
    """

    def __init__(
        self,
        listening: socket.socket,
        *,
        limits: Limits,
        access: AccessPolicy,
        counters: Counters,
        admit: Callable[[socket.socket, tuple[str, int], bytes, bool], bool],
        watch: Callable[[], None],
    ) -> None:
        self._listening = listening
        self._limits = limits
        self._access = access
        self._counters = counters
        self._admit = admit
        self._watch = watch
        self._selector = selectors.DefaultSelector()
        self._pending: dict[socket.socket, _PendingConnection] = {}
        self._asking = 0
        self._wake_up, self._woken = socket.socketpair()
        self._arrivals: list[socket.socket] = []
        self._arrivals_lock = threading.Lock()
        self._stop = False
        self._closed_to_newcomers = False
        self._accept_again_at = 0.0
        self._thread = threading.Thread(target=self._run, name="connection-acceptor", daemon=True)

    @property
    def pending(self) -> int:
        """How many connections are still asking."""
        return self._asking

    def start(self) -> None:
        """Accept connections, in a thread of this object's own."""
        self._listening.setblocking(False)  # noqa: FBT003 - the name of the standard library
        self._woken.setblocking(False)  # noqa: FBT003 - see above
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def stop_accepting(self) -> None:
        """Take no newcomers any more; those inside are not touched."""
        self._closed_to_newcomers = True
        self._wake()

    def stop(self) -> None:
        """Close every connection that is still pending, and end the thread."""
        self._stop = True
        self._wake()
        self._thread.join()

    def linger(self, client: socket.socket) -> None:
        """Take a connection whose last PDU was sent, and close it when the peer has read that. From any thread."""
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        with self._arrivals_lock:
            self._arrivals.append(client)
        self._wake()

    def turn_away(self, client: socket.socket, last_pdu: bytes) -> None:
        """Send a last PDU (A-ASSOCIATE-RJ, A-ABORT) and close gently. From the connection acceptor's own thread."""
        with contextlib.suppress(OSError):
            client.send(last_pdu)
        self.linger(client)

    # ------------------------------------------------------------------------------------------------ the thread

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_up.send(b"\0", socket.MSG_DONTWAIT)

    def _run(self) -> None:
        next_tick = 0.0
        while not self._stop:
            for key, _ in self._selector.select(_TICK_S):
                self._serve(key.fileobj)
            self._take_arrivals()
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + _TICK_S
                self._tick(now)
        self._take_arrivals()
        for connection in list(self._pending.values()):
            self._close(connection)
        self._close_listening()
        self._selector.close()
        self._wake_up.close()
        self._woken.close()

    def _serve(self, ready: object) -> None:
        """Do what a ready socket asks for. A failure costs that connection, never the thread."""
        connection = self._pending.get(ready)  # type: ignore[call-overload]
        try:
            if ready is self._listening:
                self._accept()
            elif ready is self._woken:
                self._woken.recv(4096)
            elif connection is not None:
                self._listen_to(connection)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - one connection must not end the accepting of others
            if not isinstance(error, OSError):
                log.error("gatekeeper-bug", extra=where(error))  # noqa: TRY400 - no wire bytes
            if connection is not None:
                self._close(connection)

    def _tick(self, now: float) -> None:
        for connection in [v for v in self._pending.values() if v.waiting]:
            self._ask_again(connection, may_wait=now < connection.deadline)
        for connection in [v for v in self._pending.values() if v.deadline < now]:
            if not connection.leaving:
                self._refuse(connection, "request-timeout")
            self._close(connection)
        if self._closed_to_newcomers:
            self._close_listening()
        elif self._accept_again_at and now >= self._accept_again_at:
            self._accept_again_at = 0.0
            self._selector.register(self._listening, selectors.EVENT_READ)
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - see _serve
            log.error("watchdog-bug", extra=where(error))  # noqa: TRY400 - no wire bytes

    def _close_listening(self) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._listening)
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(64):
            if self._closed_to_newcomers:
                return
            try:
                client, address = self._listening.accept()
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    self._make_room_for_files()
                return
            if not self._access.admits_address(address[0]):
                self._counters.refused("address-not-allowed")
                client.close()
                continue
            prepare(client)
            if self._asking >= self._limits.pending_connections:
                oldest = min((v for v in self._pending.values() if not v.leaving), key=lambda v: v.deadline)
                self._refuse(oldest, "too-many-pending")
                self._close(oldest)  # it is silent, or waits in vain
            deadline = time.monotonic() + self._limits.request_s
            self._add(_PendingConnection(client, address[:2], deadline=deadline, leaving=False))

    def _make_room_for_files(self) -> None:
        """No file descriptor is left: close the older half of the connections; without any, look again in a moment."""
        log.error("out-of-file-descriptors", extra={"pending": self._asking})
        oldest = sorted(self._pending.values(), key=lambda v: v.deadline)[: (len(self._pending) + 1) // 2]
        for connection in oldest:
            if not connection.leaving:
                self._counters.refused("out-of-file-descriptors")
            self._close(connection)
        if not oldest:
            self._selector.unregister(self._listening)
            self._accept_again_at = time.monotonic() + 0.1

    def _add(self, connection: _PendingConnection) -> None:
        self._pending[connection.client] = connection
        self._selector.register(connection.client, selectors.EVENT_READ)
        self._asking += not connection.leaving

    def _forget(self, connection: _PendingConnection) -> None:
        if self._pending.pop(connection.client, None) is not None:
            if not connection.waiting:
                self._selector.unregister(connection.client)
            self._asking -= not connection.leaving

    def _close(self, connection: _PendingConnection) -> None:
        self._forget(connection)
        connection.client.close()

    def _refuse(self, connection: _PendingConnection, reason: str) -> None:
        self._counters.refused(reason)
        log.info("connection-refused", extra={"reason": reason, "peer": connection.address[0]})

    def _take_arrivals(self) -> None:
        with self._arrivals_lock:
            arrivals, self._arrivals = self._arrivals, []
        deadline = time.monotonic() + _LINGER_S
        for client in arrivals:
            try:
                client.setblocking(False)  # noqa: FBT003 - the name of the standard library
                self._add(_PendingConnection(client, ("", 0), deadline=deadline, leaving=True))
            except (OSError, ValueError):
                client.close()

    def _listen_to(self, connection: _PendingConnection) -> None:
        if connection.leaving:
            data = connection.client.recv(65536)
            connection.drained += len(data)
            if not data or connection.drained > _LINGER_BYTES:
                self._close(connection)
            return
        wanted = _HEADER - len(connection.received)
        if wanted <= 0:
            wanted = _HEADER + int.from_bytes(connection.received[2:6], "big") - len(connection.received)
        data = connection.client.recv(min(wanted, 65536))
        if not data:
            self._counters.refused("closed-before-request")
            self._close(connection)
            return
        connection.received += data
        if len(connection.received) >= _HEADER:
            self._look_at_request(connection)

    def _look_at_request(self, connection: _PendingConnection) -> None:
        kind = connection.received[0]
        length = int.from_bytes(connection.received[2:6], "big")
        if kind != _REQUEST or not REQUEST_HEADER_BYTES - _HEADER <= length <= self._limits.request_bytes:
            self._refuse(connection, "not-an-association-request")
            self._forget(connection)
            if kind == 0x07:  # an A-ABORT needs no answer
                connection.client.close()
                return
            self.turn_away(connection.client, abort_pdu(2 if 1 < kind < 8 else 6 if kind == _REQUEST else 1))
            return
        if len(connection.received) == _HEADER + length:
            self._selector.unregister(connection.client)
            connection.waiting = True
            connection.deadline = time.monotonic() + self._limits.waiting_s
            self._ask_again(connection, may_wait=True)

    def _ask_again(self, connection: _PendingConnection, *, may_wait: bool) -> None:
        """Offer a connection with a whole request to the listener."""
        try:
            if self._admit(connection.client, connection.address, bytes(connection.received), may_wait):
                self._forget(connection)
        except Exception as error:  # noqa: BLE001 - see _serve
            log.error("admission-bug", extra=where(error))  # noqa: TRY400 - no wire bytes
            self._close(connection)


def prepare(client: socket.socket) -> None:
    """Set up an accepted socket: no delayed answers, and dead peers are noticed by the kernel too (pynetdicom#979)."""
    client.setblocking(False)  # noqa: FBT003 - the name of the standard library
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            client.setsockopt(socket.IPPROTO_TCP, option, value)
