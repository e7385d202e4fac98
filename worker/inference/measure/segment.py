"""All measurements that a manifest asks of one segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.domain.codes import HOUNSFIELD, MILLILITRE, MILLIMETRE, SQUARE_MILLIMETRE, Code, Unit
from worker.domain.findings import Measurement
from worker.domain.volume import Volume
from worker.inference.image import Mask
from worker.inference.measure import MeasurementName, codes
from worker.inference.measure.intensity import STATISTICS, first_order
from worker.inference.measure.sizes import largest_axes_mm, max_diameter_mm
from worker.inference.measure.surface import mesh_area_mm2

NO_UNITS = Unit("1", "no units")
_VALUES: dict[str, tuple[Code, Unit]] = {
    "CT": (codes.ATTENUATION, HOUNSFIELD),
    "MR": (codes.MR_SIGNAL, NO_UNITS),
}
"""What a voxel's value is, by modality; of others nothing is said."""


def measured(
    names: Sequence[MeasurementName],
    mask: Mask,
    place: tuple[slice, ...],
    volume: Volume,
    *,
    volume_ml: float,
) -> tuple[Measurement, ...]:
    """Measure a segment in the order of ``names``.

    Parameters
    ----------
    names:
        What is asked for. What an image cannot tell (a volume of a projection, millimetres without a spacing, the
        unit of an unknown modality) is left out.
    mask:
        (a, b, c), the box of the source's grid that holds the segment.
    place:
        Where that box is.
    volume:
        The source.
    volume_ml:
        Its volume, counted already.
    """
    found: list[Measurement] = []
    for name in names:
        if name in STATISTICS:
            found += _statistic(name, mask, place, volume)
        elif name == "area":
            found += _area(mask, volume)
        elif volume.in_patient_space or (name == "axes" and volume.has_spacing):
            found += _in_space(name, mask, volume, volume_ml=volume_ml)
    return tuple(found)


def _in_space(name: str, mask: Mask, volume: Volume, *, volume_ml: float) -> list[Measurement]:
    geometry = volume.geometry
    if name == "volume":
        return [Measurement(codes.VOLUME, volume_ml, MILLILITRE)]
    if name == "diameter_3d":
        return [Measurement(codes.DIAMETER_3D, max_diameter_mm(mask, geometry), MILLIMETRE)]
    if name == "surface_area":
        return [Measurement(codes.SURFACE_AREA, mesh_area_mm2(mask, geometry), SQUARE_MILLIMETRE)]
    long_mm, short_mm = largest_axes_mm(mask, geometry)
    return [Measurement(codes.LONG_AXIS, long_mm, MILLIMETRE), Measurement(codes.SHORT_AXIS, short_mm, MILLIMETRE)]


def _area(mask: Mask, volume: Volume) -> list[Measurement]:
    """The area on the slice where it is largest."""
    if not volume.has_spacing:
        return []
    _, rows_mm, columns_mm = volume.geometry.spacing_mm
    largest = int(np.count_nonzero(mask, axis=(1, 2)).max())
    return [Measurement(codes.AREA, largest * rows_mm * columns_mm, SQUARE_MILLIMETRE)]


def _statistic(name: str, mask: Mask, place: tuple[slice, ...], volume: Volume) -> list[Measurement]:
    if volume.modality not in _VALUES:
        return []
    quantity, unit = _VALUES[volume.modality]
    value = first_order(volume.voxels[place][mask])[name]
    shown = NO_UNITS if name in ("skewness", "kurtosis") else unit
    return [Measurement(quantity, value, shown, derivation=codes.DERIVATIONS[name])]
