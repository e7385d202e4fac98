"""Which slices key objects must show, and where on them something was found, counted by the gate itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    HeatMap,
    Narrative,
    Presence,
    QualityStatement,
    Quantification,
    Segment,
    Segmentation,
)
from worker.domain.profile import Profile
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape

MOST_SLICES = 16
"""With more slices than that, as many are shown, and the other findings are listed in words."""

SliceKey = tuple[str, int | None]
"""SOP Instance UID and frame number (None for single-frame) of a slice."""


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """Where something that was found is drawn on a slice: pixel centres (n, 2) as (row, column), and its colour."""

    places: NDArray[np.float64]
    colour_rgb: tuple[int, int, int]
    label: str


def key_of(reference: Dataset) -> SliceKey:
    """Read which slice an image reference names."""
    number = reference.get("ReferencedFrameNumber")
    return str(reference.ReferencedSOPInstanceUID), None if number is None else int(number)


def slices_by_key(conclusion: Conclusion) -> dict[SliceKey, int]:
    """Index of every slice of the volume by what references name it."""
    return {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(conclusion.volume.slices)}


def best_slices(conclusion: Conclusion) -> set[int]:
    """The slices that show a finding best."""
    middle = conclusion.volume.geometry.shape[0] // 2
    best: set[int] = set()
    for finding in conclusion.findings:
        match finding:
            case Segmentation():
                best |= {largest_slice(finding, segment) for segment in finding.segments}
            case Detection():
                best |= {region.slice_index for region in finding.regions}
            case Classification():
                if finding.presence is not Presence.ABSENT:
                    best |= set(finding.key_slices or (middle,))
            case Quantification():
                best |= set(finding.key_slices or (middle,))
            case HeatMap():
                best.add(int(np.argmax([float(plane.max()) for plane in finding.values])))
            case Narrative() | QualityStatement():
                pass
    return best


def unshown(shown: set[int], conclusion: Conclusion) -> Iterator[str]:
    """Yield what is wrong with the slices that are shown."""
    best = best_slices(conclusion)
    if shown - best:
        yield f"{len(shown - best)} slices show no finding best"
    if len(shown) < min(len(best), MOST_SLICES):
        yield f"{len(shown)} slices are shown, expected {min(len(best), MOST_SLICES)}"


def edges_on(index: int, conclusion: Conclusion, profile: Profile) -> Iterator[Edge]:
    """Yield the edges of segments and the outlines of regions on a slice."""
    colours = dict(profile.colours)
    for finding in conclusion.segmentations:
        for segment in finding.segments:
            mask = finding.mask(segment, index)
            if mask.any():
                edge = mask & ~ndimage.binary_erosion(mask)
                places = np.argwhere(edge).astype(np.float64)
                yield Edge(places, colours.get(segment.label, segment.colour_rgb), segment.label)
    for region in conclusion.regions:
        first, last = region.extent or (region.slice_index, region.slice_index)
        if first <= index <= last or region.slice_index == index:
            yield Edge(_on(region.shape), colours.get(region.label, region.colour_rgb), region.label)


def largest_slice(finding: Segmentation, segment: Segment) -> int:
    """The first of the slices on which most of a segment lies."""
    return int(np.argmax([np.count_nonzero(finding.mask(segment, k)) for k in range(len(finding.labels))]))


def _on(shape: Shape) -> NDArray[np.float64]:
    """Places on the line of a shape, as (row, column): its corners, or all around."""
    match shape:
        case Point():
            places: object = [shape.at]
        case Line() | Polygon():
            places = shape.points
        case Box():
            (top, left), (bottom, right) = shape.first, shape.last
            places = [(top, left), (top, right), (bottom, right), (bottom, left)]
        case Circle():
            centre, radius = np.array(shape.centre), shape.radius_px
            places = _arc(centre, np.array([radius, 0.0]), np.array([0.0, radius]))
        case Ellipse():
            major, minor = np.array(shape.major), np.array(shape.minor)
            places = _arc(major.mean(axis=0), (major[1] - major[0]) / 2, (minor[1] - minor[0]) / 2)
    return np.asarray(places, dtype=np.float64)


def _arc(centre: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    angles = np.linspace(0.0, 2 * np.pi, 360, endpoint=False)[:, None]
    places: NDArray[np.float64] = centre + np.cos(angles) * first + np.sin(angles) * second
    return places
