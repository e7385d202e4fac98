"""Coded concepts of result objects in one place, checked against pydicom's dictionary of PS3.16 by a test."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as DicomCode

from worker.domain.codes import Code

VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
DEVICE = Code("121007", "DCM", "Device")

_CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")
_PROCEDURES = {
    "CT": _CT_PROCEDURE,
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
}
_ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")

_ANATOMICAL_CATEGORIES = frozenset({("123037004", "SCT"), ("91723000", "SCT"), ("85756007", "SCT")})
"""Segmented property categories (CID 7150) whose types are anatomy: structures and tissues."""


def procedure_reported(modality: str) -> Code:
    """Return the procedure (CID 100) for TID 1500's Procedure reported; validators refuse codes from outside it."""
    return _PROCEDURES.get(modality, _ANY_PROCEDURE)


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
