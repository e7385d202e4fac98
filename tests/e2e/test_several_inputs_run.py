"""Models of several inputs from the command line, on files: run, register, explain, refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from tests import builders
from tests.e2e.processes import command
from tests.unit.inference.steps.test_inference_registration import moved_by, t2_elsewhere
from tests.unit.inference.two_inputs import FIRST_MM, SHAPE, SPACING_MM, grid, seen, two_input_package

FOUND = seen(grid(), SHAPE, sequence="t2") - seen(grid(), SHAPE, sequence="t1") > 300


def site(folder: Path, **second: Any) -> dict[str, str]:
    two_input_package(folder / "models" / "toy-two", **second)
    return {"OVERREAD_MODELS__FOLDERS": json.dumps([str(folder / "models")]), "OVERREAD_MODELS__PACKAGED": "false"}


def a_study(folder: Path, *, second: bool = True) -> Path:
    """T1, and T2 of the head after it was turned and shifted in another scanner."""
    builders.an_mr_series(
        folder, spacing_mm=SPACING_MM, origin=FIRST_MM, series="a", description="t1 mprage",
        values=seen(grid(), SHAPE, sequence="t1"),
    )  # fmt: skip
    if second:
        moved = t2_elsewhere(moved_by((3.0, 5.0, -4.0), (9.0, -12.0, 20.0)))
        builders.an_mr_series(
            folder, spacing_mm=moved.geometry.spacing_mm, origin=moved.geometry.affine_lps[:3, 3], series="b",
            description="t2 tse", values=moved.voxels, attributes={"FrameOfReferenceUID": "2.25.777"},
        )  # fmt: skip
    return folder


def test_a_second_series_of_another_scanner_is_registered_and_the_result_says_so(tmp_path: Path) -> None:
    environ = site(tmp_path, registration="rigid")
    study = a_study(tmp_path / "study")
    explained = command("explain", "--files", str(study), "--json", environ=environ)
    chosen = {one["input"]: one for one in json.loads(explained.stdout)["decisions"] if one["chosen"]}
    assert set(chosen) == {"t1", "t2"}
    done = command("run", str(study), "--output", str(tmp_path / "out"), "--json", environ=environ)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    objects = [dcmread(path) for path in result["files"]]
    assert [ds.Modality for ds in objects] == ["SEG", "SR", "SR"]
    seg, report, text = objects
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == chosen["t1"]["series_instance_uid"]
    volume = np.count_nonzero(seg.pixel_array) / np.count_nonzero(FOUND)
    assert 0.85 < volume < 1.15
    for ds in (report, text):
        of_series = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert {one["series_instance_uid"] for one in chosen.values()} <= {one.SeriesInstanceUID for one in of_series}
    assert "rigid registration" in text.to_json()


def test_what_may_not_be_registered_is_refused_and_what_is_missing_is_named(tmp_path: Path) -> None:
    environ = site(tmp_path)
    refused = command("run", str(a_study(tmp_path / "both")), "--output", str(tmp_path / "out"), environ=environ)
    assert refused.returncode == 65
    assert "frame-of-reference" in refused.stderr
    study = a_study(tmp_path / "half", second=False)
    missing = command("run", str(study), "--output", str(tmp_path / "out"), environ=environ)
    assert missing.returncode == 65
    assert "no-model-applies" in missing.stderr
    assert 'none is fit for input "t2"' in " ".join(missing.stdout.split())
