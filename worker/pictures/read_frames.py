"""Frames of encoded SEG and Parametric Map objects: which slice of a volume each lies on, and its pixels.

Nothing of what encoded them is used: what is drawn is what a viewer would find in the bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.pixels.utils import pixel_array

from worker.domain.errors import PermanentError
from worker.domain.volume import Volume

BROKEN = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What absent or broken attributes raise, and pixel decoders that fail."""

MOST_FRAMES = 60_000
"""Objects with more are not drawn: looking at them would take minutes."""

_DIRECTION = 2e-3
_OFF_GRID = 0.5
"""Largest difference of direction cosines, and of indices: the affine of a volume is fitted to rounded positions."""

_TYPES = {"PixelData": "", "FloatPixelData": "<f4", "DoubleFloatPixelData": "<f8"}


class NotShownError(PermanentError):
    """An object cannot be read back, or does not lie on the images: it is named, and not drawn."""


@dataclass(frozen=True, slots=True)
class PlacedFrame:
    """A frame (``number`` from 0), the slice that it lies on, and its own functional groups."""

    number: int
    slice_index: int
    groups: Dataset


def read_object(content: bytes) -> Dataset:
    """Parse a Part 10 file; raises NotShownError (``object-unreadable``)."""
    try:
        # pydicom comments on odd values, and comments could repeat patients.
        with config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = dcmread(BytesIO(content))
    except (InvalidDicomError, EOFError, *BROKEN) as error:
        raise NotShownError("It cannot be read back.", code="object-unreadable") from error
    if "SOPClassUID" not in ds or "SOPInstanceUID" not in ds:
        raise NotShownError("It is no DICOM object any more.", code="object-unreadable")
    return ds


def placed_frames(ds: Dataset, volume: Volume) -> tuple[PlacedFrame, ...]:
    """Find the slice of every frame: by its position in the patient, and by the image that it names as its source.

    Raises NotShownError (``object-off-the-images``) when the two differ, or the frames are not on the volume's grid.
    """
    if (int(ds.Rows), int(ds.Columns)) != volume.geometry.shape[1:]:
        raise _off(f"its frames have {ds.Rows} x {ds.Columns} pixels")
    if int(ds.NumberOfFrames) > MOST_FRAMES:
        raise NotShownError(f"It has {int(ds.NumberOfFrames)} frames, too many to be drawn.", code="object-too-large")
    return tuple(_placed(ds, volume))


def _placed(ds: Dataset, volume: Volume) -> Iterator[PlacedFrame]:
    by_source = {(ref.sop_instance_uid, ref.frame_number): k for k, ref in enumerate(volume.slices)}
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for number, own in enumerate(ds.PerFrameFunctionalGroupsSequence):
        named = _by_source(own, shared, by_source)
        found = _by_position(own, shared, volume) if volume.in_patient_space else named
        if found is None or not 0 <= found < volume.geometry.shape[0]:
            raise _off(f"frame {number + 1} is on none of them")
        if named is not None and named != found:
            raise _off(f"frame {number + 1} lies on slice {found + 1} and names slice {named + 1} as its source")
        yield PlacedFrame(number, found, own)


def _by_source(own: Dataset, shared: Dataset, by_source: dict[Any, int]) -> int | None:
    derivations = own.get("DerivationImageSequence") or shared.get("DerivationImageSequence") or []
    for derivation in derivations:
        for image in derivation.get("SourceImageSequence") or []:
            frame = image.get("ReferencedFrameNumber")
            key = (str(image.ReferencedSOPInstanceUID), None if frame is None else int(frame))
            if key in by_source:
                return by_source[key]
    return None


def _by_position(own: Dataset, shared: Dataset, volume: Volume) -> int:
    position, orientation = (
        (own if keyword in own else shared)[keyword].value[0] for keyword in ("PlanePositionSequence", _ORIENTATION)
    )
    cosines = np.array([float(v) for v in orientation.ImageOrientationPatient])
    affine, spacing = volume.geometry.affine_lps, volume.geometry.spacing_mm
    expected = np.concatenate([affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]])
    if not np.allclose(cosines, expected, rtol=0, atol=_DIRECTION):
        raise _off("its frames are turned against them")
    place = np.array([float(v) for v in position.ImagePositionPatient])
    k, row, column = volume.geometry.to_index(place)
    if max(abs(row), abs(column), abs(k - round(k))) > _OFF_GRID:
        raise _off("its frames lie beside them")
    return round(float(k))


_ORIENTATION = "PlaneOrientationSequence"


class Frames:
    """The stored values of frames, read one at a time from the bytes of an object."""

    def __init__(self, ds: Dataset) -> None:
        self._ds = ds
        self._keyword = next((keyword for keyword in _TYPES if keyword in ds), "")
        if not self._keyword:
            raise NotShownError("It has no pixel data.", code="object-unreadable")
        self._shape = (int(ds.Rows), int(ds.Columns))
        self._bits = int(ds.get("BitsAllocated", 32))
        self._native = not ds.file_meta.TransferSyntaxUID.is_compressed
        needed = -(-int(ds.NumberOfFrames) * self._shape[0] * self._shape[1] * self._bits // 8)
        if self._native and len(ds[self._keyword].value) < needed:
            raise NotShownError("Its pixel data is too short.", code="object-unreadable")

    def stored(self, number: int) -> NDArray[Any]:
        """Frame ``number`` (from 0): (row, column), the stored type."""
        if not self._native:
            return np.asarray(pixel_array(self._ds, index=number, raw=True))
        pixels = self._shape[0] * self._shape[1]
        content = self._ds[self._keyword].value
        if self._bits == 1:
            # Frames follow one another bit by bit, without padding (PS3.5 8.1.1).
            first = number * pixels
            part = np.frombuffer(content, np.uint8, count=(first % 8 + pixels + 7) // 8, offset=first // 8)
            return np.unpackbits(part, bitorder="little")[first % 8 : first % 8 + pixels].reshape(self._shape)
        kind = np.dtype(_TYPES[self._keyword] or f"<u{self._bits // 8}")
        offset = number * pixels * kind.itemsize
        return np.frombuffer(content, kind, count=pixels, offset=offset).reshape(self._shape)


def _off(detail: str) -> NotShownError:
    return NotShownError(f"It does not lie on the analysed images: {detail}.", code="object-off-the-images")
