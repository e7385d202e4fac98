"""Pixels: every transfer syntax, every sign, every bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.builders import (
    a_ct_phantom,
    a_ct_slice,
    a_secondary_capture,
    an_enhanced_ct,
    an_enhanced_mr,
    an_mr_slice,
    write,
)
from tests.unit.decode.reading import frames_of
from worker.decode.outcomes import MemoryBudgetError, PixelDataError
from worker.decode.pixels.codecs import DECODABLE
from worker.decode.pixels.rle import decode_rle

DATA = Path(__file__).with_name("data")
HU = a_ct_phantom(slices=1, rows=32, columns=40)[0]
LOSSLESS = [
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLSLossless, JPEG2000Lossless,
]  # fmt: skip


def with_codestream(path: Path, ds: Dataset, codestream: bytes, uid: str) -> Path:
    """A file whose pixels are a ready-made codestream (no Python encoder makes this transfer syntax)."""
    write(ds, path)
    read = dcmread(path)
    read.file_meta.TransferSyntaxUID = UID(uid)
    read.PixelData = encapsulate([codestream])
    read["PixelData"].is_undefined_length = True
    dcmwrite(path, read, enforce_file_format=True)
    return path


def refused(path: Path) -> str:
    with pytest.raises(PixelDataError) as caught:
        frames_of(path)
    assert caught.value.next_step
    return caught.value.code


@pytest.mark.parametrize("uid", LOSSLESS, ids=lambda uid: uid.keyword)
def test_lossless_transfer_syntaxes_give_the_original(tmp_path: Path, uid: UID) -> None:
    decoded = frames_of(write(a_ct_slice(hu=HU), tmp_path / "a.dcm", transfer_syntax_uid=uid))
    assert decoded.values.dtype == np.float32
    assert np.array_equal(decoded.values, HU[None])
    assert decoded.notes == ()


@pytest.mark.parametrize("uid", LOSSLESS, ids=lambda uid: uid.keyword)
def test_twelve_bits_unsigned(tmp_path: Path, uid: UID) -> None:
    values = np.clip(HU + 1024, 0, 4095)
    decoded = frames_of(write(an_mr_slice(values=values), tmp_path / "a.dcm", transfer_syntax_uid=uid))
    assert np.array_equal(decoded.values, values[None])


@pytest.mark.parametrize("uid", LOSSLESS, ids=lambda uid: uid.keyword)
def test_multi_frame(tmp_path: Path, uid: UID) -> None:
    hu = a_ct_phantom(slices=3, rows=32, columns=40)
    decoded = frames_of(write(an_enhanced_ct(hu=hu), tmp_path / "a.dcm", transfer_syntax_uid=uid))
    assert np.array_equal(decoded.values, hu)


@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless],
                         ids=lambda uid: uid.keyword)  # fmt: skip
def test_eight_bits(tmp_path: Path, uid: UID) -> None:
    ds = a_secondary_capture(colour=False, rows=33, columns=41)
    expected = ds.pixel_array if hasattr(ds, "file_meta") else np.frombuffer(ds.PixelData, "u1")[: 33 * 41]
    decoded = frames_of(write(ds, tmp_path / "a.dcm", transfer_syntax_uid=uid))
    assert np.array_equal(decoded.values.ravel(), expected.ravel())


def test_near_lossless_jpeg_ls_stays_within_its_error(tmp_path: Path) -> None:
    path = write(a_ct_slice(hu=HU), tmp_path / "a.dcm")
    ds = dcmread(path)
    ds.compress(JPEGLSNearLossless, jls_error=3, generate_instance_uid=False)
    dcmwrite(path, ds)
    difference = np.abs(frames_of(path).values - HU)
    assert 0 < difference.max() <= 3


@pytest.mark.parametrize(("name", "signed", "uid"), [("signed", True, "1.2.840.10008.1.2.4.201"),
                                                     ("unsigned", False, "1.2.840.10008.1.2.4.202")])  # fmt: skip
def test_high_throughput_jpeg_2000(tmp_path: Path, name: str, signed: bool, uid: str) -> None:
    stored = HU + 1024
    shift = 0 if signed else int(stored.min())
    ds = a_ct_slice(hu=HU, attributes={"PixelRepresentation": int(signed), "RescaleIntercept": shift - 1024})
    path = with_codestream(tmp_path / "a.dcm", ds, (DATA / f"htj2k-{name}-lossless.j2c").read_bytes(), uid)
    assert np.array_equal(frames_of(path).values[0], HU)


def test_lossy_high_throughput_jpeg_2000(tmp_path: Path) -> None:
    codestream = (DATA / "htj2k-signed-lossy.j2c").read_bytes()
    path = with_codestream(tmp_path / "a.dcm", a_ct_slice(hu=HU), codestream, "1.2.840.10008.1.2.4.203")
    assert np.abs(frames_of(path).values[0] - HU).mean() < 25  # the encoder's own reader differs by up to 90


def test_every_named_transfer_syntax_has_a_name() -> None:
    assert all(UID(uid).name != uid for uid in DECODABLE)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0, 0.0033])
def test_rescale(tmp_path: Path, slope: float) -> None:
    hu = (HU // 8).astype(np.float64)
    path = write(a_ct_slice(hu=hu, slope=slope, intercept=-130.5), tmp_path / "a.dcm")
    stored = np.round((hu + 130.5) / slope).astype(np.int16)
    assert np.allclose(frames_of(path).values[0], stored * slope - 130.5, rtol=1e-6, atol=1e-4)


def test_each_frame_of_an_enhanced_object_has_its_own_rescale(tmp_path: Path) -> None:
    hu = a_ct_phantom(slices=3, rows=32, columns=40) // 4 * 4
    path = write(an_enhanced_ct(hu=hu, slopes=[1.0, 2.0, 4.0], frame_order=[2, 0, 1]), tmp_path / "a.dcm")
    assert np.array_equal(frames_of(path).values, hu[[2, 0, 1]])


@pytest.mark.parametrize(("slope", "intercept"), [("0", "0"), ("nan", "0"), ("1", "many"), ("inf", "0")])
def test_rescale_that_is_none(tmp_path: Path, slope: str, intercept: str) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    data = path.read_bytes()
    old_slope, old_intercept = b"\x28\x00\x53\x10DS\x04\x001.0 ", b"\x28\x00\x52\x10DS\x08\x00-1024.0 "
    assert old_slope in data
    assert old_intercept in data
    data = data.replace(old_slope, old_slope[:8] + slope.encode().ljust(4))
    path.write_bytes(data.replace(old_intercept, old_intercept[:8] + intercept.encode().ljust(8)))
    assert refused(path) == "bad-modality-lut"


def a_lookup_table(first: int, data: list[int]) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(data), first, 16])
    item.ModalityLUTType = "HU"
    item.add_new("LUTData", "OW", np.array(data, "<u2").tobytes())
    return item


def test_modality_lut(tmp_path: Path) -> None:
    table = a_lookup_table(100, [5, 10, 20, 40])
    values = np.tile(np.arange(98, 106), (32, 5))
    ds = an_mr_slice(values=values, attributes={"ModalityLUTSequence": [table]})
    decoded = frames_of(write(ds, tmp_path / "a.dcm"))
    assert decoded.values[0, 0, :8].tolist() == [5, 5, 5, 10, 20, 40, 40, 40]


def test_modality_lut_that_is_too_short(tmp_path: Path) -> None:
    table = a_lookup_table(0, [1, 2, 3, 4])
    table.add_new("LUTDescriptor", "US", [4096, 0, 16])
    assert (
        refused(write(an_mr_slice(attributes={"ModalityLUTSequence": [table]}), tmp_path / "a.dcm"))
        == "bad-modality-lut"
    )


def words_slice(tmp_path: Path, words: np.ndarray, **attributes: object) -> Path:
    """An MR slice whose 16-bit words are as given."""
    path = write(an_mr_slice(attributes=attributes), tmp_path / "a.dcm")
    ds = dcmread(path)
    ds.Rows, ds.Columns = words.shape
    ds.PixelData = words.astype("<u2").tobytes()
    dcmwrite(path, ds)
    return path


def test_overlays_in_unused_bits_are_masked(tmp_path: Path) -> None:
    values = np.arange(0, 4096, 4).reshape(32, 32)
    words = values | (np.arange(1024).reshape(32, 32) % 2 << 12) | 0x8000
    decoded = frames_of(words_slice(tmp_path, words))
    assert np.array_equal(decoded.values[0], values)
    assert "bits outside of the 12" in decoded.notes[0]


def test_a_declared_overlay_in_unused_bits_is_no_surprise(tmp_path: Path) -> None:
    path = words_slice(tmp_path, np.full((32, 32), 0x1005))
    ds = dcmread(path)
    ds.add_new(0x60000102, "US", 12)
    dcmwrite(path, ds)
    decoded = frames_of(path)
    assert decoded.notes == ()
    assert set(decoded.values.ravel()) == {5}


def test_high_bit_above_the_lowest_place(tmp_path: Path) -> None:
    values = np.arange(0, 4096, 4).reshape(32, 32)
    decoded = frames_of(words_slice(tmp_path, values << 4, HighBit=15))
    assert np.array_equal(decoded.values[0], values)


@pytest.mark.parametrize("extended", [True, False])
def test_negative_values_in_twelve_bits(tmp_path: Path, extended: bool) -> None:
    values = np.arange(-512, 512).reshape(32, 32)
    words = values & (0xFFFF if extended else 0x0FFF)
    decoded = frames_of(words_slice(tmp_path, words, PixelRepresentation=1))
    assert np.array_equal(decoded.values[0], values)


def test_ct_padding_becomes_air(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[:4] = -2000 - 1024
    decoded = frames_of(write(a_ct_slice(hu=hu, padding_value=-2000), tmp_path / "a.dcm"))
    assert set(decoded.values[0, :4].ravel()) == {-1024}
    assert np.array_equal(decoded.values[0, 4:], HU[4:])


def test_padding_in_the_wrong_sign_is_still_padding(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[:4] = -2000 - 1024
    ds = a_ct_slice(hu=hu)
    ds.add_new("PixelPaddingValue", "US", 63536)
    decoded = frames_of(write(ds, tmp_path / "a.dcm"))
    assert set(decoded.values[0, :4].ravel()) == {-1024}


def test_padding_range(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[0], hu[1], hu[2] = -3024, -3000, -2990
    ds = a_ct_slice(hu=hu, padding_value=-2000)
    ds.add_new("PixelPaddingRangeLimit", "SS", -1970)
    decoded = frames_of(write(ds, tmp_path / "a.dcm"))
    assert set(decoded.values[0, :2].ravel()) == {-1024}
    assert set(decoded.values[0, 2].ravel()) == {-2990}


def test_mr_padding_becomes_the_lowest_real_value(tmp_path: Path) -> None:
    values = np.full((32, 32), 7)
    values[:2] = 0
    values[5, 5] = 3
    path = words_slice(tmp_path, values)
    ds = dcmread(path)
    ds.add_new("PixelPaddingValue", "US", 0)
    dcmwrite(path, ds)
    assert frames_of(path).values.min() == 3


def test_monochrome1_is_noted_and_not_inverted(tmp_path: Path) -> None:
    ds = a_ct_slice(hu=HU, attributes={"PhotometricInterpretation": "MONOCHROME1"})
    decoded = frames_of(write(ds, tmp_path / "a.dcm"))
    assert np.array_equal(decoded.values[0], HU)
    assert "MONOCHROME1" in decoded.notes[0]


def test_colour_is_refused(tmp_path: Path) -> None:
    assert refused(write(a_secondary_capture(colour=True), tmp_path / "a.dcm")) == "colour-image"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"Rows": 31}, "pixel-length-mismatch"),
        ({"Rows": 33}, "truncated-pixel-data"),
        ({"Columns": 65535, "Rows": 65535}, "truncated-pixel-data"),
        ({"NumberOfFrames": 2}, "truncated-pixel-data"),
        ({"NumberOfFrames": 0}, "unsupported-pixel-format"),
        ({"BitsAllocated": 12}, "unsupported-pixel-format"),
        ({"BitsStored": 17}, "unsupported-pixel-format"),
        ({"BitsStored": 0}, "unsupported-pixel-format"),
        ({"SamplesPerPixel": 3}, "colour-image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour-image"),
        ({"PixelData": None}, "no-pixel-data"),
    ],
    ids=str,
)
def test_headers_that_lie(tmp_path: Path, attributes: dict[str, object], code: str) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    ds = dcmread(path)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    dcmwrite(path, ds)
    if attributes.get("Columns") == 65535:
        with pytest.raises(MemoryBudgetError):
            frames_of(path)
        with pytest.raises(PixelDataError) as caught:
            frames_of(path, memory_budget_bytes=2**40)
        assert caught.value.code == code
    else:
        assert refused(path) == code


def with_excess(path: Path, excess: bytes) -> Path:
    ds = dcmread(path)
    ds.PixelData += excess
    dcmwrite(path, ds)
    return path


@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian,
                                 DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.keyword)  # fmt: skip
@pytest.mark.parametrize("excess", [b"\0" * 2, b"\0" * 512, b"\xff" * 4096, b" " * 32 * 40 * 2], ids=len)
def test_excess_padding_is_accepted(tmp_path: Path, uid: UID, excess: bytes) -> None:
    """PS3.5 8.1.1, Note: older applications pad behind the pixels; receivers should be prepared to accept it."""
    path = with_excess(write(a_ct_slice(hu=HU), tmp_path / "a.dcm", transfer_syntax_uid=uid), excess)
    assert np.array_equal(frames_of(path).values[0], HU)
    assert frames_of(path).notes == ()


def test_excess_padding_behind_several_frames(tmp_path: Path) -> None:
    hu = a_ct_phantom(slices=3, rows=32, columns=40)
    path = with_excess(write(an_enhanced_ct(hu=hu), tmp_path / "a.dcm"), b"\0" * 100)
    assert np.array_equal(frames_of(path).values, hu)


def test_excess_that_is_less_than_a_row_or_a_column_is_no_pixel(tmp_path: Path) -> None:
    path = with_excess(write(a_ct_slice(hu=HU), tmp_path / "a.dcm"), bytes(range(62)))
    assert np.array_equal(frames_of(path).values[0], HU)
    assert frames_of(path).notes == ("62 bytes behind the pixels were ignored (PS3.5 8.1.1)",)


def test_excess_that_may_be_pixels_is_refused(tmp_path: Path) -> None:
    path = with_excess(write(a_ct_slice(hu=HU), tmp_path / "a.dcm"), bytes(range(64)))
    assert refused(path) == "pixel-length-mismatch"


def test_excess_padding_that_is_cut_off(tmp_path: Path) -> None:
    path = with_excess(write(a_ct_slice(hu=HU), tmp_path / "a.dcm"), b"\0" * 512)
    path.write_bytes(path.read_bytes()[:-60])
    assert refused(path) == "truncated-pixel-data"


@pytest.mark.parametrize("uid", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(("keyword", "value"), [("Rows", 33), ("Columns", 39), ("Rows", 16)])
def test_compressed_headers_that_lie(tmp_path: Path, uid: UID, keyword: str, value: int) -> None:
    path = write(a_ct_slice(hu=HU), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    ds = dcmread(path)
    setattr(ds, keyword, value)
    dcmwrite(path, ds)
    if uid == RLELossless and value < (32 if keyword == "Rows" else 40):
        assert refused(path) == "pixel-length-mismatch"
    else:
        assert refused(path) == ("truncated-pixel-data" if uid == RLELossless else "codestream-mismatch")


@pytest.mark.parametrize("uid", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("frames", [2, 4])
def test_compressed_frames_are_counted(tmp_path: Path, uid: UID, frames: int) -> None:
    path = write(an_enhanced_mr(slices=3), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    ds = dcmread(path)
    ds.NumberOfFrames = frames
    dcmwrite(path, ds)
    assert refused(path) == ("pixel-length-mismatch" if frames < 3 else "truncated-pixel-data")


@pytest.mark.parametrize("uid", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.95])
def test_cut_off_frames_are_never_filled(tmp_path: Path, uid: UID, kept: float) -> None:
    noise = np.random.default_rng(3).integers(-1000, 1000, (64, 64))
    path = write(a_ct_slice(hu=noise), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    ds = dcmread(path)
    whole = ds.PixelData
    length = int.from_bytes(whole[12:16], "little")
    frame = whole[16 : 16 + length]
    ds.PixelData = encapsulate([frame[: int(length * kept)]])
    ds["PixelData"].is_undefined_length = True
    dcmwrite(path, ds)
    assert refused(path) in {"truncated-pixel-data", "decoder-failed"}


@pytest.mark.parametrize("uid", [RLELossless, JPEGLSLossless, JPEG2000Lossless, ExplicitVRLittleEndian],
                         ids=lambda uid: uid.keyword)  # fmt: skip
def test_cut_off_files_are_never_filled(tmp_path: Path, uid: UID) -> None:
    path = write(a_ct_slice(hu=HU), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    path.write_bytes(path.read_bytes()[:-60])
    assert refused(path) == "truncated-pixel-data"


def test_unknown_transfer_syntax(tmp_path: Path) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm", transfer_syntax_uid=JPEG2000Lossless)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.94"))
    assert refused(path) == "unsupported-transfer-syntax"


def test_compressed_syntax_with_native_pixels(tmp_path: Path) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    data = path.read_bytes()
    old = b"UI\x14\x001.2.840.10008.1.2.1\0"
    assert old in data
    path.write_bytes(data.replace(old, b"UI\x14\x001.2.840.10008.1.2.5\0"))
    assert refused(path) == "pixel-length-mismatch"


def test_memory_is_asked_for_before_it_is_taken(tmp_path: Path) -> None:
    path = write(an_enhanced_ct(slices=4), tmp_path / "a.dcm")
    with pytest.raises(MemoryBudgetError, match="20480 bytes") as caught:
        frames_of(path, memory_budget_bytes=20_479)
    assert caught.value.code == "memory-budget-exceeded"
    assert frames_of(path, memory_budget_bytes=20_480).values.shape == (4, 32, 40)


@pytest.mark.parametrize("data", [b"", b"\x02\0\0\0" + bytes(60), b"\x01\0\0\0\xff\xff\xff\xff" + bytes(56)])
def test_rle_headers_that_lie(data: bytes) -> None:
    with pytest.raises(ValueError, match="RLE"):
        decode_rle(data, pixels=4, bytes_per_pixel=1)
