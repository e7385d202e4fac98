"""What every result object has in its header: patient and study of the evidence, our equipment, dates, file meta."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from io import BytesIO

from pydicom import config
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from worker.domain.errors import PermanentError
from worker.domain.model import Algorithm
from worker.domain.ourselves import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.domain.result import EncodedObject, ResultKind
from worker.domain.study import Digest, SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.results.coding import code_item, private_schemes
from worker.results.identity import Equipment

_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber",
)  # fmt: skip
"""Always present, if need be empty (PS3.3 C.7.1.1, C.7.2.1)."""

COPIED = (
    *_TYPE_2,
    # Patient (PS3.3 C.7.1.1)
    "IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDs",
    "OtherPatientIDsSequence", "OtherPatientNames", "PatientBirthTime", "EthnicGroup", "QualityControlSubject",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription",
    "PatientBreedCodeSequence", "BreedRegistrationSequence", "ResponsiblePerson", "ResponsiblePersonRole",
    "ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    # Clinical trial (PS3.3 C.7.1.3, C.7.2.3)
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription",
    # Study (PS3.3 C.7.2.1)
    "StudyInstanceUID", "StudyDescription", "IssuerOfAccessionNumberSequence", "ProcedureCodeSequence",
    "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName", "PhysiciansOfRecord",
    "ReferencedStudySequence",
    # Patient study (PS3.3 C.7.2.2)
    "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge", "PatientSize",
    "PatientWeight", "PatientBodyMassIndex", "Occupation", "AdditionalPatientHistory", "AdmissionID",
    "IssuerOfAdmissionIDSequence", "PatientSexNeutered", "PregnancyStatus", "MedicalAlerts", "Allergies",
    # SOP common (PS3.3 C.12.1)
    "TimezoneOffsetFromUTC", "LongitudinalTemporalInformationModified",
)  # fmt: skip
"""Copied from the evidence to every result object, where present."""

UTF_8 = "ISO_IR 192"

_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""What Specific Character Set applies to (PS3.5 6.1.2.3)."""

_REQUEST_TYPE_2 = (
    "AccessionNumber", "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID", "RequestedProcedureDescription",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """What the objects of one conclusion have in common.

    ``made_at`` is the date and time that they carry, in the time zone of the study (see ``local_time``).
    ``evidence_digest`` stands for what they were made from (``identity.evidence_digest``).
    """

    source_header: Dataset
    equipment: Equipment
    algorithm: Algorithm
    made_at: datetime
    evidence_digest: Digest


@dataclass(frozen=True, slots=True)
class SeriesNames:
    """How the series of a result object is called. The number is from a range that is reserved for results."""

    series_instance_uid: SeriesInstanceUID
    series_number: int
    series_description: str
    sop_instance_uid: SOPInstanceUID
    instance_number: int = 1


def local_time(moment: datetime, source_header: Dataset, zone: tzinfo | None) -> datetime:
    """Convert to the offset that the study states (0008,0201), else to ``zone`` (None: of this computer)."""
    if moment.tzinfo is None:
        return moment
    text = str(source_header.get("TimezoneOffsetFromUTC") or "").strip()
    if len(text) == 5 and text[0] in "+-" and text[1:].isdigit():
        sign = -1 if text[0] == "-" else 1
        return moment.astimezone(timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[3:]))))
    return moment.astimezone(zone)


def decoded_copy(ds: Dataset) -> Dataset:
    """Copy a data set so that it can be written in another character set (PS3.5 6.1).

    Person names remember the bytes that they came from; here they are made anew from their text.
    """
    copy = Dataset()
    for element in ds:
        if element.keyword == "SpecificCharacterSet":
            continue
        value = element.value
        if element.VR == "SQ":
            value = DicomSequence([decoded_copy(item) for item in value])
        elif element.VR == "PN" and value:
            value = [PersonName(str(n)) for n in value] if element.VM > 1 else PersonName(str(value))
        copy.add_new(element.tag, element.VR, value)
    return copy


def apply_header(ds: Dataset, stamp: Stamp, names: SeriesNames) -> None:
    """Replace everything in ``ds`` that says who, where, when and by what, whatever a library wrote there."""
    source = stamp.source_header
    # PS3.3 C.12.1.1.2: everything we write is UTF-8, so every name of the source fits.
    ds.SpecificCharacterSet = UTF_8
    for keyword in COPIED:
        if keyword in source:
            ds[keyword] = deepcopy(source[keyword])
        elif keyword in _TYPE_2:
            setattr(ds, keyword, None)
        elif keyword in ds:
            delattr(ds, keyword)
    ds.SOPInstanceUID = names.sop_instance_uid
    ds.SeriesInstanceUID = names.series_instance_uid
    ds.SeriesNumber = names.series_number
    ds.SeriesDescription = names.series_description
    ds.InstanceNumber = names.instance_number
    if source.get("BodyPartExamined"):
        ds.BodyPartExamined = source.BodyPartExamined
    _apply_equipment(ds, stamp)
    date, time = stamp.made_at.strftime("%Y%m%d"), stamp.made_at.strftime("%H%M%S.%f")
    for prefix in ("InstanceCreation", "Series", "Content"):
        setattr(ds, f"{prefix}Date", date)
        setattr(ds, f"{prefix}Time", time)
    schemes = private_schemes(ds)
    if schemes:
        ds.CodingSchemeIdentificationSequence = schemes


def _apply_equipment(ds: Dataset, stamp: Stamp) -> None:
    equipment = stamp.equipment
    ds.Manufacturer = equipment.manufacturer
    ds.ManufacturerModelName = equipment.model_name
    ds.SoftwareVersions = equipment.software_version
    ds.DeviceSerialNumber = equipment.device_serial_number
    ds.DeviceUID = equipment.observer_uid
    ds.StationName = equipment.ae_title
    if equipment.department:
        ds.InstitutionalDepartmentName = equipment.department
    ds.ContributingEquipmentSequence = [*_acquisition_equipment(stamp.source_header), _model_equipment(stamp)]


def _acquisition_equipment(source: Dataset) -> list[Dataset]:
    # Manufacturer is type 1 in an item and type 2 in an image: without it there is nothing to say.
    if not source.get("Manufacturer"):
        return []
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item("109101", "DCM", "Acquisition Equipment")]
    for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName"):
        if source.get(keyword):
            item[keyword] = deepcopy(source[keyword])
    item.ContributionDescription = "Acquisition of the analysed images"
    return [item]


def _model_equipment(stamp: Stamp) -> Dataset:
    algorithm = stamp.algorithm
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item("109102", "DCM", "Processing Equipment")]
    item.Manufacturer = algorithm.manufacturer[:64] or stamp.equipment.manufacturer
    item.ManufacturerModelName = f"{algorithm.model.name}"[:64]
    item.SoftwareVersions = algorithm.model.version[:64]
    item.ContributionDescription = (
        f"AI model, package digest sha256:{algorithm.model.digest}, evidence digest sha256:{stamp.evidence_digest}"
    )
    return item


def algorithm_parameters(algorithm: Algorithm) -> tuple[str, ...]:
    """What is said of a run beside name and version: package, digest, provider, and the model's own parameters."""
    provider = (f"provider={algorithm.provider}",) if algorithm.provider else ()
    return (
        f"model={algorithm.model.name}",
        f"digest=sha256:{algorithm.model.digest}",
        *provider,
        *algorithm.parameters,
    )


def request_items(source: Dataset) -> list[Dataset]:
    """Items of Referenced Request Sequence (0040,A370), from what the images say of their order; [] when nothing."""
    items = []
    for request in source.get("RequestAttributesSequence") or []:
        if not (request.get("RequestedProcedureID") or request.get("AccessionNumber")):
            continue
        item = Dataset()
        item.StudyInstanceUID = source.StudyInstanceUID
        item.ReferencedStudySequence = []
        item.RequestedProcedureCodeSequence = []
        for keyword in _REQUEST_TYPE_2:
            setattr(item, keyword, None)
        item.AccessionNumber = source.get("AccessionNumber")
        for keyword in (*_REQUEST_TYPE_2, "RequestedProcedureCodeSequence", "ReasonForTheRequestedProcedure"):
            if request.get(keyword):
                item[keyword] = deepcopy(request[keyword])
        items.append(item)
    return items


def references(
    study_instance_uid: str, series: Sequence[tuple[str, Sequence[tuple[SOPClassUID, SOPInstanceUID]]]]
) -> Dataset:
    """Make an item of an evidence sequence (PS3.3 C.17.2.1): one study, its series, their instances."""
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    for series_instance_uid, instances in series:
        item = Dataset()
        item.SeriesInstanceUID = series_instance_uid
        item.ReferencedSOPSequence = [reference(*instance) for instance in instances]
        study.ReferencedSeriesSequence.append(item)
    return study


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """Make a SOP instance reference (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def to_object(ds: Dataset, kind: ResultKind, character_set: str = UTF_8) -> EncodedObject:
    """Write a Part 10 file (PS3.10 7.1), Explicit VR Little Endian, with our own file meta information.

    Raises PermanentError (``not-in-character-set``) when ``character_set`` cannot write a text of it.
    """
    if character_set != UTF_8:
        _ensure_writable(ds, character_set)
        ds.SpecificCharacterSet = character_set
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(ds.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(ds.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = implementation_version_name()
    ds.file_meta = meta
    ds.preamble = b"\0" * 128
    buffer = BytesIO()
    with config.disable_value_validation():
        dcmwrite(buffer, ds, enforce_file_format=True)
    return EncodedObject(
        kind=kind,
        sop_class_uid=SOPClassUID(str(ds.SOPClassUID)),
        sop_instance_uid=SOPInstanceUID(str(ds.SOPInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(ds.SeriesInstanceUID)),
        content=buffer.getvalue(),
    )


def _ensure_writable(ds: Dataset, character_set: str) -> None:
    encoding = python_encoding[character_set]
    for element in ds.iterall():
        if element.VR in _TEXT_VRS and not element.is_empty:
            values = element.value if element.VM > 1 else [element.value]
            try:
                "\\".join(str(value) for value in values).encode(encoding)
            except UnicodeEncodeError as error:
                raise PermanentError(
                    f"{element.keyword} has characters that {character_set} cannot write.",
                    next_step="Give the destination's profile the character set ISO_IR 192, or one that has them.",
                    code="not-in-character-set",
                ) from error
