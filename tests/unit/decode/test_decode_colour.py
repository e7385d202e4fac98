"""Colour by its luminance: every photometric interpretation, both planar configurations, palettes, and what lies."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.builders import a_secondary_capture, data_set_bytes, write
from tests.picture_builders import a_picture, an_ultrasound
from tests.unit.decode.reading import series_of, volume_of
from worker.decode.outcomes import OUTCOMES
from worker.decode.pixels.codestream import read_jpeg, read_jpeg2000
from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import PermanentError

GREY = a_picture(rows=34, columns=40, bits=8).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
RUN = np.stack([RGB, RGB[::-1], RGB[:, ::-1]])
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
BT601 = np.array([0.299, 0.587, 0.114])


def luminance(rgb: NDArray[np.integer]) -> NDArray[np.float64]:
    """ITU-R BT.601, written down once more."""
    return rgb.astype(np.float64) @ BT601


def ybr_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """YBR_FULL as PS3.3 C.7.6.3.1.2 defines it."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
    return np.clip(np.rint(rgb @ matrix.T + [0, 128, 128]), 0, 255).astype(np.uint8)


def with_pixels(path: Path, data: bytes, **attributes: object) -> Path:
    """The file with other pixel data and attributes."""
    ds = dcmread(path)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.PixelData = data + b"\0" * (len(data) % 2)
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        ds["PixelData"].is_undefined_length = True
    dcmwrite(path, ds)
    return path


def refused(path: Path) -> str:
    with pytest.raises(PermanentError) as caught:
        volume_of([path])
    assert caught.value.code in OUTCOMES
    assert caught.value.next_step
    return caught.value.code


# --------------------------------------------------------------------------------------------------------------- RGB


@pytest.mark.parametrize("uid", [*NATIVE, RLELossless, JPEG2000Lossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("frames", [None, 3])
def test_red_green_and_blue(tmp_path: Path, uid: UID, frames: int | None) -> None:
    ds = an_ultrasound(values=RGB if frames is None else RUN, frames=frames, photometric="RGB")
    volume = volume_of([write(ds, tmp_path / "a.dcm", transfer_syntax_uid=uid)])
    assert volume.voxels.dtype == np.float32
    assert np.allclose(volume.voxels, luminance(RGB[None] if frames is None else RUN), atol=1e-3)
    assert any("colour (RGB)" in note and "BT.601" in note for note in volume.notes)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_planar_configurations(tmp_path: Path, planar: int, photometric: str) -> None:
    samples = RUN if photometric == "RGB" else ybr_of(RUN)
    ordered = samples.transpose(0, 3, 1, 2) if planar else samples
    path = write(an_ultrasound(values=RUN, frames=3, photometric=photometric), tmp_path / "a.dcm")
    with_pixels(path, ordered.tobytes(), PlanarConfiguration=planar)
    expected = luminance(RUN) if photometric == "RGB" else samples[..., 0]
    assert np.allclose(volume_of([path]).voxels, expected, atol=1e-3)


def test_sixteen_bits_have_the_same_black_and_white(tmp_path: Path) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm")
    wide = RGB.astype("<u2") * 257
    with_pixels(path, wide.tobytes(), BitsAllocated=16, BitsStored=16, HighBit=15)
    assert np.allclose(volume_of([path]).voxels[0], luminance(RGB), atol=1e-2)


def test_twelve_of_sixteen_bits(tmp_path: Path) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm")
    words = (RGB.astype("<u2") << 4) | (RGB >> 4) | 0xF000
    with_pixels(path, words.tobytes(), BitsAllocated=16, BitsStored=12, HighBit=11)
    assert np.allclose(volume_of([path]).voxels[0], luminance((words & 0xFFF) * (255 / 4095)), atol=1e-2)


def test_an_odd_number_of_bytes(tmp_path: Path) -> None:
    odd = RUN[:, :33, :39]
    path = write(an_ultrasound(values=odd, frames=3, photometric="RGB"), tmp_path / "a.dcm")
    assert np.allclose(volume_of([path]).voxels, luminance(odd), atol=1e-3)


def test_grey_and_colour_share_their_scale(tmp_path: Path) -> None:
    grey = volume_of([write(an_ultrasound(values=GREY), tmp_path / "a.dcm")])
    colour = volume_of([write(an_ultrasound(values=np.stack([GREY] * 3, -1), photometric="RGB"), tmp_path / "b.dcm")])
    assert np.allclose(grey.voxels, colour.voxels, atol=1e-3)


# --------------------------------------------------------------------------------------------------------------- YBR


@pytest.mark.parametrize("uid", [*NATIVE, RLELossless], ids=lambda uid: uid.keyword)
def test_luminance_and_chrominance(tmp_path: Path, uid: UID) -> None:
    ds = an_ultrasound(values=ybr_of(RGB), photometric="YBR_FULL")
    volume = volume_of([write(ds, tmp_path / "a.dcm", transfer_syntax_uid=uid)])
    assert np.array_equal(volume.voxels[0], ybr_of(RGB)[..., 0])


@pytest.mark.parametrize("uid", NATIVE, ids=lambda uid: uid.keyword)
def test_halved_chrominance(tmp_path: Path, uid: UID) -> None:
    ybr = ybr_of(RUN)
    ds = an_ultrasound(values=ybr, frames=3, photometric="YBR_FULL_422")
    volume = volume_of([write(ds, tmp_path / "a.dcm", transfer_syntax_uid=uid)])
    assert len(ds.PixelData) == RUN.size * 2 // 3
    assert np.array_equal(volume.voxels, ybr[..., 0])


def test_halved_chrominance_with_the_length_of_a_whole_one(tmp_path: Path) -> None:
    path = write(an_ultrasound(values=RGB, photometric="YBR_FULL"), tmp_path / "a.dcm")
    assert (
        refused(with_pixels(path, RGB.tobytes(), PhotometricInterpretation="YBR_FULL_422")) == "pixel-length-mismatch"
    )


def test_halved_chrominance_in_an_odd_number_of_columns(tmp_path: Path) -> None:
    ds = an_ultrasound(columns=41, photometric="YBR_FULL", attributes={"PhotometricInterpretation": "YBR_FULL_422"})
    assert refused(write(ds, tmp_path / "a.dcm")) == "unsupported-pixel-format"


@pytest.mark.parametrize(("photometric", "transformed"), [("RGB", False), ("YBR_RCT", True)])
def test_jpeg_2000_undoes_its_transform(tmp_path: Path, photometric: str, transformed: bool) -> None:
    ds = an_ultrasound(values=RGB, photometric="RGB", attributes={"PhotometricInterpretation": photometric})
    path = write(ds, tmp_path / "a.dcm", transfer_syntax_uid=JPEG2000Lossless)
    (stream,) = generate_frames(dcmread(path).PixelData, number_of_frames=1)
    made = read_jpeg2000(stream)
    assert made is not None
    assert made.transformed is transformed
    assert np.allclose(volume_of([path]).voxels[0], luminance(RGB), atol=1e-3)


@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT"])
def test_a_transform_of_jpeg_2000_without_it(tmp_path: Path, uid: UID, photometric: str) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    ds = dcmread(path)
    ds.PhotometricInterpretation = photometric
    dcmwrite(path, ds)
    assert refused(path) in {"unsupported-pixel-format", "decoder-failed"}


def test_a_transform_that_the_codestream_does_not_have(tmp_path: Path) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm", transfer_syntax_uid=JPEG2000Lossless)
    ds = dcmread(path)
    ds.PhotometricInterpretation = "YBR_RCT"
    dcmwrite(path, ds)
    assert refused(path) == "codestream-mismatch"


# ----------------------------------------------------------------------------------------------------------- JPEG-LS


@pytest.mark.parametrize("planar", [0, 1])
def test_jpeg_ls_of_either_interleaving(tmp_path: Path, planar: int) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm")
    ordered = RGB.transpose(2, 0, 1) if planar else RGB
    with_pixels(path, np.ascontiguousarray(ordered).tobytes(), PlanarConfiguration=planar)
    ds = dcmread(path)
    ds.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)
    dcmwrite(path, ds)
    assert np.allclose(volume_of([path]).voxels[0], luminance(RGB), atol=1e-3)


# ----------------------------------------------------------------------------------------------------- JPEG's colours


def jpeg(*segments: tuple[int, bytes], names: bytes = b"\1\2\3", frame: int = 0xC0) -> bytes:
    """The start of a JPEG image: markers with their payload, and a frame header of 8 x 8 pixels."""
    made = b"\xff\xd8"
    for marker, payload in segments:
        made += struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
    components = b"".join(bytes([name, 0x11, 0]) for name in names)
    return made + struct.pack(">BBHBHHB", 0xFF, frame, 8 + 3 * len(names), 8, 8, 8, len(names)) + components


JFIF = (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform: int) -> tuple[int, bytes]:
    return 0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])


@pytest.mark.parametrize(
    ("stream", "transformed"),
    [
        (jpeg(), None),
        (jpeg(JFIF), True),
        (jpeg(JFIF, frame=0xC3), None),  # lossless: nobody transforms colours without saying so
        (jpeg(adobe(0)), False),
        (jpeg(adobe(1)), True),
        (jpeg(JFIF, adobe(0)), False),
        (jpeg(adobe(2)), None),
        (jpeg(names=b"RGB"), False),
        (jpeg(JFIF, names=b"RGB"), False),
        (jpeg((0xEE, b"Adobe\0\0\0\0\0")), None),  # too short to say it
        (jpeg((0xEE, b"Other\0\x64\0\0\0\0\1")), None),
    ],
)
def test_what_a_jpeg_says_about_its_colours(stream: bytes, transformed: bool | None) -> None:
    found = read_jpeg(stream)
    assert found is not None
    assert found.transformed is transformed


# ------------------------------------------------------------------------------------------------------------ palette


def with_palette(
    ds: Dataset,
    tables: NDArray[np.integer],
    *,
    first: int = 0,
    bits: int = 16,
    words: bool = True,
    entries: int | None = None,
) -> Dataset:
    """``tables`` has shape (3, entry). ``words``: each entry in a word, else two of them share one."""
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        descriptor = [(len(table) if entries is None else entries) % 65536, first, bits]
        ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", descriptor)
        raw = np.asarray(table).astype("<u2" if words else "u1").tobytes()
        ds.add_new(f"{colour}PaletteColorLookupTableData", "OW", raw + b"\0" * (len(raw) % 2))
    return ds


def with_segments(ds: Dataset, segments: list[int], *, entries: int, bits: int = 16) -> Dataset:
    for colour in ("Red", "Green", "Blue"):
        ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [entries, 0, bits])
        raw = np.array(segments, "<u2" if bits == 16 else "u1").tobytes()
        ds.add_new(f"Segmented{colour}PaletteColorLookupTableData", "OW", raw + b"\0" * (len(raw) % 2))
    return ds


TABLES = np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) // 2])
INDICES = GREY
EXPECTED = luminance(TABLES.T[INDICES])


def palette_image(**attributes: object) -> Dataset:
    return an_ultrasound(values=INDICES, photometric="PALETTE COLOR", attributes=attributes)


def voxels_of(tmp_path: Path, ds: Dataset, uid: str = ExplicitVRLittleEndian) -> NDArray[np.float32]:
    return volume_of([write(ds, tmp_path / "a.dcm", transfer_syntax_uid=uid)]).voxels[0]


@pytest.mark.parametrize("uid", [*NATIVE[:2], NATIVE[3], RLELossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(
    ("scale", "bits", "words"), [(257, 16, True), (256, 16, True), (1, 8, True), (1, 8, False), (1, 16, False)]
)
def test_palettes(tmp_path: Path, uid: UID, scale: int, bits: int, words: bool) -> None:
    ds = with_palette(palette_image(), TABLES * scale, bits=bits, words=words)
    assert np.allclose(voxels_of(tmp_path, ds, uid), EXPECTED, atol=1e-3)


def test_a_palette_of_big_endian_words(tmp_path: Path) -> None:
    ds = with_palette(palette_image(), TABLES * 256)
    for colour in ("Red", "Green", "Blue"):
        element = ds[f"{colour}PaletteColorLookupTableData"]
        element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
    assert np.allclose(voxels_of(tmp_path, ds, ExplicitVRBigEndian), EXPECTED, atol=1e-3)


def test_a_palette_of_sixteen_bits_that_uses_the_lower_eight(tmp_path: Path) -> None:
    path = write(with_palette(palette_image(), TABLES, bits=16), tmp_path / "a.dcm")
    volume = volume_of([path])
    assert np.allclose(volume.voxels[0], EXPECTED, atol=1e-3)
    assert "the palette says 16 bits and uses the lower 8: these were taken" in volume.notes


@pytest.mark.parametrize("first", [10, 40])
def test_values_outside_of_the_palette_take_its_ends(tmp_path: Path, first: int) -> None:
    tables = TABLES[:, 50:100]
    ds = with_palette(palette_image(), tables, first=first, bits=8)
    expected = luminance(tables.T[np.clip(INDICES.astype(int) - first, 0, 49)])
    assert np.allclose(voxels_of(tmp_path, ds), expected, atol=1e-3)


def test_a_palette_for_signed_values(tmp_path: Path) -> None:
    indices = (INDICES.astype(int) - 128).astype(np.int8)
    ds = with_palette(palette_image(), TABLES, first=0xFF80, bits=8)
    ds.PixelRepresentation = 1
    ds.PixelData = indices.tobytes()
    assert np.allclose(voxels_of(tmp_path, ds), EXPECTED, atol=1e-3)


def test_a_palette_of_65536_entries(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(65536), (3, 1))
    ds = with_palette(palette_image(), ramp, entries=0)
    words = INDICES.astype("<u2") * 257
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelData = 16, 16, 15, words.tobytes()
    assert np.allclose(voxels_of(tmp_path, ds), INDICES, atol=1e-3)


@pytest.mark.parametrize(
    ("segments", "bits", "expected"),
    [
        ([0, 4, 0, 25600, 51200, 65280], 16, [0, 100, 200, 255]),
        ([0, 1, 0, 1, 3, 0x3000], 16, [0, 16, 32, 48]),
        ([0, 2, 7, 9, 1, 4, 1], 8, [7, 9, 7, 5, 3, 1]),
        # the first two entries once more: two segments from byte 0 (16 bits), one segment from byte 3 (8 bits)
        ([0, 1, 0x100, 1, 2, 0x300, 2, 2, 0, 0], 16, [1, 2, 3, 1, 2, 3]),
        ([0, 1, 5, 0, 2, 6, 7, 2, 1, 3, 0, 0, 0], 8, [5, 6, 7, 6, 7]),
        # from byte 6: the second segment
        ([0, 1, 0x100, 0, 2, 0x200, 0x300, 2, 1, 6, 0], 16, [1, 2, 3, 2, 3]),
    ],
)
def test_segments(tmp_path: Path, segments: list[int], bits: int, expected: list[int]) -> None:
    ds = with_segments(palette_image(), segments, entries=len(expected), bits=bits)
    indices = np.arange(INDICES.size).reshape(INDICES.shape) % len(expected)
    ds.PixelData = indices.astype(np.uint8).tobytes()
    assert np.allclose(voxels_of(tmp_path, ds), np.array(expected)[indices], atol=1)


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [0],
        [0, 0, 0],
        [0, 1, 7, 0, 0, 0, 255, *[9] * 255],  # a segment of nothing: copied again and again, it would never end
        [1, 4, 0x100],  # a line from nowhere
        [0, 200, 1, 2],  # cut off
        [3, 1, 1],
        [2, 9, 0, 0],  # itself
        [0, 1, 1, 2, 60000, 40, 0],  # what comes later
        [0, 2, 1, 2],  # too short
    ],
    ids=str,
)
def test_segments_that_lie(tmp_path: Path, segments: list[int]) -> None:
    ds = with_segments(palette_image(), segments or [0], entries=256)
    assert refused(write(ds, tmp_path / "a.dcm")) == "bad-palette"


def test_segments_never_grow_beyond_their_table(tmp_path: Path) -> None:
    segments = [0, 1, 0, *[1, 65535, 65535, 1, 65535, 0] * 5000, *[2, 65535, 6, 0] * 5000]
    ds = with_segments(palette_image(), segments, entries=256)
    assert voxels_of(tmp_path, ds).shape == INDICES.shape


def test_segments_longer_than_any_table(tmp_path: Path) -> None:
    ds = with_segments(palette_image(), [0] * 600_000, entries=256)
    assert refused(write(ds, tmp_path / "a.dcm")) == "bad-palette"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda ds: ds.__delitem__("RedPaletteColorLookupTableDescriptor"),
        lambda ds: ds.__delitem__("BluePaletteColorLookupTableData"),
        lambda ds: ds.add_new("GreenPaletteColorLookupTableDescriptor", "US", [256, 0]),
        lambda ds: ds.add_new("GreenPaletteColorLookupTableDescriptor", "US", [255, 0, 16]),
        lambda ds: ds.add_new("GreenPaletteColorLookupTableDescriptor", "US", [256, 1, 16]),
        lambda ds: ds.add_new("RedPaletteColorLookupTableData", "OW", bytes(100)),
        lambda ds: ds.add_new("RedPaletteColorLookupTableData", "OW", b""),
    ],
)
def test_palettes_that_lie(tmp_path: Path, break_it) -> None:
    ds = with_palette(palette_image(), TABLES * 257)
    break_it(ds)
    assert refused(write(ds, tmp_path / "a.dcm")) == "bad-palette"


# ---------------------------------------------------------------------------------------------------- headers that lie


@pytest.mark.parametrize(
    ("photometric", "samples", "code"),
    [
        ("RGB", 1, "unsupported-pixel-format"),
        ("RGB", 4, "unsupported-pixel-format"),
        ("YBR_FULL", 1, "unsupported-pixel-format"),
        ("MONOCHROME2", 3, "unsupported-pixel-format"),
        ("PALETTE COLOR", 3, "unsupported-pixel-format"),
        ("CMYK", 4, "unsupported-pixel-format"),
        ("YBR_PARTIAL_420", 3, "unsupported-pixel-format"),
        ("", 3, "unsupported-pixel-format"),
        ("MONOCHROME2", 1, "pixel-length-mismatch"),
        ("PALETTE COLOR", 1, "bad-palette"),
    ],
)
def test_samples_that_lie(tmp_path: Path, photometric: str, samples: int, code: str) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm")
    with_pixels(path, RGB.tobytes(), PhotometricInterpretation=photometric, SamplesPerPixel=samples)
    assert refused(path) == code


def test_grey_pixels_that_say_three_samples(tmp_path: Path) -> None:
    path = write(an_ultrasound(values=GREY), tmp_path / "a.dcm")
    with_pixels(path, GREY.tobytes(), PhotometricInterpretation="RGB", SamplesPerPixel=3)
    assert refused(path) == "truncated-pixel-data"


def test_signed_colours(tmp_path: Path) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm")
    assert refused(with_pixels(path, RGB.tobytes(), PixelRepresentation=1)) == "unsupported-pixel-format"


@pytest.mark.parametrize("uid", [JPEG2000Lossless, RLELossless], ids=lambda uid: uid.keyword)
def test_compressed_grey_that_says_colour(tmp_path: Path, uid: UID) -> None:
    path = write(an_ultrasound(values=GREY), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    ds = dcmread(path)
    ds.PhotometricInterpretation, ds.SamplesPerPixel, ds.PlanarConfiguration = "RGB", 3, 0
    dcmwrite(path, ds)
    assert refused(path) == ("truncated-pixel-data" if uid == RLELossless else "codestream-mismatch")


@pytest.mark.parametrize("uid", [JPEG2000Lossless, RLELossless], ids=lambda uid: uid.keyword)
def test_compressed_colour_that_says_grey(tmp_path: Path, uid: UID) -> None:
    path = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    ds = dcmread(path)
    ds.PhotometricInterpretation, ds.SamplesPerPixel = "MONOCHROME2", 1
    dcmwrite(path, ds)
    assert refused(path) == ("truncated-pixel-data" if uid == RLELossless else "codestream-mismatch")


@pytest.mark.parametrize("uid", [JPEG2000Lossless, RLELossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_cut_off_colours_are_never_filled(tmp_path: Path, uid: UID, kept: float) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    path = write(an_ultrasound(values=noise, photometric="RGB"), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    (frame,) = generate_frames(dcmread(path).PixelData, number_of_frames=1)
    with_pixels(path, encapsulate([frame[: int(len(frame) * kept)]]))
    assert refused(path) in {"truncated-pixel-data", "decoder-failed"}


def test_a_colour_screenshot_in_a_series_of_a_projection(tmp_path: Path) -> None:
    ds = a_secondary_capture(modality="DX", colour=True)
    expected = luminance(np.frombuffer(ds.PixelData, np.uint8).reshape(32, 40, 3))
    assert np.allclose(voxels_of(tmp_path, ds), expected, atol=1e-3)


SEEDS = {
    "rgb": lambda: (an_ultrasound(values=RUN, frames=3, photometric="RGB"), ExplicitVRLittleEndian),
    "rle": lambda: (an_ultrasound(values=RGB, photometric="RGB"), RLELossless),
    "palette": lambda: (with_palette(palette_image(), TABLES * 257), ExplicitVRLittleEndian),
    "segments": lambda: (
        with_segments(palette_image(), [0, 1, 0, 1, 255, 65535, 2, 1, 0, 0], entries=256),
        ImplicitVRLittleEndian,
    ),
    "422": lambda: (an_ultrasound(frames=4, photometric="YBR_FULL_422"), ExplicitVRBigEndian),
}


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damaged_pictures_are_read_or_named(tmp_path_factory, kind: str, seed: int) -> None:
    """Whatever is overwritten in the header: brightness of the right shape, or one of our errors. Nothing else."""
    ds, uid = SEEDS[kind]()
    path = write(ds, tmp_path_factory.mktemp("fuzz") / "a.dcm", transfer_syntax_uid=uid)
    series = series_of([path])
    data = bytearray(path.read_bytes())
    start = len(data) - len(data_set_bytes(path))
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(start, len(data))
        data[at] = rng.choice([0, 0xFF, 0x7F, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    path.write_bytes(bytes(data))
    try:
        volume = VolumeReader(memory_budget_bytes=2**28).volume(series)
    except PermanentError as error:
        assert error.code in OUTCOMES  # noqa: PT017
    else:
        assert volume.voxels.shape == (series.headers[0].number_of_frames, *volume.geometry.shape[1:])
        assert np.isfinite(volume.voxels).all()
