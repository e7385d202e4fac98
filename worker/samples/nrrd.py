"""NRRD volumes as `Grid`: three spatial axes, raw or gzip, one file; pynrrd parses, we place and refuse.

Format: teem's NRRD0001-NRRD0005, https://teem.sourceforge.net/nrrd/format.html. Detached headers,
ascii and hex encodings, and vectors per voxel are refused rather than guessed.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any

import nrrd
import numpy as np
from nrrd.errors import NRRDError

from worker.samples.errors import SourceFormatError
from worker.samples.grids import Grid, Matrix

_AXES = 3
_ENCODINGS = frozenset({"raw", "gzip", "gz"})

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
    if not content.startswith(b"NRRD000") or b"\n\n" not in content:
        raise SourceFormatError("not an NRRD file with an attached header")
    stream = BytesIO(content)
    try:
        header = nrrd.read_header(stream)
        _require_readable(header)
        values = nrrd.read_data(header, stream, index_order="C")
    except zlib.error as error:
        raise SourceFormatError(f"NRRD data is not valid gzip: {error}") from error
    except KeyError as error:
        raise SourceFormatError(f"NRRD type {error} is not read") from error
    except (NRRDError, ValueError) as error:
        raise SourceFormatError(f"NRRD cannot be read: {error}") from error
    return Grid(values, _affine(header))


def _require_readable(header: nrrd.NRRDHeader) -> None:
    """Refuse what pynrrd would read otherwise: above all a header that names another file, which it would open."""
    if "data file" in header or "datafile" in header:
        raise SourceFormatError("not an NRRD file with an attached header: it names another file")
    if len(_field(header, "sizes")) != _AXES:
        raise SourceFormatError(f"NRRD of {len(header['sizes'])} axes: only volumes of three axes are read")
    if _field(header, "encoding") not in _ENCODINGS:
        raise SourceFormatError(f"NRRD encoding '{header['encoding']}' is not read (raw and gzip are)")
    if _field(header, "type") == "block":
        raise SourceFormatError("NRRD type 'block' is not read")


def _field(header: nrrd.NRRDHeader, name: str) -> Any:
    if name not in header:
        raise SourceFormatError(f"NRRD header has no field '{name}'")
    return header[name]


def _affine(header: nrrd.NRRDHeader) -> Matrix:
    space = _field(header, "space").lower()
    if space not in _TO_LPS:
        raise SourceFormatError(f"NRRD space '{space}' is not read")
    directions, origin = np.array(_field(header, "space directions")), np.array(_field(header, "space origin"))
    if directions.shape != (3, 3) or not np.isfinite(directions).all():
        raise SourceFormatError("NRRD needs three space directions")
    if origin.shape != (3,) or not np.isfinite(origin).all():
        raise SourceFormatError("NRRD space origin must have three components")
    affine = np.eye(4)
    affine[:3, :3] = (directions[::-1] * _TO_LPS[space]).T  # file order is (column, row, slice)
    affine[:3, 3] = origin * _TO_LPS[space]
    return affine
