"""Pixel Padding Value as senders write it, and values of tissue that are declared as padding (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from tests.builders import a_ct_series, a_ct_slice, an_mr_slice, write
from tests.unit.decode.reading import frames_of, volume_of

IMAGE = np.arange(-900, 124).reshape(32, 32)
"""Hounsfield units without padding; the first row will be padding."""


def a_file(
    path: Path, words: NDArray[Any], *, bits: int = 16, allocated: int = 16, signed: bool = True,
    intercept: float = 0.0, value: int, vr: str = "SS", limit: int | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian, modality: str = "CT",
) -> Path:  # fmt: skip
    """A CT image of which every word is given, with a declaration of padding."""
    ds = a_ct_slice(rows=32, columns=32)
    ds.Modality = modality
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(signed)
    ds.RescaleIntercept, ds.RescaleSlope = intercept, 1
    ds.PixelData = (words & ((1 << allocated) - 1)).astype(f"<u{allocated // 8}").tobytes()
    ds.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        ds.add_new("PixelPaddingRangeLimit", vr, limit)
    return write(ds, path, transfer_syntax_uid=transfer_syntax_uid)


DECLARED = [(-2000, "SS"), (63536, "US"), (2096, "US"), (2096, "SS")]
"""-2000 in 16 bits in its own sign and in the other, and in 12 bits: as it is, and not extended."""


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless], ids=lambda u: u.name)
@pytest.mark.parametrize("extended", [True, False], ids=["extended", "not extended"])
@pytest.mark.parametrize(("value", "vr"), DECLARED)
def test_the_sign_may_be_extended_or_not(tmp_path: Path, value: int, vr: str, extended: bool, syntax: str) -> None:
    words = IMAGE.copy()
    words[0] = -2000
    words &= 0xFFFF if extended else 0x0FFF
    path = a_file(tmp_path / "a.dcm", words, bits=12, value=value, vr=vr, transfer_syntax_uid=syntax)
    decoded = frames_of(path)
    assert set(decoded.values[0, 0]) == {-1024.0}
    assert np.array_equal(decoded.values[0, 1:], IMAGE[1:])
    assert decoded.notes == ()


@pytest.mark.parametrize(("value", "limit", "vr"), [(-2000, -1900, "SS"), (63636, 63536, "US"), (2096, 2196, "US")])
def test_a_range_is_masked_at_both_ends(tmp_path: Path, value: int, limit: int, vr: str) -> None:
    words = IMAGE.copy()
    words[0], words[1], words[2] = -2000, -1950, -1890
    path = a_file(tmp_path / "a.dcm", words, bits=12, value=value, limit=limit, vr=vr)
    decoded = frames_of(path)
    assert set(decoded.values[0, :2].ravel()) == {-1024.0}
    assert set(decoded.values[0, 2]) == {-1890.0}
    assert np.array_equal(decoded.values[0, 3:], IMAGE[3:])


@pytest.mark.parametrize(("value", "vr"), [(63536, "US"), (-2000, "SS")])
def test_words_that_no_stored_value_can_be(tmp_path: Path, value: int, vr: str) -> None:
    """Twelve bits unsigned, and -2000 in sixteen as padding: what its lowest twelve bits say is bone elsewhere."""
    words = IMAGE + 1024
    words[0], words[1] = 63536, 63536 & 0xFFF
    path = a_file(tmp_path / "a.dcm", words, bits=12, signed=False, intercept=-1024, value=value, vr=vr)
    decoded = frames_of(path)
    assert set(decoded.values[0, 0]) == {-1024.0}
    assert set(decoded.values[0, 1]) == {2096.0 - 1024.0}
    assert decoded.notes == ()


def test_masked_padding_that_looks_like_bone_stays_and_is_said(tmp_path: Path) -> None:
    words = IMAGE + 1024
    words[0] = 63536 & 0xFFF
    path = a_file(tmp_path / "a.dcm", words, bits=12, signed=False, intercept=-1024, value=63536, vr="US")
    decoded = frames_of(path)
    assert set(decoded.values[0, 0]) == {2096.0 - 1024.0}
    assert "Pixel Padding Value (63536) lies among the values of tissue" in decoded.notes[0]


@pytest.mark.parametrize(("value", "vr"), [(-2000, "SS"), (63536, "US")])
def test_sixteen_bits_declare_padding_of_thirty_two(tmp_path: Path, value: int, vr: str) -> None:
    words = IMAGE.astype(np.int64)
    words[0] = -2000
    decoded = frames_of(a_file(tmp_path / "a.dcm", words, bits=32, allocated=32, value=value, vr=vr))
    assert set(decoded.values[0, 0]) == {-1024.0}
    assert np.array_equal(decoded.values[0, 1:], IMAGE[1:])


def test_compressed_twelve_bits(tmp_path: Path) -> None:
    words = IMAGE.copy()
    words[0] = -2000
    path = a_file(tmp_path / "a.dcm", words & 0xFFF, bits=12, value=2096, vr="US", transfer_syntax_uid=JPEG2000Lossless)
    decoded = frames_of(path)
    assert set(decoded.values[0, 0]) == {-1024.0}
    assert np.array_equal(decoded.values[0, 1:], IMAGE[1:])


@pytest.mark.parametrize(
    ("value", "intercept", "hu"), [(0, 0.0, 0.0), (0, -700.0, -700.0), (1064, -1024.0, 40.0), (4095, -1024.0, 3071.0)]
)
def test_tissue_that_is_declared_as_padding_stays(tmp_path: Path, value: int, intercept: float, hu: float) -> None:
    words = (IMAGE - intercept).astype(int)
    words[0] = value
    words[1] = -1024 - int(intercept)
    path = a_file(tmp_path / "a.dcm", words, intercept=intercept, value=value)
    decoded = frames_of(path)
    assert set(decoded.values[0, 0]) == {hu}
    assert set(decoded.values[0, 1]) == {-1024.0}
    assert np.array_equal(decoded.values[0, 2:], IMAGE[2:])
    (note,) = decoded.notes
    assert note.startswith(f"the declared Pixel Padding Value ({value}) lies among the values of tissue")


@pytest.mark.parametrize(("value", "intercept"), [(0, -1024.0), (0, -1000.0), (-1, -1000.0), (32767, 0.0)])
def test_air_and_what_no_scale_reaches_is_padding(tmp_path: Path, value: int, intercept: float) -> None:
    words = (IMAGE - intercept).astype(int)
    words[0] = value
    decoded = frames_of(a_file(tmp_path / "a.dcm", words, intercept=intercept, value=value))
    assert set(decoded.values[0, 0]) == {-1024.0}
    assert decoded.notes == ()


def test_of_a_range_only_what_is_no_tissue_is_padding(tmp_path: Path) -> None:
    words = IMAGE.copy()
    words[0] = -2000
    decoded = frames_of(a_file(tmp_path / "a.dcm", words, value=-32768, limit=-1))
    assert set(decoded.values[0, 0]) == {-1024.0}
    assert np.array_equal(decoded.values[0, 1:], IMAGE[1:])
    assert "(-32768 to -1) lies among the values of tissue" in decoded.notes[0]


def test_padding_amid_the_values_of_mr_is_not_believed(tmp_path: Path) -> None:
    values = np.arange(1024).reshape(32, 32)
    ds = an_mr_slice(values=values)
    ds.add_new("PixelPaddingValue", "US", 500)
    decoded = frames_of(write(ds, tmp_path / "a.dcm"))
    assert np.array_equal(decoded.values[0], values)
    assert "Pixel Padding Value (500)" in decoded.notes[0]


def test_a_volume_says_that_water_was_declared_as_padding(tmp_path: Path) -> None:
    hu = np.zeros((3, 32, 32))
    hu[:, :4] = -1024
    volume = volume_of(a_ct_series(tmp_path, hu=hu, intercept=0.0, padding_value=0))
    assert np.array_equal(volume.voxels, hu)
    assert "the declared Pixel Padding Value (0) lies among the values of tissue" in volume.notes[0]


@pytest.mark.parametrize(
    ("declared", "said"), [(None, "none is declared"), (-2500, "the declared Pixel Padding Value (-2500) is another")]
)
def test_a_volume_says_what_is_declared(tmp_path: Path, declared: int | None, said: str) -> None:
    hu = np.full((3, 32, 32), 40)
    hu[:, 0] = -2048
    (note,) = volume_of(a_ct_series(tmp_path, hu=hu, padding_value=declared)).notes
    assert "down to -2048 HU" in note
    assert said in note
