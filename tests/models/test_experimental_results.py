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
NAMES = ("chest-tilt-cr", "chest-view-cr", "lungs-cr")
SEG = "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture(scope="module")
def written(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The objects of every experimental package for the chest radiograph, by package."""
    folder = tmp_path_factory.mktemp("experimental")
    config, output = folder / "overread.toml", folder / "results"
    config.write_text(f"[models]\nexperimental = {json.dumps(NAMES)}\n", encoding="utf-8")
    study = fetch("chest-cr", sample_cache)
    arguments = ["run", str(study), "--config", str(config), "--output", str(output)]
    answer = CliRunner().invoke(build(), arguments)
    assert answer.exit_code == 0, answer.output
    return {name: sorted(output.glob(f"{name}-*.dcm")) for name in NAMES}


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


@pytest.mark.parametrize(
    ("model", "said"),
    [("chest-tilt-cr", "Rotation Angle"), ("chest-view-cr", "frontal"), ("lungs-cr", "Left lung")],
)
def test_reports_say_what_was_found_and_that_it_is_an_experiment(
    written: dict[str, list[Path]], model: str, said: str
) -> None:
    reports = [pydicom.dcmread(path) for path in written[model] if path.stem.endswith("-sr")]
    text = "\n".join(str(element.value) for report in reports for element in report.iterall())
    assert said in text
    assert "Experimental model" in text
    assert {report.VerificationFlag for report in reports} == {"UNVERIFIED"}
