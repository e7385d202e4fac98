"""Heat maps from the bytes of a Parametric Map (PS3.3 A.75)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.volume import Volume
from worker.functional_groups.macros import FRAME_VOI_LUT
from worker.pictures.reading.frames import Frames
from worker.pictures.reading.part10 import first_item
from worker.pictures.scene import Heat


def read_heat_map(ds: Dataset, volume: Volume) -> Heat:
    """Read one map. Raises NotShownError, and anything for what is absent or broken."""
    frames = Frames(ds, volume)
    by_slice = {k: frame for frame, k in enumerate(frames.slices)}
    mapping = frames.macro("RealWorldValueMappingSequence")
    slope, intercept = float(mapping.get("RealWorldValueSlope", 1)), float(mapping.get("RealWorldValueIntercept", 0))

    def values(k: int) -> NDArray[np.float32]:
        if k not in by_slice:
            return np.full(volume.voxels.shape[1:], np.nan, dtype=np.float32)
        return (frames.stored(by_slice[k]).astype(np.float64) * slope + intercept).astype(np.float32)

    # One plane at a time: a whole map may be larger than the memory.
    means, lows, highs = np.array([(float(p.mean()), p.min(), p.max()) for p in map(values, by_slice)]).T
    return Heat(
        label=str(mapping.get("LUTExplanation") or ds.get("ContentDescription") or "heat map"),
        unit=str(first_item(mapping, "MeasurementUnitsCodeSequence").get("CodeValue") or ""),
        value_range=_window(frames.macro(FRAME_VOI_LUT)) or (float(lows.min()), float(highs.max())),
        values=values,
        largest=list(by_slice)[int(np.argmax(means))],
    )


def _window(lut: Dataset) -> tuple[float, float] | None:
    """What the object asks to be shown (Frame VOI LUT, PS3.3 C.7.6.16.2.10)."""
    if "WindowCenter" not in lut or "WindowWidth" not in lut:
        return None
    centre, width = (float(np.atleast_1d(value)[0]) for value in (lut.WindowCenter, lut.WindowWidth))
    return centre - width / 2, centre + width / 2
