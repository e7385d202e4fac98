"""C-STORE of result objects to one destination (PS3.4 Annex B as SCU)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext

from worker.deliver.association import OpenAssociation, Timeouts, associated, check_ae_title, context_for
from worker.deliver.part10 import StoredFile, digest_of, look_at
from worker.domain.errors import PermanentError
from worker.domain.result import Destination, ResultKind, ResultObject, SendOutcome
from worker.domain.store_status import Verdict, described, meaning_of

log = logging.getLogger(__name__)

SOP_CLASS_NOT_SUPPORTED = 0x0122
"""An acceptor may take the presentation context of a class and refuse each of its objects (PS3.7 C.5.6)."""

_UNREPLACED = "Not sent: nothing that replaces the withdrawn results was taken."
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_CONVERTIBLE = frozenset(
    {str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(DeflatedExplicitVRLittleEndian)}
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    result: ResultObject
    file: StoredFile


class StoreSender:
    """Sends result objects as they are stored; the port ``Sender`` of the pipeline.

    Parameters
    ----------
    ae_title:
        Our AE title, as the destinations know it.
    timeouts:
        How long a destination may take.
    """

    def __init__(self, *, ae_title: str, timeouts: Timeouts | None = None) -> None:
        self._ae_title = check_ae_title(ae_title)
        self._timeouts = timeouts or Timeouts()

    def send(self, destination: Destination, results: Sequence[ResultObject]) -> Iterator[SendOutcome]:
        """Send over one association, in order, one outcome each; stop after the first that was not stored.

        The order carries meaning (a SEG must be there before the SR that refers to it), so nothing is sent past a
        failure. Objects of a class that the destination does not take at all (``not_taken``) are passed over: the rest
        goes, but no rejection note where nothing else was taken. An answer that never came leaves the object in doubt:
        transient, because sending the same UID again does no harm.

        Raises
        ------
        TransientError
            No association could be had (see ``associated``).
        PermanentError
            A file is gone, or its bytes are not those that passed the gate (``result-changed``).
        """
        prepared = [_prepare(result) for result in results]
        if not prepared:
            return
        try:
            with associated(
                destination,
                _contexts(prepared),
                calling_ae_title=self._ae_title,
                timeouts=self._timeouts,
            ) as association:
                taken = 0
                for message_id, item in enumerate(prepared, start=1):
                    if item.result.kind is ResultKind.KOS and not taken and message_id > 1:
                        outcome = _not_stored(item, _UNREPLACED, transient=False, not_taken=True)
                    else:
                        outcome = self._store(association, item, message_id)
                    taken += outcome.stored
                    _note(destination, outcome)
                    yield outcome
                    if not outcome.stored and not outcome.not_taken:
                        return
        except PermanentError as error:
            if error.code != "no-presentation-context":
                raise
            # The destination was there and takes nothing: an outcome of each object, not a missing association.
            for item in prepared:
                outcome = _not_stored(item, str(error), transient=False, not_taken=True)
                _note(destination, outcome)
                yield outcome

    def _store(self, association: OpenAssociation, item: _Prepared, message_id: int) -> SendOutcome:
        file = item.file
        if association.accepts(file.sop_class_uid, file.transfer_syntax_uid):
            source: Dataset | Path = file.path
        elif _can_convert(association, file):
            # Explicit VR -> Implicit VR, or inflated: the same attributes and values, for a PACS that takes no other.
            source = dcmread(file.path)
        else:
            syntax = UID(file.transfer_syntax_uid).name
            detail = (
                f"The destination takes no {UID(file.sop_class_uid).name} in {syntax}. "
                "Enable the SOP class there, or another encoding of results for this destination."
            )
            return _not_stored(item, detail, transient=False, not_taken=True)
        status = association.c_store(source, message_id=message_id, seconds=self._timeouts.for_object(file.size_bytes))
        if status is None:
            detail = "No valid answer (time-out, abort or lost connection): in doubt, to be sent again."
            return _not_stored(item, detail, transient=True)
        return _outcome(item, status)


def _prepare(result: ResultObject) -> _Prepared:
    """Make sure that what leaves is what the gate passed."""
    file = look_at(result.path)
    same = (
        digest_of(result.path) == result.sha256
        and file.sop_class_uid == result.sop_class_uid
        and file.sop_instance_uid == result.sop_instance_uid
    )
    if not same:
        raise PermanentError(
            f"Result object {result.sop_instance_uid} is not what was stored: its bytes have changed.",
            next_step="Check the disk, and run the job again.",
            code="result-changed",
        )
    return _Prepared(result=result, file=file)


def _contexts(prepared: Sequence[_Prepared]) -> list[PresentationContext]:
    """For each SOP class: the stored transfer syntax alone, then the plain ones as a second choice.

    Two contexts, because an acceptor picks one transfer syntax of each: in one list it might pick another although
    it knows the stored one.
    """
    wanted: dict[tuple[str, tuple[str, ...]], None] = {}
    for item in prepared:
        sop_class, syntax = item.file.sop_class_uid, item.file.transfer_syntax_uid
        wanted[sop_class, (syntax,)] = None
        for plain in _PLAIN:
            wanted[sop_class, (str(plain),)] = None
    return [context_for(sop_class, *syntaxes) for sop_class, syntaxes in wanted]


def _can_convert(association: OpenAssociation, file: StoredFile) -> bool:
    return file.transfer_syntax_uid in _CONVERTIBLE and any(
        association.accepts(file.sop_class_uid, plain) for plain in _PLAIN
    )


def _outcome(item: _Prepared, status: int) -> SendOutcome:
    verdict = meaning_of(status).verdict
    return SendOutcome(
        sop_instance_uid=item.result.sop_instance_uid,
        status=status,
        stored=verdict is Verdict.STORED,
        transient=verdict is Verdict.TRANSIENT,
        detail=described(status),
        not_taken=status == SOP_CLASS_NOT_SUPPORTED,
    )


def _not_stored(item: _Prepared, detail: str, *, transient: bool, not_taken: bool = False) -> SendOutcome:
    return SendOutcome(
        sop_instance_uid=item.result.sop_instance_uid,
        status=None,
        stored=False,
        transient=transient,
        detail=detail,
        not_taken=not_taken,
    )


def _note(destination: Destination, outcome: SendOutcome) -> None:
    log.log(
        logging.INFO if outcome.stored else logging.WARNING,
        "result-sent",
        extra={
            "destination": destination.name,
            "sop_instance_uid": outcome.sop_instance_uid,
            "status": None if outcome.status is None else f"0x{outcome.status:04X}",
            "stored": outcome.stored,
            "transient": outcome.transient,
        },
    )
