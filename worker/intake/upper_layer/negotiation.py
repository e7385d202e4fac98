"""Reading an A-ASSOCIATE-RQ (PS3.8 9.3.2) with suspicion, and choosing what to accept.

pynetdicom would abort over an unknown sub-item that the standard wants ignored, and spends milliseconds on each of 128
contexts with 40 transfer syntaxes. Here the PDU is taken apart within its bounds, the transfer syntax of each context
is chosen, and what pynetdicom gets is small and clean.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydicom.uid import UID
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from worker.intake.supported_syntaxes import TRANSFER_SYNTAXES, VERIFICATION
from worker.intake.uids import trim_uid

REQUEST_HEADER_BYTES: Final = 74
"""PDU header, version, AE titles and reserved bytes: everything before the variable items."""
_APPLICATION_CONTEXT: Final = b"1.2.840.10008.3.1.1.1"
_UNKNOWN_IMPLEMENTATION: Final = "1.2.826.0.1.3680043.10.1649.0"
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*\Z")
_ECHO_SYNTAXES: Final = TRANSFER_SYNTAXES[:3]


class RejectError(Exception):
    """The request is well-formed and refused: result, source and reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        super().__init__(result, source, reason)
        self.result = result
        self.source = source
        self.reason = reason


class ProtocolError(Exception):
    """The peer does not speak the protocol: A-ABORT with this provider reason (PS3.8 9.3.8).

    ``event`` is a short, stable, hyphenated name for the log.
    """

    def __init__(self, event: str, *, reason: int = 6) -> None:
        super().__init__(event)
        self.event = event
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context of the request. Invalid UIDs have been dropped; ``abstract_syntax`` may be empty."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What counts of an A-ASSOCIATE-RQ. ``roles`` maps a SOP class to the proposed (SCU, SCP) roles."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    maximum_length: int
    roles: tuple[tuple[str, bool, bool], ...]
    implementation_class_uid: str
    implementation_version_name: str


def clean_ae_title(raw: bytes) -> str:
    """AE title without padding (PS3.5 6.2 AE); what is not printable ASCII becomes "?" so that no log can be forged."""
    text = raw.decode("ascii", "replace").strip(" \0")
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)


def parse_request(pdu: bytes) -> AssociationRequest:
    """Take a whole A-ASSOCIATE-RQ PDU apart. Raises RejectError and ProtocolError."""
    if len(pdu) < REQUEST_HEADER_BYTES:
        raise ProtocolError("short-association-request")
    version = struct.unpack_from(">H", pdu, 6)[0]
    if not version & 1:
        raise RejectError(1, 2, 2)
    calling = clean_ae_title(pdu[26:42])
    if not calling:
        raise RejectError(1, 1, 3)
    application_context = b""
    contexts: list[ProposedContext] = []
    user: dict[int, bytes] = {}
    roles: list[tuple[str, bool, bool]] = []
    for kind, body in _items(pdu, REQUEST_HEADER_BYTES, len(pdu)):
        if kind == 0x10:
            application_context = body.rstrip(b"\0 ")
        elif kind == 0x20:
            contexts.append(_context(body))
        elif kind == 0x50:
            for sub_kind, value in _items(body, 0, len(body)):
                user.setdefault(sub_kind, value)
                if sub_kind == 0x54:
                    roles.extend(_role(value))
    if application_context != _APPLICATION_CONTEXT:
        raise RejectError(1, 1, 2)
    ids = [context.context_id for context in contexts]
    if not contexts or len(set(ids)) != len(ids) or not all(number % 2 for number in ids):
        raise ProtocolError("bad-presentation-contexts")
    implementation = trim_uid(user.get(0x52, b""))
    return AssociationRequest(
        called_ae_title=clean_ae_title(pdu[10:26]),
        calling_ae_title=calling,
        contexts=tuple(contexts),
        maximum_length=_maximum_length(user.get(0x51)),
        roles=tuple(roles),
        implementation_class_uid=implementation if _well_formed(implementation) else _UNKNOWN_IMPLEMENTATION,
        implementation_version_name=clean_ae_title(user.get(0x55, b"")[:16]),
    )


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    position = start
    while position < end:
        if end - position < 4:
            raise ProtocolError("bad-association-item")
        kind, _, length = struct.unpack_from(">BBH", data, position)
        position += 4
        if length > end - position:
            raise ProtocolError("bad-association-item")
        yield kind, data[position : position + length]
        position += length


def _context(body: bytes) -> ProposedContext:
    if len(body) < 4:
        raise ProtocolError("bad-presentation-contexts")
    abstract, syntaxes = "", []
    for kind, value in _items(body, 4, len(body)):
        uid = trim_uid(value)
        if not _well_formed(uid):
            continue
        if kind == 0x30:
            abstract = uid
        elif kind == 0x40:
            syntaxes.append(uid)
    return ProposedContext(body[0], abstract, tuple(syntaxes))


def _well_formed(uid: str) -> bool:
    """Tell whether a UID is one by PS3.5 9.1 to the letter: no registered class or syntax is anything else."""
    return len(uid) <= 64 and _UID.match(uid) is not None


def _role(body: bytes) -> Iterator[tuple[str, bool, bool]]:
    if len(body) >= 4:
        length = struct.unpack_from(">H", body)[0]
        uid = trim_uid(body[2 : 2 + length])
        if len(body) == 4 + length and _well_formed(uid) and (body[-2] or body[-1]):
            yield uid, bool(body[-2]), bool(body[-1])


def _maximum_length(raw: bytes | None) -> int:
    """Return the longest P-DATA-TF the peer takes; 0 is "no limit" (PS3.8 D.1)."""
    return struct.unpack(">I", raw)[0] if raw is not None and len(raw) == 4 else 16382


class CleanRequest:
    """Stands in for pynetdicom's A_ASSOCIATE_RQ where its state machine asks the received PDU for a primitive."""

    protocol_version = 1

    def __init__(self, primitive: A_ASSOCIATE) -> None:
        self._primitive = primitive

    def to_primitive(self) -> A_ASSOCIATE:
        """Return the A-ASSOCIATE indication (PS3.8 7.1)."""
        return self._primitive


def negotiable(
    request: AssociationRequest,
    *,
    is_storage: Callable[[str], bool],
    extra: Mapping[str, PresentationContext],
) -> tuple[CleanRequest, list[PresentationContext]]:
    """Prepare the request for pynetdicom's negotiation.

    Parameters
    ----------
    request:
        As parsed.
    is_storage:
        Tells whether instances of an abstract syntax are taken.
    extra:
        Further supported contexts, by abstract syntax.

    Returns
    -------
    The cleaned request, in which each storage context offers the one transfer syntax that was chosen, and the contexts
    that the acceptor supports, one for each abstract syntax that was proposed.
    """
    proposed: list[PresentationContext] = []
    supported: dict[str, PresentationContext] = {}
    for context in request.contexts:
        abstract = context.abstract_syntax
        ours: tuple[str, ...] = ()
        if abstract in extra:
            supported[abstract] = extra[abstract]
            ours = tuple(extra[abstract].transfer_syntax)
        elif abstract == VERIFICATION:
            ours = _ECHO_SYNTAXES
        elif is_storage(abstract):
            ours = TRANSFER_SYNTAXES
        chosen = next((uid for uid in ours if uid in context.transfer_syntaxes), "")
        if chosen and abstract not in extra:
            entry = supported.setdefault(abstract, _presentation_context(abstract, []))
            if chosen not in entry.transfer_syntax:
                entry.add_transfer_syntax(chosen)
        offered = chosen or next(iter(context.transfer_syntaxes), TRANSFER_SYNTAXES[1])
        proposed.append(_presentation_context(abstract or VERIFICATION + ".0", [offered], context.context_id))
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(_APPLICATION_CONTEXT.decode())
    primitive.calling_ae_title = request.calling_ae_title
    primitive.called_ae_title = request.called_ae_title or "ANY-SCP"
    primitive.presentation_context_definition_list = proposed
    primitive.user_information = _user_information(request)
    return CleanRequest(primitive), list(supported.values())


def _presentation_context(abstract: str, syntaxes: list[str], context_id: int | None = None) -> PresentationContext:
    context = PresentationContext()
    if context_id is not None:
        context.context_id = context_id
    context.abstract_syntax = UID(abstract)
    context.transfer_syntax = [UID(uid) for uid in syntaxes]
    return context


def _user_information(request: AssociationRequest) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = request.maximum_length
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(request.implementation_class_uid)
    items: list[Any] = [length, implementation]
    if request.implementation_version_name:
        version = ImplementationVersionNameNotification()
        version.implementation_version_name = request.implementation_version_name
        items.append(version)
    for uid, scu, scp in request.roles:
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid = UID(uid)
        role.scu_role = scu
        role.scp_role = scp
        items.append(role)
    return items
