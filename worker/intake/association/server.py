"""The listener: Storage and Verification SCP (PS3.4 Annexes A and B)."""

from __future__ import annotations

import contextlib
import errno
import logging
import resource
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext

from worker.data_elements.limits import ScanLimits
from worker.domain.character_sets import StatedSets
from worker.domain.errors import ConfigurationError
from worker.domain.implementation import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.intake.association.acceptor import ConnectionAcceptor, abort_pdu
from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.association import StorageAssociation
from worker.intake.association.association_table import AssociationTable
from worker.intake.counters import Counters, ListenerStats
from worker.intake.dimse.handlers import StorageHandler
from worker.intake.dimse.services import Services
from worker.intake.limits import Limits
from worker.intake.ports import InstanceStore
from worker.intake.supported_syntaxes import is_storage_class
from worker.intake.upper_layer.negotiation import ProtocolError, RejectError, parse_request

log = logging.getLogger(__name__)

_FILES: Final = 4096
_ALARM: Final = 0.8
_TRANSIENT: Final = (2, 3, 2)  # rejected transient, presentation-related provider, local limit exceeded
_CONGESTION: Final = (2, 3, 1)
_CALLING_NOT_KNOWN: Final = (1, 1, 3)
_CALLED_NOT_KNOWN: Final = (1, 1, 7)


def reject_pdu(result: int, source: int, reason: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 9.3.4) of result, source and reason."""
    return bytes((0x03, 0, 0, 0, 0, 4, 0, result, source, reason))


class Listener:
    """Receives instances and hands them to a store; 0x0000 is answered after ``store.admit`` returned.

    Parameters
    ----------
    store:
        Durable custody.
    ae_title:
        Ours, at most 16 characters.
    bind_address, port:
        Loopback unless the site says otherwise. Port 0 takes a free one (see ``port``).
    limits, scan_limits, access:
        What peers may take, how deep a data set is looked into, who may come in.
    extra_storage_classes, accept_private_classes:
        SOP classes beyond DICOM's own that are stored: named ones, or any outside DICOM's root.
    accept_conflicts:
        Answer success for an instance that was kept apart as a conflict (default: 0xA900).
    character_sets:
        What the site says of the text of its senders, for the index.
    extra_contexts, event_handlers:
        Further services, for example storage commitment: pynetdicom presentation contexts, and pynetdicom event
        handlers as in ``AE.start_server(evt_handlers=...)``. They run on the association's thread; requests on these
        contexts are bounded by ``limits.extra_message_bytes``.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that a site decides
        self,
        store: InstanceStore,
        *,
        ae_title: str,
        bind_address: str = "127.0.0.1",
        port: int = 11112,
        limits: Limits | None = None,
        scan_limits: ScanLimits | None = None,
        access: AccessPolicy | None = None,
        extra_storage_classes: Sequence[str] = (),
        accept_private_classes: bool = False,
        accept_conflicts: bool = False,
        character_sets: StatedSets | None = None,
        extra_contexts: Sequence[PresentationContext] = (),
        event_handlers: Sequence[tuple[Any, ...]] = (),
    ) -> None:
        self._store = store
        self._bind_address = bind_address
        self._port = port
        self._limits = limits or Limits()
        self._access = access or AccessPolicy()
        self._counters = Counters()
        self._association_table: AssociationTable[StorageAssociation] = AssociationTable(self._limits)
        self._extra_storage = frozenset(extra_storage_classes)
        self._accept_private = accept_private_classes
        self._near_limit = False
        self._logged_at: dict[str, float] = {}
        self._ae = _application_entity(ae_title)
        self._storage = StorageHandler(
            store,
            self._counters,
            scan_limits=scan_limits or ScanLimits(),
            object_bytes=self._limits.object_bytes,
            accept_conflicts=accept_conflicts,
            character_sets=character_sets or StatedSets(),
        )
        self._extra_contexts = {str(context.abstract_syntax): context for context in extra_contexts}
        self._event_handlers = _event_handlers(event_handlers)
        self._connection_acceptor: ConnectionAcceptor | None = None
        self._services: Services | None = None
        self._lifecycle = threading.Lock()

    @property
    def address(self) -> tuple[str, int]:
        """Where the listener is bound: (IP address, port)."""
        return self._bind_address, self._port

    @property
    def port(self) -> int:
        """TCP port; the real one once started with port 0."""
        return self._port

    def stats(self) -> ListenerStats:
        """Return a consistent picture of all counters."""
        pending = self._connection_acceptor.pending if self._connection_acceptor else 0
        return self._counters.picture(open_associations=len(self._association_table), pending=pending)

    def start(self) -> None:
        """Bind, and serve on threads of its own. Returns at once; ConfigurationError when it cannot bind."""
        with self._lifecycle:
            if self._connection_acceptor is not None:
                raise RuntimeError("the listener runs already")
            _allow_files(_FILES)
            listening = self._bind()
            self._port = listening.getsockname()[1]
            self._services = Services(
                ae=self._ae,
                storage=self._storage,
                counters=self._counters,
                limits=self._limits,
                is_storage=self._is_storage,
                extra_contexts=self._extra_contexts,
                event_handlers=self._event_handlers,
                address=listening.getsockname()[:2],
            )
            self._connection_acceptor = ConnectionAcceptor(
                listening,
                limits=self._limits,
                access=self._access,
                counters=self._counters,
                admit=self._admit,
                watch=self._watch,
            )
            self._connection_acceptor.start()
        log.info("listener-started", extra={"address": self._bind_address, "port": self._port})

    def stop(self, grace_s: float = 10.0) -> None:
        """Stop: no newcomers; idle associations end at once, others after their message, at most after ``grace_s``."""
        with self._lifecycle:
            acceptor, self._connection_acceptor = self._connection_acceptor, None
            if acceptor is None:
                return
            acceptor.stop_accepting()
            for association in self._association_table.everybody():
                association.finish()
            if not self._association_table.wait_until_empty(grace_s):
                for association in self._association_table.everybody():
                    association.evict("stopped")
                self._association_table.wait_until_empty(5.0)
            acceptor.stop()
        log.info("listener-stopped", extra={"port": self._port})

    # -------------------------------------------------------------------------------- called by the connection acceptor

    def _admit(self, client: socket.socket, address: tuple[str, int], pdu: bytes, may_wait: bool) -> bool:  # noqa: FBT001
        """Judge a whole request, and give it a thread of its own; False: it has to wait for a place."""
        acceptor, services = self._connection_acceptor, self._services
        if acceptor is None or services is None:
            client.close()
            return True
        try:
            request = parse_request(pdu)
            refusal = self._judge(request.called_ae_title, request.calling_ae_title, address[0])
        except RejectError as error:
            refusal = ("request-not-supported", (error.result, error.source, error.reason))
        except ProtocolError as error:
            self._turned_away(error.event, address)
            acceptor.turn_away(client, abort_pdu(error.reason))
            return True
        if refusal is not None:
            if may_wait and refusal[1] == _TRANSIENT:
                return False
            self._turned_away(refusal[0], address)
            acceptor.turn_away(client, reject_pdu(*refusal[1]))
            return True
        association = StorageAssociation(
            services,
            _Host(acceptor, self._association_table),
            client=client,
            address=address,
            request=request,
            association_id=secrets.token_hex(8),
        )
        self._alarm(self._association_table.enter(association))
        try:
            association.start()
        except RuntimeError:  # no more threads
            self._association_table.leave(association)
            self._turned_away("out-of-threads", address)
            acceptor.turn_away(client, reject_pdu(*_CONGESTION))
        return True

    def _judge(self, called: str, calling: str, peer_address: str) -> tuple[str, tuple[int, int, int]] | None:
        if self._access.require_called_ae_title and called != self._ae.ae_title:
            return "called-ae-title-not-ours", _CALLED_NOT_KNOWN
        if not self._access.admits_calling(calling):
            return "calling-ae-title-not-allowed", _CALLING_NOT_KNOWN
        if not self._association_table.make_room(peer_address, calling):
            return "limit-reached", _TRANSIENT
        return None

    def _turned_away(self, reason: str, address: tuple[str, int]) -> None:
        self._counters.refused(reason)
        now = time.monotonic()
        if now - self._logged_at.get(reason, -1.0) >= 1.0:  # a flood of refusals must not become a flood of lines
            self._logged_at[reason] = now
            log.warning("association-refused", extra={"reason": reason, "peer": address[0]})

    def _alarm(self, inside: int) -> None:
        """Warn once when the house is nearly full, and again only after it was half empty."""
        if inside >= _ALARM * self._limits.associations and not self._near_limit:
            self._near_limit = True
            log.warning("associations-near-limit", extra={"associations": inside})
        elif inside < self._limits.associations // 2:
            self._near_limit = False

    def _watch(self) -> None:
        """Watchdog: whoever is past every deadline has a stuck thread; cut its connection."""
        longest = self._limits.idle_s + self._limits.pdu_s + 5.0
        for association in self._association_table.overdue(longest):
            log.error("association-stuck", extra={"association_id": association.association_id})
            association.evict("stuck")

    # ------------------------------------------------------------------------------------------------- set-up

    def _is_storage(self, uid: str) -> bool:
        return is_storage_class(uid, extra=self._extra_storage, accept_private=self._accept_private)

    def _bind(self) -> socket.socket:
        if not 0 <= self._port <= 65535:
            raise _bind_error(self._bind_address, self._port, OverflowError())
        try:
            family, _, _, _, address = socket.getaddrinfo(
                self._bind_address, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, socket.SOCK_STREAM)
        except (OSError, UnicodeError, OverflowError) as error:
            raise _bind_error(self._bind_address, self._port, error) from error
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(self._limits.backlog)
        except (OSError, OverflowError) as error:
            listening.close()
            raise _bind_error(self._bind_address, self._port, error) from error
        return listening


class _Host:
    """What an association may do to the listener."""

    def __init__(self, acceptor: ConnectionAcceptor, table: AssociationTable[StorageAssociation]) -> None:
        self._connection_acceptor = acceptor
        self._association_table = table

    def linger(self, client: socket.socket) -> None:
        self._connection_acceptor.linger(client)

    def left(self, association: StorageAssociation) -> None:
        self._association_table.leave(association)


def _application_entity(ae_title: str) -> ApplicationEntity:
    """Make pynetdicom's AE; who may come in has been judged before it sees a request."""
    if not 0 < len(ae_title) <= 16 or ae_title.strip() != ae_title or not ae_title.isascii() or "\\" in ae_title:
        raise ConfigurationError(
            "The AE title of the listener must have 1 to 16 ASCII characters, no backslash, no space at its ends.",
            next_step='Choose one such as "OVERREAD".',
            code="bad-ae-title",
        )
    entity = ApplicationEntity(ae_title=ae_title)
    entity.maximum_associations = 1 << 20
    entity.require_called_aet = False
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = implementation_version_name()
    return entity


def _event_handlers(extra: Sequence[tuple[Any, ...]]) -> Mapping[evt.EventType, Any]:
    """Bind pynetdicom's defaults once for all; its logging handlers are left out (they show identities)."""
    handlers: dict[evt.EventType, Any] = {}
    for event in evt._INTERVENTION_EVENTS:  # noqa: SLF001 - pynetdicom offers no other way
        evt._add_handler(event, handlers, (evt.get_default_handler(event), None))  # noqa: SLF001 - see above
    for event, handler, *args in extra:
        evt._add_handler(event, handlers, (handler, args[0] if args else None))  # noqa: SLF001 - see above
    return handlers


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files towards ``wanted``: each peer is one, each arriving instance another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))


def _bind_error(address: str, port: int, error: Exception) -> ConfigurationError:
    where = f"{address}:{port}"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return ConfigurationError(
            f"Port {port} on {address} is in use.",
            next_step=f"Find out by whom (ss -ltnp 'sport = :{port}'), or choose another port with --port.",
            code="port-in-use",
        )
    if number == errno.EACCES:
        return ConfigurationError(
            f"Port {port} needs rights that this user does not have.",
            next_step="Choose a port above 1023 (11112 is DICOM's own), or grant CAP_NET_BIND_SERVICE.",
            code="port-privileged",
        )
    return ConfigurationError(
        f"The listener cannot be bound to {where}.",
        next_step="Set bind_address to an address of this machine (127.0.0.1, 0.0.0.0) and port to 1 to 65535.",
        code="bad-bind-address",
    )
