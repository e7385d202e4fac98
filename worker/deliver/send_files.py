"""C-STORE of files as they are, for ``overread send``: one report line per file, no retries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID, MediaStorageDirectoryStorage

from worker.deliver.association import (
    MAXIMUM_CONTEXTS,
    OpenAssociation,
    Timeouts,
    associated,
    context_for,
)
from worker.deliver.part10 import StoredFile, look_at
from worker.domain.errors import ConfigurationError, OverreadError, PermanentError
from worker.domain.result import Destination
from worker.domain.store_status import Verdict, described, meaning_of
from worker.domain.study import SOPInstanceUID

log = logging.getLogger(__name__)

_UID_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file. ``code`` is "stored", "refused" (see ``status``) or the stable name of the failure."""

    path: Path
    sop_instance_uid: SOPInstanceUID | None
    status: int | None
    stored: bool
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SendReport:
    """All outcomes, in the order in which they were had."""

    outcomes: tuple[FileOutcome, ...]

    @property
    def stored(self) -> int:
        """How many files the destination has taken."""
        return sum(outcome.stored for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[FileOutcome, ...]:
        """Everything that was not stored, files that are not DICOM included."""
        return tuple(outcome for outcome in self.outcomes if not outcome.stored)


def send_files(
    paths: Iterable[Path],
    destination: Destination,
    *,
    calling_ae_title: str,
    on_progress: Callable[[FileOutcome], None] | None = None,
    timeouts: Timeouts | None = None,
) -> SendReport:
    """Send files, and all files below folders, in the transfer syntax that they have.

    Files are grouped so that no association proposes more than 128 presentation contexts. When an association breaks,
    the file that was under way is reported in doubt and the rest goes on over a new one; when none can be had, all
    that is left is reported with the reason.

    Raises
    ------
    ConfigurationError
        An AE title is invalid: nothing was sent.
    """
    outcomes: list[FileOutcome] = []

    def had(outcome: FileOutcome) -> None:
        outcomes.append(outcome)
        if on_progress is not None:
            on_progress(outcome)

    files: list[StoredFile] = []
    for path in expanded(paths):
        try:
            files.append(_sendable(path))
        except PermanentError as error:
            had(_failed(path, None, code=error.code, detail=error.message))
    for batch in batches(files):
        left = batch
        while left:
            done = 0
            for outcome in _over_one_association(
                left, destination, calling_ae_title=calling_ae_title, timeouts=timeouts or Timeouts()
            ):
                done += 1
                had(outcome)
            left = left[done:]
    return SendReport(outcomes=tuple(outcomes))


def expanded(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given; folders as all files below them, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.is_file())
        else:
            yield path


def batches(files: Sequence[StoredFile], *, limit: int = MAXIMUM_CONTEXTS) -> list[list[StoredFile]]:
    """Split, keeping the order, so that no batch needs more than ``limit`` presentation contexts."""
    groups: list[list[StoredFile]] = []
    needed: set[tuple[str, str]] = set()
    for file in files:
        context = (file.sop_class_uid, file.transfer_syntax_uid)
        if not groups or (context not in needed and len(needed) == limit):
            groups.append([])
            needed = set()
        needed.add(context)
        groups[-1].append(file)
    return groups


def _sendable(path: Path) -> StoredFile:
    file = look_at(path)
    if UID(file.sop_class_uid) == MediaStorageDirectoryStorage:
        raise PermanentError("A DICOMDIR: a table of contents, not an object.", code="dicomdir")
    if max(len(file.sop_class_uid), len(file.sop_instance_uid)) > _UID_CHARACTERS:
        raise PermanentError(
            "A UID of the object is longer than 64 characters (PS3.5 9.1): no request can name it.", code="invalid-uid"
        )
    return file


def _over_one_association(
    files: Sequence[StoredFile], destination: Destination, *, calling_ae_title: str, timeouts: Timeouts
) -> Iterator[FileOutcome]:
    """Outcomes of the first files of ``files``: at least one, at most as far as the association lives."""
    pairs = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in files)
    contexts = [context_for(*pair) for pair in pairs]
    try:
        with associated(destination, contexts, calling_ae_title=calling_ae_title, timeouts=timeouts) as association:
            for message_id, file in enumerate(files, start=1):
                yield _store(association, file, message_id, timeouts)
                if not association.alive:
                    return
    except ConfigurationError:
        raise
    except OverreadError as error:
        for file in files:
            yield _failed(file.path, file.sop_instance_uid, code=error.code, detail=str(error))


def _store(association: OpenAssociation, file: StoredFile, message_id: int, timeouts: Timeouts) -> FileOutcome:
    if not association.accepts(file.sop_class_uid, file.transfer_syntax_uid):
        detail = f"The destination takes no {UID(file.sop_class_uid).name} in {UID(file.transfer_syntax_uid).name}."
        return _failed(file.path, file.sop_instance_uid, code="no-presentation-context", detail=detail)
    status = association.c_store(file.path, message_id=message_id, seconds=timeouts.for_object(file.size_bytes))
    if status is None:
        detail = "No valid answer (time-out, abort or lost connection): in doubt."
        return _failed(file.path, file.sop_instance_uid, code="no-answer", detail=detail)
    stored = meaning_of(status).verdict is Verdict.STORED
    return FileOutcome(
        path=file.path,
        sop_instance_uid=file.sop_instance_uid,
        status=status,
        stored=stored,
        code="stored" if stored else "refused",
        detail=described(status),
    )


def _failed(path: Path, sop_instance_uid: SOPInstanceUID | None, *, code: str, detail: str) -> FileOutcome:
    # The path may carry a patient's name: it is for the caller's screen, never for the log.
    log.warning("file-not-sent", extra={"code": code, "sop_instance_uid": sop_instance_uid})
    return FileOutcome(
        path=path, sop_instance_uid=sop_instance_uid, status=None, stored=False, code=code, detail=detail
    )
