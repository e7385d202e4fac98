"""Stand-ins for images and SEGs that highdicom makes references from: geometry and UIDs, no patient."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from worker.results.source import Source, SourceFrame


def image_skeletons(source: Source) -> list[Dataset]:
    """What highdicom has to know of the images: class, place and size, without patient."""
    by_instance = {frame.sop_instance_uid: frame for frame in reversed(source.frames)}
    spacing = _common_thickness(source.frames)
    images = []
    for _, sop_instance_uid in source.instances:
        frame = by_instance[sop_instance_uid]
        ds = _reference_dataset(source.header)
        ds.SOPClassUID = frame.sop_class_uid
        ds.SOPInstanceUID = frame.sop_instance_uid
        ds.SeriesInstanceUID = source.header.SeriesInstanceUID
        ds.FrameOfReferenceUID = source.header.FrameOfReferenceUID
        ds.Modality = source.header.Modality
        ds.Rows, ds.Columns = frame.rows, frame.columns
        ds.PixelSpacing = list(frame.pixel_spacing_mm)
        ds.SliceThickness = frame.slice_thickness_mm or spacing
        ds.ImageOrientationPatient = list(frame.orientation)
        ds.ImagePositionPatient = list(frame.position)
        images.append(ds)
    return images


def _common_thickness(frames: Sequence[SourceFrame]) -> float:
    """Stand-in for an absent slice thickness (type 2): the distance of the first two slices."""
    if len(frames) < 2:
        return 1.0
    first, second = frames[0].position, frames[1].position
    return float(sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5) or 1.0


def seg_skeleton(seg: Dataset, source: Source) -> Dataset:
    """What highdicom has to know of a SEG that a report refers to."""
    ds = _reference_dataset(source.header)
    ds.SOPClassUID = SegmentationStorage
    ds.SOPInstanceUID = seg.SOPInstanceUID
    ds.SeriesInstanceUID = seg.SeriesInstanceUID
    return ds


def _reference_dataset(header: Dataset) -> Dataset:
    """Empty patient and study (highdicom reads them; ``apply_header`` writes the real ones) in the same study."""
    ds = Dataset()
    ds.StudyInstanceUID = header.StudyInstanceUID
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(ds, keyword, "")
    ds.StudyDate = ds.StudyTime = None
    return ds
