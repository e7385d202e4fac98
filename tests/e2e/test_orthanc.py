"""The main job against a real PACS: Orthanc routes a study to us, and SEG and SR come back into the same study."""

from __future__ import annotations

import io
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from tests import builders
from tests.e2e.processes import Installation, Orthanc, tree, until
from tests.ports import free_port
from worker import samples

pytestmark = [pytest.mark.orthanc, pytest.mark.dcmtk, pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Done:
    """One study of each sample, through a real PACS and back."""

    orthanc: Orthanc
    overread: Installation
    images: dict[str, list[Path]]
    folder: Path

    def results(self, study: str) -> dict[str, pydicom.Dataset]:
        found = {}
        for modality in ("SEG", "SR"):
            for instance in self.orthanc.instances_of(modality):
                ds = pydicom.dcmread(io.BytesIO(self.orthanc.file(instance)))
                if ds.StudyInstanceUID == study:
                    assert modality not in found, "doubled"
                    found[modality] = ds
        return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, sample_cache: Path) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    orthanc = Orthanc(folder / "orthanc", worker_port=port).start()
    overread = Installation(folder, send_to=[orthanc.destination], port=port)
    try:
        overread.start()
        images = {}
        for name in ("chest-ct", "brain-mr"):
            images[name] = sorted(samples.fetch(name, sample_cache).glob("*.dcm"))
            orthanc.upload(images[name])
        until(lambda: len(orthanc.instances_of("SR")) == 2, what="two reports stand in Orthanc")
        yield Done(orthanc, overread, images, folder)
    finally:
        if overread.process is not None:
            overread.stop()
        orthanc.stop()


@pytest.mark.parametrize("name", ["chest-ct", "brain-mr"])
def test_seg_and_sr_stand_in_the_study_of_the_images(done: Done, name: str) -> None:
    source = pydicom.dcmread(done.images[name][0], stop_before_pixels=True)
    results = done.results(source.StudyInstanceUID)
    assert set(results) == {"SEG", "SR"}
    for result in results.values():
        assert result.PatientID == source.PatientID
        assert result.PatientName == source.PatientName
        assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert results["SEG"].FrameOfReferenceUID == source.FrameOfReferenceUID
    assert results["SR"].VerificationFlag == "UNVERIFIED"
    assert results["SR"].PreliminaryFlag == "PRELIMINARY"
    # One study in the PACS for each study that was sent: nothing landed beside it.
    assert len(done.orthanc.get("/studies")) == 2
    assert len(done.orthanc.get("/patients")) == 2


@pytest.mark.parametrize("name", ["chest-ct", "brain-mr"])
def test_no_validator_finds_an_error(done: Done, name: str, tmp_path: Path) -> None:
    study = pydicom.dcmread(done.images[name][0], stop_before_pixels=True).StudyInstanceUID
    for modality, ds in done.results(study).items():
        path = tmp_path / f"{modality}.dcm"
        ds.save_as(path)
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]
        # The tool cannot know whether an unstated body part is a paired one.
        assert [e for e in errors if "Laterality" not in e] == []
        if modality == "SR":
            read = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, text=True, check=False)
            assert read.returncode == 0, read.stderr
            assert "Imaging Measurement Report" in read.stdout
            assert "mL" in read.stdout
    whole = [*(str(p) for p in done.images[name]), *(str(p) for p in tmp_path.glob("*.dcm"))]
    together = subprocess.run(["dcentvfy", *whole], capture_output=True, text=True, check=False)
    # What the images themselves refer to and was never published is not ours.
    said_of_ours = [line for line in (together.stdout + together.stderr).splitlines() if str(tmp_path) in line]
    assert [line for line in said_of_ours if line.startswith("Error")] == []


def test_an_independent_reader_finds_the_lungs_in_the_air_of_the_images(done: Done, tmp_path: Path) -> None:
    """dcmqi reads our SEG; SimpleITK reads the images: the mask must lie on lung, in patient coordinates."""
    source = pydicom.dcmread(done.images["chest-ct"][0], stop_before_pixels=True)
    done.results(source.StudyInstanceUID)["SEG"].save_as(tmp_path / "seg.dcm")
    subprocess.run(
        [
            "segimage2itkimage",
            "--inputDICOM",
            str(tmp_path / "seg.dcm"),
            "--outputDirectory",
            str(tmp_path),
            "-t",
            "nrrd",
        ],
        check=True,
        capture_output=True,
    )
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(done.images["chest-ct"][0].parent)))
    image = reader.Execute()
    hu = sitk.GetArrayFromImage(image)
    report = done.overread.jobs()
    (job,) = [one for one in report if one["kind"] == "analyse" and "lungs" in one["model"]["name"]]
    findings = done.overread.json("show", job["job_id"])["findings"]
    findings = json.loads(findings)
    volumes = {f["label"]: f["measurements"][0]["value"] for f in findings["findings"]}
    masks = sorted(tmp_path.glob("*.nrrd"))
    assert len(masks) == len(volumes)
    for path in masks:
        mask = sitk.ReadImage(str(path))
        on_grid = sitk.GetArrayFromImage(sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)) > 0
        own_ml = float((sitk.GetArrayFromImage(mask) > 0).sum() * np.prod(mask.GetSpacing()) / 1000)
        grid_ml = float(on_grid.sum() * np.prod(image.GetSpacing()) / 1000)
        assert own_ml == pytest.approx(grid_ml, rel=1e-3), "the mask does not lie on the grid of the images"
        assert min(abs(own_ml - ml) for ml in volumes.values()) < 0.01 * own_ml + 0.5
        assert np.median(hu[on_grid]) < -600, "the mask does not lie on air"


def test_nothing_loops_and_a_second_sending_changes_nothing(done: Done) -> None:
    before = {one["ID"] for one in done.orthanc.series()}
    jobs_before = {job["job_id"]: job["state"] for job in done.overread.jobs()}
    counts = {name: len(files) for name, files in done.images.items()}
    for series in done.orthanc.series():
        if series["MainDicomTags"]["Modality"] in {"CT", "MR", "SEG", "SR"}:
            body = f'{{"Resources": ["{series["ID"]}"], "Synchronous": true}}'.encode()
            url = f"http://127.0.0.1:{done.orthanc.http}/modalities/overread/store"
            urllib.request.urlopen(urllib.request.Request(url, body), timeout=120).close()
    # A study that comes last waits as long as those before it: when it is through, what would loop has begun to.
    capture = builders.write(builders.a_secondary_capture(study="after"), done.folder / "after.dcm")
    assert done.overread.send(capture).returncode == 0
    until(lambda: [j for j in done.overread.jobs() if j["state"] == "no-model-applies"], what="the next study ends")
    until(
        lambda: all(
            job["state"] in {"committed", "delivered", "routed", "no-model-applies"} for job in done.overread.jobs()
        ),
        what="everything is at rest",
    )
    assert {one["ID"] for one in done.orthanc.series()} == before
    after = {job["job_id"]: job["state"] for job in done.overread.jobs()}
    assert {k: after[k] for k in jobs_before} == jobs_before
    assert not [job for job in done.overread.jobs() if job["kind"] == "analyse" and job["job_id"] not in jobs_before]
    assert sum(len(s["Instances"]) for s in done.orthanc.series()) == sum(counts.values()) + 4


def test_the_administrator_can_ask_why(done: Done) -> None:
    study = pydicom.dcmread(done.images["chest-ct"][0], stop_before_pixels=True).StudyInstanceUID
    decisions = done.overread.json("explain", study)["decisions"]
    chosen = {d["model"] for d in decisions if d["chosen"]}
    refused = {d["model"]: " ".join(d["reasons"]) for d in decisions if not d["chosen"]}
    assert chosen == {"lungs-airways-ct"}
    assert "Modality" in refused["brain-mr-t1"]


def test_sigterm_ends_every_process(done: Done, tmp_path: Path) -> None:
    with Installation(tmp_path, send_to=[done.orthanc.destination]) as other:
        assert other.process is not None
        pids = until(lambda: (found := tree(other.process.pid)) and len(found) >= 6 and found, what="all started")
        assert other.stop() == 0
    alive = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert alive == []
