"""From P-DATA-TF PDUs to DIMSE messages (PS3.8 Annex E), fragment by fragment."""

from __future__ import annotations

import struct
import time
from typing import Any, Final, Protocol

from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext

from worker.intake.dimse.command import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    N_EVENT_REPORT_RQ,
    Command,
    command_pdus,
    parse_command,
    response_set,
)
from worker.intake.dimse.handlers import Answer, Caller, Drained, Incoming
from worker.intake.dimse.services import Services
from worker.intake.status import SOP_CLASS_NOT_SUPPORTED, SUCCESS, UNRECOGNIZED_OPERATION
from worker.intake.supported_syntaxes import VERIFICATION
from worker.intake.upper_layer.inline_dul import InlineDul
from worker.intake.upper_layer.negotiation import ProtocolError
from worker.intake.upper_layer.transport import DeadlineSocket, PeerGoneError

_COMMAND: Final = 1
_LAST: Final = 2


class Speaker(Protocol):
    """The association, as the reader of its messages sees it."""

    wire: DeadlineSocket
    inline_dul: InlineDul
    dimse: Any
    busy: bool
    answered: int
    _accepted_cx: dict[int, PresentationContext]
    requestor: Any

    def open_for_storage(self) -> Caller:
        """Tell the store that instances are coming."""

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """Run pynetdicom's service class for one of the extra services."""


class _Message:
    """A message that is arriving."""

    __slots__ = ("bytes", "command", "context_id", "incoming", "parsed", "started_at")

    def __init__(self, context_id: int) -> None:
        self.context_id = context_id
        self.command = bytearray()
        self.parsed: Command | None = None
        self.incoming: Incoming | None = None
        self.started_at = time.monotonic()
        self.bytes = 0


class MessageReader:
    """Reads messages of one association and answers them, one after the other.

    Storage and Verification are served here. Messages on an extra context go to pynetdicom's own service classes and
    the event handlers that the listener was given.
    """

    def __init__(self, association: Speaker, services: Services) -> None:
        self._association = association
        self._services = services
        self._message: _Message | None = None

    @property
    def in_progress(self) -> bool:
        """Tell whether a message has begun and is not answered."""
        return self._message is not None

    def drop(self) -> None:
        """The association ended: an unfinished message leaves nothing behind."""
        if self._message is not None and self._message.incoming is not None:
            self._message.incoming.drop()
        self._message = None

    def p_data(self, length: int) -> None:
        """Read the body of a P-DATA-TF PDU. Raises ProtocolError and PeerGoneError."""
        left = length
        while left:
            if left < 6:
                raise ProtocolError("bad-pdv")
            size, context_id, flags = struct.unpack(">IBB", self._association.wire.exactly(6))
            if size < 2 or size > left - 4:
                raise ProtocolError("bad-pdv")
            left -= 4 + size
            if flags & _COMMAND:
                self._command_fragment(context_id, size - 2, last=bool(flags & _LAST))
            else:
                self._data_fragment(context_id, size - 2, last=bool(flags & _LAST))
        self._check_pace()

    def _check_pace(self) -> None:
        """Close a message that trickles: each PDU may be in time, and the message never end."""
        message, limits = self._message, self._services.limits
        if message is not None:
            elapsed = time.monotonic() - message.started_at
            if elapsed > limits.message_rate_after_s and message.bytes < elapsed * limits.message_rate_bytes_per_s:
                raise PeerGoneError("slow-message")

    def _command_fragment(self, context_id: int, size: int, *, last: bool) -> None:
        message = self._message
        if message is None:
            if context_id not in self._association._accepted_cx:  # noqa: SLF001 - pynetdicom's name
                raise ProtocolError("context-not-accepted")
            message = self._message = _Message(context_id)
        if message.context_id != context_id or message.parsed is not None:
            raise ProtocolError("unexpected-fragment")
        if len(message.command) + size > self._services.limits.command_bytes:
            raise ProtocolError("command-too-long")
        message.command += self._association.wire.exactly(size)
        message.bytes += size
        if last:
            message.parsed = parse_command(bytes(message.command))
            message.incoming = self._begin(message, message.parsed)
            if not message.parsed.has_data_set:
                self._finish(message)

    def _data_fragment(self, context_id: int, size: int, *, last: bool) -> None:
        message = self._message
        if message is None or message.incoming is None or message.context_id != context_id:
            raise ProtocolError("unexpected-fragment")
        message.bytes += size
        wire, incoming = self._association.wire, message.incoming
        while size:
            piece = wire.some(size)
            incoming.write(piece)
            size -= len(piece)
        if last:
            self._finish(message)

    # -------------------------------------------------------------------------------------------------- services

    def _begin(self, message: _Message, command: Command) -> Incoming:
        """Choose who takes the data set, and the answer, by context and command."""
        context = self._association._accepted_cx[message.context_id]  # noqa: SLF001 - pynetdicom's name
        abstract = str(context.abstract_syntax)
        if abstract in self._services.extra_contexts:
            return _ExtraService(self._association, message.context_id, bytes(message.command), command, self._services)
        if command.field == C_STORE_RQ and abstract != VERIFICATION:
            return self._services.storage.begin(
                command,
                abstract_syntax=abstract,
                transfer_syntax=str(context.transfer_syntax[0]),
                caller=self._association.open_for_storage(),
            )
        if command.field == C_ECHO_RQ and abstract == VERIFICATION:
            self._services.counters.echo()
            return Drained(Answer(SUCCESS))
        return Drained(_not_here(command))

    def _finish(self, message: _Message) -> None:
        """Answer a message that is whole."""
        command, incoming = message.parsed, message.incoming
        if command is None or incoming is None:
            raise ProtocolError("unexpected-fragment")
        self._message = None
        association = self._association
        association.busy = True
        try:
            answer = incoming.complete()
        finally:
            association.busy = False
            association.answered += 1
        if command.field == C_CANCEL_RQ or isinstance(incoming, _ExtraService):
            return  # nothing here can be cancelled, and a C-CANCEL has no answer (PS3.7 9.3.2.3)
        association.inline_dul.send_raw(
            command_pdus(
                message.context_id,
                response_set(command, status=answer.status, comment=answer.comment),
                maximum_length=int(association.requestor.maximum_length),
            )
        )


def _not_here(command: Command) -> Answer:
    """Answer an operation that its presentation context does not offer; it never reaches the store."""
    if command.field == C_STORE_RQ:
        return Answer(SOP_CLASS_NOT_SUPPORTED, "store-on-verification-context")
    if command.field == C_ECHO_RQ:
        return Answer(SOP_CLASS_NOT_SUPPORTED, "echo-on-storage-context")
    return Answer(UNRECOGNIZED_OPERATION, "operation-not-supported")


class _ExtraService:
    """A message for one of the extra services: collected, bounded, and given to pynetdicom's own machinery."""

    def __init__(
        self, association: Speaker, context_id: int, command_set: bytes, command: Command, services: Services
    ) -> None:
        self._association = association
        self._context_id = context_id
        self._command_set = command_set
        self._field = command.field
        self._has_data_set = command.has_data_set
        self._limit = services.limits.extra_message_bytes
        self._data = bytearray()

    def write(self, piece: memoryview) -> None:
        """Keep the bytes; a message beyond the limit ends the association."""
        if len(self._data) + len(piece) > self._limit:
            raise ProtocolError("extra-message-too-long")
        self._data += piece

    def complete(self) -> Answer:
        """Let pynetdicom decode the message, call the service class, and send its own answers."""
        association = self._association
        sent_before = association.wire.bytes_sent
        fragments = [(_COMMAND | _LAST, self._command_set)]
        if self._has_data_set:
            fragments.append((_LAST, bytes(self._data)))
        for flags, data in fragments:
            primitive = P_DATA()
            pdv: Any = [self._context_id, bytes([flags]) + data]  # pynetdicom checks for a list, and declares a tuple
            primitive.presentation_data_value_list = [pdv]
            association.dimse.receive_primitive(primitive)
        context_id, request = association.dimse.get_msg(block=False)
        if request is not None:
            association._serve_request(request, context_id)  # noqa: SLF001 - pynetdicom's name
        # pynetdicom drops what it cannot convert (a UID of 66 characters) or takes for no request, keeps its bytes
        # before the next message, and says nothing: the peer would wait for this answer and for every later one.
        understood = association.dimse.message is None
        on_its_own_thread = understood and self._field == N_EVENT_REPORT_RQ
        needs_no_answer = understood and self._field == C_CANCEL_RQ
        if association.wire.bytes_sent == sent_before and not (on_its_own_thread or needs_no_answer):
            raise ProtocolError("request-not-answerable")
        return Answer(SUCCESS)

    def drop(self) -> None:
        """Nothing to remove: this message was never put on disk."""
