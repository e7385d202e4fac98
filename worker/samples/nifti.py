"""A small reader for NIfTI-1 volumes (single file, gzip or not, three axes).

Format: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h. World coordinates of NIfTI are RAS;
we turn them into LPS at this border and nowhere else.
"""

from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np

from worker.samples.errors import SourceFormatError
from worker.samples.grids import Grid, Matrix, Values

_HEADER_BYTES = 348
_AXES = 3
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nifti(content: bytes) -> Grid:
    """Decode a NIfTI-1 file; values are rescaled by its slope and intercept where it has any.

    NIfTI stores the first axis fastest; the result is (third, second, first) = (slice, row, column).
    """
    data = _unpack(content)
    order = _byte_order(data)
    dims = struct.unpack_from(f"{order}8h", data, 40)
    shape = tuple(int(n) for n in dims[3:0:-1])
    if dims[0] < _AXES or any(n > 1 for n in dims[4 : dims[0] + 1]) or min(shape) < 1:
        raise SourceFormatError(f"NIfTI dimensions {dims}: only volumes of three axes are read")
    (datatype,) = struct.unpack_from(f"{order}h", data, 70)
    if datatype not in _TYPES:
        raise SourceFormatError(f"NIfTI data type {datatype} is not read")
    (offset,) = struct.unpack_from(f"{order}f", data, 108)
    dtype = np.dtype(order + _TYPES[datatype])
    count = int(np.prod(shape))
    if len(data) < int(offset) + count * dtype.itemsize:
        raise SourceFormatError("NIfTI file is shorter than its header promises")
    stored = np.frombuffer(data, dtype=dtype, count=count, offset=int(offset)).reshape(shape)
    return Grid(_rescaled(stored, data, order), _RAS_TO_LPS @ _affine_ras(data, order)[:, [2, 1, 0, 3]])


def _unpack(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise SourceFormatError(f"NIfTI data is not valid gzip: {error}") from error


def _byte_order(data: bytes) -> str:
    for order in "<>":
        if len(data) >= _HEADER_BYTES and struct.unpack_from(f"{order}i", data, 0)[0] == _HEADER_BYTES:
            return order
    raise SourceFormatError("not a NIfTI-1 file")


def _rescaled(stored: Values, data: bytes, order: str) -> Values:
    slope, intercept = struct.unpack_from(f"{order}2f", data, 112)
    if slope == 0 or not np.isfinite(slope) or (slope, intercept) == (1, 0):
        return stored
    rescaled: Values = stored * float(slope) + float(intercept)
    return rescaled


def _affine_ras(data: bytes, order: str) -> Matrix:
    """Take the sform if there is one, else the qform; columns are (first, second, third axis, origin)."""
    qform_code, sform_code = struct.unpack_from(f"{order}2h", data, 252)
    if sform_code > 0:
        return np.vstack([np.reshape(struct.unpack_from(f"{order}12f", data, 280), (3, 4)), [0, 0, 0, 1]])
    if qform_code > 0:
        return _qform(data, order)
    raise SourceFormatError("NIfTI file does not say where it lies in the patient (no sform, no qform)")


def _qform(data: bytes, order: str) -> Matrix:
    pixdim = struct.unpack_from(f"{order}8f", data, 76)
    b, c, d, *origin = struct.unpack_from(f"{order}6f", data, 256)
    a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], pixdim[3] * handedness])
    affine[:3, 3] = origin
    return affine
