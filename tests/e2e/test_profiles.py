"""Two destinations of different profiles: each gets its own objects of one analysis, and one is told of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests import builders
from tests.chaos.toy_model import NAME, write_package
from tests.e2e.processes import Installation, until
from worker.demo.archive import part10_files
from worker.demo.pacs import DemoPacs

pytestmark = [pytest.mark.timeout(400)]

SEG, REPORT, TEXT, KEY, CAPTURE = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.88.59",
    "1.2.840.10008.5.1.4.1.1.7",
)


@dataclass(frozen=True)
class Running:
    installation: Installation
    folder: Path

    @property
    def reading(self) -> Path:
        return self.folder / "reading"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def send(self, name: str, **arguments: Any) -> str:
        folder = self.folder / name
        builders.a_ct_series(folder, slices=8, rows=64, columns=64, study=name, series=name, **arguments)
        assert self.installation.send(folder).returncode == 0
        return str(dcmread(next(folder.glob("*.dcm")), stop_before_pixels=True).StudyInstanceUID)

    def job(self, study: str, state: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            jobs = [job for job in self.installation.jobs() if job["study_instance_uid"] == study]
            return next((job for job in jobs if job["kind"] == "analyse" and job["state"] == state), None)

        job: dict[str, Any] = until(found, what=f"the analysis is {state}")
        return job


def stored(folder: Path, study: str) -> list[Dataset]:
    """What a PACS holds of a study."""
    found = [dcmread(BytesIO(content)) for content in part10_files(folder)]
    return [ds for ds in found if ds.StudyInstanceUID == study]


def classes(folder: Path, study: str) -> list[str]:
    return sorted(str(ds.SOPClassUID) for ds in stored(folder, study))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("profiles")
    write_package(folder / "models")
    with (
        DemoPacs(folder / "reading", ae_title="READING") as reading,
        DemoPacs(folder / "archive", ae_title="ARCHIVE") as archive,
    ):
        destinations = [
            {"name": "reading", "ae_title": "READING", "host": "127.0.0.1", "port": reading.port},
            {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive.port, "profile": "site"},
        ]
        environ = {
            "OVERREAD_DESTINATIONS": json.dumps(destinations),
            "OVERREAD_PROFILES": json.dumps([{"name": "site", "based_on": "plain", "refusals": True}]),
            "OVERREAD_MODELS__FOLDERS": json.dumps([str(folder / "models")]),
            "OVERREAD_MODELS__ENABLED": json.dumps([NAME]),
        }
        with Installation(folder, send_to=[], environ=environ) as installation:
            yield Running(installation, folder)


def test_each_destination_gets_the_objects_of_its_profile(running: Running) -> None:
    study = running.send("found")
    running.job(study, "committed")
    reading, archive = classes(running.reading, study), classes(running.archive, study)
    assert reading == sorted([SEG, REPORT])
    assert set(archive) == {TEXT, CAPTURE, KEY}
    first = {ds.SOPInstanceUID for ds in stored(running.reading, study)}
    second = {ds.SOPInstanceUID for ds in stored(running.archive, study)}
    assert not first & second


def test_who_wants_to_know_is_told_that_nothing_was_analysed(running: Running) -> None:
    study = running.send("uniform", hu=np.zeros((8, 64, 64), np.int16))
    job = running.job(study, "committed")
    assert "not analysed, input-constant" in json.dumps(running.installation.json("show", job["job_id"])["timeline"])
    assert classes(running.reading, study) == []
    (ds,) = stored(running.archive, study)
    assert ds.SOPClassUID == TEXT
    assert "Not analysed" in ds.to_json()
    assert (ds.VerificationFlag, ds.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
