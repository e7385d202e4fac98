"""Gate checks of a SEG: its form, its references, its segments, and that its frames lie on the images.

Everything is read from the encoded bytes, for BINARY, LABELMAP and FRACTIONAL alike (PS3.3 A.51, C.8.20).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from worker.domain.findings import Conclusion, Segmentation
from worker.domain.profile import SegmentEncoding, segment_encoding
from worker.domain.result import Check
from worker.gate.header import LABELMAP_CLASS, SEG_CLASS
from worker.gate.reading import EvidenceHeaders, Inspection, checked
from worker.gate.seg.mask_agreement import SAME_DIRECTION, geometry_checks
from worker.gate.seg.planes import plane_problems
from worker.gate.seg.reading import ENCODINGS, Frame, StoredFrames, frames_of, group_of, plane_of
from worker.gate.seg.segments import segment_problems

ON_IMAGE_MM = 0.01
"""How far a frame may lie from the image that it was made from: decimal strings round."""

_DIMENSIONS = {
    Tag("ImagePositionPatient"): "Image Position Patient",
    Tag("ReferencedSegmentNumber"): "Referenced Segment Number",
    Tag("FrameLabel"): "Source image",
    Tag("TemporalPositionIndex"): "Frame of the source image",
}
"""How the attributes are called that tell frames apart."""

_BITS = {SegmentEncoding.BINARY: (1,), SegmentEncoding.FRACTIONAL: (8,), SegmentEncoding.LABELMAP: (8, 16)}


def class_of_encoding(encoding: SegmentEncoding) -> str | None:
    """SOP Class UID of the SEGs that a profile gets; None when it gets none."""
    match encoding:
        case SegmentEncoding.BINARY | SegmentEncoding.FRACTIONAL:
            return SEG_CLASS
        case SegmentEncoding.LABELMAP:
            return LABELMAP_CLASS
        case SegmentEncoding.NONE:
            return None


def seg_checks(ds: Dataset, finding: Segmentation, given: Inspection) -> Iterator[Check]:
    """Yield the checks of one SEG against the finding that it encodes."""
    conclusion, evidence = given.conclusion, given.evidence
    wanted = segment_encoding(given.profile, overlap=finding.overlap)
    yield checked("seg-form", f"{wanted.upper()}, complete pixel data", lambda: _form(ds, finding, wanted))
    yield checked("seg-lossy", "lossy where an image was", lambda: _lossy(ds, conclusion, evidence))
    yield checked("seg-frame-of-reference", "that of the images", lambda: _frame_of_reference(ds, conclusion, evidence))
    yield checked("seg-references", "all analysed images, nothing else", lambda: _references(ds, conclusion, evidence))
    yield checked(
        "seg-segments", f"{len(finding.segments)} segments as concluded", lambda: segment_problems(ds, finding, given)
    )
    yield checked("seg-dimensions", "tell all frames apart", lambda: _dimensions(ds))
    yield checked("seg-frames", f"{ds.get('NumberOfFrames')} frames on their images", lambda: _frames(ds, given))
    yield from geometry_checks(ds, finding, conclusion)


def _form(ds: Dataset, finding: Segmentation, wanted: SegmentEncoding) -> Iterator[str]:
    encoding = ENCODINGS.get(str(ds.SegmentationType))
    if encoding is not wanted:
        yield f"SegmentationType is {ds.SegmentationType}, expected {wanted.upper()}"
    bits = int(ds.BitsAllocated)
    if encoding is None or str(ds.SOPClassUID) != class_of_encoding(encoding) or bits not in _BITS[encoding]:
        yield f"{ds.SegmentationType} with {bits} bits does not go with this SOP class"
    for keyword, expected in (
        ("BitsStored", bits),
        ("HighBit", bits - 1),
        ("SamplesPerPixel", 1),
        ("PixelRepresentation", 0),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        if ds[keyword].value != expected:
            yield f"{keyword} is {ds[keyword].value}, expected {expected}"
    if encoding is SegmentEncoding.FRACTIONAL and ds.SegmentationFractionalType != "OCCUPANCY":
        yield f"fractions are called {ds.SegmentationFractionalType}, but they are of a decided mask"
    if [str(v) for v in ds.ImageType] != ["DERIVED", "PRIMARY"]:
        yield "ImageType is not DERIVED\\PRIMARY"
    if ds.SegmentsOverlap != ("YES" if finding.overlap else "NO"):
        yield f"SegmentsOverlap is {ds.SegmentsOverlap}, and they do{'' if finding.overlap else ' not'}"
    frames = int(ds.NumberOfFrames)
    if frames != len(ds.PerFrameFunctionalGroupsSequence):
        yield f"NumberOfFrames is {frames}, described are {len(ds.PerFrameFunctionalGroupsSequence)}"
    expected_bytes = (frames * ds.Rows * ds.Columns * bits + 7) // 8
    if len(ds.PixelData) != expected_bytes + expected_bytes % 2:
        yield f"pixel data has {len(ds.PixelData)} bytes, {frames} frames need {expected_bytes}"
    stored = StoredFrames.of(ds)
    if not all((stored.labels(n) if bits > 1 else stored.mask(n)).any() for n in range(frames)):
        yield "a frame is empty"


def _lossy(ds: Dataset, conclusion: Conclusion, evidence: EvidenceHeaders) -> Iterator[str]:
    """C.8.20.2.2: as soon as one image went through lossy compression."""
    uids = {ref.sop_instance_uid for ref in conclusion.volume.slices}
    stated = {str(evidence.by_instance[uid].get("LossyImageCompression") or "") for uid in uids}
    expected = "01" if "01" in stated else "00"
    if ds.LossyImageCompression != expected:
        yield f"LossyImageCompression is {ds.LossyImageCompression}, the images come to {expected}"


def _frame_of_reference(ds: Dataset, conclusion: Conclusion, evidence: EvidenceHeaders) -> Iterator[str]:
    """A.51.1: that of the images, where they have one; in patient space they must."""
    found = str(ds.get("FrameOfReferenceUID") or "")
    images = {
        str(evidence.by_instance[ref.sop_instance_uid].get("FrameOfReferenceUID") or "")
        for ref in conclusion.volume.slices
    }
    if conclusion.volume.in_patient_space and "PositionReferenceIndicator" not in ds:
        yield "no Position Reference Indicator, which may be empty but not absent (C.7.4.1)"
    if conclusion.volume.in_patient_space and (images != {found} or not found):
        yield f"{found or 'none'}, the images say {', '.join(sorted(images))}"
    if not conclusion.volume.in_patient_space and found != (images.pop() if len(images) == 1 else ""):
        yield f"{found or 'none'}, which is not that of all images"


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


def _dimensions(ds: Dataset) -> Iterator[str]:
    """PS3.3 C.7.6.17: every index points to an attribute of the frames, and together they name one frame.

    The same value of an index means the same; those of positions count from 1 without a gap.
    """
    labels = {item.DimensionIndexPointer: item.DimensionDescriptionLabel for item in ds.DimensionIndexSequence}
    if any(label != _DIMENSIONS.get(pointer) for pointer, label in labels.items()):
        yield "a dimension is called something else than what it is"
    if ds.get("DimensionOrganizationType", "3D") != "3D" or ds.get("PresentationLUTShape", "IDENTITY") != "IDENTITY":
        yield "the frames are organized, or to be shown, in another way"
    shared = ds.SharedFunctionalGroupsSequence[0]
    pointers = [(item.FunctionalGroupPointer, item.DimensionIndexPointer) for item in ds.DimensionIndexSequence]
    organizations = {str(item.DimensionOrganizationUID) for item in ds.DimensionOrganizationSequence}
    if {str(item.DimensionOrganizationUID) for item in ds.DimensionIndexSequence} != organizations:
        yield "the dimension indices belong to no dimension organization"
    seen: set[Sequence[int]] = set()
    meanings: list[dict[int, str]] = [{} for _ in pointers]
    for own in ds.PerFrameFunctionalGroupsSequence:
        values = own.FrameContentSequence[0].DimensionIndexValues
        index = tuple(int(v) for v in (values if isinstance(values, Sequence) else [values]))
        if len(index) != len(pointers):
            yield f"a frame has {len(index)} dimension index values, there are {len(pointers)} dimensions"
        if index in seen:
            yield "two frames have the same dimension index values"
        seen.add(index)
        for (group, attribute), value, meaning in zip(pointers, index, meanings, strict=False):
            holder = (own.get(group) or shared.get(group)).value[0]
            if attribute not in holder:
                yield "a dimension index points to an attribute that a frame does not have"
            elif meaning.setdefault(value, str(holder[attribute].value)) != str(holder[attribute].value):
                yield f"dimension index value {value} has two meanings"
    for (_, attribute), meaning in zip(pointers, meanings, strict=True):
        # On projection images the index is the number of a frame, and frames without a structure are left out.
        positions = attribute == Tag("ImagePositionPatient")
        if positions and set(meaning) != set(range(1, len(set(meaning.values())) + 1)):
            yield "dimension index values of positions do not count from 1 without a gap"


def _frames(ds: Dataset, given: Inspection) -> Iterator[str]:
    shared = ds.SharedFunctionalGroupsSequence[0]
    images = list(dict.fromkeys(str(ref.sop_instance_uid) for ref in given.conclusion.volume.slices))
    for frame, own in zip(frames_of(ds), ds.PerFrameFunctionalGroupsSequence, strict=True):
        uid, _ = frame.source
        name = f"frame {frame.number + 1}"
        image = given.evidence.by_instance.get(uid)
        if image is None:
            yield f"{name} was made from {uid}, which is not among the evidence"
            continue
        if frame.source_class != str(image.SOPClassUID) or frame.purpose != "121322":
            yield f"{name} names its source with a wrong class or purpose"
        label = own.FrameContentSequence[0].get("FrameLabel")
        if label is not None and label != f"Image {images.index(uid) + 1 if uid in images else 0}":
            yield f"{name} is labelled as another image"
        if frame.preserved != "YES":
            yield f"{name} does not say that its pixels are those of its image"
        if group_of(own, shared, "DerivationImageSequence").DerivationCodeSequence[0].CodeValue != "113076":
            yield f"{name} does not call its derivation segmentation"
        if (ds.Rows, ds.Columns) != (image.Rows, image.Columns):
            yield f"frames have {ds.Rows} x {ds.Columns} pixels, the images {image.Rows} x {image.Columns}"
        problems = (
            (*_in_patient(frame, image), *_thickness(own, shared))
            if given.conclusion.volume.in_patient_space
            else plane_problems(frame, image, given.conclusion, stand_in=given.profile.stand_in_orientation)
        )
        for problem in problems:
            yield f"{name} {problem}"


def _thickness(own: Dataset, shared: Dataset) -> Iterator[str]:
    """C.7.6.16.2.1: required of frames of a volume; readers take it for the depth of a voxel."""
    value = group_of(own, shared, "PixelMeasuresSequence").get("SliceThickness")
    if value is None or not float(value) > 0:
        yield "has no slice thickness"


def _in_patient(frame: Frame, image: Dataset) -> Iterator[str]:
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        yield "does not say where it lies in the patient"
        return
    position, orientation, spacing = plane_of(image, frame.source[1])
    off_mm = float(np.linalg.norm(frame.position - position))
    if off_mm > ON_IMAGE_MM:
        yield f"lies {off_mm:.3f} mm off its image"
    if not np.allclose(frame.orientation, orientation, rtol=0, atol=SAME_DIRECTION):
        yield "is turned against its image"
    if not np.allclose(frame.spacing, spacing, rtol=1e-4):
        yield "has another pixel spacing than its image"
