"""From rows to the domain."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from worker.domain.job import Job, JobId
from worker.domain.model import ModelIdentity
from worker.domain.result import ResultObject
from worker.domain.study import (
    Digest,
    IndexedHeader,
    PatientIdentity,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from worker.store.spool.spool import Spool


def job_of(row: Row[Any]) -> Job:
    """The job of a row of ``jobs``."""
    model = None
    if row.model_digest is not None:
        model = ModelIdentity(row.model_name, row.model_version, Digest(row.model_digest))
    series = row.series_instance_uid
    return Job(
        job_id=JobId(row.job_id),
        kind=row.kind,
        state=row.state,
        study_instance_uid=StudyInstanceUID(row.study_instance_uid),
        revision=row.revision,
        rule=row.rule,
        model=model,
        series_instance_uid=None if series is None else SeriesInstanceUID(series),
        config_digest=Digest(row.config_digest),
        attempt=row.attempt,
        priority=row.priority,
        reason=row.reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def instance_of(row: Row[Any], spool: Spool) -> StoredInstance:
    """The stored instance of a row of ``instances``, with its file in the spool."""
    return StoredInstance(
        header=IndexedHeader(
            sop_class_uid=SOPClassUID(row.sop_class_uid),
            sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
            study_instance_uid=StudyInstanceUID(row.study_instance_uid),
            series_instance_uid=SeriesInstanceUID(row.series_instance_uid),
            patient=PatientIdentity(
                patient_id=row.patient_id,
                issuer_of_patient_id=row.issuer_of_patient_id,
                patient_name=row.patient_name,
                patient_birth_date=row.patient_birth_date,
            ),
            accession_number=row.accession_number,
            modality=row.modality,
            manufacturer=row.manufacturer,
            manufacturer_model_name=row.manufacturer_model_name,
            device_serial_number=row.device_serial_number,
        ),
        transfer_syntax_uid=TransferSyntaxUID(row.transfer_syntax_uid),
        sha256=Digest(row.sha256),
        size_bytes=row.size_bytes,
        path=spool.object_path(row.object_key),
        calling_ae_title=row.calling_ae_title,
        received_at=row.received_at,
    )


def result_of(row: Row[Any], spool: Spool) -> ResultObject:
    """The result object of a row of ``results``, with its file in the spool."""
    return ResultObject(
        kind=row.kind,
        sop_class_uid=SOPClassUID(row.sop_class_uid),
        sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
        series_instance_uid=SeriesInstanceUID(row.series_instance_uid),
        path=spool.result_path(row.sha256),
        sha256=Digest(row.sha256),
        size_bytes=row.size_bytes,
    )
