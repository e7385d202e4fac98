"""How the gate reads what results copy: the bytes of an image or a result, and the character set that they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from worker.domain.character_sets import Reading, StatedSet, UndecodableTextError, is_plain
from worker.domain.result import EncodedObject

IDENTITY = (
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber",
)  # fmt: skip
"""The same in every instance of the evidence and in every result."""

STUDY_AND_PATIENT = (
    "PatientSex", "PatientAge", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "ReferringPhysicianName",
    "TimezoneOffsetFromUTC", "TypeOfPatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthTime",
    "EthnicGroup", "QualityControlSubject", "PatientSpeciesDescription", "PatientBreedDescription", "ResponsiblePerson",
    "ResponsiblePersonRole", "ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription", "ConsultingPhysicianName", "PhysiciansOfRecord",
    "AdmittingDiagnosesDescription", "PatientSize", "PatientWeight", "PatientBodyMassIndex", "Occupation",
    "AdditionalPatientHistory", "AdmissionID", "PatientSexNeutered", "MedicalAlerts", "Allergies",
    "LongitudinalTemporalInformationModified",
)  # fmt: skip
"""Copied from the images to every result; scanners may vary them from image to image."""

OF_SOME_IMAGE = (
    "BodyPartExamined", "PositionReferenceIndicator", "Laterality", "ImageLaterality", "LossyImageCompressionMethod",
)  # fmt: skip
"""What some results say of their images, and what is then that of one of them."""

EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName")
"""What results say of the device that made the images."""

LOOK = ("InstanceNumber", "RescaleType", "VOILUTFunction")
"""What viewers show of an image and its values in words."""

SEQUENCES = (
    "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientSpeciesCodeSequence",
    "PatientBreedCodeSequence", "BreedRegistrationSequence", "DeidentificationMethodCodeSequence",
    "IssuerOfAccessionNumberSequence", "ProcedureCodeSequence", "ReferringPhysicianIdentificationSequence",
    "ReferencedStudySequence", "AdmittingDiagnosesCodeSequence", "IssuerOfAdmissionIDSequence",
)  # fmt: skip
"""Copied item by item; an item may lack what was no valid value."""

REQUESTS, REFERENCED_REQUESTS = "RequestAttributesSequence", "ReferencedRequestSequence"
CONTRIBUTIONS = "ContributingEquipmentSequence"
READ = (*IDENTITY, *STUDY_AND_PATIENT, *OF_SOME_IMAGE, *EQUIPMENT, *LOOK, *SEQUENCES, REQUESTS)
"""What the images are read for."""

_CHARACTER_SET = "SpecificCharacterSet"
_WITH_CHARACTER_SET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})

Leaf = tuple[str, str]
"""An element of an item: its path by keywords, and its value as text."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """The copied attributes of one data set as bytes, without padding, and how they are to be read.

    ``items`` are those of its sequences, each element by its path.
    """

    values: Mapping[str, bytes] = field(repr=False)
    reading: Reading
    items: Mapping[str, tuple[tuple[tuple[str, bytes], ...], ...]] = field(default_factory=dict, repr=False)

    def text(self, keyword: str) -> str:
        """The value as text, of names without padding and empty trailing components. Raises UndecodableTextError."""
        return _text(keyword, self.values.get(keyword, b""), self.reading)

    def plain(self, keyword: str) -> str:
        """The value where it is ASCII; empty for another."""
        value = self.values.get(keyword, b"").strip(b" \0")
        return value.decode("ascii") if is_plain(value) else ""

    def is_certain(self, keyword: str) -> bool:
        """True for text that may be written in another character set: its bytes leave no doubt of it."""
        try:
            return self.reading.decode(self.values.get(keyword, b"").strip(b" \0")).certain
        except UndecodableTextError:
            return False

    def leaves(self, keyword: str) -> list[frozenset[Leaf]]:
        """Items of a sequence, as far as they can be read and are not empty."""
        found = []
        for item in self.items.get(keyword, ()):
            leaves: set[Leaf] = set()
            for path, value in item:
                try:
                    text = _text(path.rpartition("/")[2], value, self.reading)
                except UndecodableTextError:
                    text = value.decode("latin-1")
                if text:
                    leaves.add((path, text))
            found.append(frozenset(leaves))
        return found


def stored_text(ds: Dataset, stated: StatedSet | None = None) -> StoredText:
    """Keep the bytes of a data set that was read and not yet converted."""
    flat = (*IDENTITY, *STUDY_AND_PATIENT, *OF_SOME_IMAGE, *EQUIPMENT, *LOOK)
    values = {keyword: _bytes(ds, keyword) for keyword in flat}
    declared = ds.get(_CHARACTER_SET) or ""
    terms = [declared] if isinstance(declared, str) else [str(term or "") for term in declared]
    items = {
        keyword: tuple(tuple(_elements(item)) for item in _items(ds, Tag(keyword)))
        for keyword in (*SEQUENCES, REQUESTS, REFERENCED_REQUESTS, CONTRIBUTIONS)
        if keyword in ds
    }
    return StoredText(values, Reading.of("\\".join(terms).encode("latin-1", "replace"), stated), items)


def stored_text_of(item: EncodedObject) -> StoredText:
    """The same of an encoded object."""
    tags = [Tag(keyword) for keyword in (_CHARACTER_SET, *READ, REFERENCED_REQUESTS, CONTRIBUTIONS)]
    return stored_text(dcmread(BytesIO(item.content), stop_before_pixels=True, specific_tags=list(tags)))


def _bytes(ds: Dataset, keyword: str) -> bytes:
    element: object = ds.get_item(Tag(keyword)) if keyword in ds else None
    value = element.value if isinstance(element, RawDataElement) else None
    return value.rstrip(b" \0") if isinstance(value, bytes) else b""


def _items(ds: Dataset, tag: BaseTag) -> Iterator[Dataset]:
    """Items of a sequence; none where what a device wrote there is no sequence."""
    try:
        with config.disable_value_validation():
            value = ds[tag].value
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, EOFError, OSError):
        return
    if isinstance(value, DicomSequence):
        yield from value


def _elements(item: Dataset, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every element that the standard knows, without padding."""
    for tag in list(item.keys()):
        if tag.is_private or not dictionary_has_tag(tag):
            continue
        keyword = f"{path}{dictionary_keyword(tag)}"
        if dictionary_VR(tag) == "SQ":
            for inner in _items(item, tag):
                yield from _elements(inner, f"{keyword}/")
            continue
        element: object = item.get_item(tag)
        if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
            yield keyword, element.value.rstrip(b" \0")


def _text(keyword: str, value: bytes, reading: Reading) -> str:
    value, representation = value.strip(b" \0"), dictionary_VR(keyword)
    found = reading.decode(value).text if representation in _WITH_CHARACTER_SET else value.decode("latin-1")
    if representation in _ONE_VALUE:
        return found
    values = [_name(one) if representation == "PN" else one.strip(" ") for one in found.split("\\")]
    return "\\".join(values)


def _name(text: str) -> str:
    """A name without padding of its components and without empty ones at the end (PS3.5 6.2.1)."""
    groups = [[part.strip(" ") for part in group.split("^")] for group in text.split("=")]
    return "=".join("^".join(group).rstrip("^") for group in groups).rstrip("=")
