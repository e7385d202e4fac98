"""The NRRD reader: axis order, directions, encodings, and refusals."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from worker.samples.errors import SourceFormatError
from worker.samples.nrrd import read_nrrd

HEADER = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",  # columns, rows, slices
    "space directions": "(0.5,0,0) (0,-0.75,0) (0,0,6.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-10,20,-30)",
}
VALUES = np.arange(24, dtype="<i2").reshape(2, 3, 4)


def an_nrrd(body: bytes | None = None, **changes: str | None) -> bytes:
    fields = {**HEADER, **{key.replace("_", " "): value for key, value in changes.items()}}
    lines = [f"{key}: {value}" for key, value in fields.items() if value is not None]
    return "\n".join(["NRRD0004", "# a comment: with a colon", *lines, "", ""]).encode() + (body or VALUES.tobytes())


def test_axes_come_out_as_slice_row_column() -> None:
    grid = read_nrrd(an_nrrd())
    np.testing.assert_array_equal(grid.values, VALUES)
    assert grid.spacing_mm == (6.5, 0.75, 0.5)


def test_voxel_centres_land_where_the_header_says() -> None:
    grid = read_nrrd(an_nrrd())
    # slice 1, row 2, column 3: origin + 3 columns + 2 rows + 1 slice
    np.testing.assert_allclose(grid.affine_lps @ [1, 2, 3, 1], [-10 + 1.5, 20 - 1.5, -30 + 6.5, 1])


def test_ras_space_becomes_lps() -> None:
    grid = read_nrrd(an_nrrd(space="right-anterior-superior"))
    np.testing.assert_allclose(grid.affine_lps @ [1, 2, 3, 1], [10 - 1.5, -20 + 1.5, -30 + 6.5, 1])


@pytest.mark.parametrize("encoding", ["gzip", "gz"])
def test_gzip_is_read(encoding: str) -> None:
    grid = read_nrrd(an_nrrd(gzip.compress(VALUES.tobytes()), encoding=encoding))
    np.testing.assert_array_equal(grid.values, VALUES)


def test_big_endian_is_read() -> None:
    grid = read_nrrd(an_nrrd(VALUES.astype(">i2").tobytes(), endian="big"))
    np.testing.assert_array_equal(grid.values, VALUES)


def test_bytes_need_no_endian() -> None:
    grid = read_nrrd(an_nrrd(VALUES.astype("u1").tobytes(), type="uchar", endian=None))
    np.testing.assert_array_equal(grid.values, VALUES)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"nonsense", "attached header"),
        (an_nrrd(encoding="ascii"), "ascii"),
        (an_nrrd(encoding="gzip"), "gzip"),
        (an_nrrd(VALUES.tobytes()[:-2]), "Size of the data"),
        (an_nrrd(type="block"), "block"),
        (an_nrrd(endian="middle"), "endian"),
        (an_nrrd(space="scanner-xyz"), "scanner-xyz"),
        (an_nrrd(space_origin=None), "space origin"),
        (an_nrrd(space_origin="(a,b,c)"), "could not convert string to float: 'a'"),
        (an_nrrd(space_origin="(1,2)"), "three components"),
        (an_nrrd(space_directions="none (1,0,0) (0,1,0) (0,0,1)"), "three space directions"),
        (an_nrrd(space_origin="none"), "three components|enclosed"),
        (an_nrrd(sizes="24"), "three axes"),
        (an_nrrd(type="quaternion"), "quaternion"),
        # The library would open it: a header must not name a file of this machine.
        (an_nrrd(data_file="/etc/hostname"), "names another file"),
        (an_nrrd(datafile="/etc/hostname"), "names another file"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(content: bytes, complaint: str) -> None:
    with pytest.raises(SourceFormatError, match=complaint):
        read_nrrd(content)
