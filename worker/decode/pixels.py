"""The pixels of one stored instance as modality values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from worker.decode.attributes import Attributes, attributes_of
from worker.decode.bounded import ReadLimits
from worker.decode.codecs import DECODABLE, NATIVE, Words, decode_frame
from worker.decode.encapsulation import UNDEFINED_LENGTH, encoded_frames, pixel_element_of, require_pixels
from worker.decode.modality import ModalityTransform, transforms_of
from worker.decode.outcomes import MemoryBudgetError, PixelDataError
from worker.decode.parsing import ParsedInstance, parse, reading
from worker.decode.pixel_format import has_embedded_overlay, pixel_format_of
from worker.domain.study import StoredInstance

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
        name = instance.sop_instance_uid
        parsed = parse(instance.path, name=name, limits=self._limits, transfer_syntax_uid=instance.transfer_syntax_uid)
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


class InstancePixels:
    """Random access to the frames of one parsed instance; a context manager that holds its file open.

    Parameters
    ----------
    parsed:
        The instance.
    attributes:
        Its attributes, of ``attributes_of``.

    Raises
    ------
    PixelDataError
        At once, when the pixel data does not hold what the header says.
    """

    def __init__(self, parsed: ParsedInstance, attributes: Attributes) -> None:
        name = parsed.name
        require_pixels(parsed)
        self.format = pixel_format_of(attributes, name=name)
        uid = parsed.transfer_syntax_uid
        if uid not in DECODABLE:
            raise PixelDataError(
                f"Instance {name} has the transfer syntax {uid}, which is not decoded here.",
                next_step="Have the sender convert it, for example to JPEG 2000 or uncompressed.",
                code="unsupported-transfer-syntax",
            )
        with reading(name):
            self.transforms: tuple[ModalityTransform, ...] = transforms_of(
                parsed.dataset, frames=self.format.frames, name=name
            )
        self._parsed = parsed
        self._is_ct = attributes.get("Modality", ("",))[0] == "CT"
        self._overlay = has_embedded_overlay(frozenset(parsed.dataset.keys()))
        self._notes: dict[str, None] = {}
        self._source: BinaryIO = parsed.open()
        try:
            self._element = pixel_element_of(parsed, self._source)
            self._encoded = None if uid in NATIVE else encoded_frames(
                parsed, self._source, self._element, frames=self.format.frames
            )  # fmt: skip
            if self._encoded is None:
                self._require_length()
        except BaseException:
            self._source.close()
            raise
        if self.format.inverted:
            self._notes["the images are MONOCHROME1: the values are as measured, a display would invert them"] = None

    def __enter__(self) -> InstancePixels:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noticed in the frames that have been decoded so far."""
        return tuple(self._notes)

    def frame(self, index: int) -> NDArray[np.float32]:
        """Modality values of one frame (from 0): shape (row, column), float32."""
        words = self._native(index) if self._encoded is None else self._decoded(index, self._encoded)
        stored, padding = self._stored(words)
        transform = self.transforms[index]
        values = stored.astype(np.float32) if transform is None else transform.apply(stored)
        if padding is not None and padding.any():
            values[padding] = self._instead_of_padding(values, padding)
        return values

    def _instead_of_padding(self, values: NDArray[np.float32], padding: NDArray[np.bool_]) -> float:
        """Air in CT; elsewhere the lowest value of the frame that is no padding (0 when there is none)."""
        if self._is_ct:
            return CT_PADDING_HU
        return float(values[~padding].min()) if not padding.all() else 0.0

    def _stored(self, words: Words) -> tuple[NDArray[np.integer], NDArray[np.bool_] | None]:
        """Stored values in their sign, and where padding is."""
        format_ = self.format
        whole = _in_sign(words.values, words.bits, signed=format_.signed)
        padding = None
        if format_.padding is not None:
            low, high = format_.padding
            padding = (whole == low) if low == high else (whole >= low) & (whole <= high)
        if format_.bits_stored >= words.bits:
            return whole, padding
        shift = format_.high_bit + 1 - format_.bits_stored
        if shift + format_.bits_stored > words.bits:
            raise PixelDataError(
                f"The compressed images of instance {self._parsed.name} have {words.bits} bits, and its header puts "
                f"the pixels below bit {format_.high_bit}.",
                next_step="Have the sender's software checked: one of the two is wrong.",
                code="codestream-mismatch",
            )
        kept = _in_sign(words.values >> words.values.dtype.type(shift), format_.bits_stored, signed=format_.signed)
        if not self._overlay:
            self._note_stray_bits(whole, kept, shift, padding)
        return kept, padding

    def _note_stray_bits(
        self,
        whole: NDArray[np.integer],
        kept: NDArray[np.integer],
        shift: int,
        padding: NDArray[np.bool_] | None,
    ) -> None:
        stray = whole != kept if shift == 0 else (whole >> shift) != kept
        if padding is not None:
            stray &= ~padding
        if stray.any():
            self._notes[
                f"pixels have bits outside of the {self.format.bits_stored} that the header says are stored: "
                "they were masked (PS3.5 8.1.1)"
            ] = None

    def _native(self, index: int) -> Words:
        format_, parsed = self.format, self._parsed
        self._source.seek(self._element.offset + index * format_.frame_bytes)
        if format_.bits_allocated == 8 and self._element.vr == b"OW" and not parsed.little_endian:
            data = self._swapped_bytes(index)
        else:
            data = self._source.read(format_.frame_bytes)
        order = "<" if parsed.little_endian else ">"
        values = np.frombuffer(data, dtype=f"{order}u{format_.bits_allocated // 8}")
        return Words(values.reshape(format_.rows, format_.columns), format_.bits_allocated)

    def _swapped_bytes(self, index: int) -> bytes:
        """Bytes that were written as big endian 16-bit words (PS3.5 A.3, OW with 8 bits allocated)."""
        start = index * self.format.frame_bytes
        first = start - start % 2
        self._source.seek(self._element.offset + first)
        length = self.format.frame_bytes + start % 2
        words = np.frombuffer(self._source.read(length + length % 2), dtype=">u2")
        return words.astype("<u2").tobytes()[start % 2 :][: self.format.frame_bytes]

    def _decoded(self, index: int, encoded: list[bytes]) -> Words:
        words = decode_frame(
            encoded[index],
            transfer_syntax_uid=self._parsed.transfer_syntax_uid,
            expected=self.format,
            name=self._parsed.name,
        )
        if words.remark:
            self._notes[words.remark] = None
        return words

    def _require_length(self) -> None:
        """Native pixels: exactly Rows x Columns x Frames, and a byte to make it even (PS3.5 8.1.1)."""
        element, format_ = self._element, self.format
        expected = format_.frame_bytes * format_.frames
        self._source.seek(0, 2)
        present = self._source.tell() - element.offset
        announced = present if element.length == UNDEFINED_LENGTH else element.length
        what = f"{format_.frames} frames of {format_.rows} x {format_.columns} at {format_.bits_allocated} bits"
        if element.length == UNDEFINED_LENGTH or announced > expected + expected % 2:
            raise PixelDataError(
                f"Instance {self._parsed.name} has {announced} bytes of pixels; {what} take {expected}.",
                next_step="Have the sender's software checked: rows, columns or frames are wrong.",
                code="pixel-length-mismatch",
            )
        if min(present, announced) < expected:
            raise PixelDataError(
                f"Instance {self._parsed.name} has {min(present, announced)} bytes of pixels; {what} take {expected}.",
                next_step="Send the instance again.",
                code="truncated-pixel-data",
            )


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
