"""Gate checks of a SEG: its form, its references, its segments, and that its frames lie on the images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import Conclusion, Segment, Segmentation
from worker.domain.result import Check
from worker.results.gate_placement import SAME_DIRECTION, frames_of, geometry_checks, plane_of
from worker.results.gate_reading import EvidenceHeaders, Inspection, checked, code_of

ON_IMAGE_MM = 0.01
"""How far a frame may lie from the image that it was made from: decimal strings round."""


def seg_checks(ds: Dataset, finding: Segmentation, given: Inspection) -> Iterator[Check]:
    """Yield the checks of one SEG against the finding that it encodes."""
    conclusion, evidence = given.conclusion, given.evidence
    yield checked("seg-form", "BINARY, complete pixel data", lambda: _form(ds))
    yield checked("seg-frame-of-reference", "that of the images", lambda: _frame_of_reference(ds, conclusion, evidence))
    yield checked("seg-references", "all analysed images, nothing else", lambda: _references(ds, conclusion, evidence))
    yield checked(
        "seg-segments", f"{len(finding.segments)} segments as concluded", lambda: _segments(ds, finding, conclusion)
    )
    yield checked("seg-frames", f"{ds.get('NumberOfFrames')} frames on their images", lambda: _frames(ds, evidence))
    yield from geometry_checks(ds, finding, conclusion)


def _form(ds: Dataset) -> Iterator[str]:
    for keyword, expected in (
        ("SegmentationType", "BINARY"),
        ("BitsAllocated", 1),
        ("BitsStored", 1),
        ("HighBit", 0),
        ("SamplesPerPixel", 1),
        ("PixelRepresentation", 0),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        if ds[keyword].value != expected:
            yield f"{keyword} is {ds[keyword].value}, expected {expected}"
    if [str(v) for v in ds.ImageType[:2]] != ["DERIVED", "PRIMARY"]:
        yield "ImageType does not begin with DERIVED\\PRIMARY"
    if ds.SegmentsOverlap != "NO":
        yield f"SegmentsOverlap is {ds.SegmentsOverlap}; a label map cannot overlap"
    frames = int(ds.NumberOfFrames)
    if frames != len(ds.PerFrameFunctionalGroupsSequence):
        yield f"NumberOfFrames is {frames}, described are {len(ds.PerFrameFunctionalGroupsSequence)}"
    expected_bytes = (frames * ds.Rows * ds.Columns + 7) // 8
    if len(ds.PixelData) != expected_bytes + expected_bytes % 2:
        yield f"pixel data has {len(ds.PixelData)} bytes, {frames} frames need {expected_bytes}"


def _frame_of_reference(ds: Dataset, conclusion: Conclusion, evidence: EvidenceHeaders) -> Iterator[str]:
    found = str(ds.FrameOfReferenceUID)
    images = {str(evidence.by_instance[ref.sop_instance_uid].FrameOfReferenceUID) for ref in conclusion.volume.slices}
    if images != {found}:
        yield f"{found}, the images say {', '.join(sorted(images))}"


def _references(ds: Dataset, conclusion: Conclusion, evidence: EvidenceHeaders) -> Iterator[str]:
    if len(ds.ReferencedSeriesSequence) != 1:
        yield f"refers to {len(ds.ReferencedSeriesSequence)} series"
    series = ds.ReferencedSeriesSequence[0]
    if str(series.SeriesInstanceUID) != conclusion.volume.series_instance_uid:
        yield f"refers to series {series.SeriesInstanceUID}"
    named = {
        str(item.ReferencedSOPInstanceUID): str(item.ReferencedSOPClassUID)
        for item in series.ReferencedInstanceSequence
    }
    analysed = {str(ref.sop_instance_uid) for ref in conclusion.volume.slices}
    if set(named) != analysed:
        yield f"names {len(named)} images, {len(analysed)} were analysed, {len(set(named) & analysed)} are the same"
    for uid in named.keys() & evidence.by_instance.keys():
        if named[uid] != str(evidence.by_instance[uid].SOPClassUID):
            yield f"wrong SOP class for {uid}"


def _segments(ds: Dataset, finding: Segmentation, conclusion: Conclusion) -> Iterator[str]:
    numbers = [int(item.SegmentNumber) for item in ds.SegmentSequence]
    expected = [segment.number for segment in finding.segments]
    if numbers != expected:
        yield f"segments {numbers[:10]}, expected {expected[:10]}"
        return
    tracking = [str(item.TrackingUID) for item in ds.SegmentSequence]
    if len(set(tracking)) != len(tracking):
        yield "two segments share a tracking UID"
    for item, segment in zip(ds.SegmentSequence, finding.segments, strict=True):
        for problem in _segment(item, segment, conclusion):
            yield f"segment {segment.number}: {problem}"


def _segment(item: Dataset, segment: Segment, conclusion: Conclusion) -> Iterator[str]:
    algorithm = conclusion.algorithm
    described = item.SegmentationAlgorithmIdentificationSequence[0]
    modifiers = item.SegmentedPropertyTypeCodeSequence[0]
    side = _pair(segment.laterality) if segment.laterality else ("", "")
    pairs = (
        ("label", str(item.SegmentLabel), segment.label[:64]),
        ("category", code_of(item, "SegmentedPropertyCategoryCodeSequence"), _pair(segment.category)),
        ("type", code_of(item, "SegmentedPropertyTypeCodeSequence"), _pair(segment.type)),
        ("laterality", code_of(modifiers, "SegmentedPropertyTypeModifierCodeSequence"), side),
        ("algorithm type", str(item.SegmentAlgorithmType), "AUTOMATIC"),
        ("algorithm name", str(item.SegmentAlgorithmName), algorithm.title[:64]),
        ("identified algorithm name", str(described.AlgorithmName), algorithm.title[:64]),
        ("algorithm version", str(described.AlgorithmVersion), algorithm.model.version[:64]),
        ("algorithm family", code_of(described, "AlgorithmFamilyCodeSequence"), ("123110", "DCM")),
        ("tracking identifier", str(item.TrackingID), segment.tracking_identifier),
    )
    for what, found, expected in pairs:
        if found != expected:
            yield f"{what} is not as concluded"
    if algorithm.model.digest not in str(described.AlgorithmParameters):
        yield "the algorithm's parameters do not hold the model's digest"
    if len(item.RecommendedDisplayCIELabValue) != 3:
        yield "no display colour"


def _pair(code: Code) -> tuple[str, str]:
    return code.value, code.scheme


def _frames(ds: Dataset, evidence: EvidenceHeaders) -> Iterator[str]:
    for frame in frames_of(ds):
        uid, frame_number = frame.source
        image = evidence.by_instance.get(uid)
        if image is None:
            yield f"frame {frame.number + 1} was made from {uid}, which is not among the evidence"
            continue
        position, orientation, spacing = plane_of(image, frame_number)
        if frame.source_class != str(image.SOPClassUID) or frame.purpose != "121322":
            yield f"frame {frame.number + 1} names its source with a wrong class or purpose"
        if (ds.Rows, ds.Columns) != (image.Rows, image.Columns):
            yield f"frames have {ds.Rows} x {ds.Columns} pixels, the images {image.Rows} x {image.Columns}"
        off_mm = float(np.linalg.norm(frame.position - position))
        if off_mm > ON_IMAGE_MM:
            yield f"frame {frame.number + 1} lies {off_mm:.3f} mm off its image"
        if not np.allclose(frame.orientation, orientation, rtol=0, atol=SAME_DIRECTION):
            yield f"frame {frame.number + 1} is turned against its image"
        if not np.allclose(frame.spacing, spacing, rtol=1e-4):
            yield f"frame {frame.number + 1} has another pixel spacing than its image"
