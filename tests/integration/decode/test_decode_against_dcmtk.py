"""Files that DCMTK compressed, compared with DCMTK's own decompression."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.encaps import encapsulate, generate_frames

from tests.builders import a_ct_phantom, a_ct_slice, a_secondary_capture, an_mr_slice, write
from tests.unit.decode.reading import frames_of
from worker.decode.outcomes import PixelDataError

pytestmark = pytest.mark.dcmtk

HU = a_ct_phantom(slices=1, rows=48, columns=40)[0]
NOISE = np.random.default_rng(3).integers(0, 4000, (64, 64))


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("tool", "options", "uid"),
    [
        ("dcmcjpeg", ["+e1"], "1.2.840.10008.1.2.4.70"),
        ("dcmcjpeg", ["+el"], "1.2.840.10008.1.2.4.57"),
        ("dcmcjpeg", ["+el", "+sv", "7"], "1.2.840.10008.1.2.4.57"),
        ("dcmcjpls", [], "1.2.840.10008.1.2.4.80"),
        ("dcmcrle", [], "1.2.840.10008.1.2.5"),
        ("dcmconv", ["+ti"], "1.2.840.10008.1.2"),
        ("dcmconv", ["+tb"], "1.2.840.10008.1.2.2"),
        ("dcmconv", ["+td"], "1.2.840.10008.1.2.1.99"),
    ],
)
@pytest.mark.parametrize("kind", ["ct", "mr", "grey"])
def test_lossless(tmp_path: Path, tool: str, options: list[str], uid: str, kind: str) -> None:
    make = {"ct": a_ct_slice(hu=HU), "mr": an_mr_slice(values=HU + 1024), "grey": a_secondary_capture(colour=False)}
    original = write(make[kind], tmp_path / "original.dcm")
    compressed = tmp_path / "compressed.dcm"
    run(tool, *options, original, compressed)
    assert dcmread(compressed, stop_before_pixels=True).file_meta.TransferSyntaxUID == uid
    assert np.array_equal(frames_of(compressed).values, frames_of(original).values)


@pytest.mark.parametrize(
    ("options", "kind", "uid"),
    [
        (["+eb"], "grey", "1.2.840.10008.1.2.4.50"),
        (["+ee"], "grey", "1.2.840.10008.1.2.4.51"),
        (["+ee"], "mr", "1.2.840.10008.1.2.4.51"),
        (["+ee"], "ct", "1.2.840.10008.1.2.4.51"),
    ],
)
def test_lossy_jpeg(tmp_path: Path, options: list[str], kind: str, uid: str) -> None:
    make = {"ct": a_ct_slice(hu=HU), "mr": an_mr_slice(values=HU + 1024), "grey": a_secondary_capture(colour=False)}
    original = write(make[kind], tmp_path / "original.dcm")
    compressed, reference = tmp_path / "compressed.dcm", tmp_path / "reference.dcm"
    run("dcmcjpeg", *options, original, compressed)
    run("dcmdjpeg", compressed, reference)
    assert dcmread(compressed, stop_before_pixels=True).file_meta.TransferSyntaxUID == uid
    slope = float(dcmread(reference).get("RescaleSlope", 1))
    difference = np.abs(frames_of(compressed).values - frames_of(reference).values)
    assert difference.max() <= 2 * slope  # two inverse cosine transforms round differently


def test_near_lossless_jpeg_ls(tmp_path: Path) -> None:
    original = write(an_mr_slice(values=HU + 1024), tmp_path / "original.dcm")
    run("dcmcjpls", "+en", "+md", "2", original, tmp_path / "compressed.dcm")
    assert dcmread(tmp_path / "compressed.dcm").file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.81"
    assert np.abs(frames_of(tmp_path / "compressed.dcm").values[0] - (HU + 1024)).max() <= 2


@pytest.mark.parametrize("options", [["+e1"], ["+el", "+sv", "6"], ["+eb"], ["+ee"]], ids=" ".join)
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("ended", [True, False])
def test_a_jpeg_scan_that_was_cut_short_is_never_filled(
    tmp_path: Path, options: list[str], kept: float, ended: bool
) -> None:
    """Also when somebody put an end marker behind it: libjpeg itself would return grey without a word."""
    path = tmp_path / "a.dcm"
    run("dcmcjpeg", *options, write(an_mr_slice(values=NOISE), tmp_path / "original.dcm"), path)
    assert frames_of(path).values.shape == (1, 64, 64)
    ds = dcmread(path)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    scan, end = frame.index(b"\xff\xda") + 14, frame.rindex(b"\xff\xd9")
    short = frame[: scan + int((end - scan) * kept)].rstrip(b"\xff")
    ds.PixelData = encapsulate([short + (b"\xff\xd9" if ended else b"")])
    ds["PixelData"].is_undefined_length = True
    dcmwrite(path, ds)
    with pytest.raises(PixelDataError) as caught:
        frames_of(path)
    assert caught.value.code in {"truncated-pixel-data", "decoder-failed"}
