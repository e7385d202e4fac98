"""From a C-STORE request to its answer: receive, scan, admit. The only place of the room that catches everything."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from worker.data_elements.faults import CANNOT_UNDERSTAND, ScanError
from worker.data_elements.limits import ScanLimits
from worker.domain.character_sets import StatedSets
from worker.domain.errors import OutOfSpaceError, PermanentError, TransientError
from worker.domain.study import Admission, OfferedInstance, RefusedInstance, TransferSyntaxUID
from worker.intake.counters import Counters
from worker.intake.dimse.command import Command
from worker.intake.dimse.reception import Reception
from worker.intake.error_location import where
from worker.intake.ports import InstanceStore
from worker.intake.scan.scan import Announced, scan_data_set
from worker.intake.status import (
    DOES_NOT_MATCH,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
)
from worker.intake.uids import valid_uid

log = logging.getLogger(__name__)

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class Answer:
    """Status of a DIMSE response, and the stable code that goes with a failure (Error Comment)."""

    status: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, for the index and the log."""

    association_id: str
    calling_ae_title: str


class Incoming(Protocol):
    """A data set that is arriving."""

    def write(self, piece: memoryview) -> None:
        """Take the next bytes. Never raises."""

    def complete(self) -> Answer:
        """The data set is whole: do what was asked. Never raises."""

    def drop(self) -> None:
        """It will not be completed: leave nothing behind. Never raises."""


class Drained:
    """A data set that nobody wants: its bytes are read past, and the answer is already known."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def write(self, piece: memoryview) -> None:
        """Forget the bytes: this message has been answered by its command already."""

    def complete(self) -> Answer:
        """Return the answer."""
        return self._answer

    def drop(self) -> None:
        """Nothing was kept, so nothing has to be dropped."""


class StorageHandler:
    """C-STORE for every association of a listener.

    Parameters
    ----------
    store:
        Keeps what is received.
    counters:
        Where outcomes are counted.
    scan_limits, object_bytes:
        Bounds of the scan, and of one data set.
    accept_conflicts:
        Answer success for an instance that was kept apart because its SOP Instance UID is already known with other
        content. Off: the sender is told (0xA900), the first copy is untouched either way.
    character_sets:
        What the site says of the text of its senders.
    """

    def __init__(
        self,
        store: InstanceStore,
        counters: Counters,
        *,
        scan_limits: ScanLimits,
        object_bytes: int,
        accept_conflicts: bool = False,
        character_sets: StatedSets = StatedSets(),  # noqa: B008 - frozen
    ) -> None:
        self.store = store
        self.counters = counters
        self.scan_limits = scan_limits
        self.object_bytes = object_bytes
        self.character_sets = character_sets
        self._conflict_status = SUCCESS if accept_conflicts else DOES_NOT_MATCH

    def begin(self, command: Command, *, abstract_syntax: str, transfer_syntax: str, caller: Caller) -> Incoming:
        """Prepare for the data set of a C-STORE request; what is already wrong is refused after it was read past."""
        code, status = _fault_of(command, abstract_syntax)
        if code:
            return self._refused(code, status, caller)
        try:
            reception = Reception(
                self.store,
                sop_class_uid=command.sop_class_uid,
                sop_instance_uid=command.sop_instance_uid,
                transfer_syntax_uid=transfer_syntax,
            )
        except Exception as error:  # noqa: BLE001 - the DIMSE handler turns every failure into an answer
            answer = self.answer_of(error, caller)
            self.counters.instance(_outcome(answer), 0)
            return Drained(answer)
        announced = Announced(sop_class_uid=command.sop_class_uid, sop_instance_uid=command.sop_instance_uid)
        return _ArrivingInstance(self, reception, announced, transfer_syntax, caller)

    def _refused(self, code: str, status: int, caller: Caller) -> Drained:
        self.note_refusal(None, code, "The C-STORE request itself is wrong.", caller)
        self.counters.instance("refused", 0)
        return Drained(Answer(status, code))

    def note_refusal(self, reception: Reception | None, code: str, detail: str, caller: Caller) -> None:
        """Keep the refused bytes for people to look at; the store promises not to raise, and is not believed."""
        log.warning("instance-refused", extra={"code": code, "association_id": caller.association_id})
        refused = RefusedInstance(
            temporary=reception.path if reception else None,
            code=code,
            detail=detail,
            calling_ae_title=caller.calling_ae_title,
            association_id=caller.association_id,
        )
        try:
            self.store.refuse(refused)
        except Exception as error:  # noqa: BLE001 - the refusal stands, whether or not it could be kept
            log.error("refusal-not-kept", extra=where(error))  # noqa: TRY400 - a traceback may quote patient data

    def admission_answer(self, admission: Admission) -> Answer:
        """Return the answer for what the store did."""
        match admission:
            case Admission.STORED | Admission.REPEATED | Admission.OTHER_ENCODING | Admission.OWN_RESULT:
                return Answer(SUCCESS)
            case Admission.CONFLICT:
                return Answer(self._conflict_status, "instance-conflict" if self._conflict_status else "")

    def answer_of(self, error: Exception, caller: Caller) -> Answer:
        """Translate a failure; what is expected of none of the layers below is logged by place, not by content."""
        extra = {"association_id": caller.association_id, **where(error)}
        match error:
            case OutOfSpaceError() | TransientError():
                log.warning("instance-not-taken", extra={**extra, "code": error.code})
                return Answer(OUT_OF_RESOURCES, error.code)
            case OSError():
                code = "out-of-space" if error.errno in _NO_ROOM else "storage-trouble"
                log.error("instance-not-taken", extra={**extra, "code": code})
                return Answer(OUT_OF_RESOURCES, code)
            case PermanentError():
                log.warning("instance-not-taken", extra={**extra, "code": error.code})
                return Answer(CANNOT_UNDERSTAND, error.code)
            case _:
                log.error("instance-handler-bug", extra=extra)
                return Answer(PROCESSING_FAILURE, "internal-error")


class _ArrivingInstance:
    """An instance between its first byte and its answer."""

    def __init__(
        self,
        handler: StorageHandler,
        reception: Reception,
        announced: Announced,
        transfer_syntax: str,
        caller: Caller,
    ) -> None:
        self._handler = handler
        self._reception = reception
        self._announced = announced
        self._transfer_syntax = transfer_syntax
        self._caller = caller
        self._size_bytes = 0
        self._failed: Answer | None = None

    def write(self, piece: memoryview) -> None:
        """Append; after a failure the rest is only counted."""
        self._size_bytes += len(piece)
        if self._failed is not None:
            return
        if self._size_bytes > self._handler.object_bytes:
            self._reception.discard()
            self._handler.note_refusal(None, "object-too-large", "Larger than the configured limit.", self._caller)
            self._failed = Answer(CANNOT_UNDERSTAND, "object-too-large")
            return
        try:
            self._reception.write(piece)
        except Exception as error:  # noqa: BLE001 - see StorageHandler.begin
            self._reception.discard()
            self._failed = self._handler.answer_of(error, self._caller)

    def complete(self) -> Answer:
        """Scan the received data set and admit it: the answer is success only when it is durable and indexed."""
        answer = self._failed
        outcome = ""
        if answer is None:
            try:
                answer, outcome = self._scan_and_admit()
            except Exception as error:  # noqa: BLE001 - see StorageHandler.begin
                answer = self._handler.answer_of(error, self._caller)
            finally:
                self._reception.discard()
        self._handler.counters.instance(outcome or _outcome(answer), self._size_bytes)
        return answer

    def drop(self) -> None:
        """Remove the temporary file: an instance that was cut off touches nothing that is stored."""
        self._reception.discard()

    def _scan_and_admit(self) -> tuple[Answer, str]:
        handler, reception = self._handler, self._reception
        try:
            header = scan_data_set(
                reception.descriptor,
                offset=reception.offset,
                length_bytes=reception.size_bytes,
                transfer_syntax_uid=self._transfer_syntax,
                announced=self._announced,
                limits=handler.scan_limits,
                stated=handler.character_sets.of(self._caller.calling_ae_title),
            )
        except ScanError as refusal:
            reception.close()
            handler.note_refusal(reception, refusal.code, refusal.message, self._caller)
            return Answer(refusal.status, refusal.code), "refused"
        reception.close()
        admission = handler.store.admit(
            OfferedInstance(
                temporary=reception.path,
                header=header,
                transfer_syntax_uid=TransferSyntaxUID(self._transfer_syntax),
                sha256=reception.sha256,
                size_bytes=reception.size_bytes,
                calling_ae_title=self._caller.calling_ae_title,
                association_id=self._caller.association_id,
            )
        )
        log.debug(  # one line for each instance is too many for a day: the ledger has them
            "instance-received",
            extra={
                "outcome": admission.value,
                "sop_instance_uid": header.sop_instance_uid,
                "study_instance_uid": header.study_instance_uid,
                "association_id": self._caller.association_id,
            },
        )
        return handler.admission_answer(admission), admission.value


def _fault_of(command: Command, abstract_syntax: str) -> tuple[str, int]:
    """Find what is wrong with a C-STORE request before its data set is seen: (code, status), or ("", 0)."""
    if not command.sop_instance_uid:
        return "command-without-sop-instance-uid", CANNOT_UNDERSTAND
    if not valid_uid(command.sop_instance_uid):
        return "command-with-invalid-sop-instance-uid", CANNOT_UNDERSTAND
    if not command.sop_class_uid:
        return "command-without-sop-class-uid", CANNOT_UNDERSTAND
    if command.sop_class_uid != abstract_syntax:
        return "command-with-other-sop-class", SOP_CLASS_NOT_SUPPORTED
    if not command.has_data_set:
        return "no-data-set", CANNOT_UNDERSTAND
    return "", 0


def _outcome(answer: Answer) -> str:
    if answer.status == OUT_OF_RESOURCES:
        return "out-of-resources"
    return "failed" if answer.status == PROCESSING_FAILURE else "refused"
