"""The gatekeeper: one thread that holds every connection until its whole A-ASSOCIATE-RQ has arrived.

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

from worker.intake.counters import Counters
from worker.intake.error_location import where
from worker.intake.limits import AccessPolicy, Limits
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


class _Visitor:
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


class Gatekeeper:
    """Accepts connections and hands over those that bring a whole request.

    Parameters
    ----------
    listening:
        A bound, listening socket; the gatekeeper closes it.
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
        self._visitors: dict[socket.socket, _Visitor] = {}
        self._asking = 0
        self._wake_up, self._woken = socket.socketpair()
        self._arrivals: list[socket.socket] = []
        self._arrivals_lock = threading.Lock()
        self._stop = False
        self._closed_to_newcomers = False
        self._accept_again_at = 0.0
        self._thread = threading.Thread(target=self._run, name="gatekeeper", daemon=True)

    @property
    def pending(self) -> int:
        """How many connections are still asking."""
        return self._asking

    def start(self) -> None:
        """Open the door."""
        self._listening.setblocking(False)  # noqa: FBT003 - the name of the standard library
        self._woken.setblocking(False)  # noqa: FBT003 - see above
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def close_door(self) -> None:
        """Take no newcomers any more; those inside are not touched."""
        self._closed_to_newcomers = True
        self._wake()

    def stop(self) -> None:
        """Close everything that is still at the door, and end the thread."""
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
        """Send a last PDU (A-ASSOCIATE-RJ, A-ABORT) and close gently. From the gatekeeper's own thread."""
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
        for visitor in list(self._visitors.values()):
            self._close(visitor)
        self._close_listening()
        self._selector.close()
        self._wake_up.close()
        self._woken.close()

    def _serve(self, ready: object) -> None:
        """Do what a ready socket asks for. A failure costs that connection, never the thread."""
        visitor = self._visitors.get(ready)  # type: ignore[call-overload]
        try:
            if ready is self._listening:
                self._accept()
            elif ready is self._woken:
                self._woken.recv(4096)
            elif visitor is not None:
                self._listen_to(visitor)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - the door must not close because of one visitor
            if not isinstance(error, OSError):
                log.error("gatekeeper-bug", extra=where(error))  # noqa: TRY400 - no wire bytes
            if visitor is not None:
                self._close(visitor)

    def _tick(self, now: float) -> None:
        for visitor in [v for v in self._visitors.values() if v.waiting]:
            self._ask_again(visitor, may_wait=now < visitor.deadline)
        for visitor in [v for v in self._visitors.values() if v.deadline < now]:
            if not visitor.leaving:
                self._refuse(visitor, "request-timeout")
            self._close(visitor)
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
                oldest = min((v for v in self._visitors.values() if not v.leaving), key=lambda v: v.deadline)
                self._refuse(oldest, "too-many-pending")
                self._close(oldest)  # it is silent, or waits in vain
            deadline = time.monotonic() + self._limits.request_s
            self._add(_Visitor(client, address[:2], deadline=deadline, leaving=False))

    def _make_room_for_files(self) -> None:
        """No file descriptor is left: close the older half of the visitors; without any, look again in a moment."""
        log.error("out-of-file-descriptors", extra={"pending": self._asking})
        oldest = sorted(self._visitors.values(), key=lambda v: v.deadline)[: (len(self._visitors) + 1) // 2]
        for visitor in oldest:
            if not visitor.leaving:
                self._counters.refused("out-of-file-descriptors")
            self._close(visitor)
        if not oldest:
            self._selector.unregister(self._listening)
            self._accept_again_at = time.monotonic() + 0.1

    def _add(self, visitor: _Visitor) -> None:
        self._visitors[visitor.client] = visitor
        self._selector.register(visitor.client, selectors.EVENT_READ)
        self._asking += not visitor.leaving

    def _forget(self, visitor: _Visitor) -> None:
        if self._visitors.pop(visitor.client, None) is not None:
            if not visitor.waiting:
                self._selector.unregister(visitor.client)
            self._asking -= not visitor.leaving

    def _close(self, visitor: _Visitor) -> None:
        self._forget(visitor)
        visitor.client.close()

    def _refuse(self, visitor: _Visitor, reason: str) -> None:
        self._counters.refused(reason)
        log.info("connection-refused", extra={"reason": reason, "peer": visitor.address[0]})

    def _take_arrivals(self) -> None:
        with self._arrivals_lock:
            arrivals, self._arrivals = self._arrivals, []
        deadline = time.monotonic() + _LINGER_S
        for client in arrivals:
            try:
                client.setblocking(False)  # noqa: FBT003 - the name of the standard library
                self._add(_Visitor(client, ("", 0), deadline=deadline, leaving=True))
            except (OSError, ValueError):
                client.close()

    def _listen_to(self, visitor: _Visitor) -> None:
        if visitor.leaving:
            data = visitor.client.recv(65536)
            visitor.drained += len(data)
            if not data or visitor.drained > _LINGER_BYTES:
                self._close(visitor)
            return
        wanted = _HEADER - len(visitor.received)
        if wanted <= 0:
            wanted = _HEADER + int.from_bytes(visitor.received[2:6], "big") - len(visitor.received)
        data = visitor.client.recv(min(wanted, 65536))
        if not data:
            self._counters.refused("closed-before-request")
            self._close(visitor)
            return
        visitor.received += data
        if len(visitor.received) >= _HEADER:
            self._look_at_request(visitor)

    def _look_at_request(self, visitor: _Visitor) -> None:
        kind = visitor.received[0]
        length = int.from_bytes(visitor.received[2:6], "big")
        if kind != _REQUEST or not REQUEST_HEADER_BYTES - _HEADER <= length <= self._limits.request_bytes:
            self._refuse(visitor, "not-an-association-request")
            self._forget(visitor)
            if kind == 0x07:  # an A-ABORT needs no answer
                visitor.client.close()
                return
            self.turn_away(visitor.client, abort_pdu(2 if 1 < kind < 8 else 6 if kind == _REQUEST else 1))
            return
        if len(visitor.received) == _HEADER + length:
            self._selector.unregister(visitor.client)
            visitor.waiting = True
            visitor.deadline = time.monotonic() + self._limits.waiting_s
            self._ask_again(visitor, may_wait=True)

    def _ask_again(self, visitor: _Visitor, *, may_wait: bool) -> None:
        """Offer a visitor with a whole request to the listener."""
        try:
            if self._admit(visitor.client, visitor.address, bytes(visitor.received), may_wait):
                self._forget(visitor)
        except Exception as error:  # noqa: BLE001 - see _serve
            log.error("admission-bug", extra=where(error))  # noqa: TRY400 - no wire bytes
            self._close(visitor)


def prepare(client: socket.socket) -> None:
    """Set up an accepted socket: no delayed answers, and dead peers are noticed by the kernel too (pynetdicom#979)."""
    client.setblocking(False)  # noqa: FBT003 - the name of the standard library
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            client.setsockopt(socket.IPPROTO_TCP, option, value)
