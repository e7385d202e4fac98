"""``overread view``: a page on a job that a whole site carried out, and on a run without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests import builders
from tests.integration.revision.site import Site, held_by
from tests.unit.pictures.html_page import Parsed, ensure_self_contained
from worker.domain.errors import PermanentError
from worker.domain.job import Job, JobKind, JobState
from worker.domain.result import ResultKind
from worker.pictures.page import page_of
from worker.settings import load
from worker.store.custody.retention import Retention, RetentionPolicy
from worker.wiring import viewing


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def analysed(site: Site, folder: Path, **attributes: str) -> Job:
    """A CT through the whole site; returns its analysis."""
    builders.a_ct_series(folder / "images", slices=6, rows=24, columns=24, attributes=attributes)
    (uid,) = site.pacs.import_folder(folder / "images")
    assert site.pacs.route(uid, site.listener).failed == 0
    site.settle()
    (job,) = [one for one in site.study(uid).jobs if one.kind is JobKind.ANALYSE]
    assert job.state is JobState.COMMITTED
    return job


def measured(ds: Dataset) -> list[Dataset]:
    """The measured values of the measurement groups of a report."""
    groups = [item for item in ds.iterall() if item.keyword == "ContentSequence"]
    return [
        child.MeasuredValueSequence[0]
        for element in groups
        for item in element.value
        if item.get("ValueType") == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeValue == "125007"
        for child in item.ContentSequence
        if child.ValueType == "NUM"
    ]


def page(site: Site, job: Job, **options: bool) -> Parsed:
    return Parsed(page_of(viewing.record_of_job(site.settings, job.job_id, **options)))


def test_the_page_shows_what_the_pacs_got(site, tmp_path) -> None:
    job = analysed(site, tmp_path)
    output = tmp_path / "page.html"
    done = site.command("view", job.job_id[:12], "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert output.stat().st_mode & 0o077 == 0, "a patient's images are for their owner only"
    made = Parsed(output.read_text(encoding="utf-8"))
    ensure_self_contained(made)
    assert len(made.images) == 3
    for _, ds in held_by(site.pacs):
        assert ds.SOPInstanceUID in made.words
    numbers = [str(item.NumericValue) for _, ds in held_by(site.pacs) for item in measured(ds)]
    assert numbers
    assert [number for number in numbers if number not in made.words] == []
    for expected in ("pacs", "archive", "0x0000", job.config_digest, str(job.model), "as the objects state it"):
        assert expected in made.words, expected
    for secret in (builders.ADA.patient_id, builders.ADA.birth_date, *builders.ADA.name.split("^")):
        assert secret not in made.words
    assert site.command("view", "ffff", "--output", str(output)).returncode == 65


def test_objects_that_were_changed_or_deleted_are_not_shown(site, tmp_path) -> None:
    job = analysed(site, tmp_path)
    results = site.ledger.queries.results(job.job_id)
    (seg,) = [one for one in results if one.kind is ResultKind.SEG]
    content = bytearray(seg.path.read_bytes())
    content[-100] ^= 0xFF
    seg.path.write_bytes(content)
    made = page(site, job)
    assert "CHANGED" in made.words
    assert "The result objects mark nothing" not in made.words, "the outline of the report is still to be seen"

    for one in results:
        one.path.unlink()
    made = page(site, job)
    assert f"{len(results)} of {len(results)} result objects cannot be read any more" in made.words
    assert "what the ledger noted" in made.words
    assert made.images == []
    assert all(one.sha256 in made.words for one in results)


def test_evidence_that_is_gone_is_said(site, tmp_path) -> None:
    job = analysed(site, tmp_path)
    for path in (site.settings.node.data / "spool" / "objects").glob("*/*.dcm"):
        path.unlink()
    made = page(site, job)
    assert "The analysed images cannot be shown." in made.words
    assert made.images == []
    assert "Measurements, as the report has them" in made.words


def test_after_retention_the_history_is_still_a_page(site, tmp_path) -> None:
    job = analysed(site, tmp_path)
    gone = Retention(site.ledger.database, site.ledger.spool, RetentionPolicy(finished_s=-1.0)).run()
    assert gone.studies == (job.study_instance_uid,)
    made = page(site, job)
    assert made.images == []
    assert "deleted" in made.words
    assert "The evidence of this job is not in the index any more." in made.words
    assert "committed" in made.words
    assert job.job_id in made.words


def test_images_with_burned_in_text_are_not_drawn_unasked(site, tmp_path) -> None:
    rule = '[[rules]]\nname = "all"\nmodel = "toy-ct"\nallow_burned_in = true\ndestinations = ["pacs"]\n'
    site.config.write_text(site.config.read_text(encoding="utf-8") + rule, encoding="utf-8")
    site.settings = load(site.config, environ={})
    site.work = site.new_worker()
    job = analysed(site, tmp_path, BurnedInAnnotation="YES")
    assert page(site, job).images == []
    assert "text burned into their pixels" in page(site, job).words
    assert len(page(site, job, burned_in=True).images) == 3


def test_a_route_job_has_no_page(site, tmp_path) -> None:
    job = analysed(site, tmp_path)
    (route,) = [one for one in site.study(job.study_instance_uid).jobs if one.kind is JobKind.ROUTE]
    with pytest.raises(PermanentError) as raised:
        viewing.record_of_job(site.settings, route.job_id)
    assert raised.value.code == "not-an-analysis"
    assert job.study_instance_uid in raised.value.next_step


def test_a_run_without_a_ledger_has_the_same_page(site, tmp_path) -> None:
    images, output = tmp_path / "images", tmp_path / "out"
    builders.a_ct_series(images, slices=6, rows=24, columns=24)
    done = site.command("run", str(images), "-o", str(output), "--view", "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    made = Parsed(Path(result["view"]).read_text(encoding="utf-8"))
    ensure_self_contained(made)
    assert len(made.images) == 3
    assert "Nothing is sent by an offline run." in made.words
    assert builders.ADA.patient_id not in made.words
