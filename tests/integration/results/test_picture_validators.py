"""Heat maps, key images, key objects and presentation states, judged and rendered by programs that we did not write."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests import builders
from tests.integration.results import validators
from tests.unit.results import given, projection, reading
from tests.unit.results.display import pictured
from tests.unit.results.display.pictured import Encoded
from worker.domain.result import ResultKind

pytestmark = [pytest.mark.slow, pytest.mark.dcmtk]


def judged(one: Encoded, folder: Path) -> dict[ResultKind, list[Path]]:
    """Write the pictures, let everybody judge; returns the files by kind."""
    files: dict[ResultKind, list[Path]] = {}
    for number, item in enumerate(one.objects):
        if item.kind in pictured.PICTURES:
            path = folder / f"{item.kind}-{number}.dcm"
            path.write_bytes(item.content)
            files.setdefault(item.kind, []).append(path)
    every = [path for paths in files.values() for path in paths]
    for path in every:
        assert validators.dciodvfy(path) == []
    assert validators.dcentvfy([*one.study.paths, *every], about=every) == []
    for path in files.get(ResultKind.KEY, []):
        assert validators.dsrdump(path) == []
    for path in files.get(ResultKind.PR, []):
        assert presentation_problems(path) == []
    return files


def presentation_problems(path: Path) -> list[str]:
    """What DCMTK's checker of presentation states says beside "passed"."""
    done = subprocess.run(["dcmpschk", str(path)], capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return [line for line in lines if not re.match(r"W: (Testing: |Test passed\.)", line)] or (
        [] if "Test passed." in done.stderr else lines
    )


def rendered(image: Path, state: Path, folder: Path) -> np.ndarray:
    """The image as DCMTK shows it under a presentation state: uint8, (row, column)."""
    target = folder / "rendered.pgm"
    subprocess.run(["dcmp2pgm", "-p", str(state), str(image), str(target)], check=True, capture_output=True, timeout=60)
    return np.asarray(Image.open(target))


STUDIES = {
    "CT": lambda folder: pictured.a_ct(folder),
    "MR": lambda folder: given.a_study(folder, modality="MR", rows=48, columns=40),
    "oblique": lambda folder: pictured.a_ct(folder, orientation=(0.8, 0.6, 0.0, -0.36, 0.48, -0.8)),
    "sagittal": lambda folder: pictured.a_ct(folder, orientation=builders.SAGITTAL),
    "enhanced": lambda folder: given.an_enhanced_study(folder),
    "DX": lambda folder: pictured.a_radiograph(folder),
    "CR inverted": lambda folder: pictured.a_radiograph(folder, modality="CR", PhotometricInterpretation="MONOCHROME1"),
    "US without spacing": lambda folder: pictured.a_radiograph(folder, modality="US", spacing_mm=None),
    "XA": lambda folder: projection.cine(folder, "XA"),
}


@pytest.mark.parametrize("profile", [pictured.FULL, pictured.FRAMES], ids=["single", "multi-frame"])
@pytest.mark.parametrize("name", STUDIES)
def test_every_picture_is_valid(tmp_path, name: str, profile) -> None:
    study = STUDIES[name](tmp_path / "images")
    one = pictured.encoded(study, profile=profile)
    assert one.failures() == {}
    files = judged(one, tmp_path)
    expected = pictured.PICTURES if study.volume.in_patient_space else pictured.PICTURES - {ResultKind.PM}
    assert set(files) == expected


def test_dcmtk_shows_the_values_that_we_meant(tmp_path) -> None:
    """Modality LUT and window of the presentation state, applied by DCMTK to the stored pixels."""
    window = {"WindowCenter": 40, "WindowWidth": 400}
    one = pictured.encoded(pictured.a_ct(tmp_path / "images", attributes=window))
    (path,) = judged(one, tmp_path)[ResultKind.PR]
    state = dcmread(path)
    shown = {a.ReferencedImageSequence[0].ReferencedSOPInstanceUID for a in state.GraphicAnnotationSequence}
    for image in one.study.paths:
        ds = dcmread(image)
        if ds.SOPInstanceUID in shown:
            hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
            expected = np.clip(((hu - 39.5) / 399 + 0.5) * 255, 0, 255)
            assert np.abs(rendered(image, path, tmp_path).astype(float) - expected).max() <= 1.5


def test_dcmtk_keeps_inverted_images_inverted(tmp_path) -> None:
    study = pictured.a_radiograph(tmp_path / "images", modality="CR", PhotometricInterpretation="MONOCHROME1")
    one = pictured.encoded(study)
    (path,) = judged(one, tmp_path)[ResultKind.PR]
    stored = dcmread(study.paths[0]).pixel_array.astype(float)
    picture = rendered(study.paths[0], path, tmp_path).astype(float)
    assert np.corrcoef(stored.ravel(), picture.ravel())[0, 1] < -0.99


def test_key_images_are_decoded_alike_by_dcmtk(tmp_path) -> None:
    one = pictured.encoded(pictured.a_ct(tmp_path / "images"))
    for number, path in enumerate(judged(one, tmp_path)[ResultKind.SC]):
        target = tmp_path / f"{number}.ppm"
        subprocess.run(["dcm2pnm", "+op", str(path), str(target)], check=True, capture_output=True, timeout=60)
        assert np.array_equal(np.asarray(Image.open(target)), dcmread(path).pixel_array)


def test_a_withdrawn_picture_is_an_image_to_the_note(tmp_path) -> None:
    """TID 2010: what has pixels is named as an image, everything else as a composite object."""
    from tests.unit.results.revised import predecessors_of
    from worker.domain.result import Withdrawal
    from worker.gate.result_gate import ResultGate
    from worker.results.encoder import DicomEncoder

    one = pictured.encoded(pictured.a_ct(tmp_path / "images"))
    old = predecessors_of(one.objects)
    withdrawal = Withdrawal(("PACS",), old)
    context = replace(given.CONTEXT, revision=2, generation=1, predecessors=old, withdrawals=(withdrawal,))
    objects = DicomEncoder(standard=one.profile).encode(one.conclusion, one.study.evidence, context)
    note = objects[-1]
    kinds = [item.ValueType for item in reading.named(reading.dataset(note), "260753009")]
    expected = {ResultKind.SEG: "IMAGE", ResultKind.PM: "IMAGE", ResultKind.SC: "IMAGE"}
    assert kinds == [expected.get(item.kind, "COMPOSITE") for item in one.objects]
    path = tmp_path / "note.dcm"
    path.write_bytes(note.content)
    assert validators.dciodvfy(path) == []
    report = ResultGate(standard=one.profile).check(objects, one.conclusion, one.study.evidence, context)
    assert [check for check in report.failures if check.name.startswith("kos")] == []
