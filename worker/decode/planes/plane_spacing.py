"""Pixel spacing of projections and ultrasound: which attribute it comes from, and what that means for lengths.

Every answer has notes: a length that is measured at the detector is larger than the one in the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from worker.functional_groups.groups import items_of
from worker.headers.attributes import floats, integer, plain_attributes

Values = Mapping[str, tuple[str, ...]]
"""Attributes as text, of ``attributes_of`` or of an item."""

SAME = 1e-3
"""Spacings that differ by no more than this part are the same number, written differently."""

LARGEST_MAGNIFICATION = 20.0
"""Source to detector over source to patient: micro-focus tubes magnify up to about 10."""

MOSTLY = 0.5
"""The part of a frame that an ultrasound region must cover to give the spacing of the frame."""

_TWO_DIMENSIONAL, _TISSUE, _CENTIMETRES = 1, 1, 3


@dataclass(frozen=True, slots=True)
class PlaneSpacing:
    """Distance of rows and of columns in mm; None when it is not known. ``notes`` say where it comes from."""

    row_column_mm: tuple[float, float] | None
    notes: tuple[str, ...]


def radiographic_spacing(attributes: Values) -> PlaneSpacing:
    """Spacing of a projection (PS3.3 10.7): calibrated, at the detector, or of the film that was scanned.

    In this order: Pixel Spacing that is calibrated, corrected or of unknown kind; Imager Pixel Spacing, divided by the
    Estimated Radiographic Magnification Factor when there is one; Nominal Scanned Pixel Spacing.
    """
    notes: list[str] = []
    pixel = _spacing(attributes, "PixelSpacing", notes)
    imager = _spacing(attributes, "ImagerPixelSpacing", notes)
    scanned = _spacing(attributes, "NominalScannedPixelSpacing", notes)
    kind = attributes.get("PixelSpacingCalibrationType", ("",))[0].upper()
    if pixel is not None and (meaning := _meaning(pixel, imager, scanned, kind=kind)):
        return PlaneSpacing(pixel, (*notes, meaning))
    if imager is not None:
        return _at_the_detector(imager, attributes, notes)
    if scanned is not None:
        notes.append("the pixel spacing is that of the scanned film: lengths in the patient are smaller")
        return PlaneSpacing(scanned, tuple(notes))
    return _unknown(attributes, notes)


def ultrasound_spacing(attributes: Values, dataset: Dataset) -> PlaneSpacing:
    """Spacing of an ultrasound image (PS3.3 C.8.5.5): that of the one region of 2D tissue that covers most of it.

    Pixel Spacing is no attribute of ultrasound images and is not looked at.
    """
    rows, columns = integer(attributes, "Rows") or 0, integer(attributes, "Columns") or 0
    regions = [plain_attributes(item) for item in items_of(dataset, "SequenceOfUltrasoundRegions")]
    tissue = [
        one for one in regions
        if integer(one, "RegionSpatialFormat") == _TWO_DIMENSIONAL and integer(one, "RegionDataType") == _TISSUE
    ]  # fmt: skip
    if not tissue:
        return _unknown(attributes, ["the ultrasound image has no calibrated region of 2D tissue"])
    if len(tissue) > 1:
        return _unknown(attributes, [f"the ultrasound image has {len(tissue)} regions of 2D tissue, and not one"])
    covered, where = _cover(tissue[0], rows, columns)
    if covered < MOSTLY:
        return _unknown(attributes, [f"the calibrated region of the ultrasound image covers only {covered:.0%} of it"])
    spacing = _region_spacing(tissue[0])
    if spacing is None:
        return _unknown(attributes, ["the region of the ultrasound image is not calibrated in centimetres"])
    return PlaneSpacing(spacing, (f"the pixel spacing is that of the ultrasound region: it holds in {where}",))


def _meaning(
    pixel: tuple[float, float],
    imager: tuple[float, float] | None,
    scanned: tuple[float, float] | None,
    *,
    kind: str,
) -> str:
    """What Pixel Spacing stands for (PS3.3 10.7.1.1, 10.7.1.2); empty when it is that of the detector or the film."""
    if kind == "FIDUCIAL":
        return "the pixel spacing is calibrated by an object of known size: lengths hold at the depth of that object"
    if kind == "GEOMETRY":
        return "the pixel spacing is corrected for magnification: lengths hold at one depth of the patient"
    others = [other for other in (imager, scanned) if other is not None]
    if not others:
        return "the pixel spacing may be the one at the detector: the image does not say (PS3.3 10.7.1.1)"
    if any(_same(pixel, other) for other in others):
        return ""
    return "the pixel spacing is corrected or calibrated, and the image does not say how"


def _at_the_detector(imager: tuple[float, float], attributes: Values, notes: list[str]) -> PlaneSpacing:
    keyword = "EstimatedRadiographicMagnificationFactor"
    factors = floats(attributes, keyword)
    if factors and 1.0 <= factors[0] <= LARGEST_MAGNIFICATION:
        notes.append(
            f"the pixel spacing is that at the detector, divided by the estimated magnification of {factors[0]:.4g}"
        )
        return PlaneSpacing((imager[0] / factors[0], imager[1] / factors[0]), tuple(notes))
    if keyword in attributes:
        notes.append("the estimated magnification is none and was not used")
    notes.append("the pixel spacing is that at the detector: lengths in the patient are smaller")
    return PlaneSpacing(imager, tuple(notes))


def _spacing(attributes: Values, keyword: str, notes: list[str]) -> tuple[float, float] | None:
    """Two positive numbers, or None; what else stands there is said."""
    if keyword not in attributes:
        return None
    values = floats(attributes, keyword)
    if values is not None and len(values) == 2 and min(values) > 0:
        return values[0], values[1]
    notes.append(f"{keyword} is not two positive numbers and was not used")
    return None


def _region_spacing(region: Values) -> tuple[float, float] | None:
    """(row, column) in mm; an axis may run backwards, a distance may not."""
    if any(integer(region, f"PhysicalUnits{axis}Direction") != _CENTIMETRES for axis in "XY"):
        return None
    deltas = [abs(values[0]) for axis in "YX" if (values := floats(region, f"PhysicalDelta{axis}"))]
    return (deltas[0] * 10, deltas[1] * 10) if len(deltas) == 2 and min(deltas) > 0 else None


def _cover(region: Values, rows: int, columns: int) -> tuple[float, str]:
    """The part of the frame that the region covers, and its bounds in words. Its ends are part of it."""
    names = ("RegionLocationMinX0", "RegionLocationMaxX1", "RegionLocationMinY0", "RegionLocationMaxY1")
    ends = [integer(region, name) for name in names]
    if None in ends or not rows or not columns:
        return 0.0, ""
    left, right, top, bottom = (end or 0 for end in ends)
    left, right, top, bottom = max(left, 0), min(right, columns - 1), max(top, 0), min(bottom, rows - 1)
    if right < left or bottom < top:
        return 0.0, ""
    part = (right - left + 1) * (bottom - top + 1) / (rows * columns)
    return part, f"columns {left} to {right} and rows {top} to {bottom}"


def _unknown(attributes: Values, notes: Sequence[str]) -> PlaneSpacing:
    said = [*notes, "the pixel spacing is not known: nothing is stated in millimetres"]
    aspect = floats(attributes, "PixelAspectRatio")
    if aspect and len(aspect) == 2 and aspect[0] != aspect[1]:
        said.append(f"the pixels are not square: {aspect[0]:g} high to {aspect[1]:g} wide")
    return PlaneSpacing(None, tuple(said))


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= SAME * b for a, b in zip(one, other, strict=True))
