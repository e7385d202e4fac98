"""One association as SCU: opened within limits, closed whatever happens, its failures in our own words.

pynetdicom's time limits are per read, and its threads wait for a send without any: a peer that trickles or stops
reading would hold us for ever. So every step here also has a total deadline, after which the socket is shut down.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from worker.deliver.transport import Timeouts, Wire, deadline
from worker.domain.errors import ConfigurationError, PermanentError, TransientError
from worker.domain.implementation import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.domain.result import Destination

# A file given by its path is then sent byte by byte as it is stored, never decoded and encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True

__all__ = ["MAXIMUM_CONTEXTS", "OpenAssociation", "Timeouts", "associated", "check_ae_title", "context_for"]

log = logging.getLogger(__name__)

MAXIMUM_CONTEXTS = 128
"""Presentation context IDs are the odd numbers of one byte (PS3.8 9.3.2.2)."""


class OpenAssociation:
    """An established association. ``raw`` is pynetdicom's."""

    def __init__(self, raw: Association, wire: Wire) -> None:
        self.raw = raw
        self._wire = wire
        self._broken = False

    @property
    def alive(self) -> bool:
        """False after a release, an abort or a lost connection, and after an answer that never came.

        pynetdicom notices an abort a moment after the operation has returned empty-handed, hence our own memory.
        """
        return bool(self.raw.is_established) and not self._broken

    def accepts(self, abstract_syntax: str, transfer_syntax: str) -> bool:
        """Tell whether the peer took exactly this transfer syntax for this SOP class."""
        return any(
            context.abstract_syntax == abstract_syntax and transfer_syntax == context.transfer_syntax[0]
            for context in self.raw.accepted_contexts
        )

    def c_store(self, source: Dataset | Path, *, message_id: int, seconds: float) -> int | None:
        """Send one object; the status of the answer, None when none came.

        A path is sent as it is stored; a data set may be encoded again, for the accepted presentation context.
        """
        what = source if isinstance(source, Dataset) else str(source)
        # Message ID is 16 bit (PS3.7 9.1.1.1).
        number = message_id % 0xFFFF or 0xFFFF
        return self.status_of(lambda: self.raw.send_c_store(what, msg_id=number), seconds=seconds)

    def status_of(self, operation: Callable[[], Dataset], *, seconds: float) -> int | None:
        """Run one DIMSE operation; the status of its answer, None when none came."""
        try:
            with self.within(seconds):
                response = operation()
        except RuntimeError:
            if self.raw.is_established:
                raise
            response = Dataset()  # the peer had ended the association before
        if "Status" not in response:
            self._broken = True
            return None
        return int(response.Status)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give the peer this long in all; then the connection is cut and pynetdicom sees it closed."""
        self.raw.dimse_timeout = seconds
        with deadline(self._wire, seconds + 1.0):
            yield

    def cut(self) -> None:
        """Close the connection without a word; every thread that waits on it wakes up."""
        self._wire.cut()

    def end(self, *, seconds: float) -> None:
        """Release, or abort when something went wrong; within the time, and leave no socket behind."""
        with deadline(self._wire, seconds):
            if self.alive:
                self.raw.release()
            elif self.raw.is_established:
                self.raw.abort()
        self._wire.close()


@contextmanager
def associated(
    destination: Destination,
    contexts: Sequence[PresentationContext],
    *,
    calling_ae_title: str,
    timeouts: Timeouts,
    handlers: Sequence[tuple[Any, Any]] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[OpenAssociation]:
    """Open an association, hand it out, and release it. ``roles`` are proposed with the contexts (PS3.7 D.3.3.4).

    Raises
    ------
    TransientError
        No association: ``destination-unreachable``, ``association-rejected``, ``called-ae-not-recognised``,
        ``calling-ae-not-recognised``, ``association-aborted``. A rejection that calls itself permanent
        (PS3.8 Table 9-21, result 1) is transient as well: the cause is a table in the PACS, which people change while
        our results wait; nothing is lost by asking again at the longest back-off.
    PermanentError
        ``no-presentation-context``: accepted, but with not one of the contexts.
    ConfigurationError
        ``invalid-ae-title``.
    """
    ae = _application_entity(calling_ae_title, timeouts)
    check_ae_title(destination.ae_title)
    wire = Wire(timeouts=timeouts)
    raw = _request(ae, destination, contexts, wire=wire, handlers=handlers, roles=roles)
    association = OpenAssociation(raw, wire)
    try:
        if not raw.is_established:
            raise _refusal(raw, wire, destination)
        yield association
    finally:
        # Between two operations a release is right even when we stop early.
        association.end(seconds=timeouts.association_s)


def check_ae_title(ae_title: str) -> str:
    """1 to 16 printable ASCII characters without backslash, not only spaces (PS3.5 6.2, VR AE)."""
    allowed = all(" " <= character <= "~" and character != "\\" for character in ae_title)
    if not (1 <= len(ae_title) <= 16 and ae_title.strip() and allowed):
        raise ConfigurationError(
            f"{ae_title!r} is no AE title.",
            next_step="Give 1 to 16 printable ASCII characters without backslash.",
            code="invalid-ae-title",
        )
    return ae_title


def context_for(abstract_syntax: str, *transfer_syntaxes: str) -> PresentationContext:
    """A presentation context to propose."""
    return build_context(abstract_syntax, list(transfer_syntaxes))


def _application_entity(ae_title: str, timeouts: Timeouts) -> AE:
    ae = AE(ae_title=check_ae_title(ae_title))
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = implementation_version_name()
    ae.connection_timeout = timeouts.connect_s
    ae.acse_timeout = timeouts.association_s
    ae.dimse_timeout = timeouts.response_s
    ae.network_timeout = timeouts.network_s
    return ae


def _request(
    ae: AE,
    destination: Destination,
    contexts: Sequence[PresentationContext],
    *,
    wire: Wire,
    handlers: Sequence[tuple[Any, Any]],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
) -> Association:
    limit_s = wire.timeouts.connect_s + wire.timeouts.association_s
    try:
        with deadline(wire, limit_s):
            return ae.associate(
                destination.host,
                destination.port,
                contexts=list(contexts),
                ae_title=destination.ae_title,
                ext_neg=list(roles),
                evt_handlers=[(evt.EVT_CONN_OPEN, wire.opened), *handlers],
            )
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no host name can look like this
        wire.close()
        raise TransientError(
            f"The host of destination {destination.name} cannot be found.",
            next_step=f"Check the host name {destination.host} and the name service.",
            code="destination-unreachable",
        ) from error
    except OSError as error:
        wire.close()
        raise TransientError(
            f"No connection to destination {destination.name} could be opened ({error.strerror}).",
            next_step="Check this machine's network and its limit of open files.",
            code="destination-unreachable",
        ) from error


def _refusal(raw: Association, wire: Wire, destination: Destination) -> TransientError | PermanentError:
    where = f"{destination.ae_title}@{destination.host}:{destination.port}"
    if not wire.connected:
        return TransientError(
            f"Destination {destination.name} ({where}) cannot be reached.",
            next_step="Check that it runs, its host and port, and the firewall between.",
            code="destination-unreachable",
        )
    answer = raw.acceptor.primitive
    if raw.is_rejected and answer is not None:
        return _rejection(answer, raw.requestor.ae_title, destination, where)
    if raw.rejected_contexts and not raw.accepted_contexts:
        classes = ", ".join(sorted({UID(context.abstract_syntax or "").name for context in raw.rejected_contexts}))
        return PermanentError(
            f"Destination {destination.name} ({where}) takes none of what is to be sent: {classes}.",
            next_step="Enable these SOP classes (and Explicit or Implicit VR Little Endian) there.",
            code="no-presentation-context",
        )
    return TransientError(
        f"Destination {destination.name} ({where}) gave no answer to the association request, or aborted it.",
        next_step="Check that the port is that of a DICOM service and that it is not overloaded.",
        code="association-aborted",
    )


def _rejection(answer: A_ASSOCIATE, our_ae_title: str, destination: Destination, where: str) -> TransientError:
    """PS3.8 Table 9-21: (source, reason) of an A-ASSOCIATE-RJ."""
    match (answer.result_source, answer.diagnostic):
        case (1, 7):
            code, why = "called-ae-not-recognised", "it does not know the called AE title"
            next_step = f"Check the AE title of destination {destination.name}: it is sent as {destination.ae_title}."
        case (1, 3):
            code, why = "calling-ae-not-recognised", "it does not know our AE title"
            next_step = f"Enter {our_ae_title} with this machine's address as a known AE there."
        case (3, _):
            code, why = "association-rejected", "it is too busy"
            next_step = "Nothing: it is asked again later."
        case (source, reason):
            code, why = "association-rejected", f"result {answer.result}, source {source}, reason {reason}"
            next_step = "Look into the log of the destination."
    log.warning(
        "association-rejected",
        extra={
            "destination": destination.name,
            "result": answer.result,
            "source": answer.result_source,
            "reason": answer.diagnostic,
        },
    )
    return TransientError(
        f"Destination {destination.name} ({where}) rejected the association: {why}.", next_step=next_step, code=code
    )
