"""Stand-ins for the images that a segmentation lies on: geometry and UIDs for highdicom, no patient.

highdicom logs and checks patients' names otherwise, and refuses subsets, repeated positions, per-frame orientation
and more than one frame without a Frame of Reference. ``restore_references`` and ``rest_on_images`` put afterwards
what the images really have.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage
from pydicom.valuerep import DSfloat

from worker.domain.volume import Volume
from worker.results.evidence import Source, SourceFrame
from worker.results.header import reference

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_NOWHERE = "2.25.0"
"""Frame of Reference UID of stand-ins for images that have none; it is never written."""

_FRAME_CONTENT = Tag("FrameContentSequence")
_POSITION = Tag("ImagePositionPatient")


def source_skeletons(source: Source, volume: Volume) -> list[Dataset]:
    """What highdicom has to know of the images.

    Orientation and spacing are those of the first slice, exactly: highdicom takes rounding noise between slices for
    different stacks.
    """
    slice_mm = volume.geometry.spacing_mm[0]
    if _has_stand_in(source):
        return [_multi_frame_skeleton(source, slice_mm)]
    return [_single_frame_skeleton(source, frame, slice_mm) for frame in source.frames]


def _has_stand_in(source: Source) -> bool:
    """Tell whether one object stands for all images, so that frames are not counted as they are in the images."""
    return source.is_multi_frame or not source.in_patient_space


def _single_frame_skeleton(source: Source, frame: SourceFrame, slice_mm: float) -> Dataset:
    ds = _anonymous(source, frame)
    first = source.frames[0]
    ds.ImagePositionPatient = list(frame.position or ())
    ds.ImageOrientationPatient = list(first.orientation or ())
    ds.PixelSpacing = list(first.pixel_spacing_mm or ())
    _add_depth(ds, source, slice_mm)
    return ds


def _multi_frame_skeleton(source: Source, slice_mm: float) -> Dataset:
    """One object whose frames are the slices in order, one behind the other where they have no place."""
    first = source.frames[0]
    ds = _anonymous(source, first)
    if not source.in_patient_space:
        # highdicom asks the class whether there are frames, and whether they have a place.
        ds.SOPClassUID = EnhancedCTImageStorage
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(first.orientation or _AXIAL)
    # That of an ultrasound region is no decimal string: it may have more digits than fit (PS3.5 6.2).
    measures.PixelSpacing = [DSfloat(value, auto_format=True) for value in first.pixel_spacing_mm or (1.0, 1.0)]
    _add_depth(measures, source, slice_mm)
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for number, frame in enumerate(source.frames):
        item, position = Dataset(), Dataset()
        position.ImagePositionPatient = list(frame.position or (0.0, 0.0, -float(number)))
        item.PlanePositionSequence = [position]
        ds.PerFrameFunctionalGroupsSequence.append(item)
    ds.NumberOfFrames = len(source.frames)
    return ds


def _add_depth(measures: Dataset, source: Source, slice_mm: float) -> None:
    # Type 2 in CT and MR: where the scanner left it out, the voxel of the grid is what was segmented.
    measures.SliceThickness = source.frames[0].slice_thickness_mm or slice_mm
    # highdicom derives it from neighbours; without any, readers would take a slice for 1 mm thick.
    if len(source.frames) == 1:
        measures.SpacingBetweenSlices = slice_mm


def _anonymous(source: Source, frame: SourceFrame) -> Dataset:
    header = source.header
    ds = Dataset()
    for keyword in (
        "StudyInstanceUID", "SeriesInstanceUID", "PositionReferenceIndicator", "Modality", "LossyImageCompression",
        "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    ):  # fmt: skip
        if keyword in header and not (keyword.startswith("Lossy") and header[keyword].is_empty):
            ds[keyword] = header[keyword]
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(ds, keyword, "")
    ds.StudyDate = ds.StudyTime = None
    ds.FrameOfReferenceUID = source.frame_of_reference_uid or _NOWHERE
    ds.SOPClassUID = frame.sop_class_uid
    ds.SOPInstanceUID = frame.sop_instance_uid
    ds.Rows = frame.rows
    ds.Columns = frame.columns
    return ds


def restore_references(ds: Dataset, source: Source) -> None:
    """Name the objects and frames that the slices really come from, where one object stood for all."""
    if not _has_stand_in(source):
        return
    # highdicom puts one and the same item into the frames of all segments: each must be renamed once.
    items = {
        id(image): image
        for frame in ds.PerFrameFunctionalGroupsSequence
        for image in frame.DerivationImageSequence[0].SourceImageSequence
    }
    for image in items.values():
        frame = source.frames[int(image.ReferencedFrameNumber) - 1]
        image.ReferencedSOPClassUID = frame.sop_class_uid
        image.ReferencedSOPInstanceUID = frame.sop_instance_uid
        if frame.number is None:
            del image.ReferencedFrameNumber
        else:
            image.ReferencedFrameNumber = frame.number
    ds.SourceImageSequence = [reference(*instance) for instance in source.instances]
    ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [reference(*instance) for instance in source.instances]


def rest_on_images(ds: Dataset, source: Source, *, stand_in_orientation: bool) -> None:
    """Take the patient space out of a SEG of projection images: each of its pixels is one of theirs (PS3.3 A.51.5.1).

    What remains to tell frames apart is the image that they were made from, in Derivation Image. The second dimension
    index is therefore the time of a frame within its run, or the name of the image. It comes after
    ``restore_references``. With ``stand_in_orientation`` the orientation of the stand-ins stays: it may be present
    beside Derivation Image, means nothing without a position, and viewers look for it. So do they for Pixel Measures.
    """
    if source.in_patient_space:
        return
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "DimensionOrganizationType"):
        if keyword in ds:
            delattr(ds, keyword)
    if source.frame_of_reference_uid is not None:
        # A.51.1: that of the images, if they have one.
        ds.FrameOfReferenceUID = source.frame_of_reference_uid
        ds.PositionReferenceIndicator = source.header.get("PositionReferenceIndicator")
    if source.patient_orientation is not None:
        ds.PatientOrientation = list(source.patient_orientation)
    else:
        ds.PatientOrientation = None
    shared = ds.SharedFunctionalGroupsSequence[0]
    if not stand_in_orientation:
        del shared.PlaneOrientationSequence
    _leave_measures_of_the_plane(shared, source, stand_in=stand_in_orientation)
    keyword = "TemporalPositionIndex" if source.is_multi_frame else "FrameLabel"
    for item in ds.DimensionIndexSequence:
        if item.DimensionIndexPointer == _POSITION:
            item.DimensionIndexPointer = Tag(keyword)
            item.FunctionalGroupPointer = _FRAME_CONTENT
            item.DimensionDescriptionLabel = "Frame of the source image" if source.is_multi_frame else "Source image"
    numbers = {frame.sop_instance_uid: number for number, frame in enumerate(source.frames, start=1)}
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        content = frame.FrameContentSequence[0]
        number = numbers[image.ReferencedSOPInstanceUID]
        if source.is_multi_frame:
            number = content.TemporalPositionIndex = int(image.ReferencedFrameNumber)
        else:
            content.FrameLabel = f"Image {number}"
        indices = content.DimensionIndexValues
        content.DimensionIndexValues = [*(indices[:-1] if isinstance(indices, Sequence) else []), number]


def _leave_measures_of_the_plane(shared: Dataset, source: Source, *, stand_in: bool) -> None:
    """Pixel Spacing alone, where the images have one: there is no third direction.

    Where they have none, a ``stand_in`` states the distance of planes, of which there is but one, and nothing of the
    pixels: OHIF 3.13 shows its page for crashes when Pixel Measures is absent.
    """
    if source.frames[0].pixel_spacing_mm is None:
        if stand_in:
            measures = Dataset()
            measures.SpacingBetweenSlices = 1.0
            shared.PixelMeasuresSequence = [measures]
        else:
            del shared.PixelMeasuresSequence
        return
    measures = shared.PixelMeasuresSequence[0]
    for keyword in ("SliceThickness", "SpacingBetweenSlices"):
        if keyword in measures:
            delattr(measures, keyword)
