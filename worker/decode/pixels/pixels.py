"""The pixels of one stored instance as modality values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from worker.decode.outcomes import MemoryBudgetError, PixelDataError
from worker.decode.pixels.codecs import Words
from worker.decode.pixels.encapsulation import require_pixels
from worker.decode.pixels.modality import ModalityTransform, transforms_of
from worker.decode.pixels.open_pixels import OpenPixels
from worker.decode.pixels.padding import find_padding
from worker.decode.pixels.pixel_format import PixelFormat, has_embedded_overlay, pixel_format_of
from worker.decode.pixels.stored_values import require_decodable
from worker.domain.study import StoredInstance
from worker.headers.attributes import Attributes
from worker.headers.bounded import ReadLimits
from worker.headers.frame_attributes import attributes_of
from worker.headers.parsing import ParsedInstance, parse_stored, reading

CT_PADDING_HU = -1024.0
"""What padding (outside of the reconstructed circle) becomes in CT: air, the lowest value of a 12-bit CT scale.

Scanners pad with -2000, -3024 or -32768; left in, such values disturb every resampling and every mean."""

MEMORY_BUDGET_BYTES = 3 * 2**30
"""Default budget for decoded pixels. A chest CT of 1000 slices of 512 x 512 takes 1 GiB."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrames:
    """Modality values of an instance. ``values`` has shape (frame, row, column), dtype float32.

    ``notes`` say what was noticed. MONOCHROME1 is noted and not inverted: it is about display (PS3.3 C.7.6.3.1.2).
    """

    values: NDArray[np.float32]
    notes: tuple[str, ...] = ()


class PixelReader:
    """Decodes all frames of one instance.

    Parameters
    ----------
    memory_budget_bytes:
        Largest size of the decoded frames.
    limits:
        What reading the header may cost.
    """

    def __init__(self, *, memory_budget_bytes: int = MEMORY_BUDGET_BYTES, limits: ReadLimits | None = None) -> None:
        self._budget_bytes = memory_budget_bytes
        self._limits = limits or ReadLimits()

    def frames(self, instance: StoredInstance) -> DecodedFrames:
        """Decode.

        Raises
        ------
        UnreadableInstanceError, PixelDataError, MemoryBudgetError
            Each with its code of ``outcomes.OUTCOMES``.
        """
        parsed = parse_stored(instance, self._limits)
        name = parsed.name
        require_pixels(parsed)
        with reading(name):
            attributes = attributes_of(parsed.dataset)
        format_ = pixel_format_of(attributes, name=name)
        require_budget(4 * format_.pixels * format_.frames, self._budget_bytes, what=f"instance {name}")
        with InstancePixels(parsed, attributes) as pixels:
            values = np.empty((format_.frames, format_.rows, format_.columns), dtype=np.float32)
            for index in range(format_.frames):
                values[index] = pixels.frame(index)
            return DecodedFrames(values, pixels.notes)


def require_budget(needed_bytes: int, budget_bytes: int, *, what: str) -> None:
    """Refuse before anything is allocated. ``needed_bytes`` is a Python integer of any size."""
    if needed_bytes > budget_bytes:
        raise MemoryBudgetError(
            f"Decoding {what} would need {needed_bytes} bytes, and {budget_bytes} are allowed.",
            next_step="If the images are genuine, raise the memory budget on a machine that has the memory.",
        )


class Polarity(Enum):
    """What the values of a MONOCHROME1 image, of which the lowest is displayed white, become."""

    AS_MEASURED = "as measured"
    """They stay: a display inverts them (cross-sectional images: a value has a meaning)."""
    AS_DISPLAYED = "as displayed"
    """They are inverted within the range of stored values, so that they grow with brightness (projections)."""


class InstancePixels(OpenPixels):
    """The modality values of the frames of one parsed grey instance.

    Parameters
    ----------
    parsed:
        The instance.
    attributes:
        Its attributes, of ``attributes_of``.
    polarity:
        What MONOCHROME1 means.

    Raises
    ------
    PixelDataError
        At once, when the pixel data does not hold what the header says.
    """

    def __init__(
        self, parsed: ParsedInstance, attributes: Attributes, *, polarity: Polarity = Polarity.AS_MEASURED
    ) -> None:
        name = parsed.name
        require_pixels(parsed)
        format_ = pixel_format_of(attributes, name=name)
        require_decodable(parsed)
        with reading(name):
            transforms = transforms_of(parsed.dataset, frames=format_.frames, name=name)
        super().__init__(parsed, format_)
        self.transforms: tuple[ModalityTransform, ...] = transforms
        self._is_ct = attributes.get("Modality", ("",))[0] == "CT"
        self._overlay = has_embedded_overlay(frozenset(parsed.dataset.keys()))
        self._inverts = self.format.inverted and polarity is Polarity.AS_DISPLAYED
        if self._inverts:
            self._notes[
                "the images are MONOCHROME1: the values were inverted within the range of stored values, so that "
                "they grow with brightness"
            ] = None
        elif self.format.inverted:
            self._notes["the images are MONOCHROME1: the values are as measured, a display would invert them"] = None

    def frame(self, index: int) -> NDArray[np.float32]:
        """Modality values of one frame (from 0): shape (row, column), float32."""
        words = self._words(index)
        whole, stored = self._stored(words)
        transform = self.transforms[index]
        values = stored.astype(np.float32) if transform is None else transform.apply(stored)
        padding = self._padding(whole, stored, values)
        self._note_stray_bits(whole, stored, padding)
        if self._inverts:
            low, high = stored_range(self.format)
            ends = (float(low), float(high)) if transform is None else transform.span(low, high)
            np.subtract(np.float32(sum(ends)), values, out=values)
        if padding is not None and padding.any():
            values[padding] = self._instead_of_padding(values, padding)
        return values

    def _instead_of_padding(self, values: NDArray[np.float32], padding: NDArray[np.bool_]) -> float:
        """Air in CT; elsewhere the lowest value of the frame that is no padding (0 when there is none)."""
        if self._is_ct:
            return CT_PADDING_HU
        return float(values[~padding].min()) if not padding.all() else 0.0

    def _stored(self, words: Words) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Whole words and their stored bits, both in the sign of the pixels."""
        whole = _in_sign(words.values, words.bits, signed=self.format.signed)
        if self.format.bits_stored >= words.bits:
            return whole, whole
        return whole, stored_values(words, self.format, name=self._name)

    def _padding(
        self, whole: NDArray[np.integer], stored: NDArray[np.integer], values: NDArray[np.float32]
    ) -> NDArray[np.bool_] | None:
        declared = self.format.padding
        if declared is None:
            return None
        found = find_padding(declared, whole=whole, stored=stored, hu=values if self._is_ct else None)
        if found.doubted:
            self._notes[
                f"the declared Pixel Padding Value ({declared.declared}) lies among the values of tissue: there it was "
                "not taken as padding"
            ] = None
        return found.mask

    def _note_stray_bits(
        self, whole: NDArray[np.integer], kept: NDArray[np.integer], padding: NDArray[np.bool_] | None
    ) -> None:
        if self._overlay or whole is kept:
            return
        shift = self.format.high_bit + 1 - self.format.bits_stored
        stray = whole != kept if shift == 0 else (whole >> shift) != kept
        if self.format.signed:  # a sign that is not extended leaves nothing above the stored bits
            stray &= (whole >> (self.format.high_bit + 1)) != 0
        if padding is not None:
            stray &= ~padding
        if stray.any():
            self._notes[
                f"pixels have bits outside of the {self.format.bits_stored} that the header says are stored: "
                "they were masked (PS3.5 8.1.1)"
            ] = None


def stored_values(words: Words, format_: PixelFormat, *, name: str) -> NDArray[np.integer]:
    """The stored bits of each word in their sign, whatever stands in the others (PS3.5 8.1.1)."""
    if format_.bits_stored >= words.bits:
        return _in_sign(words.values, words.bits, signed=format_.signed)
    shift = format_.high_bit + 1 - format_.bits_stored
    if shift + format_.bits_stored > words.bits:
        raise PixelDataError(
            f"The compressed images of instance {name} have {words.bits} bits, and its header puts the pixels below "
            f"bit {format_.high_bit}.",
            next_step="Have the sender's software checked: one of the two is wrong.",
            code="codestream-mismatch",
        )
    return _in_sign(words.values >> words.values.dtype.type(shift), format_.bits_stored, signed=format_.signed)


def stored_range(format_: PixelFormat) -> tuple[int, int]:
    """Lowest and highest number that the stored bits can hold."""
    if format_.signed:
        return -(1 << (format_.bits_stored - 1)), (1 << (format_.bits_stored - 1)) - 1
    return 0, (1 << format_.bits_stored) - 1


def _in_sign(words: NDArray[np.unsignedinteger], bits: int, *, signed: bool) -> NDArray[np.integer]:
    """The lowest ``bits`` of each word as numbers (two's complement when signed)."""
    width = 8 * words.dtype.itemsize
    if bits == width:
        return words.view(words.dtype.str.replace("u", "i")) if signed else words
    mask = words.dtype.type((1 << bits) - 1)
    masked = words & mask
    if not signed:
        return masked
    sign = 1 << (bits - 1)
    if width < 32:
        narrow = masked.astype(np.int32)
        return (narrow ^ sign) - sign
    wide = masked.astype(np.int64)
    return (wide ^ sign) - sign
