"""A model of two inputs through the whole site: both series, one of them, late images of the second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import builders
from tests.integration.revision.site import Site, held_by
from tests.unit.inference.two_inputs import FIRST_MM, SHAPE, SPACING_MM, grid, seen, two_input_data, two_input_package
from worker.domain.job import Job, JobKind, JobState
from worker.wiring import viewing

T2_SPACING_MM, T2_FIRST_MM, T2_SHAPE = (3.0, 1.5, 2.5), (-55.0, -50.0, -45.0), (30, 68, 46)
T1_FILES = 20


@dataclass
class TwoInputSite(Site):
    """The same site with another model."""

    def install(self, version: str, *, threshold: float) -> None:
        two_input_package(self.folder / "models" / "toy-two", two_input_data())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TwoInputSite]:
    made = TwoInputSite(tmp_path)
    yield made
    made.close()


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, ...]:
    """T1 files by plane, then T2 files by plane: one study, one Frame of Reference, two grids.

    The UID of the T2 series sorts first: an order that is not the manifest's would be noticed.
    """
    t1 = builders.an_mr_series(
        tmp_path / "images", spacing_mm=SPACING_MM, origin=FIRST_MM, series="b", description="t1 mprage",
        values=seen(grid(), SHAPE, sequence="t1"),
    )  # fmt: skip
    t2 = builders.an_mr_series(
        tmp_path / "images", spacing_mm=T2_SPACING_MM, origin=T2_FIRST_MM, series="a", description="t2 tse",
        values=seen(grid(T2_SPACING_MM, T2_FIRST_MM), T2_SHAPE, sequence="t2"),
    )  # fmt: skip
    return (*t1, *t2)


def arrive(site: Site, paths: tuple[Path, ...], folder: Path) -> str:
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder)
    (uid,) = site.pacs.import_folder(folder)
    assert site.pacs.route(uid, site.listener).failed == 0
    site.settle()
    return uid


def results(site: Site) -> list[Dataset]:
    return [ds for _, ds in held_by(site.pacs) if ds.Modality != "MR"]


def analyses(site: Site, uid: str) -> list[Job]:
    return sorted((job for job in site.study(uid).jobs if job.kind is JobKind.ANALYSE), key=lambda job: job.revision)


def evidence_of(report: Dataset) -> dict[str, int]:
    return {
        str(series.SeriesInstanceUID): len(series.ReferencedSOPSequence)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
    }


def test_both_series_give_one_result_on_the_reference_with_all_of_the_evidence(site, images, tmp_path) -> None:
    uid = arrive(site, images, tmp_path / "whole")
    t1, t2 = dcmread(images[0]), dcmread(images[-1])
    seg, report = results(site)
    assert (seg.Modality, report.Modality) == ("SEG", "SR")
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == t1.SeriesInstanceUID, "findings lie on the reference"
    listed = evidence_of(report)
    assert listed.pop(seg.SeriesInstanceUID) == 1
    assert listed == {t1.SeriesInstanceUID: T1_FILES, t2.SeriesInstanceUID: T2_SHAPE[0]}

    frames = seg.pixel_array.reshape(-1, *SHAPE[1:])
    found = {
        round((float(item.PlanePositionSequence[0].ImagePositionPatient[2]) - FIRST_MM[2]) / SPACING_MM[0]): frame
        for item, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True)
    }
    mask = np.stack([found.get(k, np.zeros(SHAPE[1:])) for k in range(SHAPE[0])]) > 0
    expected = seen(grid(), SHAPE, sequence="t2") - seen(grid(), SHAPE, sequence="t1") > 300
    assert 2 * np.count_nonzero(mask & expected) / (mask.sum() + expected.sum()) > 0.97

    (job,) = analyses(site, uid)
    assert (job.state, job.series_instance_uid) == (JobState.COMMITTED, t1.SeriesInstanceUID)
    summary = json.loads(site.ledger.queries.summary(job.job_id))
    assert summary["inputs"] == {"t1": t1.SeriesInstanceUID, "t2": t2.SeriesInstanceUID}
    instances = [one.header.series_instance_uid for one in site.ledger.evidence.of_analysis(job)]
    assert instances == [t1.SeriesInstanceUID] * T1_FILES + [t2.SeriesInstanceUID] * T2_SHAPE[0]


def test_without_the_second_series_nothing_runs_and_the_reason_names_it_until_it_comes(site, images, tmp_path) -> None:
    uid = arrive(site, images[:T1_FILES], tmp_path / "half")
    assert results(site) == []
    assert analyses(site, uid) == []
    (route,) = site.study(uid).jobs
    assert route.state is JobState.NO_MODEL_APPLIES
    said = {one.input: one for one in site.ledger.queries.decisions(uid)}
    assert said["t1"].reasons == ('The model needs other series too, and none is fit for input "t2".',)
    shown = site.command("explain", uid, "--json")
    assert '"input": "t2"' in shown.stdout

    arrive(site, images, tmp_path / "whole")
    assert [ds.Modality for ds in results(site)] == ["SEG", "SR"]
    assert {one.input: one.series_instance_uid for one in site.ledger.queries.decisions(uid) if one.chosen} == {
        "t1": dcmread(images[0]).SeriesInstanceUID,
        "t2": dcmread(images[-1]).SeriesInstanceUID,
    }


def test_late_images_of_the_second_series_make_a_revision(site, images, tmp_path) -> None:
    uid = arrive(site, images[:-2], tmp_path / "early")
    first = [ds.SOPInstanceUID for ds in results(site)]
    assert len(first) == 2
    arrive(site, images, tmp_path / "late")
    assert [ds.Modality for ds in results(site)] == ["SEG", "SR", "SEG", "SR", "KO"]
    assert [(job.revision, job.state) for job in analyses(site, uid)] == [
        (1, JobState.SUPERSEDED),
        (2, JobState.COMMITTED),
    ]
    note = results(site)[-1]
    rejected = [
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    ]
    assert sorted(rejected) == sorted(first)
    arrive(site, images, tmp_path / "again")
    assert len(analyses(site, uid)) == 2, "what changed nothing makes nothing"


def test_a_patient_who_differs_between_the_series_gets_no_result(site, images, tmp_path) -> None:
    for path in images[T1_FILES:]:
        ds = dcmread(path)
        ds.PatientBirthDate = "19711103"
        ds.save_as(path)
    uid = arrive(site, images, tmp_path / "mixed")
    assert results(site) == []
    (route,) = site.study(uid).jobs
    assert route.state is JobState.QUARANTINED
    assert "PatientBirthDate" in route.reason


def test_the_pictures_of_a_job_are_those_of_the_reference(site, images, tmp_path) -> None:
    uid = arrive(site, images, tmp_path / "whole")
    (job,) = analyses(site, uid)
    record = viewing.record_of_job(site.settings, job.job_id)
    assert record.volume is not None
    assert record.volume.series_instance_uid == dcmread(images[0]).SeriesInstanceUID
    assert record.evidence_count == len(images)
