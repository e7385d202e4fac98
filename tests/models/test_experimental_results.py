"""Experimental packages from files to DICOM: what the command line writes, read by programs of other people."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from tests.integration.results import validators
from worker.cli.main import build
from worker.samples import fetch

pytestmark = pytest.mark.dcmtk
SAMPLES = {
    "chest-tilt-cr": "chest-cr",
    "chest-view-cr": "chest-cr",
    "lungs-cr": "chest-cr",
    "body-region-ct": "head-ct-4mm",
    "nodules-chest-ct": "chest-ct-lung1",
}
SEG, COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"


@pytest.fixture(scope="module")
def written(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The objects that every experimental package makes of its sample, by package."""
    folder = tmp_path_factory.mktemp("experimental")
    config, output = folder / "overread.toml", folder / "results"
    config.write_text(f"[models]\nexperimental = {json.dumps(list(SAMPLES))}\n", encoding="utf-8")
    for name, sample in SAMPLES.items():
        study = fetch(sample, sample_cache)
        arguments = ["run", str(study), "--model", name, "--config", str(config), "--output", str(output)]
        answer = CliRunner().invoke(build(), arguments)
        assert answer.exit_code == 0, answer.output
    return {name: sorted(output.glob(f"{name}-*.dcm")) for name in SAMPLES}


def test_validators_find_nothing(written: dict[str, list[Path]]) -> None:
    for files in written.values():
        assert files
        assert [validators.dciodvfy(path) for path in files] == [[] for _ in files]
        reports = [path for path in files if path.stem.endswith("-sr")]
        assert [validators.dsrdump(path) for path in reports] == [[] for _ in reports]


def test_the_segmentation_lies_on_the_radiograph(written: dict[str, list[Path]]) -> None:
    seg = next(pydicom.dcmread(path) for path in written["lungs-cr"] if path.stem.endswith("-seg"))
    assert seg.SOPClassUID == SEG
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["Left lung", "Right lung"]
    (source,) = {frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
                 for frame in seg.PerFrameFunctionalGroupsSequence}  # fmt: skip
    assert source == seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID


def test_candidates_are_regions_on_their_slices(written: dict[str, list[Path]]) -> None:
    report = next(pydicom.dcmread(path) for path in written["nodules-chest-ct"] if path.stem.endswith("2-sr"))
    assert report.SOPClassUID == COMPREHENSIVE_3D_SR
    places = [item for item in report.iterall() if item.keyword == "GraphicType"]
    assert len(places) >= 4  # one for each candidate
    assert {place.value for place in places} <= {"POLYLINE", "POINT", "CIRCLE", "ELLIPSE", "POLYGON"}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("chest-tilt-cr", "Rotation Angle"),
        ("chest-view-cr", "frontal"),
        ("lungs-cr", "Left lung"),
        ("body-region-ct", "Head and Neck"),
        ("nodules-chest-ct", "Nodule candidate"),
    ],
)
def test_reports_say_what_was_found_and_that_it_is_an_experiment(
    written: dict[str, list[Path]], model: str, said: str
) -> None:
    reports = [pydicom.dcmread(path) for path in written[model] if path.stem.endswith("-sr")]
    text = "\n".join(str(element.value) for report in reports for element in report.iterall())
    assert said in text
    assert "Experimental model" in text
    assert {report.VerificationFlag for report in reports} == {"UNVERIFIED"}
