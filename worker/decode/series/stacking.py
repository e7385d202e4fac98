"""Whether planes make a volume, and which: pure. Every refusal is a ``VolumeError`` with its code.

Nothing is guessed: InstanceNumber and SliceLocation are never looked at, and nothing is flipped, resampled or filled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.decode.outcomes import VolumeError
from worker.decode.planes.geometry import (
    MANY_GAPS,
    TILT_LIMIT_DEG,
    TILT_NOTED_DEG,
    Axes,
    Gaps,
    affine_of,
    axes_of,
    gaps_of,
    groups_of_orientation,
    name_of_orientation,
    step_of,
)
from worker.decode.planes.planes import Plane
from worker.decode.series.comparable import require_apart, require_comparable
from worker.decode.series.repeats import NAMED_AT_MOST, SamePixels, one_per_position, positions_of

PIXEL_SPACING_TOLERANCE = 1e-3
"""Pixel spacings may differ by this part: over 512 pixels that is half a pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Planes in order along the slice normal, and the affine of ``domain.Geometry``."""

    planes: tuple[Plane, ...]
    affine_lps: NDArray[np.float64]
    notes: tuple[str, ...]


def stack(planes: Sequence[Plane], *, series: str, same_pixels: SamePixels) -> Stack:
    """Order planes and check that they are one regular grid.

    Parameters
    ----------
    planes:
        At least one.
    series:
        Series Instance UID, for messages.
    same_pixels:
        Asked only about planes at the same position.

    Raises
    ------
    VolumeError
        With the code of the first thing that is wrong.
    """
    _require_one_frame_of_reference(planes, series)
    _require_geometry(planes, series)
    axes = _one_orientation(planes, series)
    _require_one_matrix(planes, series)
    row_mm, column_mm = _one_pixel_spacing(planes, series)
    _require_one_stack(planes, series)
    notes: list[str] = []
    chosen = one_per_position(planes, axes, series, same_pixels, notes)
    positions = positions_of(chosen)
    if len(chosen) > 1:
        spacing_mm = gaps_of(positions, axes.normal).spacing_mm
        require_comparable(chosen, spacing_mm=spacing_mm, series=series)
    if len(chosen) == 1:
        step = axes.normal * _thickness_of_single(chosen[0], series)
        notes.append("one slice: its thickness stands in for the slice spacing")
    else:
        _require_regular(chosen, axes, series, notes)
        step = step_of(positions)
        _note_thickness(chosen, float(step @ axes.normal), notes)
    affine = affine_of(origin=positions[0], step=step, axes=axes, row_spacing_mm=row_mm, column_spacing_mm=column_mm)
    return Stack(tuple(chosen), affine, tuple(notes))


def _require_one_frame_of_reference(planes: Sequence[Plane], series: str) -> None:
    found = {plane.frame_of_reference_uid for plane in planes}
    if len(found) > 1:
        raise VolumeError(
            f"Series {series} has planes in {len(found)} frames of reference; one was expected, because positions of "
            "different ones cannot be compared (PS3.3 C.7.4.1).",
            next_step="Have the scanner's export checked, or send the acquisitions as separate series.",
            code="several-frames-of-reference",
        )


def _require_geometry(planes: Sequence[Plane], series: str) -> None:
    without = [
        plane
        for plane in planes
        if plane.position is None or plane.orientation is None or plane.pixel_spacing_mm is None
    ]
    if without:
        raise VolumeError(
            f"Series {series} has {len(without)} of {len(planes)} planes without Image Position, Image Orientation or "
            "Pixel Spacing; all three were expected on each.",
            next_step="Exclude such series by a rule (projection images, screenshots), or have the export corrected.",
            code="no-geometry",
        )
    right: set[tuple[float, ...] | None] = set()
    for plane in planes:
        if plane.orientation not in right and axes_of(plane.orientation or ()) is not None:
            right.add(plane.orientation)
        if min(plane.pixel_spacing_mm or (0.0,)) <= 0 or plane.orientation not in right:
            raise VolumeError(
                f"Series {series}: instance {plane.ref.sop_instance_uid} has a pixel spacing that is not positive, or "
                "direction cosines that are not two unit vectors at right angles.",
                next_step="Have the sender's software checked.",
                code="bad-geometry",
            )


def _one_orientation(planes: Sequence[Plane], series: str) -> Axes:
    orientations = [plane.orientation or () for plane in planes]
    groups = groups_of_orientation(orientations)
    named = [(len(group), axes_of(orientations[group[0]])) for group in groups]
    if len(groups) == 1 and named[0][1] is not None:
        return named[0][1]
    found = ", ".join(
        f"{count} {name_of_orientation(axes.normal)} ({_cosines(orientations[group[0]])})"
        for (count, axes), group in zip(named[:NAMED_AT_MOST], groups, strict=False)
        if axes is not None
    )
    raise VolumeError(
        f"Series {series} has planes in {len(groups)} orientations: {found}; one was expected.",
        next_step="If one of them is a localizer, have it sent as a series of its own.",
        code="mixed-orientations",
    )


def _require_one_matrix(planes: Sequence[Plane], series: str) -> None:
    sizes = Counter((plane.rows, plane.columns) for plane in planes)
    if len(sizes) > 1:
        found = ", ".join(f"{n} of {rows} x {columns}" for (rows, columns), n in sizes.most_common(NAMED_AT_MOST))
        raise VolumeError(
            f"Series {series} has planes of {len(sizes)} sizes (rows x columns): {found}; one was expected.",
            next_step="Have the sizes sent as separate series.",
            code="mixed-matrix",
        )


def _one_pixel_spacing(planes: Sequence[Plane], series: str) -> tuple[float, float]:
    spacings = np.array([plane.pixel_spacing_mm for plane in planes], dtype=np.float64)
    low, high = spacings.min(axis=0), spacings.max(axis=0)
    if np.any(high - low > PIXEL_SPACING_TOLERANCE * low):
        raise VolumeError(
            f"Series {series} has pixel spacings from {_vector(low)} to {_vector(high)} mm; one was expected.",
            next_step="Have the fields of view sent as separate series.",
            code="mixed-pixel-spacing",
        )
    return float(spacings[0, 0]), float(spacings[0, 1])


def _require_one_stack(planes: Sequence[Plane], series: str) -> None:
    stacks = {plane.marks.get("StackID", ()) for plane in planes}
    if len(stacks) > 1:
        raise VolumeError(
            f"Series {series} has frames of {len(stacks)} stacks (Stack ID, PS3.3 C.7.6.16.2.2.4); one was expected.",
            next_step="Have the stacks sent as separate series.",
            code="several-acquisitions",
        )


def _require_regular(planes: Sequence[Plane], axes: Axes, series: str, notes: list[str]) -> None:
    positions = positions_of(planes)
    gaps = gaps_of(positions, axes.normal)
    if gaps.missing_after and len(gaps.missing_after) <= MANY_GAPS * (len(positions) - 1):
        raise _missing(gaps, positions, axes, series)
    if gaps.irregular_mm > gaps.tolerance_mm:
        require_apart(planes, series=series)
        raise VolumeError(
            f"Series {series} has slices between {gaps.smallest_mm:.3f} and {gaps.largest_mm:.3f} mm apart (median "
            f"{gaps.spacing_mm:.3f}); a plane is {gaps.irregular_mm:.3f} mm off a regular grid, and "
            f"{gaps.tolerance_mm:.3f} mm are tolerated.",
            next_step="Have a reconstruction with constant spacing sent.",
            code="varying-spacing",
        )
    if gaps.sideways_mm > gaps.tolerance_mm:
        raise VolumeError(
            f"Series {series} has a plane that is shifted sideways by {gaps.sideways_mm:.3f} mm against a regular "
            f"stack; {gaps.tolerance_mm:.3f} mm are tolerated.",
            next_step="Have the scanner's export checked.",
            code="irregular-positions",
        )
    if gaps.tilt_deg > TILT_LIMIT_DEG:
        raise VolumeError(
            f"Series {series} has planes shifted sideways at {gaps.tilt_deg:.1f} degrees to their normal; a gantry "
            f"tilts by up to {TILT_LIMIT_DEG:.0f}.",
            next_step="Have Image Orientation and Image Position of the sender checked.",
            code="gantry-tilt-too-large",
        )
    if gaps.tilt_deg > TILT_NOTED_DEG:
        notes.append(f"gantry tilt of {gaps.tilt_deg:.1f} degrees: the grid is sheared, and its affine says so exactly")


def _missing(gaps: Gaps, positions: NDArray[np.float64], axes: Axes, series: str) -> VolumeError:
    depths = positions @ axes.normal
    steps = np.diff(depths)
    count = sum(max(1, round(float(steps[i]) / gaps.spacing_mm) - 1) for i in gaps.missing_after)
    places = [f"{depths[i]:.1f} to {depths[i + 1]:.1f}" for i in gaps.missing_after[:NAMED_AT_MOST]]
    more = ", ..." if len(gaps.missing_after) > NAMED_AT_MOST else ""
    return VolumeError(
        f"Series {series} lacks {count} of about {len(positions) + count} slices: between {', '.join(places)}{more} mm "
        f"along the slice normal, where {gaps.spacing_mm:.3f} mm per slice were expected.",
        next_step="Send the missing slices: the study is then analysed again.",
        code="missing-slices",
    )


def _thickness_of_single(plane: Plane, series: str) -> float:
    if plane.thickness_mm is None:
        raise VolumeError(
            f"Series {series} has one slice and no Slice Thickness; a volume needs either a second slice or that.",
            next_step="Send the whole series.",
            code="no-geometry",
        )
    return plane.thickness_mm


def _note_thickness(planes: Sequence[Plane], spacing_mm: float, notes: list[str]) -> None:
    thinnest = min((plane.thickness_mm for plane in planes if plane.thickness_mm is not None), default=None)
    if thinnest is not None and spacing_mm > 1.5 * thinnest:
        notes.append(
            f"slices are {spacing_mm:.2f} mm apart and {thinnest:.2f} mm thick: tissue between them is not seen"
        )


def _cosines(orientation: Sequence[float]) -> str:
    return "\\".join(f"{value:.3g}" for value in orientation)


def _vector(values: NDArray[np.float64]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
