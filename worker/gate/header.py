"""Gate checks that hold for every result object: file, identity, equipment, draft marks, value representations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

from worker.domain.implementation import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.domain.profile import Profile
from worker.domain.result import Check, EncodedObject
from worker.gate.codes import code_problems
from worker.gate.copied_attributes import character_set_problems, copy_problems, identity_problems
from worker.gate.header_text import Said, provenance_problems, word_problems
from worker.gate.reading import EvidenceHeaders, checked
from worker.gate.stored_text import IDENTITY

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
LABELMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"
REPORT_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"
TEXT_CLASS = "1.2.840.10008.5.1.4.1.1.88.11"
NOTE_CLASS = "1.2.840.10008.5.1.4.1.1.88.59"
MAP_CLASS = "1.2.840.10008.5.1.4.1.1.30"
CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"
FRAMES_CLASS = "1.2.840.10008.5.1.4.1.1.7.4"
PRESENTATION_CLASS = "1.2.840.10008.5.1.4.1.1.11.1"

_TYPE_1 = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesNumber",
    "SeriesDescription", "InstanceNumber", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber",
    "SoftwareVersions", "DeviceUID", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime",
    "ContributingEquipmentSequence", "SpecificCharacterSet",
)  # fmt: skip
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
_OF_CLASS = {
    SEG_CLASS: (
        "SegmentSequence", "SegmentationType", "SegmentsOverlap", "ContentLabel",
        "ContentDescription", "ContentCreatorName", "ImageType", "NumberOfFrames", "ReferencedSeriesSequence",
        "DimensionIndexSequence", "DimensionOrganizationSequence", "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence", "PixelData", "LossyImageCompression", "PhotometricInterpretation",
    ),
    REPORT_CLASS: (
        "CompletionFlag", "VerificationFlag", "PreliminaryFlag", "CurrentRequestedProcedureEvidenceSequence",
        "ContentTemplateSequence", "ConceptNameCodeSequence", "ContentSequence", "ContinuityOfContent", "ValueType",
    ),
}  # fmt: skip
_OF_CLASS[MAP_CLASS] = (
    "FrameOfReferenceUID", "ImageType", "NumberOfFrames", "Rows", "Columns", "ReferencedSeriesSequence", "ContentLabel",
    "ContentDescription", "ContentCreatorName", "ContentQualification", "DimensionIndexSequence",
    "DimensionOrganizationSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "FloatPixelData", "LossyImageCompression", "PhotometricInterpretation", "BurnedInAnnotation",
    "RecognizableVisualFeatures", "PresentationLUTShape",
)  # fmt: skip
_OF_CLASS[CAPTURE_CLASS] = (
    "ConversionType", "ImageType", "Rows", "Columns", "PixelData", "PhotometricInterpretation", "BurnedInAnnotation",
    "DerivationDescription", "ImageComments", "SourceImageSequence",
)  # fmt: skip
_OF_CLASS[FRAMES_CLASS] = (*_OF_CLASS[CAPTURE_CLASS], "NumberOfFrames")
_OF_CLASS[PRESENTATION_CLASS] = (
    "ContentLabel", "ContentDescription", "ContentCreatorName", "PresentationCreationDate",
    "PresentationCreationTime", "ReferencedSeriesSequence", "DisplayedAreaSelectionSequence",
    "GraphicAnnotationSequence", "GraphicLayerSequence", "PresentationLUTShape",
)  # fmt: skip
_OF_CLASS[LABELMAP_CLASS] = _OF_CLASS[SEG_CLASS]
_OF_CLASS[TEXT_CLASS] = _OF_CLASS[REPORT_CLASS]
_OF_CLASS[NOTE_CLASS] = tuple(keyword for keyword in _OF_CLASS[REPORT_CLASS] if not keyword.endswith("Flag"))
_SR_TYPE_2 = ("PerformedProcedureCodeSequence", "ReferencedPerformedProcedureStepSequence")
_TYPE_2_OF_CLASS = {
    REPORT_CLASS: _SR_TYPE_2,
    TEXT_CLASS: _SR_TYPE_2,
    NOTE_CLASS: ("ReferencedPerformedProcedureStepSequence",),
    MAP_CLASS: ("AcquisitionContextSequence", "PositionReferenceIndicator"),
    CAPTURE_CLASS: ("PatientOrientation",),
    FRAMES_CLASS: ("PatientOrientation",),
}
_MODALITY = {
    SEG_CLASS: "SEG",
    LABELMAP_CLASS: "SEG",
    REPORT_CLASS: "SR",
    TEXT_CLASS: "SR",
    NOTE_CLASS: "KO",
    MAP_CLASS: "OT",
    CAPTURE_CLASS: "OT",
    FRAMES_CLASS: "OT",
    PRESENTATION_CLASS: "PR",
}

_CHECKED_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"})


def header_checks(
    item: EncodedObject,
    ds: Dataset,
    evidence: EvidenceHeaders,
    profile: Profile,
    said: Said,
    *,
    name: str,
    maximum_bytes: int,
) -> Iterator[Check]:
    """Yield the checks of one object; ``name`` is its kind, and begins each check's name."""
    yield checked(f"{name}-size", f"{len(item.content)} bytes", lambda: _size(item, maximum_bytes))
    yield checked(f"{name}-file", "Part 10, Explicit VR Little Endian", lambda: _file(item, ds))
    yield checked(f"{name}-uids", "own, valid UIDs in the study of the evidence", lambda: _uids(ds, evidence))
    yield checked(
        f"{name}-identity", f"{', '.join(IDENTITY)} equal the evidence", lambda: identity_problems(item, evidence.texts)
    )
    yield checked(
        f"{name}-copies", "patient and study attributes equal the images", lambda: copy_problems(item, evidence.texts)
    )
    yield checked(f"{name}-attributes", "all required attributes are there", lambda: _attributes(ds))
    yield checked(
        f"{name}-character-set",
        str(ds.get("SpecificCharacterSet")),
        lambda: character_set_problems(item, profile, evidence.texts),
    )
    yield checked(
        f"{name}-provenance", "names its model and its evidence", lambda: provenance_problems(ds, said, evidence)
    )
    yield checked(
        f"{name}-words", "series, content and equipment in words", lambda: word_problems(ds, name, said, profile)
    )
    if name not in {"sr", "text"}:  # which are asked with their content
        yield checked(f"{name}-codes", "codes mean what they say", lambda: code_problems(ds, said.known))
    yield checked(f"{name}-draft", "marked as an unverified AI draft", lambda: _draft(ds))
    yield checked(f"{name}-values", "every value fits its representation", lambda: _values(ds, evidence))


def _size(item: EncodedObject, maximum_bytes: int) -> Iterator[str]:
    if len(item.content) > maximum_bytes:
        yield f"{len(item.content)} bytes, more than the limit of {maximum_bytes}"


def _file(item: EncodedObject, ds: Dataset) -> Iterator[str]:
    meta = ds.file_meta
    if str(meta.TransferSyntaxUID) != ExplicitVRLittleEndian:
        yield f"transfer syntax {meta.TransferSyntaxUID}, expected {ExplicitVRLittleEndian}"
    pairs = (
        ("Media Storage SOP Class UID", meta.MediaStorageSOPClassUID, ds.SOPClassUID),
        ("Media Storage SOP Instance UID", meta.MediaStorageSOPInstanceUID, ds.SOPInstanceUID),
        ("SOP class of the record", item.sop_class_uid, ds.SOPClassUID),
        ("SOP instance of the record", item.sop_instance_uid, ds.SOPInstanceUID),
        ("series of the record", item.series_instance_uid, ds.SeriesInstanceUID),
    )
    for what, found, expected in pairs:
        if str(found) != str(expected):
            yield f"{what} is {found}, the data set says {expected}"
    written_by = str(meta.ImplementationClassUID), str(meta.ImplementationVersionName)
    if written_by != (IMPLEMENTATION_CLASS_UID, implementation_version_name()):
        yield "the file meta information does not name Overread as the writer"


def _uids(ds: Dataset, evidence: EvidenceHeaders) -> Iterator[str]:
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):  # that of the study is the images' to answer for
        if not UID(str(ds[keyword].value)).is_valid:
            yield f"{keyword} is no valid UID"
    if str(ds.SOPInstanceUID) in evidence.by_instance:
        yield "SOPInstanceUID is that of an image"
    if str(ds.SeriesInstanceUID) in {str(header.SeriesInstanceUID) for header in evidence.by_instance.values()}:
        yield "SeriesInstanceUID is that of the images"


def _attributes(ds: Dataset) -> Iterator[str]:
    sop_class = str(ds.SOPClassUID)
    for keyword in (*_TYPE_1, *_OF_CLASS[sop_class]):
        if keyword not in ds or ds[keyword].is_empty:
            yield f"no {keyword}"
    for keyword in (*_TYPE_2, *_TYPE_2_OF_CLASS.get(sop_class, ())):
        if keyword not in ds:
            yield f"no {keyword} (may be empty, must be there)"
    if ds.Modality != _MODALITY[sop_class]:
        yield f"Modality is {ds.Modality}, expected {_MODALITY[sop_class]}"


def _draft(ds: Dataset) -> Iterator[str]:
    words = set(re.findall(r"[A-Za-z]+", str(ds.SeriesDescription)))
    if not {"AI", "DRAFT"} <= words:
        yield "SeriesDescription does not say AI and DRAFT"
    if str(ds.SOPClassUID) not in {REPORT_CLASS, TEXT_CLASS}:
        return  # without flags of their own
    for keyword, expected in (
        ("VerificationFlag", "UNVERIFIED"),
        ("PreliminaryFlag", "PRELIMINARY"),
        ("CompletionFlag", "COMPLETE"),
    ):
        if ds.get(keyword) != expected:
            yield f"{keyword} is {ds.get(keyword)}, expected {expected}"
    if "VerifyingObserverSequence" in ds:
        yield "a verifying observer is named"


def _values(ds: Dataset, evidence: EvidenceHeaders) -> Iterator[str]:
    """PS3.5 6.2. Who the patient is, and the UIDs of the images, are theirs to answer for."""
    theirs = {
        str(header.get(keyword))
        for header in evidence.by_instance.values()
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    }
    for element in _elements(ds, {*IDENTITY}, evidence.any_one):
        if element.VR not in _CHECKED_VRS or element.is_empty:
            continue
        values: Sequence[object] = element.value if element.VM > 1 else [element.value]
        for value in values:
            text = str(value) if element.VR == "PN" else str(getattr(value, "original_string", value))
            if element.VR == "UI" and text in theirs:
                continue
            try:
                validate_value(element.VR, text, config.RAISE)
            except ValueError:
                yield f"{element.keyword} does not fit its value representation {element.VR}"


def _elements(ds: Dataset, copied: set[str], header: Dataset) -> Iterator[DataElement]:
    for element in ds:
        if element.keyword in copied and element.keyword in header:
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from item.iterall()
        else:
            yield element
