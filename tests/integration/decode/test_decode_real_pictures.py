"""Real radiographs and ultrasound: the samples, other files of their archive, and what ships with pydicom."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut

from tests.unit.decode.reading import volume_of
from worker.decode.pixels.brightness import open_brightness
from worker.domain.volume import Space, Volume
from worker.headers.bounded import ReadLimits
from worker.headers.frame_attributes import attributes_of
from worker.headers.parsing import parse
from worker.samples import fetch, obtain, pip_download
from worker.samples.archives import read_members
from worker.samples.recipes import PYDICOM_DATA

BT601 = np.array([0.299, 0.587, 0.114])
FOLDER = "data_store/data"


@pytest.fixture(scope="module")
def archive(sample_cache: Path) -> Path:
    return obtain(PYDICOM_DATA, sample_cache / "archives", pip_download, lambda _: None)


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path):
    def one(name: str) -> Path:
        (content,) = read_members(archive, [f"{FOLDER}/{name}"]).values()
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return one


def brightness(path: Path) -> NDArray[np.float32]:
    parsed = parse(path, name="x", limits=ReadLimits())
    with open_brightness(parsed, attributes_of(parsed.dataset)) as pixels:
        return np.stack([pixels.frame(index) for index in range(pixels.format.frames)])


def sample(name: str, cache: Path) -> tuple[Path, Volume]:
    (path,) = fetch(name, cache).glob("*.dcm")
    return path, volume_of([path])


def test_chest_radiograph(sample_cache: Path) -> None:
    path, volume = sample("chest-cr", sample_cache)
    stored = pydicom.dcmread(path).pixel_array
    assert volume.modality == "CR"
    assert np.array_equal(volume.voxels[0], 32767.0 - stored)
    assert volume.space is Space.PIXELS  # its Pixel Spacing is 0.000\\0.000
    assert "PixelSpacing is not two positive numbers and was not used" in volume.notes
    # the right lung is darker than the spine, and the air beside the patient darker than both
    lung, spine = volume.voxels[0, 400:700, 500:650].mean(), volume.voxels[0, 900:1200, 900:960].mean()
    assert lung < spine


@pytest.mark.parametrize("view", ["RG1", "RG3"])
def test_encodings_of_a_radiograph(unpacked, view: str) -> None:
    original, lossless = (brightness(unpacked(f"{view}_{kind}.dcm")) for kind in ("UNCR", "J2KR"))
    assert np.array_equal(original, lossless)
    decompressed, lossy = (brightness(unpacked(f"{view}_{kind}.dcm")) for kind in ("UNCI", "J2KI"))
    assert np.abs(decompressed - lossy).max() <= 1
    assert 0 < np.abs(original - lossy).mean() < original.max() / 100


def test_leg_radiograph(sample_cache: Path) -> None:
    path, volume = sample("leg-cr", sample_cache)
    assert np.array_equal(volume.voxels[0], 1023.0 - pydicom.dcmread(path).pixel_array)


def test_echocardiogram(sample_cache: Path) -> None:
    path, volume = sample("heart-us", sample_cache)
    ds = pydicom.dcmread(path)
    assert volume.voxels.shape == (120, 480, 640)
    assert volume.frame_time_ms == pytest.approx(33.333)
    assert volume.space is Space.PLANE
    region = ds.SequenceOfUltrasoundRegions[0]
    assert volume.geometry.spacing_mm[1:] == pytest.approx((region.PhysicalDeltaY * 10, region.PhysicalDeltaX * 10))
    assert [ref.frame_number for ref in volume.slices] == list(range(1, 121))
    theirs = pydicom.pixels.pixel_array(path, index=60) @ BT601
    assert np.abs(volume.voxels[60] - theirs).mean() < 0.2  # theirs is rounded and clipped in red, green and blue


def test_ultrasound_with_one_region(unpacked) -> None:
    path = unpacked("JPGLosslessP14SV1_1s_1f_8b.dcm")
    volume = volume_of([path])
    assert np.array_equal(volume.voxels[0], pydicom.dcmread(path).pixel_array)
    assert volume.geometry.spacing_mm == pytest.approx((1.0, 0.25476697, 0.25476697))


def test_ultrasound_with_two_images_side_by_side(unpacked) -> None:
    volume = volume_of([unpacked("gdcm-US-ALOKA-16.dcm")])
    assert volume.space is Space.PIXELS
    assert "the ultrasound image has 2 regions of 2D tissue, and not one" in volume.notes


def test_ultrasound_in_four_encodings(unpacked) -> None:
    original, lossless = (brightness(unpacked(f"US1_{kind}.dcm")) for kind in ("UNCR", "J2KR"))
    assert np.allclose(original, lossless, atol=1e-3)
    decompressed, lossy = (brightness(unpacked(f"US1_{kind}.dcm")) for kind in ("UNCI", "J2KI"))
    assert np.abs(decompressed - lossy).max() <= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("color-pl.dcm", "color-px.dcm"), ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"), ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
     ("OBXXXX1A_2frame.dcm", "OBXXXX1A_expb_2frame.dcm"), ("OBXXXX1A_2frame.dcm", "OBXXXX1A_rle_2frame.dcm"),
     ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"), ("SC_rgb_16bit.dcm", "SC_rgb_expb_16bit.dcm"),
     ("SC_rgb.dcm", "SC_rgb_expb.dcm")],
)  # fmt: skip
def test_the_same_picture_in_two_encodings(unpacked, one: str, other: str) -> None:
    assert np.array_equal(brightness(unpacked(one)), brightness(unpacked(other)))


def by_pydicom(path: Path) -> NDArray[np.float64]:
    """Luminance from pydicom's own red, green and blue, 0 to 255."""
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array
    bits = ds.BitsStored
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, ds)
        pixels, bits = (pixels >> 8 if pixels.dtype.itemsize == 2 else pixels), 8
    frames = int(ds.get("NumberOfFrames", 1) or 1)
    return pixels.reshape(frames, ds.Rows, ds.Columns, 3).astype(np.float64) @ BT601 * (255 / (2**bits - 1))


COLOURS = (
    "ExplVR_BigEnd.dcm", "GDCMJ2K_TextGBR.dcm", "SC_jpeg_no_color_transform.dcm", "SC_jpeg_no_color_transform_2.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_gdcm_KY.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg.dcm", "SC_rgb_jpeg_dcmd.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_32bit.dcm",
    "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd_jpeg.dcm",
    "SC_ybr_full_422_uncompressed.dcm", "examples_jpeg2k.dcm", "examples_palette.dcm", "examples_rgb_color.dcm",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", COLOURS)
def test_colours_that_ship_with_pydicom(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="pydicom")
    path = Path(str(get_testdata_file(name, download=False)))
    difference = np.abs(brightness(path) - by_pydicom(path))
    is_ybr = pydicom.dcmread(path).PhotometricInterpretation.startswith("YBR_FULL")
    assert difference.max() < (2 if is_ybr else 0.01)  # theirs go by rounded red, green and blue
