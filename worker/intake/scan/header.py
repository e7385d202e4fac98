"""From raw values to what the index needs, checked: identity must be there, single and well-formed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.data_elements.faults import ScanError
from worker.domain.character_sets import Reading, StatedSet
from worker.domain.study import (
    IndexedHeader,
    PatientIdentity,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from worker.intake.scan.index_text import decode_single, decode_text
from worker.intake.uids import trim_uid, valid_uid

CHARACTER_SET: Final = 0x00080005
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
ISSUER_OF_PATIENT_ID: Final = 0x00100021
PATIENT_BIRTH_DATE: Final = 0x00100030
ACCESSION_NUMBER: Final = 0x00080050
MODALITY: Final = 0x00080060
MANUFACTURER: Final = 0x00080070
MANUFACTURER_MODEL_NAME: Final = 0x00081090
DEVICE_SERIAL_NUMBER: Final = 0x00181000

INDEX_TAGS: Final = frozenset(
    {
        CHARACTER_SET, SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, PATIENT_NAME,
        PATIENT_ID, ISSUER_OF_PATIENT_ID, PATIENT_BIRTH_DATE, ACCESSION_NUMBER, MODALITY, MANUFACTURER,
        MANUFACTURER_MODEL_NAME, DEVICE_SERIAL_NUMBER,
    }
)  # fmt: skip


def indexed_header(values: Mapping[int, bytes], stated: StatedSet | None = None) -> IndexedHeader:
    """Make the header from raw top-level values; ``stated`` is what the site says of their text. Raises ScanError."""
    reading = Reading.of(values.get(CHARACTER_SET, b""), stated)

    def text(tag: int) -> str:
        return decode_text(values.get(tag, b"").strip(b" \0"), reading)

    def single(tag: int, name: str) -> str:
        value = decode_single(values.get(tag, b"").strip(b" \0"), reading)
        if value is None:
            raise ScanError(f"{name} has several values.", code="ambiguous-identity")
        return value

    return IndexedHeader(
        sop_class_uid=SOPClassUID(_required_uid(values, SOP_CLASS_UID, "sop-class-uid")),
        sop_instance_uid=SOPInstanceUID(_required_uid(values, SOP_INSTANCE_UID, "sop-instance-uid")),
        study_instance_uid=StudyInstanceUID(_required_uid(values, STUDY_INSTANCE_UID, "study-instance-uid")),
        series_instance_uid=SeriesInstanceUID(_required_uid(values, SERIES_INSTANCE_UID, "series-instance-uid")),
        patient=PatientIdentity(
            patient_id=single(PATIENT_ID, "Patient ID"),
            issuer_of_patient_id=single(ISSUER_OF_PATIENT_ID, "Issuer of Patient ID"),
            patient_name=single(PATIENT_NAME, "Patient's Name"),
            patient_birth_date=single(PATIENT_BIRTH_DATE, "Patient's Birth Date"),
        ),
        accession_number=text(ACCESSION_NUMBER),
        modality=text(MODALITY),
        manufacturer=text(MANUFACTURER),
        manufacturer_model_name=text(MANUFACTURER_MODEL_NAME),
        device_serial_number=text(DEVICE_SERIAL_NUMBER),
    )


def _required_uid(values: Mapping[int, bytes], tag: int, name: str) -> str:
    raw = values.get(tag, b"")
    if not raw.strip(b"\0 "):
        raise ScanError(f"The data set has no {name}.", code=f"missing-{name}")
    uid = trim_uid(raw)
    if "\\" in uid:
        raise ScanError(f"The {name} has several values.", code="ambiguous-identity")
    if not valid_uid(uid):
        raise ScanError(f"The {name} is not a UID.", code=f"invalid-{name}")
    return uid
