"""Late images, a newer model, nothing new: what two PACS hold in the end, told by their own files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import builders
from tests.integration.revision.site import Site, held_by
from worker.deliver.send_files import send_files
from worker.demo.pacs import DemoPacs
from worker.domain.job import JobKind, JobState
from worker.domain.result import ResultKind


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, ...]:
    return builders.a_ct_series(tmp_path / "images", slices=6, rows=24, columns=24)


def arrive(site: Site, paths: tuple[Path, ...], folder: Path) -> str:
    """A modality sends to the PACS, and the PACS routes its study to the worker. Returns the study."""
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder)
    (uid,) = site.pacs.import_folder(folder)
    assert site.pacs.route(uid, site.listener).failed == 0
    site.settle()
    return uid


def kinds(pacs: DemoPacs) -> list[str]:
    return [ds.Modality for _, ds in held_by(pacs)]


def of_kind(pacs: DemoPacs, modality: str) -> list[Dataset]:
    return [ds for _, ds in held_by(pacs) if ds.Modality == modality]


def rejected_by(note: Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    }


def analyses(site: Site, uid: str) -> list[tuple[int, JobState]]:
    found = [job for job in site.study(uid).jobs if job.kind is JobKind.ANALYSE]
    return sorted((job.revision, job.state) for job in found)


def test_late_images_replace_the_first_results_and_withdraw_them_where_that_is_wanted(site, images, tmp_path) -> None:
    uid = arrive(site, images[:4], tmp_path / "early")
    first = {ds.SOPInstanceUID for _, ds in held_by(site.pacs)}
    assert kinds(site.pacs) == kinds(site.archive) == ["SEG", "SR"]
    (first_report,) = of_kind(site.pacs, "SR")

    arrive(site, images, tmp_path / "late")
    assert kinds(site.pacs) == ["SEG", "SR", "SEG", "SR", "KO"], "the note comes after what it makes room for"
    assert kinds(site.archive) == ["SEG", "SR", "SEG", "SR"]
    assert analyses(site, uid) == [(1, JobState.SUPERSEDED), (2, JobState.COMMITTED)]

    (note,) = of_kind(site.pacs, "KO")
    assert rejected_by(note) == first
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    image = dcmread(images[0])
    assert (note.StudyInstanceUID, note.PatientID, note.PatientName) == (uid, image.PatientID, image.PatientName)

    second = {ds.SOPInstanceUID for _, ds in held_by(site.archive)} - first
    assert len(second) == 2
    assert not second & rejected_by(note)
    for pacs in (site.pacs, site.archive):
        (report,) = [ds for ds in of_kind(pacs, "SR") if ds.SOPInstanceUID in second]
        (series,) = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
        assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == [first_report.SOPInstanceUID]


def test_what_changed_nothing_makes_nothing(site, images, tmp_path) -> None:
    uid = arrive(site, images, tmp_path / "once")
    before = {path: path.read_bytes() for path, _ in held_by(site.pacs)}
    arrive(site, images, tmp_path / "twice")
    assert {path: path.read_bytes() for path, _ in held_by(site.pacs)} == before
    assert analyses(site, uid) == [(1, JobState.COMMITTED)]
    done = site.command("rerun", uid)
    assert done.returncode == 0, done.stderr
    site.settle()
    assert site.study(uid).revision == 2
    assert {path: path.read_bytes() for path, _ in held_by(site.pacs)} == before
    assert analyses(site, uid) == [(1, JobState.COMMITTED)]


def test_a_person_has_a_study_done_anew_by_a_newer_model_and_back_again(site, images, tmp_path) -> None:
    uid = arrive(site, images, tmp_path / "once")
    generations = [{ds.SOPInstanceUID for _, ds in held_by(site.pacs)}]
    for version, threshold in (("2.0.0", -700.0), ("1.0.0", -500.0)):
        site.install(version, threshold=threshold)
        site.work = site.new_worker()
        done = site.command("rerun", uid)
        assert done.returncode == 0, done.stderr
        site.settle()
        notes = of_kind(site.pacs, "KO")
        assert rejected_by(notes[-1]) == generations[-1]
        assert len(notes) == len(generations)
        found = {ds.SOPInstanceUID for _, ds in held_by(site.pacs) if ds.Modality != "KO"}
        generations.append(found - set().union(*generations))
        assert len(generations[-1]) == 2, "also back at the first model: what was withdrawn is never used again"
    assert analyses(site, uid) == [(1, JobState.SUPERSEDED), (2, JobState.SUPERSEDED), (3, JobState.COMMITTED)]
    versions = {
        str(ds.SOPInstanceUID): ds.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion
        for ds in of_kind(site.pacs, "SEG")
    }
    standing = set(versions) - set().union(*(rejected_by(note) for note in of_kind(site.pacs, "KO")))
    assert [versions[one] for one in standing] == ["1.0.0"]


def test_our_own_note_coming_back_is_no_new_image(site, images, tmp_path) -> None:
    uid = arrive(site, images[:4], tmp_path / "early")
    arrive(site, images, tmp_path / "late")
    notes = [path for path, ds in held_by(site.pacs) if ds.Modality == "KO"]
    (result,) = [
        one
        for job in site.study(uid).jobs
        for one in site.ledger.queries.results(job.job_id)
        if one.kind is ResultKind.KOS
    ]
    # As another installation's, too: known by its equipment alone, whatever its UID.
    ds = dcmread(notes[0])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.77"
    other = tmp_path / "other.dcm"
    ds.save_as(other)
    report = send_files([*notes, other], site.listener, calling_ae_title="PACS")
    assert report.failures == ()
    site.settle()
    details = site.study(uid)
    assert details.own_results == 2
    assert details.instance_count == len(images)
    assert details.revision == 2
    assert notes[0].read_bytes()[-100:] == result.path.read_bytes()[-100:]


def test_a_study_that_nobody_knows_is_not_done_anew(site) -> None:
    done = site.command("rerun", "1.2.3.4")
    assert done.returncode == 65
    assert "unknown-study" in done.stderr
