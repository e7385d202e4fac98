"""Gate checks of what the segments of a SEG are said to be (PS3.3 C.8.20.4), against the conclusion and the profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import Segment, Segmentation
from worker.gate.codes import Concept, known_meanings, meaning_of_code
from worker.gate.header_text import text_of
from worker.gate.reading import Inspection, code_of
from worker.gate.seg.reading import StoredFrames
from worker.gate.sentences import parameters_of

BACKGROUND = ("125040", "DCM")
"""Category and type of segment number 0 of a label map."""

_SAME_COLOUR = 1.5
"""Largest difference of L*, a* and b*: what 16 bits and rounded constants of sRGB may do."""


def segment_problems(ds: Dataset, finding: Segmentation, given: Inspection) -> Iterator[str]:
    """Compare Segment Sequence (0062,0002) with what was concluded."""
    described = list(ds.SegmentSequence)
    if ds.SegmentationType == "LABELMAP":
        yield from _background(ds, described, given.conclusion.algorithm.title)
        described = [item for item in described if int(item.SegmentNumber) != 0]
    numbers = [int(item.SegmentNumber) for item in described]
    expected = [segment.number for segment in finding.segments]
    if numbers != expected:
        yield f"segments {numbers[:10]}, expected {expected[:10]}"
        return
    tracking = [str(item.TrackingUID) for item in described]
    if len(set(tracking)) != len(tracking):
        yield "two segments share a tracking UID"
    known = known_meanings(given.conclusion.findings)
    for item, segment in zip(described, finding.segments, strict=True):
        for problem in (*_segment(item, segment, given), *_meanings(item, known)):
            yield f"segment {segment.number}: {problem}"


def _meanings(item: Dataset, known: Mapping[Concept, set[str]]) -> Iterator[str]:
    """Viewers show what codes are said to mean, and not their values."""
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
        yield from meaning_of_code(item, keyword, known)
    for holder in item.SegmentedPropertyTypeCodeSequence:
        yield from meaning_of_code(holder, "SegmentedPropertyTypeModifierCodeSequence", known)
    yield from meaning_of_code(item, "AnatomicRegionSequence", known)
    for holder in item.get("AnatomicRegionSequence") or []:
        yield from meaning_of_code(holder, "AnatomicRegionModifierSequence", known)


def _background(ds: Dataset, described: Sequence[Dataset], title: str) -> Iterator[str]:
    """C.8.20.2.3.3: every value in the pixel data is described, the background as well, and nothing twice."""
    numbers = [int(item.SegmentNumber) for item in described]
    if len(set(numbers)) != len(numbers):
        yield "two segments share a number"
    stored = StoredFrames.of(ds)
    present: set[int] = set()
    for number in range(int(ds.NumberOfFrames)):
        present.update(np.flatnonzero(np.bincount(stored.labels(number).ravel())).tolist())
    if present - set(numbers):
        yield f"values {sorted(present - set(numbers))[:5]} of the pixel data are not described"
    for item in described:
        if int(item.SegmentNumber) == 0:
            keywords = ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence")
            if {code_of(item, keyword) for keyword in keywords} != {BACKGROUND}:
                yield "segment 0 is not called background"
            said = item.SegmentLabel, item.SegmentAlgorithmType, text_of(item, "SegmentAlgorithmName")
            if said != ("Background", "AUTOMATIC", title[:64].rstrip()):
                yield "segment 0 has another label or algorithm"
    if "PixelPaddingValue" in ds and int(ds.PixelPaddingValue) != 0:
        yield f"the pixel padding value is {ds.PixelPaddingValue}, the background is 0"


def _segment(item: Dataset, segment: Segment, given: Inspection) -> Iterator[str]:
    algorithm = given.conclusion.algorithm
    described = item.SegmentationAlgorithmIdentificationSequence[0]
    modifiers = item.SegmentedPropertyTypeCodeSequence[0]
    regions = item.get("AnatomicRegionSequence") or [Dataset()]
    side, site = _pair(segment.laterality), _pair(segment.site)
    pairs = (
        ("label", str(item.SegmentLabel).strip(), segment.label.strip()[:64].rstrip()),
        ("category", code_of(item, "SegmentedPropertyCategoryCodeSequence"), _pair(segment.category)),
        ("type", code_of(item, "SegmentedPropertyTypeCodeSequence"), _pair(segment.type)),
        ("laterality", code_of(modifiers, "SegmentedPropertyTypeModifierCodeSequence"), side),
        ("site", code_of(_holder(regions), "AnatomicRegionSequence"), site),
        ("side of the site", code_of(regions[0], "AnatomicRegionModifierSequence"), side if segment.site else ("", "")),
        ("algorithm type", str(item.SegmentAlgorithmType), "AUTOMATIC"),
        ("algorithm name", str(item.SegmentAlgorithmName), algorithm.title[:64]),
        ("identified algorithm name", str(described.AlgorithmName), algorithm.title[:64]),
        ("algorithm version", str(described.AlgorithmVersion), algorithm.model.version[:64]),
        ("algorithm family", code_of(described, "AlgorithmFamilyCodeSequence"), ("123110", "DCM")),
        ("tracking identifier", str(item.TrackingID).strip(), segment.tracking_identifier.strip()),
    )
    for what, found, expected in pairs:
        if found != expected:
            yield f"{what} is not as concluded"
    if text_of(described, "AlgorithmParameters") != "; ".join(parameters_of(algorithm))[:10240].rstrip():
        yield "the algorithm's parameters are others: they do not name this model and its settings alone"
    if text_of(described, "AlgorithmSource") != algorithm.manufacturer[:64].rstrip():
        yield "the algorithm's source is not as concluded"
    rgb = dict(given.profile.colours).get(segment.label, segment.colour_rgb)
    if not is_colour([int(v) for v in item.RecommendedDisplayCIELabValue], rgb):
        yield "the display colour is not that of the model or the profile"


def _holder(regions: Sequence[Dataset]) -> Dataset:
    holder = Dataset()
    holder.AnatomicRegionSequence = list(regions)
    return holder


def _pair(code: Code | None) -> tuple[str, str]:
    return ("", "") if code is None else (code.value, code.scheme)


def is_colour(stored: Sequence[int], rgb: tuple[int, int, int]) -> bool:
    """Tell whether a stored CIELab value is an sRGB colour."""
    return max(abs(a - b) for a, b in zip(_lab_of_stored(stored), lab_of(rgb), strict=True)) <= _SAME_COLOUR


def _lab_of_stored(value: Sequence[int]) -> tuple[float, float, float]:
    """L*, a*, b* of Recommended Display CIELab Value (PS3.3 C.10.7.1.1)."""
    lightness, a, b = value
    return lightness * 100 / 65535, a * 255 / 65535 - 128, b * 255 / 65535 - 128


def lab_of(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """L*, a*, b* of an sRGB colour under its own white (D65), as viewers convert it back."""
    stored = np.array(rgb, dtype=np.float64) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                    [0.0193339, 0.1191920, 0.9503041]]) @ linear  # fmt: skip
    ratio = xyz / (0.95047, 1.0, 1.08883)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return float(116 * f[1] - 16), float(500 * (f[0] - f[1])), float(200 * (f[1] - f[2]))
