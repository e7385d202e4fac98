"""One compressed frame to words, by the native decoders. No Pillow, no GDCM: see traps (wrong 16-bit JPEG 2000)."""

from __future__ import annotations

from dataclasses import dataclass

import jpeg_ls
import numpy as np
from libjpeg.utils import decode_pixel_data as decode_jpeg
from numpy.typing import NDArray
from openjpeg.utils import decode_pixel_data as decode_jpeg_2000

from worker.decode.outcomes import PixelDataError
from worker.decode.pixels.codestream import Codestream, read_jpeg, read_jpeg2000
from worker.decode.pixels.pixel_format import TRANSFORMED, PixelFormat
from worker.decode.pixels.rle import TooLongError, decode_rle

NATIVE = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
)  # fmt: skip
"""Implicit, explicit, big endian, deflated."""
RLE = frozenset({"1.2.840.10008.1.2.5"})
JPEG = frozenset({f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)})
"""Baseline, extended, lossless, lossless first-order prediction."""
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset({f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)})
"""Lossless, lossy, and High-Throughput: lossless, lossless RPCL, lossy."""
DECODABLE = NATIVE | RLE | JPEG | JPEG_LS | JPEG_2000

_END_OF_IMAGE = b"\xff\xd9"
_MORE_BYTES = bytes((73 * n + 41) % 255 for n in range(256))
"""Bytes that look like any Huffman data: no 0xFF among them."""

_CODEC_FAILURES = (RuntimeError, ValueError, TypeError, MemoryError)


@dataclass(frozen=True, slots=True)
class Words:
    """Stored words of a frame: shape (row, column), unsigned. Only the lowest ``bits`` of each mean anything.

    Colours have shape (row, column, sample), and ``is_ybr`` says whether these are luminance and chrominance instead
    of red, green and blue; without the last axis it is the luminance alone. ``remark`` says where header and
    codestream differ in a harmless way.
    """

    values: NDArray[np.unsignedinteger]
    bits: int
    remark: str = ""
    is_ybr: bool = False


def decode_frame(data: bytes, *, transfer_syntax_uid: str, expected: PixelFormat, name: str) -> Words:
    """Decode one encapsulated frame, after its own header has been compared with the data set.

    Raises
    ------
    PixelDataError
        ``truncated-pixel-data``, ``codestream-mismatch`` or ``decoder-failed``.
    """
    if transfer_syntax_uid in RLE:
        return _decode_rle(data, expected, name)
    is_2000 = transfer_syntax_uid in JPEG_2000
    stream = read_jpeg2000(data) if is_2000 else read_jpeg(data)
    if stream is None:
        raise _failed(name, "it does not start like an image of its transfer syntax")
    remark = _compare(stream, expected, name)
    is_ybr, colour_remark = _colours(stream, expected, name, is_2000=is_2000)
    planar = False
    try:
        if is_2000:
            decoded = bytes(decode_jpeg_2000(data, version=2))
        elif transfer_syntax_uid in JPEG_LS:
            pixels, info = jpeg_ls.decode_pixel_data(data)
            decoded, planar = bytes(pixels), info["interleave_mode"] == 0
        else:
            decoded = _decode_jpeg(data, name)
    except _CODEC_FAILURES as error:
        raise _failed(name, f"the decoder says: {str(error)[:160]}") from error
    size = 1 if stream.precision <= 8 else 2 if stream.precision <= 16 else 4
    if len(decoded) != size * expected.samples * expected.pixels:
        raise _failed(name, f"the decoder gave {len(decoded)} bytes for {expected.pixels} pixels")
    values = arranged(np.frombuffer(decoded, dtype=f"<u{size}"), expected, planar=planar)
    return Words(values, stream.precision, remark or colour_remark, is_ybr)


def arranged(
    samples: NDArray[np.unsignedinteger], format_: PixelFormat, *, planar: bool
) -> NDArray[np.unsignedinteger]:
    """Samples in the order of the file as (row, column), or (row, column, sample); ``planar``: one plane each."""
    if format_.samples == 1:
        return samples.reshape(format_.rows, format_.columns)
    if planar:
        return samples.reshape(format_.samples, format_.rows, format_.columns).transpose(1, 2, 0)
    return samples.reshape(format_.rows, format_.columns, format_.samples)


def _colours(stream: Codestream, expected: PixelFormat, name: str, *, is_2000: bool) -> tuple[bool, str]:
    """Whether the decoder will give luminance and chrominance, and a remark where the header says otherwise."""
    photometric = expected.photometric
    if expected.samples == 1:
        return False, ""
    if photometric in TRANSFORMED:
        if is_2000 and stream.transformed:
            return False, ""
        raise PixelDataError(
            f"Instance {name} says {photometric}, and its compressed image was not made that way.",
            next_step="Have the sender's software checked: one of the two is wrong.",
            code="codestream-mismatch",
        )
    said = photometric != "RGB"
    if is_2000 or stream.transformed is None or stream.transformed == said:
        return said, ""
    found = "luminance and chrominance" if stream.transformed else "red, green and blue"
    return (
        stream.transformed,
        f"the compressed images hold {found} and the header says {photometric}: they were followed",
    )


def _decode_jpeg(data: bytes, name: str) -> bytes:
    """Decode twice, the second time with more entropy-coded bytes before the end marker.

    libjpeg fills what is missing in a scan without a word. A whole scan never reaches the added bytes; one that was
    cut short decodes them, and the picture changes (or the decoder gives up on them).
    """
    decoded = bytes(decode_jpeg(data, version=2))
    end = data.rindex(_END_OF_IMAGE)
    try:
        again = bytes(decode_jpeg(data[:end] + _MORE_BYTES + data[end:], version=2))
    except _CODEC_FAILURES:
        again = b""
    if again != decoded:
        raise _cut_off(name)
    return decoded


def _decode_rle(data: bytes, expected: PixelFormat, name: str) -> Words:
    size = expected.bits_allocated // 8
    if expected.photometric in TRANSFORMED:
        raise _failed(name, f"{expected.photometric} is no colour of its transfer syntax")
    try:
        planes = decode_rle(data, pixels=expected.pixels, bytes_per_pixel=expected.samples * size)
    except TooLongError as error:
        raise PixelDataError(
            f"The RLE pixels of instance {name} are more than {expected.rows} rows of {expected.columns}.",
            next_step="Have the sender's software checked: rows or columns are wrong.",
            code="pixel-length-mismatch",
        ) from error
    except ValueError as error:
        raise PixelDataError(
            f"The RLE pixels of instance {name} are damaged or cut off: {error}.",
            next_step="Send the instance again.",
            code="truncated-pixel-data",
        ) from error
    # samples come in their order, most significant byte first: turned round as a whole, they are the wrong way round
    values = planes.view(f"<u{size}")[:, ::-1].reshape(-1)
    is_ybr = expected.samples > 1 and expected.photometric != "RGB"
    return Words(arranged(values, expected, planar=False), expected.bits_allocated, is_ybr=is_ybr)


def _compare(stream: Codestream, expected: PixelFormat, name: str) -> str:
    found = (stream.rows, stream.columns, stream.components)
    wanted = (expected.rows, expected.columns, expected.samples)
    if found != wanted or stream.precision > expected.bits_allocated:
        raise PixelDataError(
            f"The compressed image of instance {name} has {found[0]} rows, {found[1]} columns, {found[2]} components "
            f"and {stream.precision} bits; its header says {wanted[0]} rows, {wanted[1]} columns, {wanted[2]} "
            f"components and {expected.bits_allocated} bits allocated.",
            next_step="Have the sender's software checked: one of the two is wrong.",
            code="codestream-mismatch",
        )
    if not stream.complete:
        raise _cut_off(name)
    if stream.signed and not expected.signed:
        return "the compressed images are signed and the header says unsigned: the header was followed"
    return ""


def _cut_off(name: str) -> PixelDataError:
    return PixelDataError(
        f"A compressed image of instance {name} is cut off.",
        next_step="Send the instance again.",
        code="truncated-pixel-data",
    )


def _failed(name: str, why: str) -> PixelDataError:
    return PixelDataError(
        f"A compressed image of instance {name} cannot be decoded: {why}.",
        next_step="Send the instance again; if that does not help, have it sent uncompressed.",
        code="decoder-failed",
    )
