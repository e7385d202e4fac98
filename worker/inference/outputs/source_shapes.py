"""From places on the net's grid to shapes on slices of the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy
from numpy.typing import NDArray

from worker.domain import regions
from worker.domain.codes import MILLILITRE, MILLIMETRE, SQUARE_MILLIMETRE, Unit
from worker.domain.findings import Measurement
from worker.domain.volume import Geometry, Volume
from worker.inference.image import Float, Mask, index_map
from worker.inference.measure import codes
from worker.inference.measure.sizes import axes_of_plane, max_diameter_mm
from worker.inference.steps.boxes import linked
from worker.inference.steps.peaks import peaks

Array = NDArray[np.float64]
_UNITS: dict[str, Unit] = {
    "diameter": MILLIMETRE,
    "diameter_3d": MILLIMETRE,
    "long_axis": MILLIMETRE,
    "short_axis": MILLIMETRE,
    "area": SQUARE_MILLIMETRE,
    "volume": MILLILITRE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A place on some grid.

    ``box`` (6,) are its lowest and highest corner in indices of ``geometry``, ``drawn`` (6,) the part of it that is
    drawn (one plane of a stack of boxes). ``diameter_mm`` makes it a circle, and ``point`` a point. ``sizes`` were
    measured already, by name, in the units of their names.
    """

    geometry: Geometry
    box: Array
    drawn: Array
    score: float | None = None
    point: bool = False
    diameter_mm: float | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A place on a slice of the source: what a region is made of."""

    shape: regions.Shape
    slice_index: int
    extent: tuple[int, int] | None
    measurements: tuple[Measurement, ...]
    score: float | None


def peak_places(
    scores: Float,
    geometry: Geometry,
    *,
    least: float,
    separation_mm: float,
    diameters_mm: Float | None,
    circle: bool,
) -> list[Place]:
    """Peaks as points, or as circles of the diameter in mm that stands at the peak."""
    found = []
    for index in peaks(scores, geometry, least=least, separation_mm=separation_mm):
        at = tuple(index)
        centre = np.tile(index.astype(np.float64), 2)
        diameter = None if diameters_mm is None else float(diameters_mm[at])
        sizes = {} if diameter is None or diameter <= 0 else {"diameter": diameter}
        drawn = diameter if circle and sizes else None
        found.append(Place(geometry, centre, centre, float(scores[at]), drawn is None, drawn, sizes))
    return found


def box_places(boxes: Array, scores: Float, geometry: Geometry, *, link_slices: float | None) -> list[Place]:
    """Boxes (n, 6), the best first; with ``link_slices`` those of neighbouring planes are one place."""
    groups = [np.array([i]) for i in range(len(boxes))] if link_slices is None else linked(boxes, overlap=link_slices)
    found = []
    for group in groups:
        members, best = boxes[group], int(group[int(np.argmax(scores[group]))])
        whole = np.concatenate([members[:, :3].min(axis=0), members[:, 3:].max(axis=0)])
        found.append(Place(geometry, whole, boxes[best], float(scores[best])))
    return sorted(found, key=lambda place: -(place.score or 0.0))


def component_places(mask: Mask, geometry: Geometry, *, min_ml: float) -> list[Place]:
    """Connected parts (26 neighbours) of a mask on the source's grid, the largest first."""
    parts, _ = scipy.ndimage.label(mask, structure=np.ones((3, 3, 3)))
    voxel_ml = geometry.voxel_volume_mm3 / 1000.0
    found: list[tuple[float, Place]] = []
    for number, box in enumerate(scipy.ndimage.find_objects(parts), start=1):
        part: Mask = parts[box] == number
        millilitres = float(np.count_nonzero(part)) * voxel_ml
        if millilitres < min_ml:
            continue
        start = np.array([one.start for one in box], dtype=np.float64)
        stop = np.array([one.stop for one in box], dtype=np.float64)
        areas = part.sum(axis=(1, 2))
        plane = int(np.argmax(areas))
        rows, columns = (np.flatnonzero(part[plane].any(axis=axis)) for axis in (1, 0))
        drawn = np.array([plane, rows[0], columns[0], plane + 1, rows[-1] + 1, columns[-1] + 1], dtype=np.float64)
        long_mm, short_mm = axes_of_plane(part[plane], geometry)
        sizes = {
            "volume": millilitres,
            "area": float(areas[plane]) * geometry.spacing_mm[1] * geometry.spacing_mm[2],
            "long_axis": long_mm,
            "short_axis": short_mm,
            "diameter_3d": max_diameter_mm(part, geometry),
        }
        place = Place(geometry, np.concatenate([start, stop]) - 0.5, drawn + np.tile(start, 2) - 0.5, sizes=sizes)
        found.append((millilitres, place))
    return [place for _, place in sorted(found, key=lambda pair: -pair[0])]


def placed(place: Place, volume: Volume, *, measurements: Sequence[str]) -> Placed:
    """Where a place lies on the source: the slice through the middle of what is drawn, and the shape there.

    A box of an oblique grid becomes the upright box that holds it. Numbers in mm are left out where the source has no
    spacing.
    """
    source = volume.geometry
    low, high = _on_source(place.box, place.geometry, source)
    drawn_low, drawn_high = _on_source(place.drawn, place.geometry, source)
    slice_index = int(np.clip(np.rint((drawn_low[0] + drawn_high[0]) / 2), 0, source.shape[0] - 1))
    first, last = (int(np.clip(np.rint(edge), 0, source.shape[0] - 1)) for edge in (low[0] + 0.5, high[0] - 0.5))
    row, column = ((drawn_low[axis] + drawn_high[axis]) / 2 for axis in (1, 2))
    shape: regions.Shape
    if place.point or (place.diameter_mm is not None and not volume.has_spacing):
        shape = regions.Point((row, column))
        first = last = slice_index
    elif place.diameter_mm is not None:
        shape = _round(row, column, place.diameter_mm, source)
        reach = place.diameter_mm / 2 / source.spacing_mm[0] if volume.in_patient_space else 0.0
        middle = (low[0] + high[0]) / 2
        first, last = (int(np.clip(np.rint(z), 0, source.shape[0] - 1)) for z in (middle - reach, middle + reach))
    else:
        edges = [
            (float(np.clip(a, -0.5, n - 0.5)), float(np.clip(b, -0.5, n - 0.5)))
            for a, b, n in zip(drawn_low[1:], drawn_high[1:], source.shape[1:], strict=True)
        ]
        shape = regions.Box((edges[0][0], edges[1][0]), (edges[0][1], edges[1][1]))
    sizes = {**_box_sizes(shape, source), **place.sizes}
    measured = tuple(
        Measurement(codes.OF_REGION[name], sizes[name], _UNITS[name])
        for name in measurements
        if name in sizes and (volume.in_patient_space or (volume.has_spacing and name not in ("volume", "diameter_3d")))
    )
    extent = (min(first, last), max(first, last))
    return Placed(shape, slice_index, extent if extent[0] < extent[1] else None, measured, place.score)


def _on_source(box: Array, geometry: Geometry, source: Geometry) -> tuple[Array, Array]:
    """Lowest and highest source index of a box of another grid."""
    corners = np.array(np.meshgrid(*zip(box[:3], box[3:], strict=True), indexing="ij")).reshape(3, -1)
    matrix = index_map(of=geometry, into=source)
    mapped = matrix[:3, :3] @ corners + matrix[:3, 3:4]
    return mapped.min(axis=1), mapped.max(axis=1)


def _round(row: float, column: float, diameter_mm: float, source: Geometry) -> regions.Shape:
    """A circle in millimetres: an ellipse on the pixel grid where pixels are not square."""
    rows, columns = (diameter_mm / 2 / spacing for spacing in source.spacing_mm[1:])
    if abs(rows - columns) <= 1e-3 * max(rows, columns):
        return regions.Circle((row, column), rows)
    along_rows = ((row - rows, column), (row + rows, column))
    along_columns = ((row, column - columns), (row, column + columns))
    return regions.Ellipse(major=along_rows, minor=along_columns)


def _box_sizes(shape: regions.Shape, source: Geometry) -> dict[str, float]:
    if not isinstance(shape, regions.Box):
        return {}
    sides = [
        abs(end - begin) * spacing
        for begin, end, spacing in zip(shape.first, shape.last, source.spacing_mm[1:], strict=True)
    ]
    return {"long_axis": max(sides), "short_axis": min(sides)}
