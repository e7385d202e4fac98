"""Coded concepts of result objects in one place, checked against pydicom's dictionary of PS3.16 by a test."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as DicomCode

from worker.domain.codes import Code, Unit

# Documents and their context (TID 1204, 1500, 2000; TID 1001 to 1004)
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_OBSERVER_SERIAL_NUMBER = Code("121016", "DCM", "Device Observer Serial Number")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")

# Image library (TID 1600 to 1604)
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
MODALITY = Code("121139", "DCM", "Modality")
FRAME_OF_REFERENCE_UID = Code("112227", "DCM", "Frame of Reference UID")
PIXEL_DATA_ROWS = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")
HORIZONTAL_PIXEL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_PIXEL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
SLICE_THICKNESS = Code("112225", "DCM", "Slice Thickness")

IMAGE_POSITION = (
    Code("110901", "DCM", "Image Position (Patient) X"),
    Code("110902", "DCM", "Image Position (Patient) Y"),
    Code("110903", "DCM", "Image Position (Patient) Z"),
)
IMAGE_ORIENTATION = (
    Code("110904", "DCM", "Image Orientation (Patient) Row X"),
    Code("110905", "DCM", "Image Orientation (Patient) Row Y"),
    Code("110906", "DCM", "Image Orientation (Patient) Row Z"),
    Code("110907", "DCM", "Image Orientation (Patient) Column X"),
    Code("110908", "DCM", "Image Orientation (Patient) Column Y"),
    Code("110909", "DCM", "Image Orientation (Patient) Column Z"),
)

# Measurement groups (TID 300, 1410, 1411, 1419, 1501, 4019, 4108)
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING = Code("121071", "DCM", "Finding")
FINDING_CATEGORY = Code("276214006", "SCT", "Finding category")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
LATERALITY = Code("272741003", "SCT", "Laterality")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
GEOMETRIC_PURPOSE = Code("130400", "DCM", "Geometric purpose of region")
CENTER = Code("111010", "DCM", "Center")
REFERENCED_SEGMENT = Code("121191", "DCM", "Referenced Segment")
SOURCE_SERIES = Code("121232", "DCM", "Source series for segmentation")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
SOURCE = Code("260753009", "SCT", "Source")
METHOD = Code("370129005", "SCT", "Measurement Method")
DERIVATION = Code("121401", "DCM", "Derivation")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_FAMILY = Code("111000", "DCM", "Algorithm Family")
ALGORITHM_MANUFACTURER = Code("122405", "DCM", "Algorithm Manufacturer")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
COMMENT = Code("121106", "DCM", "Comment")

# What is measured and stated
VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
LENGTH = Code("410668003", "SCT", "Length")
PROBABILITY = Code("122157", "DCM", "Probability")
PRESENCE = Code("121052", "DCM", "Presence of property")
PRESENT = Code("121053", "DCM", "Present")
ABSENT = Code("121054", "DCM", "Absent")
UNDETERMINED = Code("121059", "DCM", "Presence Undetermined")
PRIORITY = Code("260870009", "SCT", "Priority")
URGENT = Code("103391001", "SCT", "Urgency")

# Sections and elements of a text report (CID 7001, 7002, 7003)
FINDINGS = Code("121070", "DCM", "Findings")
CONCLUSIONS = Code("121076", "DCM", "Conclusions")
CONCLUSION = Code("121077", "DCM", "Conclusion")
IMPRESSION = Code("121073", "DCM", "Impression")
RECOMMENDATION = Code("121075", "DCM", "Recommendation")
BEST_ILLUSTRATION = Code("121080", "DCM", "Best illustration of finding")

PERCENT = Unit("%", "Percent")
NO_UNITS = Unit("1", "no units")
PIXELS = Unit("{pixels}", "pixels")
COSINE = Unit("{-1:1}", "{-1:1}")

_ELEMENTS = {
    ("19005-8", "LN"): IMPRESSION,
    ("121072", "DCM"): IMPRESSION,
    ("55110-1", "LN"): CONCLUSION,
    ("121076", "DCM"): CONCLUSION,
    ("18783-1", "LN"): RECOMMENDATION,
    ("121074", "DCM"): RECOMMENDATION,
}

_X_RAY = Code("43468-8", "LN", "XR unspecified body region")
_PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "XA": Code("77343006", "SCT", "Angiography"),
    **dict.fromkeys(("CR", "DX", "IO", "MG", "PX", "RF", "RG"), _X_RAY),
}
_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

_ANATOMICAL_CATEGORIES = frozenset({("123037004", "SCT"), ("91723000", "SCT"), ("85756007", "SCT")})
"""Segmented property categories (CID 7150) whose types are anatomy: structures and tissues."""


def procedure_reported(modality: str) -> Code:
    """Return the procedure (CID 100) for TID 1500's Procedure reported; validators refuse codes from outside it.

    The group has no code of its own for ultrasound: that, like every other modality, is an imaging procedure.
    """
    return _PROCEDURES.get(modality, _ANY_PROCEDURE)


def modality_code(modality: str) -> Code | None:
    """Return the code of a modality (CID 29), which is the defined term itself; None for others than the group's."""
    for concept in codes.cid29.concepts.values():
        if concept.value == modality:
            return Code(concept.value, concept.scheme_designator, concept.meaning)
    return None


def element_of(section: Code) -> Code:
    """Return what a text in a section of a report is called (CID 7002); a finding where there is nothing nearer."""
    return _ELEMENTS.get((section.value, section.scheme), FINDING)


def is_anatomical(category: Code) -> bool:
    """Tell whether the segmented property type of this category is itself an anatomic site."""
    return (category.value, category.scheme) in _ANATOMICAL_CATEGORIES


def to_dicom(code: Code) -> DicomCode:
    """Make the pydicom form, which highdicom takes."""
    return DicomCode(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Make an item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def private_schemes(ds: Dataset) -> list[Dataset]:
    """Items of Coding Scheme Identification Sequence (PS3.3 C.12.1.1.1) for the private designators that ``ds`` uses.

    A private coding scheme designator begins with 99 (PS3.16 8.2).
    """
    designators = sorted(
        {
            element.value
            for element in ds.iterall()
            if element.keyword == "CodingSchemeDesignator" and str(element.value).startswith("99")
        }
    )
    items = []
    for designator in designators:
        item = Dataset()
        item.CodingSchemeDesignator = designator
        item.CodingSchemeName = f"Private codes {designator} of an AI model package"
        item.CodingSchemeResponsibleOrganization = "The provider of the model package"
        items.append(item)
    return items
