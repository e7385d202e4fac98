"""The stored words of one instance, frame by frame: native bytes, or what the native decoders give."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from worker.decode.outcomes import PixelDataError
from worker.decode.pixels.codecs import DECODABLE, NATIVE, Words, arranged, decode_frame
from worker.decode.pixels.encapsulation import UNDEFINED_LENGTH, encoded_frames, pixel_element_of
from worker.decode.pixels.pixel_format import HALVED, PixelFormat, require_native
from worker.headers.parsing import ParsedInstance

_BLOCK_BYTES = 2**20


def require_decodable(parsed: ParsedInstance) -> None:
    """Refuse a transfer syntax that is not decoded here: PixelDataError ``unsupported-transfer-syntax``."""
    if parsed.transfer_syntax_uid not in DECODABLE:
        raise PixelDataError(
            f"Instance {parsed.name} has the transfer syntax {parsed.transfer_syntax_uid}, which is not decoded here.",
            next_step="Have the sender convert it, for example to JPEG 2000 or uncompressed.",
            code="unsupported-transfer-syntax",
        )


class StoredFrames:
    """Random access to the words of the frames of one parsed instance; holds its file open until ``close``.

    Parameters
    ----------
    parsed:
        The instance.
    format_:
        What its header says about its pixels.

    Raises
    ------
    PixelDataError
        At once, when the pixel data does not hold what the header says.
    """

    def __init__(self, parsed: ParsedInstance, format_: PixelFormat) -> None:
        require_decodable(parsed)
        native = parsed.transfer_syntax_uid in NATIVE
        if native:
            require_native(format_, name=parsed.name)
        self._parsed = parsed
        self._format = format_
        self._source: BinaryIO = parsed.open()
        self.remark = ""
        """What was noticed about the pixel data as a whole."""
        try:
            self._element = pixel_element_of(parsed, self._source)
            self._encoded = None if native else encoded_frames(
                parsed, self._source, self._element, frames=format_.frames
            )  # fmt: skip
            if self._encoded is None:
                self._require_length()
        except BaseException:
            self._source.close()
            raise

    def close(self) -> None:
        """Close the file; frames cannot be read any more."""
        self._source.close()

    def words(self, index: int) -> Words:
        """Words of one frame (from 0)."""
        if self._encoded is None:
            return self._native(index)
        return decode_frame(
            self._encoded[index],
            transfer_syntax_uid=self._parsed.transfer_syntax_uid,
            expected=self._format,
            name=self._parsed.name,
        )

    def _native(self, index: int) -> Words:
        format_, parsed = self._format, self._parsed
        self._source.seek(self._element.offset + index * format_.frame_bytes)
        if format_.bits_allocated == 8 and self._element.vr == b"OW" and not parsed.little_endian:
            data = self._swapped_bytes(index)
        else:
            data = self._source.read(format_.frame_bytes)
        order = "<" if parsed.little_endian else ">"
        values = np.frombuffer(data, dtype=f"{order}u{format_.bits_allocated // 8}")
        if format_.photometric == HALVED:  # Y Y Cb Cr (PS3.3 C.7.6.3.1.2): the luminance is complete
            luminance = values.reshape(-1, 4)[:, :2]
            return Words(luminance.reshape(format_.rows, format_.columns), 8, is_ybr=True)
        is_ybr = format_.samples > 1 and format_.photometric != "RGB"
        return Words(arranged(values, format_, planar=format_.planar), format_.bits_allocated, is_ybr=is_ybr)

    def _swapped_bytes(self, index: int) -> bytes:
        """Bytes that were written as big endian 16-bit words (PS3.5 A.3, OW with 8 bits allocated)."""
        start = index * self._format.frame_bytes
        first = start - start % 2
        self._source.seek(self._element.offset + first)
        length = self._format.frame_bytes + start % 2
        words = np.frombuffer(self._source.read(length + length % 2), dtype=">u2")
        return words.astype("<u2").tobytes()[start % 2 :][: self._format.frame_bytes]

    def _require_length(self) -> None:
        """Native pixels: Rows x Columns x Frames; what stands behind them is padding, or the header lies."""
        element, format_ = self._element, self._format
        expected = format_.frame_bytes * format_.frames
        self._source.seek(0, 2)
        present = self._source.tell() - element.offset
        if element.length == UNDEFINED_LENGTH:
            raise self._wrong_length(present, "pixel-length-mismatch")
        excess = element.length - expected
        if excess < 0 or present < (element.length if excess > expected % 2 else expected):
            raise self._wrong_length(min(present, element.length), "truncated-pixel-data")
        if excess > expected % 2 and not self._is_filler(element.offset + expected, excess):
            if excess >= self._smallest_lie():
                raise self._wrong_length(element.length, "pixel-length-mismatch")
            self.remark = f"{excess} bytes behind the pixels were ignored (PS3.5 8.1.1)"

    def _is_filler(self, start: int, length: int) -> bool:
        """Whether all of these bytes are the same: older applications fill up to a block (PS3.5 8.1.1, Note)."""
        self._source.seek(start)
        first = self._source.read(1)
        left = length - 1
        while left > 0:
            block = self._source.read(min(left, _BLOCK_BYTES))
            if block.count(first) != len(block):
                return False
            left -= len(block)
        return True

    def _smallest_lie(self) -> int:
        """Bytes that are too many when Rows or Columns is wrong by one, at least: fewer cannot be pixels."""
        format_ = self._format
        return format_.frames * format_.frame_bytes // max(format_.rows, format_.columns)

    def _wrong_length(self, found: int, code: str) -> PixelDataError:
        format_ = self._format
        what = f"{format_.frames} frames of {format_.rows} x {format_.columns} at {format_.bits_allocated} bits"
        if format_.samples > 1:
            what += f" and {format_.samples} samples ({format_.photometric})"
        return PixelDataError(
            f"Instance {self._parsed.name} has {found} bytes of pixels; {what} take "
            f"{format_.frame_bytes * format_.frames}.",
            next_step="Send the instance again."
            if code == "truncated-pixel-data"
            else "Have the sender's software checked: rows, columns or frames are wrong.",
            code=code,
        )
