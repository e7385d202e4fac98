"""PACS that behave and PACS that do not: real pynetdicom SCPs, and raw sockets for what no SCP would do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import AE, evt

from tests import scp

RESULT_CLASSES = (SegmentationStorage, ComprehensiveSRStorage, CTImageStorage)
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


class Pacs:
    """Records what it is offered; ``answer(event)`` decides the status and may do worse."""

    def __init__(
        self,
        answer: Callable[[Any], int] = lambda _: 0x0000,
        *,
        classes: Sequence[str] = RESULT_CLASSES,
        syntaxes: Sequence[str] = PLAIN,
        called_ae_title: str | None = None,
        calling_ae_titles: Sequence[str] = (),
        maximum_associations: int = 10,
        handlers: Sequence[tuple[Any, Any]] = (),
    ) -> None:
        self.offered: list[tuple[str, str, bytes]] = []
        self.associations = 0
        self.callers: set[str] = set()
        self._answer = answer
        self._ae = AE(ae_title=called_ae_title or "PACS")
        self._ae.require_called_aet = called_ae_title is not None
        self._ae.require_calling_aet = list(calling_ae_titles)
        self._ae.maximum_associations = maximum_associations
        for sop_class in classes:
            self._ae.add_supported_context(sop_class, list(syntaxes))
        self._ae.add_supported_context("1.2.840.10008.1.1")
        self._handlers = handlers
        self._server: Any = None

    @property
    def port(self) -> int:
        return int(self._server.socket.getsockname()[1])

    @property
    def uids(self) -> list[str]:
        return [uid for uid, _, _ in self.offered]

    def bind(self, event: evt.EventType, handler: Callable[[Any], Any]) -> None:
        """Handle another event of the associations that come."""
        self._server.bind(event, handler)

    def __enter__(self) -> Pacs:
        self._server = self._ae.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_REQUESTED, self._on_requested),
                *self._handlers,
            ],
        )
        return self

    def __exit__(self, *_: object) -> None:
        scp.stop(self._server)

    def _on_requested(self, event: Any) -> None:
        self.associations += 1
        self.callers.add(event.assoc.requestor.primitive.calling_ae_title)

    def _on_store(self, event: Any) -> int:
        self.offered.append(
            (
                str(event.request.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                event.encoded_dataset(include_meta=False),
            )
        )
        return self._answer(event)


def aborts(event: Any) -> int:
    """Keep the object, then A-ABORT instead of an answer: in doubt."""
    event.assoc.abort()
    return 0x0000


def drops_the_connection(event: Any) -> int:
    """Cut TCP instead of answering."""
    event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    return 0x0000


@contextmanager
def hangs() -> Iterator[Callable[[Any], int]]:
    """An answer that comes only when the test is over."""
    over = threading.Event()

    def answer(_: Any) -> int:
        over.wait(60)
        return 0x0000

    try:
        yield answer
    finally:
        over.set()


@contextmanager
def raw_server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A TCP server that handles its first connection with ``serve``; gives its port."""
    over = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def run() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                try:
                    serve(connection, over)
                except OSError:
                    return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
    thread.join(10)


def silent(_: socket.socket, over: threading.Event) -> None:
    """Accepts TCP and never says a word."""
    over.wait(60)


def trickles(connection: socket.socket, over: threading.Event) -> None:
    """Sends an A-ASSOCIATE-AC that never ends, byte by byte: no read of ours ever times out."""
    connection.recv(4096)
    connection.sendall(b"\x02\x00\x00\x00\xff\xff")
    while not over.wait(0.05):
        connection.sendall(b"\0")


def no_dicom(connection: socket.socket, _: threading.Event) -> None:
    """Some other service."""
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    time.sleep(0.2)
