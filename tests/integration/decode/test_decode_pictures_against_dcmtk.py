"""Brightness of projections and colours, compared with what DCMTK displays (dcm2pnm, dcmj2pnm) and says (dcmdump)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from tests.builders import write
from tests.picture_builders import a_computed_radiograph, a_picture, a_radiograph, an_angiogram, an_ultrasound
from tests.unit.decode.reading import volume_of

pytestmark = pytest.mark.dcmtk

GREY = a_picture(rows=48, columns=40, bits=8).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
BT601 = np.array([0.299, 0.587, 0.114])


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60)
    return done.stdout.decode("latin-1")


def displayed(path: Path, *options: object, tool: str = "dcm2pnm") -> NDArray[np.int64]:
    """What DCMTK displays: (row, column), or (row, column, colour), from an ASCII bitmap."""
    words = run(tool, *options, path).split()
    kind, columns, rows = words[0], int(words[1]), int(words[2])
    numbers = np.array([int(word) for word in words[4:]])
    return numbers.reshape((rows, columns, 3) if kind == "P3" else (rows, columns))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless], ids=lambda uid: uid.keyword)
def test_grey_grows_as_displayed(tmp_path: Path, inverted: bool, uid: str) -> None:
    path = write(a_radiograph(bits_stored=12, inverted=inverted), tmp_path / "a.dcm", transfer_syntax_uid=uid)
    theirs = displayed(path, "+Ww", 2048, 4096, "+opn", 12)
    assert np.array_equal(volume_of([path]).voxels[0], theirs)


@pytest.mark.parametrize("inverted", [False, True])
def test_grey_after_a_rescale_as_displayed(tmp_path: Path, inverted: bool) -> None:
    ds = a_computed_radiograph(inverted=inverted, attributes={"RescaleSlope": 2, "RescaleIntercept": -100})
    path = write(ds, tmp_path / "a.dcm")
    theirs = displayed(path, "+Ww", -100 + 1023.5, 2047, "+opn", 16)  # from -100 to 1946
    ours = (volume_of([path]).voxels[0] + 100) / 2046 * 65535
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("frame", [1, 3, 5])
def test_frames_of_a_run(tmp_path: Path, frame: int) -> None:
    path = write(an_angiogram(frames=5), tmp_path / "a.dcm")
    theirs = displayed(path, "+F", frame, "+Ww", 128, 256, "+opb")
    assert np.array_equal(volume_of([path]).voxels[frame - 1], theirs)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("uid", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless], ids=lambda uid: uid.keyword)
def test_colours(tmp_path: Path, photometric: str, planar: int, uid: str) -> None:
    ds = an_ultrasound(values=RGB // 2 + 64, photometric=photometric)
    if planar and uid != RLELossless:
        ds.PlanarConfiguration = 1
        ds.PixelData = (RGB // 2 + 64).transpose(2, 0, 1).tobytes()
    path = write(ds, tmp_path / "a.dcm", transfer_syntax_uid=uid)
    theirs = displayed(path, "+opb")
    inside = ((theirs > 0) & (theirs < 255)).all(axis=-1)
    difference = np.abs(volume_of([path]).voxels[0] - theirs @ BT601)
    assert inside.mean() > 0.3
    assert difference[inside].max() <= (0.01 if photometric == "RGB" else 1.0)  # theirs are rounded


@pytest.mark.parametrize(
    ("options", "photometric", "tolerance"),
    [
        (["+eb", "+cy", "+s4"], "YBR_FULL", 2),
        (["+eb", "+cy", "+s2"], "YBR_FULL_422", 2),
        (["+eb", "+cr"], "RGB", 2),
        (["+e1"], "RGB", 0.01),
        (["+el"], "RGB", 0.01),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_jpeg_colours(tmp_path: Path, options: list[str], photometric: str, tolerance: float) -> None:
    original = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "original.dcm")
    path = tmp_path / "a.dcm"
    run("dcmcjpeg", *options, original, path)
    assert dcmread(path).PhotometricInterpretation == photometric
    theirs = displayed(path, "+opb", tool="dcmj2pnm")
    inside = ((theirs > 0) & (theirs < 255)).all(axis=-1)
    assert np.abs(volume_of([path]).voxels[0] - theirs @ BT601)[inside].max() <= tolerance


@pytest.mark.parametrize(
    ("options", "says"), [(["+eb", "+cy"], "RGB"), (["+eb", "+cr"], "YBR_FULL")], ids=["is YBR", "is RGB"]
)
def test_a_header_that_lies_about_the_colours_of_a_jpeg(tmp_path: Path, options: list[str], says: str) -> None:
    original = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "original.dcm")
    path = tmp_path / "a.dcm"
    run("dcmcjpeg", *options, original, path)
    honest = volume_of([path])
    ds = dcmread(path)
    ds.PhotometricInterpretation = says
    dcmwrite(path, ds)
    lying = volume_of([path])
    assert np.array_equal(lying.voxels, honest.voxels)
    assert any(f"the header says {says}: they were followed" in note for note in lying.notes)
    assert not any("they were followed" in note for note in honest.notes)


@pytest.mark.parametrize("option", ["+il", "+is", "+in"], ids=["by line", "by sample", "by plane"])
def test_jpeg_ls_colours(tmp_path: Path, option: str) -> None:
    original = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "original.dcm")
    run("dcmcjpls", option, original, tmp_path / "a.dcm")
    assert np.allclose(volume_of([tmp_path / "a.dcm"]).voxels[0], RGB @ BT601, atol=1e-3)


def test_palette_colours(tmp_path: Path) -> None:
    original = write(an_ultrasound(values=RGB, photometric="RGB"), tmp_path / "original.dcm")
    path = tmp_path / "a.dcm"
    run("dcmquant", "+pe", "+pc", 100, original, path)
    assert dcmread(path).PhotometricInterpretation == "PALETTE COLOR"
    theirs = displayed(path, "+opb")
    assert len(np.unique(theirs.reshape(-1, 3), axis=0)) > 20
    assert np.abs(volume_of([path]).voxels[0] - theirs @ BT601).max() <= 0.01


def test_the_header_that_dcmdump_sees(tmp_path: Path) -> None:
    ds = an_ultrasound(frames=3, frame_time_ms=33.333)
    path = write(ds, tmp_path / "a.dcm", transfer_syntax_uid=JPEG2000Lossless)
    said = run("dcmdump", "+P", "FrameTime", "+P", "PhysicalDeltaX", "+P", "PhysicalDeltaY", path)
    time, delta_x, delta_y = (float(line.split("#")[0].split()[2].strip("[]")) for line in said.splitlines())
    volume = volume_of([path])
    assert volume.frame_time_ms == pytest.approx(time)
    assert volume.geometry.spacing_mm == pytest.approx((1.0, delta_y * 10, delta_x * 10))
