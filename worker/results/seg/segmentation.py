"""Segmentation objects (PS3.3 A.51): one for each segmentation, with all of its segments.

BINARY is what every reader knows. LABELMAP (Label Map Segmentation Storage) has one frame a slice, however many
segments there are, and so is the small one for hundreds of them; segments that overlap do not fit into it. FRACTIONAL
says OCCUPANCY, 0 or 255, of the mask that was decided on: a model's probabilities are a heat map, and go as a
Parametric Map.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from worker.domain.errors import PermanentError
from worker.domain.findings import Segmentation, is_any
from worker.domain.profile import SegmentEncoding, segment_encoding
from worker.results.context import EncoderInput
from worker.results.header import apply_header
from worker.results.seg.segments import add_lateralities, algorithm_identification, description
from worker.results.seg.source_templates import rest_on_images, restore_references, source_skeletons
from worker.results.segment_masks import Structure

CONTENT_LABEL = "AI_DRAFT"

_OCCUPIED = 255
"""Maximum Fractional Value (0062,000E): the whole pixel is inside."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedSeg:
    """A SEG with its structures, for what refers to it; ``part`` is the number of its finding, from 0."""

    dataset: Dataset
    structures: tuple[Structure, ...]
    part: int


def encode_segs(inputs: EncoderInput) -> tuple[EncodedSeg, ...]:
    """Encode every segmentation that has a segment, as the profile wants them.

    Raises PermanentError (``seg-not-encodable``) when the source cannot carry a segmentation.
    """
    return tuple(
        EncodedSeg(_encode_seg(finding, inputs, part, kind), inputs.structures[part], part)
        for part, finding in enumerate(inputs.conclusion.findings)
        if isinstance(finding, Segmentation) and inputs.structures.get(part)
        if (kind := _type_of(segment_encoding(inputs.profile, overlap=finding.overlap))) is not None
    )


def _type_of(encoding: SegmentEncoding) -> hd.seg.SegmentationTypeValues | None:
    match encoding:
        case SegmentEncoding.BINARY:
            return hd.seg.SegmentationTypeValues.BINARY
        case SegmentEncoding.LABELMAP:
            return hd.seg.SegmentationTypeValues.LABELMAP
        case SegmentEncoding.FRACTIONAL:
            return hd.seg.SegmentationTypeValues.FRACTIONAL
        case SegmentEncoding.NONE:
            return None


def _encode_seg(
    finding: Segmentation, inputs: EncoderInput, part: int, kind: hd.seg.SegmentationTypeValues
) -> hd.seg.Segmentation:
    """One SEG on the frames of its source images; frames without a voxel are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # highdicom's and pydicom's remarks on odd but harmless values
            ds = _build(finding, inputs, part, kind)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise PermanentError(
            "The segmentation cannot be encoded on the analysed images.",
            next_step="Report this with the job's timeline; the images are kept.",
            code="seg-not-encodable",
        ) from error
    restore_references(ds, inputs.source)
    rest_on_images(ds, inputs.source, stand_in_orientation=inputs.profile.stand_in_orientation)
    _rename_dimensions(ds, inputs.uids.dimension_organization(part))
    add_lateralities(ds, finding.segments)
    apply_header(ds, inputs.stamp, inputs.names("SEG", part))
    return ds


def _build(
    finding: Segmentation, inputs: EncoderInput, part: int, kind: hd.seg.SegmentationTypeValues
) -> hd.seg.Segmentation:
    equipment, algorithm, names = inputs.stamp.equipment, inputs.stamp.algorithm, inputs.names("SEG", part)
    described = algorithm_identification(algorithm)
    return hd.seg.Segmentation(
        source_images=source_skeletons(inputs.source, inputs.conclusion.volume),
        pixel_array=_pixels(finding),
        segmentation_type=kind,
        segment_descriptions=[
            description(segment, described, inputs.uids.tracking(part, segment.tracking_identifier), inputs.profile)
            for segment in finding.segments
        ],
        series_instance_uid=names.series_instance_uid,
        series_number=names.series_number,
        sop_instance_uid=names.sop_instance_uid,
        instance_number=names.instance_number,
        manufacturer=equipment.manufacturer,
        manufacturer_model_name=equipment.model_name,
        software_versions=equipment.software_version,
        device_serial_number=equipment.device_serial_number,
        fractional_type=hd.seg.SegmentationFractionalTypeValues.OCCUPANCY,
        max_fractional_value=_OCCUPIED,
        content_label=CONTENT_LABEL,
        content_description=f"AI DRAFT, not verified: {algorithm.title}"[:64],
        content_creator_name=equipment.model_name.replace("^", " "),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )


def _pixels(finding: Segmentation) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The label map, (slice, row, column); of segments that overlap one mask each, (slice, row, column, segment).

    A copy: highdicom stretches the values of FRACTIONAL where they stand.
    """
    if not finding.overlap:
        return finding.labels.copy()
    masks = np.empty((*finding.labels.shape, len(finding.segments)), np.uint8)
    for segment in finding.segments:
        masks[..., segment.number - 1] = is_any(finding.labels, segment.numbers)
    return masks


def _rename_dimensions(ds: Dataset, uid: str) -> None:
    """Replace the UID that highdicom drew (0020,9164)."""
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
