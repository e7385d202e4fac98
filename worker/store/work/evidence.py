"""The stored instances that jobs work on, and the guard of their identity (the port ``Evidence``).

Evidence consists of first copies only. No result is made from a study whose stored instances disagree on whose they
are, or in which a refused second copy of an instance claims another patient: then nobody can tell which of the two is
true, and the answer is a visible quarantine, not a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from worker.domain.errors import IdentityError, PermanentError
from worker.domain.job import Job
from worker.domain.study import PatientIdentity, StoredInstance, StudyInstanceUID
from worker.store.database.database import Database
from worker.store.database.rows import instance_of
from worker.store.database.tables import Kept, conflicts, instances, job_evidence
from worker.store.spool.spool import Spool
from worker.store.spool.verification import is_intact

_AGREED = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")
_LOOK = "Compare the study at the PACS and at the modality, correct it there, and send it again under a new study."


class LedgerEvidence:
    """Evidence from the index.

    Parameters
    ----------
    require_patient_id:
        Whether a study without Patient ID gives no result (rule 3 of the identity guard).
    """

    def __init__(self, database: Database, spool: Spool, *, require_patient_id: bool = True) -> None:
        self._database = database
        self._spool = spool
        self._require_patient_id = require_patient_id

    def of_route(self, job: Job) -> tuple[StoredInstance, ...]:
        """Every analysable instance of the study that came with this revision or an earlier one, by SOP Instance UID.

        Raises
        ------
        IdentityError
            ``identity-conflict``: the instances disagree on the patient; ``patient-id-empty``.
        PermanentError
            ``object-missing``: an instance's object is gone from the spool; ``evidence-changed``: it does not hold
            what was received.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                select(instances)
                .where(
                    instances.c.study_instance_uid == job.study_instance_uid,
                    instances.c.own_result.is_(False),
                    instances.c.revision <= job.revision,
                )
                .order_by(instances.c.sop_instance_uid)
            ).all()
            found = self._guarded(connection, job, rows)
        return _intact(found)

    def of_analysis(self, job: Job) -> tuple[StoredInstance, ...]:
        """Exactly the instances that the job was planned with, in that order; raises as ``of_route`` does."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(instances)
                .join(job_evidence, job_evidence.c.instance_id == instances.c.id)
                .where(job_evidence.c.job_id == job.job_id)
                .order_by(job_evidence.c.position)
            ).all()
            if not rows:
                raise PermanentError(
                    "The evidence of this job is not in the index any more.",
                    next_step="Retention removed it. Send the study again to have it analysed again.",
                    code="evidence-expired",
                )
            found = self._guarded(connection, job, rows)
        return _intact(found)

    def of_each_series(self, job: Job) -> tuple[StoredInstance, ...]:
        """One instance of each series that the study had with the job's revision; those that are gone are left out."""
        theirs = (
            instances.c.study_instance_uid == job.study_instance_uid,
            instances.c.own_result.is_(False),
            instances.c.revision <= job.revision,
            instances.c.kept == Kept.PRESENT,
        )
        first = select(func.min(instances.c.sop_instance_uid)).where(*theirs).group_by(instances.c.series_instance_uid)
        with self._database.read() as connection:
            rows = connection.execute(
                select(instances)
                .where(*theirs, instances.c.sop_instance_uid.in_(first))
                .order_by(instances.c.sop_instance_uid)
            ).all()
            return tuple(instance_of(row, self._spool) for row in rows)

    def _guarded(self, connection: Connection, job: Job, rows: Sequence[Row[Any]]) -> tuple[StoredInstance, ...]:
        _refuse_missing(rows)
        found = tuple(instance_of(row, self._spool) for row in rows)
        _refuse_disputed(connection, job.study_instance_uid)
        check_identity(found, require_patient_id=self._require_patient_id)
        return found


def check_identity(found: Sequence[StoredInstance], *, require_patient_id: bool = True) -> None:
    """Rules 2 and 3 of the identity guard; raises IdentityError. Says which attributes, never their values."""
    if not found:
        return
    first = found[0].header.patient
    said = {(*one.header.patient.comparable, str(one.header.study_instance_uid)) for one in found}
    differing = [keyword for keyword, *values in zip(_AGREED, *said, strict=True) if len(set(values)) > 1]
    if differing:
        raise IdentityError(
            f"The instances of this study disagree on {', '.join(differing)}.",
            next_step=_LOOK,
            code="identity-conflict",
        )
    if _is_multi_valued(first) or "\\" in found[0].header.study_instance_uid:
        raise IdentityError(
            "An attribute that identifies the patient or the study has several values.",
            next_step=_LOOK,
            code="identity-conflict",
        )
    if require_patient_id and not first.patient_id.strip():
        raise IdentityError(
            "The instances of this study have no Patient ID.",
            next_step="Correct the study at its source and send it again, or set storage.require_patient_id = false.",
            code="patient-id-empty",
        )


def _is_multi_valued(patient: PatientIdentity) -> bool:
    # The backslash separates values (PS3.5 6.2): LO and DA may not contain it.
    return any(
        "\\" in value for value in (patient.patient_id, patient.issuer_of_patient_id, patient.patient_birth_date)
    )


def _intact(found: tuple[StoredInstance, ...]) -> tuple[StoredInstance, ...]:
    """Read the objects once: an altered image would be analysed as if it were the patient's."""
    damaged = [one for one in found if not is_intact(one.path, sha256=one.sha256, size_bytes=one.size_bytes)]
    if damaged:
        raise PermanentError(
            f"The stored bytes of {len(damaged)} instance(s) are gone or not those that were received, first "
            f"{damaged[0].sop_instance_uid}.",
            next_step="Check the disk, then send the study again: that restores them, and the work goes on.",
            code="evidence-changed",
        )
    return found


def _refuse_missing(rows: Sequence[Row[Any]]) -> None:
    gone = [row.sop_instance_uid for row in rows if row.kept is not Kept.PRESENT]
    if gone:
        raise PermanentError(
            f"The objects of {len(gone)} instance(s) are gone from the spool, first {gone[0]}.",
            next_step="Check the disk, then send the study again: that restores them.",
            code="object-missing",
        )


def _refuse_disputed(connection: Connection, study: StudyInstanceUID) -> None:
    disputed = connection.execute(
        select(conflicts.c.sop_instance_uid)
        .join(instances, instances.c.sop_instance_uid == conflicts.c.sop_instance_uid)
        .where(
            conflicts.c.study_instance_uid == study,
            instances.c.study_instance_uid == study,
            instances.c.own_result.is_(False),
            conflicts.c.identity_differs.is_(True),
        )
        .limit(1)
    ).first()
    if disputed is not None:
        raise IdentityError(
            f"Instance {disputed.sop_instance_uid} was received twice in this study, for different patients.",
            next_step=_LOOK,
            code="identity-conflict",
        )
