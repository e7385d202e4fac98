"""Frames of SEG and Parametric Map objects: which slice of a volume each lies on, and its stored values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from worker.domain.volume import Volume
from worker.functional_groups.groups import FunctionalGroups, items_of
from worker.functional_groups.macros import PLANE_ORIENTATION, PLANE_POSITION
from worker.pictures.reading.part10 import NotShownError, unreadable

MOST_FRAMES = 60_000
"""Objects with more are not drawn: looking at them would take minutes."""

_DIRECTION = 2e-3
_OFF_GRID = 0.5
"""Largest difference of direction cosines, and of indices: the affine of a volume is fitted to rounded positions."""

_TYPES = {"PixelData": "", "FloatPixelData": "<f4", "DoubleFloatPixelData": "<f8"}


def slice_numbers(volume: Volume) -> dict[tuple[str, int | None], int]:
    """Which slice (from 0) an image is: by SOP Instance UID and frame number, which is None for a single-frame one."""
    return {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(volume.slices)}


class Frames:
    """The frames of an object on the slices of a volume; both are numbered from 0.

    ``slices`` has the slice of each frame: by its position in the patient, and by the image that it names as its
    source.

    Raises NotShownError (``object-off-the-images``) when the two differ, or the frames are not on the volume's grid.
    """

    def __init__(self, ds: Dataset, volume: Volume) -> None:
        self._ds = ds
        self._keyword = next((keyword for keyword in _TYPES if keyword in ds), "")
        if not self._keyword:
            raise unreadable("It has no pixel data.")
        self._groups = FunctionalGroups(ds)
        self._count, self._shape = int(ds.NumberOfFrames), (int(ds.Rows), int(ds.Columns))
        self._bits = int(ds.get("BitsAllocated", 32))
        self._native = not ds.file_meta.TransferSyntaxUID.is_compressed
        self._check(volume)
        self.slices = tuple(self._slices(volume))

    def stored(self, frame: int) -> NDArray[Any]:
        """Stored values of a frame: (row, column), the stored type."""
        if not self._native:
            return np.asarray(pixel_array(self._ds, index=frame, raw=True))
        pixels = self._shape[0] * self._shape[1]
        content = self._ds[self._keyword].value
        if self._bits == 1:
            # Frames follow one another bit by bit, without padding (PS3.5 8.1.1): pydicom fails within a byte.
            first = frame * pixels
            part = np.frombuffer(content, np.uint8, count=(first % 8 + pixels + 7) // 8, offset=first // 8)
            return np.unpackbits(part, bitorder="little")[first % 8 : first % 8 + pixels].reshape(self._shape)
        kind = np.dtype(_TYPES[self._keyword] or f"<u{self._bits // 8}")
        return np.frombuffer(content, kind, pixels, frame * pixels * kind.itemsize).reshape(self._shape)

    def macro(self, keyword: str, frame: int = 0) -> Dataset:
        """What a functional group macro says of a frame (PS3.3 C.7.6.16); an empty item when it is absent."""
        return next(iter(self._groups.macro(keyword, frame)), Dataset())

    def _check(self, volume: Volume) -> None:
        needed = -(-self._count * self._shape[0] * self._shape[1] * self._bits // 8)
        if self._native and len(self._ds[self._keyword].value) < needed:
            raise unreadable("Its pixel data is too short.")
        if self._shape != volume.geometry.shape[1:]:
            raise _off(f"its frames have {self._shape[0]} x {self._shape[1]} pixels")
        if self._count > MOST_FRAMES:
            raise NotShownError(f"It has {self._count} frames, too many to be drawn.", code="object-too-large")
        if self._count != self._groups.described:
            raise unreadable(f"It cannot be read back: it describes {self._groups.described} of {self._count} frames.")

    def _slices(self, volume: Volume) -> Iterator[int]:
        by_source = slice_numbers(volume)
        for frame in range(self._count):
            named = self._by_source(frame, by_source)
            found = self._by_position(frame, volume) if volume.in_patient_space else named
            if found is None or not 0 <= found < volume.geometry.shape[0]:
                raise _off(f"frame {frame + 1} is on none of them")
            if named is not None and named != found:
                raise _off(f"frame {frame + 1} lies on slice {found + 1} and names slice {named + 1} as its source")
            yield found

    def _by_source(self, frame: int, by_source: dict[tuple[str, int | None], int]) -> int | None:
        for derivation in self._groups.macro("DerivationImageSequence", frame):
            for image in items_of(derivation, "SourceImageSequence"):
                number = image.get("ReferencedFrameNumber")
                key = (str(image.ReferencedSOPInstanceUID), None if number is None else int(number))
                if key in by_source:
                    return by_source[key]
        return None

    def _by_position(self, frame: int, volume: Volume) -> int:
        cosines = np.array([float(v) for v in self.macro(PLANE_ORIENTATION, frame).ImageOrientationPatient])
        affine, spacing = volume.geometry.affine_lps, volume.geometry.spacing_mm
        expected = np.concatenate([affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]])
        if not np.allclose(cosines, expected, rtol=0, atol=_DIRECTION):
            raise _off("its frames are turned against them")
        position = np.array([float(v) for v in self.macro(PLANE_POSITION, frame).ImagePositionPatient])
        k, row, column = volume.geometry.to_index(position)
        if max(abs(row), abs(column), abs(k - round(k))) > _OFF_GRID:
            raise _off("its frames lie beside them")
        return round(float(k))


def _off(detail: str) -> NotShownError:
    return NotShownError(f"It does not lie on the analysed images: {detail}.", code="object-off-the-images")
