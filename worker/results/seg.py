"""BINARY Segmentation objects (PS3.3 A.51): one for each segmentation, with all of its segments."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from worker.domain.errors import PermanentError
from worker.domain.findings import Segment, Segmentation
from worker.domain.model import Algorithm
from worker.domain.profile import SegmentEncoding
from worker.domain.volume import Volume
from worker.results.coding import ARTIFICIAL_INTELLIGENCE, code_item, to_dicom
from worker.results.header import SeriesNames, Stamp, algorithm_parameters, apply_header, reference
from worker.results.identity import ResultUids
from worker.results.making import Making
from worker.results.source import Source, SourceFrame
from worker.results.structures import Structure

CONTENT_LABEL = "AI_DRAFT"


@dataclass(frozen=True, slots=True)
class _SegIdentity:
    """The names and UIDs of one SEG."""

    names: SeriesNames
    uids: ResultUids
    part: int


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSeg:
    """A SEG with its structures, for what refers to it; ``part`` is the number of its finding, from 0."""

    dataset: Dataset
    structures: tuple[Structure, ...]
    part: int


def encode_segs(making: Making) -> tuple[EncodedSeg, ...]:
    """Encode every segmentation that has a segment, as the profile wants them.

    Raises PermanentError (``seg-not-encodable``) when the source cannot carry a segmentation.
    """
    if making.profile.segmentation is SegmentEncoding.NONE:
        return ()
    return tuple(
        EncodedSeg(_encode_seg(finding, making, part), making.structures[part], part)
        for part, finding in enumerate(making.conclusion.findings)
        if isinstance(finding, Segmentation) and making.structures.get(part)
    )


def _encode_seg(finding: Segmentation, making: Making, part: int) -> Dataset:
    """One SEG on the frames of its source images; frames without a voxel are left out."""
    source, stamp = making.source, making.stamp
    identity = _SegIdentity(making.names("SEG", part), making.uids, part)
    skeletons = _source_skeletons(source, making.conclusion.volume)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # highdicom's and pydicom's remarks on odd but harmless values
            ds = _build(finding, skeletons, stamp, identity)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise PermanentError(
            "The segmentation cannot be encoded on the analysed images.",
            next_step="Report this with the job's timeline; the images are kept.",
            code="seg-not-encodable",
        ) from error
    _restore_references(ds, source)
    _rename_dimensions(ds, identity.uids.dimension_organization(identity.part))
    _add_lateralities(ds, finding.segments)
    apply_header(ds, stamp, identity.names)
    return ds


def _build(
    finding: Segmentation, skeletons: list[Dataset], stamp: Stamp, identity: _SegIdentity
) -> hd.seg.Segmentation:
    equipment, algorithm = stamp.equipment, stamp.algorithm
    described = _algorithm_identification(algorithm)
    return hd.seg.Segmentation(
        source_images=skeletons,
        pixel_array=finding.labels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(segment, described, identity.uids.tracking(identity.part, segment.tracking_identifier))
            for segment in finding.segments
        ],
        series_instance_uid=identity.names.series_instance_uid,
        series_number=identity.names.series_number,
        sop_instance_uid=identity.names.sop_instance_uid,
        instance_number=identity.names.instance_number,
        manufacturer=equipment.manufacturer,
        manufacturer_model_name=equipment.model_name,
        software_versions=equipment.software_version,
        device_serial_number=equipment.device_serial_number,
        content_label=CONTENT_LABEL,
        content_description=f"AI DRAFT, not verified: {algorithm.title}"[:64],
        content_creator_name=equipment.model_name.replace("^", " "),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )


def _description(
    segment: Segment, algorithm: hd.AlgorithmIdentificationSequence, tracking_uid: str
) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.label[:64],
        segmented_property_category=to_dicom(segment.category),
        segmented_property_type=to_dicom(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=segment.tracking_identifier,
        display_color=hd.color.CIELabColor.from_rgb(*segment.colour_rgb),
    )


def _algorithm_identification(algorithm: Algorithm) -> hd.AlgorithmIdentificationSequence:
    """Algorithm Identification Macro (PS3.3 10.16)."""
    sequence = hd.AlgorithmIdentificationSequence(
        name=algorithm.title[:64],
        version=algorithm.model.version[:64],
        family=to_dicom(ARTIFICIAL_INTELLIGENCE),
        source=algorithm.manufacturer[:64] or None,
    )
    sequence[0].AlgorithmParameters = "; ".join(algorithm_parameters(algorithm))[:10240]
    return sequence


def _source_skeletons(source: Source, volume: Volume) -> list[Dataset]:
    """What highdicom has to know of the images: geometry without patient (it logs and checks names otherwise).

    Orientation and spacing are those of the first slice, exactly: highdicom takes rounding noise between slices for
    different stacks.
    """
    slice_mm = volume.geometry.spacing_mm[0]
    if source.is_multi_frame:
        return [_multi_frame_skeleton(source, slice_mm)]
    return [_single_frame_skeleton(source, frame, slice_mm) for frame in source.frames]


def _single_frame_skeleton(source: Source, frame: SourceFrame, slice_mm: float) -> Dataset:
    ds = _anonymous(source, frame)
    first = source.frames[0]
    ds.ImagePositionPatient = list(frame.position)
    ds.ImageOrientationPatient = list(first.orientation)
    ds.PixelSpacing = list(first.pixel_spacing_mm)
    _add_depth(ds, source, slice_mm)
    return ds


def _multi_frame_skeleton(source: Source, slice_mm: float) -> Dataset:
    """One object whose frames are the slices in order; ``_restore_references`` names the real ones.

    So subsets, repeated positions and per-frame orientation, which highdicom refuses, do not matter.
    """
    first = source.frames[0]
    ds = _anonymous(source, first)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(first.orientation)
    measures.PixelSpacing = list(first.pixel_spacing_mm)
    _add_depth(measures, source, slice_mm)
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for frame in source.frames:
        item, position = Dataset(), Dataset()
        position.ImagePositionPatient = list(frame.position)
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
        "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PositionReferenceIndicator", "Modality",
        "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    ):  # fmt: skip
        if keyword in header and not (keyword.startswith("Lossy") and header[keyword].is_empty):
            ds[keyword] = header[keyword]
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(ds, keyword, "")
    ds.StudyDate = ds.StudyTime = None
    ds.SOPClassUID = frame.sop_class_uid
    ds.SOPInstanceUID = frame.sop_instance_uid
    ds.Rows = frame.rows
    ds.Columns = frame.columns
    return ds


def _restore_references(ds: Dataset, source: Source) -> None:
    """Name the objects and frames that the slices really come from (see ``_multi_frame_skeleton``)."""
    if not source.is_multi_frame:
        return
    # highdicom puts one and the same item into the frames of all segments: each must be renamed once.
    items = {
        id(image): image
        for frame in ds.PerFrameFunctionalGroupsSequence
        for image in frame.DerivationImageSequence[0].SourceImageSequence
    }
    for image in items.values():
        frame = source.frames[int(image.ReferencedFrameNumber) - 1]
        image.ReferencedSOPInstanceUID = frame.sop_instance_uid
        image.ReferencedFrameNumber = frame.number
    ds.SourceImageSequence = [reference(*instance) for instance in source.instances]
    ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [reference(*instance) for instance in source.instances]


def _rename_dimensions(ds: Dataset, uid: str) -> None:
    """Replace the UID that highdicom drew (0020,9164)."""
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _add_lateralities(ds: Dataset, segments: tuple[Segment, ...]) -> None:
    """Segmented Property Type Modifier (0062,0011), CID 244: the only place for the side of a segment's anatomy."""
    for item, segment in zip(ds.SegmentSequence, segments, strict=True):
        if segment.laterality is not None:
            side = segment.laterality
            item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
                code_item(side.value, side.scheme, side.meaning)
            ]
