"""From stored values to modality values: rescale or Modality LUT (PS3.3 C.11.1), per frame in Enhanced objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.decode.outcomes import PixelDataError
from worker.functional_groups.groups import FunctionalGroups, items_of
from worker.functional_groups.macros import PIXEL_VALUE_TRANSFORMATION
from worker.headers.attributes import floats, integer, plain_attributes


@dataclass(frozen=True, slots=True)
class Rescale:
    """``value = stored * slope + intercept``. ``unit`` is the Rescale Type (``HU``), or empty."""

    slope: float
    intercept: float
    unit: str = ""

    def apply(self, stored: NDArray[np.integer]) -> NDArray[np.float32]:
        """Map stored values; 32-bit integers go through double precision."""
        if stored.dtype.itemsize > 2 and self.slope != 1:
            exact: NDArray[np.float64] = stored.astype(np.float64) * self.slope + self.intercept
            return exact.astype(np.float32)
        if self.slope == 1 and self.intercept == int(self.intercept) and stored.dtype.itemsize <= 2:
            shifted: NDArray[np.float32] = np.add(stored, np.float32(self.intercept), dtype=np.float32)
            return shifted
        values: NDArray[np.float32] = np.multiply(stored, np.float32(self.slope), dtype=np.float32)
        values += np.float32(self.intercept)
        return values

    def span(self, low: int, high: int) -> tuple[float, float]:
        """Lowest and highest value that the stored values from ``low`` to ``high`` can become."""
        ends = sorted((low * self.slope + self.intercept, high * self.slope + self.intercept))
        return ends[0], ends[1]


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """Modality LUT: ``values[stored - first]``, and the ends beyond the table (PS3.3 C.11.1.1)."""

    first: int
    values: NDArray[np.float32]
    unit: str = ""

    def apply(self, stored: NDArray[np.integer]) -> NDArray[np.float32]:
        """Map stored values of one frame to modality values (PS3.3 C.11.1)."""
        index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.values) - 1)
        mapped: NDArray[np.float32] = self.values[index]
        return mapped

    def span(self, low: int, high: int) -> tuple[float, float]:
        """Lowest and highest value that the stored values from ``low`` to ``high`` can become."""
        ends = np.clip(np.array([low, high]) - self.first, 0, len(self.values) - 1)
        reached = self.values[ends[0] : ends[1] + 1]
        return float(reached.min()), float(reached.max())


ModalityTransform = Rescale | LookupTable | None
"""None: the object has none, and stored values are modality values."""


def transforms_of(dataset: Dataset, *, frames: int, name: str) -> tuple[ModalityTransform, ...]:
    """One transform per frame.

    Raises
    ------
    PixelDataError
        ``bad-modality-lut`` when a rescale is not a number, has slope 0, or the table is broken.
    """
    groups = FunctionalGroups(dataset)
    found = [groups.macro(PIXEL_VALUE_TRANSFORMATION, frame) for frame in range(frames)]
    if any(found):
        said = {id(items[0]): items[0] for items in found if items}  # many frames share one item
        read = {key: _rescale(plain_attributes(item), name) for key, item in said.items()}
        return tuple(read[id(items[0])] if items else None for items in found)
    tables = items_of(dataset, "ModalityLUTSequence")
    if tables:
        signed = integer(plain_attributes(dataset), "PixelRepresentation") == 1
        return (_table(tables[0], signed=signed, name=name),) * frames
    return (_rescale(plain_attributes(dataset), name),) * frames


def _rescale(attributes: Mapping[str, tuple[str, ...]], name: str) -> Rescale | None:
    if "RescaleSlope" not in attributes and "RescaleIntercept" not in attributes:
        return None
    slope = floats(attributes, "RescaleSlope") if "RescaleSlope" in attributes else (1.0,)
    intercept = floats(attributes, "RescaleIntercept") if "RescaleIntercept" in attributes else (0.0,)
    if not slope or not intercept or slope[0] == 0:
        raise _bad(name, "its rescale slope or intercept is not a number, or the slope is 0")
    return Rescale(slope[0], intercept[0], attributes.get("RescaleType", ("",))[0])


def _table(item: Dataset, *, signed: bool, name: str) -> LookupTable:
    """LUT Descriptor (number of entries, first stored value, bits per entry) and LUT Data."""
    descriptor = item.get("LUTDescriptor")
    data = item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or data is None:
        raise _bad(name, "its Modality LUT has no descriptor of three values, or no data")
    entries = int(descriptor[0]) & 0xFFFF or 65536
    bits = int(descriptor[2])
    if isinstance(data, bytes):
        width = 1 if bits <= 8 and len(data) < 2 * entries else 2
        numbers = np.frombuffer(data[: len(data) // width * width], dtype=f"<u{width}")
    else:
        numbers = np.asarray(data, dtype=np.int64).reshape(-1) & 0xFFFF
    if len(numbers) < entries:
        raise _bad(name, f"its Modality LUT has {len(numbers)} of {entries} entries")
    first = int(descriptor[1])
    if signed and first >= 0x8000:  # in the sign of the pixels (PS3.3 C.11.1.1.1), whatever its VR says
        first -= 0x10000
    return LookupTable(first, numbers[:entries].astype(np.float32), str(item.get("ModalityLUTType", "")))


def _bad(name: str, what: str) -> PixelDataError:
    return PixelDataError(
        f"The stored values of instance {name} cannot be turned into modality values: {what}.",
        next_step="Have the sender's software checked.",
        code="bad-modality-lut",
    )
