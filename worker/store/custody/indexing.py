"""What the index says of offered instances, decided inside of one transaction.

The rule for a SOP Instance UID that is known already: the first copy is never touched. The same content is a repeat and
changes nothing. The same instance of the same patient in another transfer syntax is kept beside it and is not analysed;
it takes the place of a first copy that is damaged. Another content is kept apart and shown, and no result is ever made
from a mix: evidence consists of first copies only, and when the other copy claims the same study for another patient,
nobody can tell whose study it is, so that study gives no result until a person has looked
(``worker.store.work.evidence``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from worker.domain.study import (
    Admission,
    IndexedHeader,
    OfferedInstance,
    PatientIdentity,
    SOPInstanceUID,
    StudyInstanceUID,
)
from worker.store.database.tables import Kept, conflicts, instances, results, storable
from worker.store.work.arrivals import Revision, ensure_study, join_revision
from worker.store.work.damaged_objects import resume

IDENTITY_COLUMNS = ("patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date")
_SAME = (
    "sop_class_uid", "study_instance_uid", "series_instance_uid", "accession_number", "modality", "manufacturer",
    "manufacturer_model_name", "device_serial_number",
)  # fmt: skip


@dataclass(slots=True)
class Offer:
    """An offered instance on its way.

    ``at`` is where its file is now. ``verified``: a first copy with its content was on the disk when it came, whole.
    ``rewritten``: the index had such a copy and the disk had not; it has now. ``replaces``: the first copy, of another
    encoding, is damaged.
    """

    offered: OfferedInstance
    key: str
    at: Path
    verified: bool
    rewritten: bool = False
    replaces: bool = False

    @property
    def uid(self) -> SOPInstanceUID:
        """SOP Instance UID of the offered instance."""
        return self.offered.header.sop_instance_uid


@dataclass(frozen=True, slots=True)
class AdmissionContext:
    """Which run of which listener an offer came to, and what that listener knows of us."""

    session_id: str
    own_equipment: tuple[str, str]
    route_priority: int


def known(connection: Connection, uids: Iterable[SOPInstanceUID]) -> dict[str, Row[Any]]:
    """First copies by SOP Instance UID."""
    rows = connection.execute(select(instances).where(instances.c.sop_instance_uid.in_(sorted(set(uids)))))
    return {row.sop_instance_uid: row for row in rows}


def judge(offer: Offer, first: Row[Any] | None, ours: frozenset[str], own_equipment: tuple[str, str]) -> Admission:
    """Say what an offer is, given the first copy of its UID (if any) and the UIDs of our own results."""
    if first is not None and first.object_key != offer.key and not offer.replaces:
        return Admission.OTHER_ENCODING if is_other_encoding(offer, first) else Admission.CONFLICT
    if first is not None and first.kept is Kept.PRESENT and not (offer.rewritten or offer.replaces):
        return Admission.REPEATED
    header = offer.offered.header
    equipment = (header.manufacturer.strip(), header.manufacturer_model_name.strip())
    return Admission.OWN_RESULT if offer.uid in ours or equipment == own_equipment else Admission.STORED


def is_other_encoding(offer: Offer, first: Row[Any]) -> bool:
    """Tell whether an offer is the instance of ``first`` in another transfer syntax: all that is indexed agrees."""
    header = offer.offered.header
    mine = (header.sop_class_uid, header.study_instance_uid, header.series_instance_uid, *_described(header))
    theirs = tuple(getattr(first, name) for name in _SAME)
    return (
        first.transfer_syntax_uid != offer.offered.transfer_syntax_uid
        and tuple(storable(value) for value in mine) == theirs
        and _identity(header) == _identity_of(first)
    )


def _described(header: IndexedHeader) -> tuple[str, ...]:
    return (
        header.accession_number,
        header.modality,
        header.manufacturer,
        header.manufacturer_model_name,
        header.device_serial_number,
    )


def own_results(connection: Connection, uids: Iterable[SOPInstanceUID]) -> frozenset[str]:
    """Those of ``uids`` that are result objects of ours."""
    wanted = sorted(set(uids))
    rows = connection.execute(select(results.c.sop_instance_uid).where(results.c.sop_instance_uid.in_(wanted)))
    return frozenset(row.sop_instance_uid for row in rows)


def index(
    connection: Connection,
    kept: Sequence[tuple[Offer, Admission]],
    healed: Mapping[str, Row[Any]],
    context: AdmissionContext,
    *,
    now: datetime,
) -> None:
    """Write the rows of new first copies (STORED and OWN_RESULT), and let the STORED ones open or join a revision.

    ``healed`` maps SOP Instance UIDs to rows whose object was gone or damaged and has come back: what was planned with
    them is tried again.
    """
    counts: dict[StudyInstanceUID, int] = {}
    for offer, admission in kept:
        study = offer.offered.header.study_instance_uid
        counts[study] = counts.get(study, 0) + (admission is Admission.STORED)
    revisions: dict[StudyInstanceUID, Revision] = {}
    for study, count in counts.items():
        ensure_study(connection, study, now=now)
        if count:
            revisions[study] = join_revision(connection, study, count=count, priority=context.route_priority, now=now)
    new: list[dict[str, Any]] = []
    for offer, admission in kept:
        revision = revisions.get(offer.offered.header.study_instance_uid) if admission is Admission.STORED else None
        values = _values(offer, context, revision, now=now)
        row = healed.get(offer.uid)
        if row is not None:
            connection.execute(update(instances).where(instances.c.id == row.id).values(**values))
        else:
            new.append(values)
    if new:
        connection.execute(insert(instances), new)
    # What was planned with another encoding is planned anew, with this one's digest.
    resume(connection, [healed[o.uid].id for o, _ in kept if o.uid in healed and not o.replaces], now=now)


def record_conflict(connection: Connection, offer: Offer, first: Row[Any], *, now: datetime) -> None:
    """Write down another content under a known UID; the same one again is only counted."""
    header = offer.offered.header
    seen = connection.execute(
        update(conflicts)
        .where(conflicts.c.sop_instance_uid == offer.uid, conflicts.c.object_key == offer.key)
        .values(times=conflicts.c.times + 1)
    )
    if seen.rowcount:
        return
    connection.execute(
        insert(conflicts).values(
            sop_instance_uid=offer.uid,
            study_instance_uid=header.study_instance_uid,
            object_key=offer.key,
            sha256=offer.offered.sha256,
            size_bytes=offer.offered.size_bytes,
            identity_differs=_identity(header) != _identity_of(first)
            or header.study_instance_uid != first.study_instance_uid,
            other_encoding=is_other_encoding(offer, first),
            times=1,
            calling_ae_title=offer.offered.calling_ae_title,
            association_id=offer.offered.association_id,
            received_at=now,
        )
    )


def _identity(header: IndexedHeader) -> tuple[str, ...]:
    return tuple(storable(value) for value in header.patient.comparable)


def _identity_of(row: Row[Any]) -> tuple[str, ...]:
    return PatientIdentity(*(getattr(row, name) for name in IDENTITY_COLUMNS)).comparable


def _values(offer: Offer, context: AdmissionContext, revision: Revision | None, *, now: datetime) -> dict[str, Any]:
    offered, header = offer.offered, offer.offered.header
    return {
        "sop_instance_uid": header.sop_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "study_instance_uid": header.study_instance_uid,
        "series_instance_uid": header.series_instance_uid,
        "patient_id": header.patient.patient_id,
        "issuer_of_patient_id": header.patient.issuer_of_patient_id,
        "patient_name": header.patient.patient_name,
        "patient_birth_date": header.patient.patient_birth_date,
        "accession_number": header.accession_number,
        "modality": header.modality,
        "manufacturer": header.manufacturer,
        "manufacturer_model_name": header.manufacturer_model_name,
        "device_serial_number": header.device_serial_number,
        "transfer_syntax_uid": offered.transfer_syntax_uid,
        "sha256": offered.sha256,
        "object_key": offer.key,
        "size_bytes": offered.size_bytes,
        "kept": Kept.PRESENT,
        "own_result": revision is None,
        "calling_ae_title": offered.calling_ae_title,
        "session_id": context.session_id,
        "association_id": offered.association_id,
        "received_at": now,
        "route_job_id": revision.job_id if revision else None,
        "revision": revision.number if revision else 0,
    }
