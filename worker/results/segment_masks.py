"""What the encoders and the gate need to know of each structure of a segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import PermanentError
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Finding,
    HeatMap,
    Narrative,
    QualityStatement,
    Quantification,
    Segment,
    Segmentation,
)
from worker.results.contours import largest_component, outline


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The outline of a structure on the slice where it is largest.

    ``points`` is a closed polygon (n, 2) of SCOORD coordinates (column, row; pixel centres at index + 0.5) around the
    largest part of the structure on slice ``index``; ``area_px`` is the area of that part, holes filled, in pixels.
    """

    index: int
    points: NDArray[np.float64]
    area_px: int


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A segment with its voxel count and its outline."""

    segment: Segment
    voxels: int
    outline: Outline


def ensure_encodable(conclusion: Conclusion) -> None:
    """Refuse conclusions that contradict themselves.

    Raises
    ------
    PermanentError
        ``nothing-to-report``, ``labels-off-grid``, ``segments-misnumbered``, ``segment-unnamed``,
        ``segment-tracked-twice`` or ``no-frame-of-reference``.
    """
    volume = conclusion.volume
    if not conclusion.absent and not any(_says_something(finding) for finding in conclusion.findings):
        raise PermanentError(
            "The model's conclusion says nothing: neither found nor absent.",
            next_step="Report this to the provider of the model package.",
            code="nothing-to-report",
        )
    if volume.in_patient_space and volume.frame_of_reference_uid is None:
        raise PermanentError(
            "The analysed series has no Frame of Reference UID, so nothing can be drawn on it.",
            next_step="Send a series with Frame of Reference UID (0020,0052).",
            code="no-frame-of-reference",
        )
    for finding in conclusion.segmentations:
        shapes = (finding.labels.shape, volume.geometry.shape, (len(volume.slices), *volume.geometry.shape[1:]))
        if len(set(shapes)) > 1:
            raise PermanentError(
                f"The labels (shape {shapes[0]}) are not on the grid of the volume (shape {shapes[1]}).",
                next_step="Report this to the provider of the model package.",
                code="labels-off-grid",
            )
        numbers = [segment.number for segment in finding.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise PermanentError(
                f"Segments must be numbered 1, 2, 3 ... in order; found {numbers[:20]}.",
                next_step="Report this to the provider of the model package.",
                code="segments-misnumbered",
            )
        if any(set(segment.contains) - (set(numbers) - {segment.number}) for segment in finding.segments):
            raise PermanentError(
                "A segment contains itself, or one that is not there.",
                next_step="Report this to the provider of the model package.",
                code="segments-misnumbered",
            )
        _ensure_described(finding.segments)


def written_label(label: str) -> str:
    """Return a label as Segment Label (0062,0005) holds it: at most 64 characters, without padding (PS3.5 6.2, LO)."""
    return label.strip()[:64].rstrip()


def _ensure_described(segments: tuple[Segment, ...]) -> None:
    """Refuse what type 1 attributes of a segment cannot say (PS3.3 C.8.20.4)."""
    for segment in segments:
        codes = [segment.category, segment.type, segment.laterality, segment.site]
        problem = None
        if not written_label(segment.label) or not segment.tracking_identifier.strip():
            problem = "has no label or no tracking identifier"
        elif any(c == "\\" or not c.isprintable() for c in segment.label + segment.tracking_identifier):
            problem = "has a label or tracking identifier with a backslash or a control character"
        elif not all(code.value and code.scheme and code.meaning for code in codes if code is not None):
            problem = "has a code without value, scheme or meaning"
        elif not all(0 <= c <= 255 for c in segment.colour_rgb):
            problem = "has a colour outside 0 to 255"
        if problem:
            raise PermanentError(
                f"Segment {segment.number} {problem}.",
                next_step="Report this to the provider of the model package (`overread models check`).",
                code="segment-unnamed",
            )
    identifiers = [segment.tracking_identifier for segment in segments]
    if len(set(identifiers)) != len(identifiers):
        raise PermanentError(
            "Two segments have the same tracking identifier, so reports could not tell them apart.",
            next_step="Report this to the provider of the model package.",
            code="segment-tracked-twice",
        )


def _says_something(finding: Finding) -> bool:
    match finding:
        case Segmentation():
            return bool(finding.segments)
        case Detection():
            return bool(finding.regions)
        case Classification() | Quantification() | HeatMap() | Narrative() | QualityStatement():
            return True


def structures_of(finding: Segmentation) -> tuple[Structure, ...]:
    """Count and outline every segment of a finding.

    Raises
    ------
    PermanentError
        ``empty-segment`` when a segment has no voxel, ``undescribed-label`` when a voxel has no segment.
    """
    counts = voxels_by_slice(finding)
    if counts.shape[1] > len(finding.segments) + 1:
        raise PermanentError(
            f"The label map holds {counts.shape[1] - 1}, but only {len(finding.segments)} segments are described.",
            next_step="Report this to the provider of the model package.",
            code="undescribed-label",
        )
    structures = []
    for segment in finding.segments:
        by_slice = counts[:, segment.numbers].sum(axis=1)
        if not by_slice.any():
            raise PermanentError(
                f"Segment {segment.number} has no voxel; what was not found belongs into `absent`.",
                next_step="Report this to the provider of the model package.",
                code="empty-segment",
            )
        index = int(np.argmax(by_slice))
        part = largest_component(finding.mask(segment, index))
        structures.append(
            Structure(segment, int(by_slice.sum()), Outline(index, outline(part), int(np.count_nonzero(part))))
        )
    return tuple(structures)


def voxels_by_slice(finding: Segmentation) -> NDArray[np.int64]:
    """Count voxels: shape (slice, label), as many labels as the map holds, at least those described."""
    labels = finding.labels
    width = max(int(labels.max(initial=0)), len(finding.segments)) + 1
    return np.stack([np.bincount(plane.ravel(), minlength=width) for plane in labels]).astype(np.int64)
