"""Modalities: they send the same bytes again until they have seen an answer, and their cables are bad."""

from __future__ import annotations

import queue
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.chaos.book import Book
from tests.chaos.studies import Instance, Study
from tests.integration.intake.raw_peer import (
    ABORT,
    CT,
    ClosedError,
    RawPeer,
    association_request,
    c_store,
    p_data,
    pdv,
)

TIMEOUT_S = 30.0
_ASSOCIATED = 0x02


@dataclass(frozen=True, slots=True)
class Errand:
    """What one sender does in one go: instances in this order, then something unkind."""

    instances: tuple[Instance, ...]
    then: str = "release"
    """``release``, or ``abort`` after the last instance was sent half way (nobody comes back)."""
    wait_before_s: float = 0.0


class GivenUpError(Exception):
    """The run is over: the sender stops in the middle, as a switched off modality does."""


class Connections:
    """All open connections, so that a bad cable can cut some of them in the middle of whatever they carry."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def add(self, one: socket.socket) -> None:
        with self._lock:
            self._open.add(one)

    def discard(self, one: socket.socket) -> None:
        with self._lock:
            self._open.discard(one)

    def cut(self, rng: random.Random) -> int:
        """Cut about half of them: without a FIN exchange, so that bytes on their way are lost."""
        with self._lock:
            chosen = [one for one in self._open if rng.random() < 0.5] or list(self._open)[:1]
        for one in chosen:
            reset(one)
        return len(chosen)


def reset(one: socket.socket) -> None:
    """RST instead of FIN, also while another thread reads from it."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


class Sender(threading.Thread):
    """One modality with its own AE title, taking errands from the common list."""

    def __init__(
        self,
        number: int,
        *,
        port: int,
        errands: queue.Queue[Errand],
        book: Book,
        connections: Connections,
        seed: str,
        pace_s: float,
    ) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        self._number = number
        self._port = port
        self._errands = errands
        self._book = book
        self._connections = connections
        self._rng = random.Random(seed)
        self._pace_s = pace_s
        self._peer: RawPeer | None = None
        self._ended = threading.Event()
        self.defect: BaseException | None = None

    def end(self) -> None:
        """Stop soon, in the middle if need be."""
        self._ended.set()

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                try:
                    errand = self._errands.get(timeout=0.1)
                except queue.Empty:
                    continue
                try:
                    self._carry_out(errand)
                finally:
                    self._errands.task_done()
        except GivenUpError:
            pass
        except BaseException as error:  # a sender that dies silently would make every check pass
            self.defect = error
            raise
        finally:
            self._hang_up(None)

    # -- one errand

    def _carry_out(self, errand: Errand) -> None:
        self._pause(errand.wait_before_s)
        *first, last = errand.instances
        for instance in first:
            self._until_acknowledged(instance)
        if errand.then == "abort":
            self._half(last)
            return
        self._until_acknowledged(last)
        self._unkind(last)
        if self._peer is not None:
            with suppress(ClosedError, OSError, AssertionError):
                self._peer.release()
        self._hang_up(None)

    def _until_acknowledged(self, instance: Instance) -> None:
        while True:
            status = self._try(lambda: self._store(instance))
            if status == 0x0000:
                self._book.acknowledge(instance)
                break
            self._pause(self._rng.uniform(0.05, 0.3))
        self._pause(self._rng.uniform(0.0, self._pace_s))
        if self._rng.random() < 0.03:
            self._unkind(instance)

    def _unkind(self, acknowledged: Instance) -> None:
        """Now and then: send again what was acknowledged, whole or cut off half way."""
        match self._rng.choices(("nothing", "again", "half"), (0.7, 0.15, 0.15))[0]:
            case "again":
                if self._try(lambda: self._store(acknowledged)) == 0x0000:
                    self._book.acknowledge(acknowledged)
            case "half":
                self._half(acknowledged)
            case _:
                return

    def _half(self, instance: Instance) -> None:
        self._book.answered("cut off half way")
        try:
            peer = self._connected()
            cut = self._rng.randrange(1, len(instance.content) - 1)
            whole_pdu = self._rng.random() < 0.5
            peer.send(p_data(pdv(1, c_store(CT, instance.sop_instance_uid), flags=3)))
            if whole_pdu:
                peer.send(p_data(pdv(1, instance.content[:cut], flags=0)))
            else:
                peer.send(p_data(pdv(1, instance.content, flags=2))[:cut])
            if self._rng.random() < 0.5:
                peer.send(ABORT)
        except (ClosedError, OSError):
            pass
        self._hang_up(reset)

    def _try(self, what: Callable[[], int]) -> int | None:
        if self._ended.is_set():
            raise GivenUpError
        try:
            status = what()
        except (ClosedError, OSError) as error:
            self._book.answered(type(error).__name__)
            self._hang_up(None)
            return None
        self._book.answered(f"0x{status:04X}")
        return status

    def _store(self, instance: Instance) -> int:
        peer = self._connected()
        command = p_data(pdv(1, c_store(CT, instance.sop_instance_uid), flags=3))
        message = command + _fragments(instance.content, self._rng)
        if self._rng.random() < 0.3:
            # In pieces, so that a cut lands in the middle of a PDU.
            at = self._rng.randrange(len(command), len(message))
            peer.send(message[:at])
            time.sleep(self._rng.uniform(0.0, 0.03))
            peer.send(message[at:])
        else:
            peer.send(message)
        return peer.status()

    # -- the connection

    def _connected(self) -> RawPeer:
        if self._peer is None:
            peer = RawPeer(self._port, timeout_s=TIMEOUT_S)
            self._peer = peer
            self._connections.add(peer.socket)
            request = association_request(calling=f"MODALITY{self._number}".encode(), maximum_length=65536)
            kind, _ = peer.open(request)
            if kind != _ASSOCIATED:
                raise ClosedError(f"PDU {kind} instead of A-ASSOCIATE-AC")
        return self._peer

    def _hang_up(self, how: Callable[[socket.socket], None] | None) -> None:
        if self._peer is None:
            return
        self._connections.discard(self._peer.socket)
        if how is not None:
            how(self._peer.socket)
        self._peer.socket.close()
        self._peer = None

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and self._ended.wait(seconds):
            raise GivenUpError


def _fragments(content: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1500, 4000, 60000))
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(p_data(pdv(1, piece, flags=2 if piece is pieces[-1] else 0)) for piece in pieces)


def errands_for(studies: Sequence[Study], rng: random.Random, *, late_after_s: float) -> list[Errand]:
    """Turn studies into errands.

    Most come as they should. Some come interleaved two by two over one association, some in any order, some in two
    parts with a long pause between (late images), and some are given up half way for good.
    """
    found: list[Errand] = []
    left = list(studies)
    while left:
        study = left.pop(0)
        instances = list(study.instances)
        match rng.choices(("plain", "shuffled", "interleaved", "late", "given-up"), (50, 15, 20, 10, 5))[0]:
            case "interleaved" if left:
                other = left.pop(0)
                both = [one for pair in zip(instances, other.instances, strict=True) for one in pair]
                found.append(Errand(tuple(both)))
            case "late":
                cut = rng.randrange(3, len(instances) - 1)
                found.append(Errand(tuple(instances[:cut])))
                found.append(Errand(tuple(instances[cut:]), wait_before_s=late_after_s))
            case "given-up":
                found.append(Errand(tuple(instances[: rng.randrange(2, len(instances))]), then="abort"))
            case "shuffled":
                rng.shuffle(instances)
                found.append(Errand(tuple(instances)))
            case _:
                found.append(Errand(tuple(instances)))
    return found
