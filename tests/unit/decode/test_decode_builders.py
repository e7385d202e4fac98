"""The builders make what they say: valid, deterministic objects."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests import builders, picture_builders
from tests.builders import a_ct_phantom, a_ct_series, a_ct_slice, a_localizer, an_enhanced_ct, stored_instance, write


def dciodvfy() -> str:
    beside = Path(sys.executable).with_name("dciodvfy")
    found = str(beside) if beside.exists() else shutil.which("dciodvfy")
    assert found, "dciodvfy comes with the test extra (dicom3tools)"
    return found


@pytest.mark.parametrize(
    "make",
    [builders.a_ct_slice, builders.an_mr_slice, a_localizer, builders.a_secondary_capture, an_enhanced_ct],
    ids=lambda make: make.__name__,
)
def test_objects_are_valid(tmp_path: Path, make) -> None:
    path = write(make(), tmp_path / "object.dcm")
    answer = subprocess.run([dciodvfy(), str(path)], capture_output=True, text=True, check=False)
    errors = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("Error")]
    assert errors == []


@pytest.mark.parametrize(
    "make",
    [
        picture_builders.a_radiograph,
        partial(picture_builders.a_radiograph, inverted=True, intent=picture_builders.FOR_PROCESSING),
        picture_builders.a_mammogram,
        partial(picture_builders.a_mammogram, magnified=True, intent=picture_builders.FOR_PROCESSING),
        picture_builders.a_computed_radiograph,
        picture_builders.an_angiogram,
        picture_builders.an_ultrasound,
        partial(picture_builders.an_ultrasound, frames=3),
        partial(picture_builders.an_ultrasound, photometric="RGB"),
        partial(picture_builders.an_ultrasound, frames=3, photometric="RGB"),
    ],
    ids=["dx", "dx-inverted", "mg", "mg-magnified", "cr", "xa", "us", "us-frames", "us-rgb", "us-rgb-frames"],
)
def test_pictures_are_valid(tmp_path: Path, make) -> None:
    test_objects_are_valid(tmp_path, make)


@pytest.mark.parametrize(
    "uid", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless]
)
def test_transfer_syntaxes_hold_the_same_pixels(tmp_path: Path, uid: str) -> None:
    hu = a_ct_phantom(slices=1, rows=33, columns=38)[0]
    read = dcmread(write(a_ct_slice(hu=hu), tmp_path / "a.dcm", transfer_syntax_uid=uid))
    assert read.file_meta.TransferSyntaxUID == uid
    assert np.array_equal(read.pixel_array - 1024, hu)


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (write(a_ct_slice(), tmp_path / name).read_bytes() for name in ("a.dcm", "b.dcm"))
    assert one == other


def test_a_series_has_one_file_per_plane_along_its_normal(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=4, orientation=builders.SAGITTAL, spacing_mm=(3.0, 1.0, 1.0), skip=(2,))
    places = [dcmread(path).ImagePositionPatient[0] for path in paths]
    assert np.allclose(np.diff(places), [-3.0, -6.0])


def test_stored_instance_knows_identity_and_digest(tmp_path: Path) -> None:
    one = stored_instance(write(a_ct_slice(patient=builders.BEN), tmp_path / "a.dcm"))
    other = stored_instance(write(a_ct_slice(patient=builders.BEN, instance=2), tmp_path / "b.dcm"))
    assert one.header.patient.patient_id == "OR-0002"
    assert one.sha256 != other.sha256
    assert one.size_bytes < one.path.stat().st_size
