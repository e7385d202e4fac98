"""A small reader for NRRD volumes (three spatial axes, raw or gzip, one file).

Format: teem's NRRD0001-NRRD0005, https://teem.sourceforge.net/nrrd/format.html. Detached headers,
ascii and hex encodings, and vectors per voxel are refused rather than guessed.
"""

from __future__ import annotations

import zlib

import numpy as np

from worker.samples.errors import SourceFormatError
from worker.samples.grids import Grid, Matrix

_AXES = 3
_TYPES = {
    "signed char": "i1", "int8": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "short": "i2", "signed short": "i2", "int16": "i2", "ushort": "u2", "unsigned short": "u2", "uint16": "u2",
    "int": "i4", "signed int": "i4", "int32": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4",
    "float": "f4", "double": "f8",
}  # fmt: skip

# What turns the file's own space into LPS (rows: L, P, S of the file's first, second, third component).
_TO_LPS = {
    "left-posterior-superior": (1.0, 1.0, 1.0), "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0), "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0), "las": (1.0, -1.0, 1.0),
}  # fmt: skip


def read_nrrd(content: bytes) -> Grid:
    """Decode a whole NRRD file.

    NRRD lists the fastest axis first; the result is (slowest, middle, fastest) = (slice, row, column).
    """
    head, separator, body = content.partition(b"\n\n")
    if not content.startswith(b"NRRD000") or not separator:
        raise SourceFormatError("not an NRRD file with an attached header")
    fields = _fields(head.decode("ascii", errors="replace"))
    shape = tuple(int(n) for n in reversed(_field(fields, "sizes").split()))
    if len(shape) != _AXES:
        raise SourceFormatError(f"NRRD of {len(shape)} axes: only volumes of three axes are read")
    values = np.frombuffer(_decode(body, _field(fields, "encoding")), dtype=_dtype(fields))
    if values.size != int(np.prod(shape)):
        raise SourceFormatError(f"NRRD holds {values.size} voxels, its header promises {shape}")
    return Grid(values.reshape(shape), _affine(fields))


def _fields(head: str) -> dict[str, str]:
    lines = [line.rstrip("\r") for line in head.split("\n")[1:]]
    pairs = (line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#") and ":=" not in line)
    return {key.strip().lower(): value.strip() for key, value in pairs}


def _field(fields: dict[str, str], key: str) -> str:
    if key not in fields:
        raise SourceFormatError(f"NRRD header has no field '{key}'")
    return fields[key]


def _decode(body: bytes, encoding: str) -> bytes:
    if encoding == "raw":
        return body
    if encoding not in {"gzip", "gz"}:
        raise SourceFormatError(f"NRRD encoding '{encoding}' is not read (raw and gzip are)")
    try:
        return zlib.decompress(body, wbits=31)  # 31: gzip wrapper
    except zlib.error as error:
        raise SourceFormatError(f"NRRD data is not valid gzip: {error}") from error


def _dtype(fields: dict[str, str]) -> np.dtype[np.generic]:
    name = _field(fields, "type").lower()
    if name not in _TYPES:
        raise SourceFormatError(f"NRRD type '{name}' is not read")
    code = _TYPES[name]
    order = "" if code.endswith("1") else {"little": "<", "big": ">"}.get(_field(fields, "endian"), "?")
    if order == "?":
        raise SourceFormatError("NRRD field 'endian' must be little or big")
    return np.dtype(order + code)


def _affine(fields: dict[str, str]) -> Matrix:
    space = _field(fields, "space").lower()
    if space not in _TO_LPS:
        raise SourceFormatError(f"NRRD space '{space}' is not read")
    to_lps = np.array(_TO_LPS[space])
    directions = [_vector(part) for part in _field(fields, "space directions").split()]
    if len(directions) != _AXES:
        raise SourceFormatError("NRRD needs three space directions")
    affine = np.eye(4)
    for axis, direction in enumerate(reversed(directions)):  # file order is (column, row, slice)
        affine[:3, axis] = to_lps * direction
    affine[:3, 3] = to_lps * _vector(_field(fields, "space origin"))
    return affine


def _vector(text: str) -> Matrix:
    try:
        vector = np.array([float(part) for part in text.strip("()").split(",")])
    except ValueError as error:
        raise SourceFormatError(f"NRRD vector '{text}' is not numeric") from error
    if vector.shape != (3,):
        raise SourceFormatError(f"NRRD vector '{text}' must have three components")
    return vector
