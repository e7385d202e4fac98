"""From headers to planes: one record per single-frame image, and per frame of an Enhanced object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from worker.decode.attributes import floats
from worker.decode.frame_attributes import attributes_of_frames
from worker.decode.outcomes import VolumeError
from worker.domain.study import InstanceHeader
from worker.domain.volume import SliceRef
from worker.functional_groups.groups import FunctionalGroups

TELLS_APART = (
    "StackID", "TemporalPositionIndex", "TemporalPositionIdentifier", "EffectiveEchoTime", "EchoTime", "EchoNumbers",
    "DiffusionBValue", "DiffusionGradientOrientation", "TriggerTime", "NominalPercentageOfCardiacPhase",
    "NominalCardiacTriggerDelayTime", "InversionTime", "FlipAngle", "AcquisitionNumber", "ConvolutionKernel",
    "ReconstructionAlgorithm", "FrameType", "ImageType", "ComplexImageComponent", "KVP", "ScanOptions",
    "ContrastBolusAgent", "SliceThickness", "AcquisitionTime", "AcquisitionDateTime", "FrameReferenceDateTime",
    "FrameAcquisitionDateTime", "ContentTime", "InstanceNumber",
)  # fmt: skip
"""Attributes by which several images at one position differ, most telling first (PS3.3 C.7.6.16, C.8.13)."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One image in space. ``instance`` and ``frame`` (from 0) say where its pixels are.

    ``marks`` holds the values of the attributes of ``TELLS_APART`` that the plane has.
    """

    ref: SliceRef
    instance: int
    frame: int
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    frame_of_reference_uid: str
    marks: Mapping[str, tuple[str, ...]] = field(repr=False)


def planes_of(header: InstanceHeader, dataset: Dataset, *, instance: int) -> list[Plane]:
    """Planes of one instance; ``instance`` is its number in the list that the caller keeps.

    Raises
    ------
    VolumeError
        ``no-geometry`` when a multi-frame object has no functional group per frame.
    """
    groups = FunctionalGroups(dataset)
    frames = header.number_of_frames
    if not groups and frames == 1:
        return [_plane(header, header.attributes, instance=instance, frame=0, number=None)]
    if groups.described != frames and not (frames == 1 and groups.described == 0):
        raise VolumeError(
            f"Instance {header.instance.sop_instance_uid} has {frames} frames and says where {groups.described} of "
            "them are; one position per frame was expected.",
            next_step="Exclude such series by a rule, or have them sent as single images.",
            code="no-geometry",
        )
    return [
        _plane(header, attributes, instance=instance, frame=index, number=index + 1)
        for index, attributes in enumerate(attributes_of_frames(dataset, frames))
    ]


def _plane(
    header: InstanceHeader, attributes: Mapping[str, tuple[str, ...]], *, instance: int, frame: int, number: int | None
) -> Plane:
    thickness = floats(attributes, "SliceThickness")
    return Plane(
        ref=SliceRef(header.instance.sop_instance_uid, number),
        instance=instance,
        frame=frame,
        rows=header.rows or 0,
        columns=header.columns or 0,
        position=_vector(attributes, "ImagePositionPatient", 3),
        orientation=_vector(attributes, "ImageOrientationPatient", 6),
        pixel_spacing_mm=_vector(attributes, "PixelSpacing", 2),
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        frame_of_reference_uid=header.frame_of_reference_uid or "",
        marks={name: attributes[name] for name in TELLS_APART if name in attributes},
    )


def _vector(attributes: Mapping[str, tuple[str, ...]], keyword: str, size: int) -> tuple[float, ...] | None:
    values = floats(attributes, keyword)
    return values if values is not None and len(values) == size else None
