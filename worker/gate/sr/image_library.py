"""Gate checks of the image library of a report (TID 1600 to 1604): what it says of each image is true of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from worker.gate.reading import Inspection, children, code_of, numbers_of
from worker.gate.seg.reading import plane_of

_PLACE = ("110901", "110902", "110903", "110904", "110905", "110906", "110907", "110908", "110909")
_ROUNDING = 2e-5
"""Values are written with six significant digits."""


def library_problems(ds: Dataset, given: Inspection) -> Iterator[str]:
    """Compare every entry with its image."""
    for library in children(ds, "111028"):
        for group in library.ContentSequence:
            if code_of(group) != ("126200", "DCM"):
                yield "something in the image library that is no group"
            for entry in group.ContentSequence:
                yield from _entry(entry, given)


def _entry(entry: Dataset, given: Inspection) -> Iterator[str]:
    uid = str(entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    image = given.evidence.by_instance[uid]
    expected = _expected(image, given)
    seen: set[str] = set()
    for item in entry.ContentSequence:
        code = code_of(item)[0]
        if item.RelationshipType != "HAS ACQ CONTEXT" or code in seen:
            yield f"{code} is said twice of an image, or is no context of its acquisition"
        seen.add(code)
        if code == "121139":
            if code_of(item, "ConceptCodeSequence") != (given.conclusion.volume.modality, "DCM"):
                yield "another modality than that of the image"
        elif code == "112227":
            if str(item.UID) != str(image.FrameOfReferenceUID):
                yield "another Frame of Reference than that of the image"
        else:
            yield from _number(item, code, expected)


def _number(item: Dataset, code: str, expected: dict[str, tuple[float, str]]) -> Iterator[str]:
    measured = item.MeasuredValueSequence[0]
    value, unit = expected.get(code, (np.nan, ""))
    near = np.isclose(float(measured.NumericValue), value, rtol=_ROUNDING, atol=_ROUNDING)
    if not near or code_of(measured, "MeasurementUnitsCodeSequence") != (unit, "UCUM"):
        yield f"{code} is not that of the image"


def _expected(image: Dataset, given: Inspection) -> dict[str, tuple[float, str]]:
    """Value and unit of everything that can be said of an image in numbers, by its concept."""
    volume = given.conclusion.volume
    found = {"110910": (float(image.Rows), "{pixels}"), "110911": (float(image.Columns), "{pixels}")}
    thickness = numbers_of(image, "SliceThickness")
    if thickness:
        found["112225"] = (thickness[0], "mm")
    if volume.has_spacing:
        _, row_mm, column_mm = volume.geometry.spacing_mm
        found |= {"111066": (row_mm, "mm"), "111026": (column_mm, "mm")}
    if volume.in_patient_space:
        position, orientation, spacing = plane_of(image, None)
        found |= {"111066": (float(spacing[0]), "mm"), "111026": (float(spacing[1]), "mm")}
        values = zip(_PLACE, (*position, *orientation), strict=True)
        found |= {code: (float(value), "mm" if code < "110904" else "{-1:1}") for code, value in values}
    return found
