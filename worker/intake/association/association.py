"""An association on one thread that sleeps until bytes arrive.

pynetdicom runs two threads for each association, both of which poll every millisecond: 300 idle peers keep two cores
busy, and most of the time of a small instance is spent asleep. Here its Association, ACSE and state machine are kept,
and its reactors are replaced: the DUL acts inside the calling thread, and P-DATA for storage goes from the socket to
the file without becoming an object on the way.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.pdu import A_RELEASE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AddressInformation

from worker.intake.dimse.handlers import Caller
from worker.intake.dimse.messages import MessageReader
from worker.intake.dimse.services import Services
from worker.intake.error_location import where
from worker.intake.upper_layer.inline_dul import InlineDul
from worker.intake.upper_layer.negotiation import (
    AssociationRequest,
    ProtocolError,
    negotiable,
)
from worker.intake.upper_layer.transport import ABORT_BY_PROVIDER, DeadlineSocket, PeerGoneError

log = logging.getLogger(__name__)

_P_DATA: Final = 0x04
_RELEASE_RQ: Final = 0x05
_ABORT: Final = 0x07
_KNOWN_PDUS: Final = range(0x01, 0x08)


class Host(Protocol):
    """What an association needs of the listener that runs it."""

    def linger(self, client: socket.socket) -> None:
        """Close the connection once the peer has had the time to read the last PDU."""

    def left(self, association: StorageAssociation) -> None:
        """Called once, when the association is over, however it ended."""


class StorageAssociation(Association):
    """An accepted association.

    Parameters
    ----------
    services:
        Shared by all.
    host:
        The listener.
    client, address:
        The connected socket, and the peer's (IP address, port).
    request:
        The A-ASSOCIATE-RQ, already judged.
    association_id:
        Ours, random.
    """

    def __init__(
        self,
        services: Services,
        host: Host,
        *,
        client: socket.socket,
        address: tuple[str, int],
        request: AssociationRequest,
        association_id: str,
    ) -> None:
        self._services = services
        super().__init__(services.ae, MODE_ACCEPTOR)
        self.name = f"association-{association_id}"
        self.association_id = association_id
        self.peer_address = address[0]
        self.calling_ae_title = request.calling_ae_title
        self.busy = False
        self.answered = 0
        self.still_since = time.monotonic()
        self.end_reason = ""
        self._host = host
        self._client = client
        self._request = request
        self._opened = False
        self._stopping = False
        self._reader: MessageReader | None = None
        self.inline_dul = InlineDul(self)
        self.dul = self.inline_dul
        self.wire = DeadlineSocket(self, client, send_s=services.limits.pdu_s)
        self.set_socket(self.wire)
        self._dul_ready.set()
        self._started_dul = True
        self.acceptor.maximum_length = services.limits.maximum_pdu_bytes
        self.acceptor.ae_title = services.ae.ae_title
        self.acceptor.implementation_class_uid = services.ae.implementation_class_uid
        self.acceptor.implementation_version_name = services.ae.implementation_version_name
        self.acceptor.address_info = AddressInformation.from_tuple(services.address)
        self.requestor.address_info = AddressInformation.from_tuple(address)

    def _bind_defaults(self) -> None:
        """Take the listener's handlers as they are: binding them one by one takes a lock and a millisecond."""
        self._handlers = dict(self._services.event_handlers)

    # ---------------------------------------------------------------------------------- what other threads may call

    def evict(self, reason: str) -> None:
        """End the association from another thread: for a new one, at a stop, or past every deadline."""
        self.end_reason = self.end_reason or reason
        try:
            self._client.send(ABORT_BY_PROVIDER, socket.MSG_DONTWAIT)
        except OSError:
            pass
        finally:
            self.wire.shut()

    def finish(self) -> None:
        """Stop after the message that is arriving or being worked on; at once when there is none."""
        self._stopping = True
        reader = self._reader
        if not self.busy and not (reader and reader.in_progress):
            self.evict("stopped")

    # ------------------------------------------------------------------------------------------------- the thread

    def run_reactor(self) -> None:
        """Negotiate, serve, and leave nothing behind, whatever happens."""
        reason = "bug"
        try:
            self._reader = reader = self._negotiate()
            reason = self._serve(reader) if reader else "rejected"
        except PeerGoneError as gone:
            reason = gone.reason
            if gone.reason != "closed":
                self._abort_by_provider(0)
        except ProtocolError as error:
            log.warning("protocol-error", extra={"code": error.event, "association_id": self.association_id})
            reason = "protocol-error"
            self._abort_by_provider(error.reason)
        except Exception as error:  # noqa: BLE001 - one broken association must not take the others along
            log.error(  # noqa: TRY400 - a traceback may quote patient data
                "association-bug", extra={**where(error), "association_id": self.association_id}
            )
            self._abort_by_provider(0)
        finally:
            self._end(self.end_reason or reason)

    def _negotiate(self) -> MessageReader | None:
        services = self._services
        clean, supported = negotiable(self._request, is_storage=services.is_storage, extra=services.extra_contexts)
        self.acceptor.supported_contexts = supported
        self.inline_dul.pump()  # Evt5: the connection is there
        self.inline_dul.receive(clean, "Evt6")
        primitive: object = self.dul.receive_pdu(wait=False)
        if not isinstance(primitive, A_ASSOCIATE):
            return None
        self.requestor.primitive = primitive
        evt.trigger(self, evt.EVT_REQUESTED, {})
        if not self.is_aborted and not self.is_rejected:
            self.acse.negotiate_association()
        if not self.is_established:
            return None
        services.counters.accepted()
        log.info(
            "association-accepted",
            extra={
                "association_id": self.association_id,
                "calling_ae_title": self.calling_ae_title,
                "peer": self.peer_address,
            },
        )
        self._is_paused = True  # pynetdicom's send_*() methods wait for a reactor; there is none to wait for
        return MessageReader(self, services)

    def _serve(self, reader: MessageReader) -> str:
        """Read PDUs until the association ends; return how it ended."""
        limits = self._services.limits
        while reader.in_progress or not self._stopping:
            header = self.wire.wait_for_pdu(idle_s=limits.idle_s, pdu_s=limits.pdu_s)
            kind, length = header[0], int.from_bytes(header[2:], "big")
            if kind == _P_DATA:
                if not 0 < length <= limits.maximum_pdu_bytes:
                    raise ProtocolError("pdu-longer-than-negotiated")
                reader.p_data(length)
                self.still_since = time.monotonic()
                if not self.is_established:
                    return "aborted"
                continue
            if kind == _ABORT:
                return "aborted"
            if kind != _RELEASE_RQ:
                raise ProtocolError("unexpected-pdu", reason=2 if kind in _KNOWN_PDUS else 1)
            if length > 64:
                raise ProtocolError("bad-release-request")
            self.wire.exactly(length)
            self._release()
            return "released"
        self._abort_by_provider(0)
        return "stopped"

    def _release(self) -> None:
        pdu = A_RELEASE_RQ()
        self.inline_dul.receive(pdu, "Evt12")
        if self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
        self.is_released = True
        self.is_established = False
        evt.trigger(self, evt.EVT_RELEASED, {})

    def _abort_by_provider(self, reason: int) -> None:
        """Send an A-ABORT (PS3.8 9.3.8) if the peer can still read one."""
        self.acse.send_ap_abort(reason)
        evt.trigger(self, evt.EVT_ABORTED, {})

    def open_for_storage(self) -> Caller:
        """Tell the store, before the first instance, that this association brings some."""
        if not self._opened:
            self._opened = True
            self._tell_store(
                lambda: self._services.storage.store.association_opened(self.association_id, self.calling_ae_title)
            )
        return Caller(self.association_id, self.calling_ae_title)

    def _tell_store(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a missing note only delays the study's completion
            log.error(  # noqa: TRY400 - see run_reactor
                "association-note-lost",
                extra={**where(error), "association_id": self.association_id},
            )

    def _end(self, reason: str) -> None:
        self._kill = True
        self.is_established = False
        if self._reader is not None:
            self._reader.drop()
        self._host.linger(self._client)
        self._host.left(self)
        self._services.counters.ended(reason)
        log.info("association-ended", extra={"reason": reason, "association_id": self.association_id})
        if self._opened:
            self._tell_store(lambda: self._services.storage.store.association_released(self.association_id))

    # ------------------------------------------------------------------ what pynetdicom's services call on the way

    def kill(self) -> None:
        """End the loop; there is no second thread to wait for."""
        self._kill = True
        self.is_established = False
        self._is_paused = True
