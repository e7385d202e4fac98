"""Heat maps from the bytes of a Parametric Map (PS3.3 A.75)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.volume import Volume
from worker.pictures.read_frames import Frames, placed_frames
from worker.pictures.scene import Heat


def read_heat_map(ds: Dataset, volume: Volume) -> Heat:
    """Read one map. Raises NotShownError, and ``read_frames.BROKEN`` for what is absent."""
    frames = Frames(ds)
    by_slice = {frame.slice_index: frame.number for frame in placed_frames(ds, volume)}
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    first = ds.PerFrameFunctionalGroupsSequence[0]
    mapping = _group(first, shared, "RealWorldValueMappingSequence")
    slope, intercept = float(mapping.get("RealWorldValueSlope", 1)), float(mapping.get("RealWorldValueIntercept", 0))
    units = mapping.get("MeasurementUnitsCodeSequence") or [Dataset()]
    values = _values_of(frames, by_slice, slope=slope, intercept=intercept, shape=volume.voxels.shape[1:])
    means = {k: float(values(k).mean()) for k in by_slice}
    label = str(mapping.get("LUTExplanation") or ds.get("ContentDescription") or "heat map")
    return Heat(
        label=label,
        unit=str(units[0].get("CodeValue") or ""),
        value_range=_window(first, shared) or _range(values, by_slice),
        values=values,
        largest=max(means, key=lambda k: means[k]),
    )


def _values_of(
    frames: Frames, by_slice: dict[int, int], *, slope: float, intercept: float, shape: tuple[int, ...]
) -> Callable[[int], NDArray[np.float32]]:
    def values(k: int) -> NDArray[np.float32]:
        if k not in by_slice:
            return np.full(shape, np.nan, dtype=np.float32)
        return (frames.stored(by_slice[k]).astype(np.float64) * slope + intercept).astype(np.float32)

    return values


def _window(first: Dataset, shared: Dataset) -> tuple[float, float] | None:
    """What the object asks to be shown (Frame VOI LUT, PS3.3 C.7.6.16.2.10)."""
    lut = _group(first, shared, "FrameVOILUTSequence")
    if "WindowCenter" not in lut or "WindowWidth" not in lut:
        return None
    centres, widths = np.atleast_1d(lut.WindowCenter), np.atleast_1d(lut.WindowWidth)
    centre, width = float(centres[0]), float(widths[0])
    return centre - width / 2, centre + width / 2


def _range(values: Callable[[int], NDArray[np.float32]], by_slice: dict[int, int]) -> tuple[float, float]:
    ends = [(float(plane.min()), float(plane.max())) for plane in map(values, by_slice)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _group(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    found = own.get(keyword) or shared.get(keyword) or [Dataset()]
    item: Dataset = found[0]
    return item
