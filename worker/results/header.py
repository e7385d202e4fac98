"""What every result object has in its header: patient and study of the evidence, our equipment, dates, file meta."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from worker.domain.character_sets import UTF_8, codec_of, has_every_character
from worker.domain.errors import PermanentError
from worker.domain.implementation import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.domain.model import Algorithm
from worker.domain.result import EncodedObject, ResultKind
from worker.domain.study import Digest, SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.results.coding import code_item, private_schemes
from worker.results.copied_attributes import TEXT_VRS
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

_LATIN_1 = "ISO_IR 100"
"""Under which pydicom writes each character below U+0100 as the byte of this number."""

_REQUEST_TYPE_2 = (
    "AccessionNumber", "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID", "RequestedProcedureDescription",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Stamp:
    """What the objects of one conclusion have in common.

    ``made_at`` is the date and time that they carry: that of the images, in the time zone of the study, so that the
    same work gives the same bytes whenever it is done (``moments``).
    ``evidence_digest`` stands for what they were made from (``identity.evidence_digest``). ``notes`` say what was not
    copied from the images.
    """

    source_header: Dataset
    equipment: Equipment
    algorithm: Algorithm
    made_at: datetime
    evidence_digest: Digest
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesNames:
    """How the series of a result object is called. The number is from a range that is reserved for results."""

    series_instance_uid: SeriesInstanceUID
    series_number: int
    series_description: str
    sop_instance_uid: SOPInstanceUID
    instance_number: int = 1


def apply_header(ds: Dataset, stamp: Stamp, names: SeriesNames) -> None:
    """Replace everything in ``ds`` that says who, where, when and by what, whatever a library wrote there."""
    source = stamp.source_header
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
    made_from = f"package digest sha256:{algorithm.model.digest}, evidence digest sha256:{stamp.evidence_digest}"
    # The one place for words that every kind of object has (ST, 1024 characters).
    item.ContributionDescription = " ".join((f"AI model, {made_from}", *stamp.notes))[:1024]
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


@dataclass(frozen=True, slots=True)
class Writing:
    """The Specific Character Set of an object (PS3.3 C.12.1.1.2).

    ``kept``: it is that of the images, whose texts stand in the data set byte by byte (``copies.Copies.kept``); ours
    are ASCII where the set has not every character.
    """

    terms: tuple[str, ...] = (UTF_8,)
    kept: bool = False


def to_object(ds: Dataset, kind: ResultKind, writing: Writing = Writing()) -> EncodedObject:
    """Write a Part 10 file (PS3.10 7.1), Explicit VR Little Endian, with our own file meta information.

    Raises PermanentError (``not-in-character-set``) when the character set cannot write a text of it.
    """
    if writing.kept:
        _bytes_as_latin_1(ds, writing.terms)
        ds.SpecificCharacterSet = _LATIN_1
    elif writing.terms != (UTF_8,):
        _ensure_writable(ds, writing.terms[0])
        ds.SpecificCharacterSet = writing.terms[0]
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
    content = buffer.getvalue()
    return EncodedObject(
        kind=kind,
        sop_class_uid=SOPClassUID(str(ds.SOPClassUID)),
        sop_instance_uid=SOPInstanceUID(str(ds.SOPInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(ds.SeriesInstanceUID)),
        content=_declared(content, writing.terms) if writing.kept else content,
    )


def _texts(ds: Dataset) -> Iterator[DataElement]:
    return (element for element in ds.iterall() if element.VR in TEXT_VRS and not element.is_empty)


def _values(element: DataElement) -> list[str]:
    return [str(value) for value in (element.value if element.VM > 1 else [element.value])]


def _ensure_writable(ds: Dataset, character_set: str) -> None:
    for element in _texts(ds):
        try:
            "\\".join(_values(element)).encode(codec_of(character_set))
        except UnicodeEncodeError as error:
            raise unwritable(element.keyword, character_set) from error


def unwritable(keyword: str, character_set: str) -> PermanentError:
    """A text that a character set has no letters for."""
    return PermanentError(
        f"{keyword} has characters that {character_set} cannot write.",
        next_step="Give the destination's profile the character set ISO_IR 192, one that has them, or none: then that "
        "of the images is kept.",
        code="not-in-character-set",
    )


def _bytes_as_latin_1(ds: Dataset, terms: Sequence[str]) -> None:
    """Turn kept bytes into the Latin-1 characters that pydicom writes as these bytes."""
    codec = codec_of(terms[0]) if len(terms) == 1 and has_every_character(terms[0]) else "ascii"
    for element in _texts(ds):
        try:
            values = [value.encode(codec, "surrogateescape").decode("latin-1") for value in _values(element)]
        except UnicodeEncodeError as error:
            raise unwritable(element.keyword, "the character set of the images") from error
        element.value = values if len(values) > 1 else values[0]


def _declared(content: bytes, terms: Sequence[str]) -> bytes:
    """Put the Specific Character Set of the images in the place of the one that pydicom wrote by.

    It is the first element behind the file meta information, whose group length is at offset 140 (PS3.10 7.1).
    """
    start = 144 + int.from_bytes(content[140:144], "little")
    written = b"\x08\x00\x05\x00CS"
    if content[start : start + 6] != written:
        raise AssertionError("an object that does not begin with its character set")
    end = start + 8 + int.from_bytes(content[start + 6 : start + 8], "little")
    value = "\\".join(terms).encode("ascii")
    value += b" " * (len(value) % 2)
    return content[:start] + written + len(value).to_bytes(2, "little") + value + content[end:]
