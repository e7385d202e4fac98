"""A model package that breaks while the site runs: its work waits and is seen, and is done when it is mended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import builders
from tests.integration.revision.site import Site
from tests.integration.revision.test_revision_story import arrive, kinds
from worker.domain.job import Job, JobKind, JobState
from worker.wiring.examination import examine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


def a_study(site: Site, folder: Path, name: str) -> str:
    paths = builders.a_ct_series(folder / "images", slices=6, rows=24, columns=24, study=name, series=name)
    return arrive(site, paths, folder / "sent")


def job(site: Site, uid: str, kind: JobKind) -> Job:
    (found,) = (one for one in site.study(uid).jobs if one.kind is kind)
    return found


def is_seen_by_people(site: Site, uid: str) -> None:
    """What ``overread jobs`` and ``overread doctor`` print."""
    listed = site.ledger.queries.list_jobs(states=[JobState.WAITING])
    assert [one.study_instance_uid for one in listed] == [uid]
    ill = {one.what: one.detail for one in examine(site.settings) if not one.well}
    assert {"model toy-ct", "waiting work"} <= set(ill)
    assert "1 job waits" in ill["waiting work"]


def _weights_change(model: Path) -> None:
    (model / "model.onnx").write_bytes(b"another file")


def _weights_vanish(model: Path) -> None:
    (model / "model.onnx").unlink()


def _manifest_breaks(model: Path) -> None:
    (model / "manifest.toml").write_text("not = [toml", encoding="utf-8")


def _manifest_leads_nowhere(model: Path) -> None:
    (model / "manifest.toml").unlink()
    (model / "manifest.toml").symlink_to(model / "gone")


@pytest.mark.parametrize(
    ("breaks", "code"),
    [
        (_weights_change, "weights-hash-mismatch"),
        (_weights_vanish, "weights-missing"),
        (_manifest_breaks, "manifest-not-toml"),
        (_manifest_leads_nowhere, "manifest-missing"),
    ],
)
def test_a_study_waits_for_a_broken_package_and_is_done_when_it_is_mended(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, breaks: Callable[[Path], None], code: str
) -> None:
    caplog.set_level(logging.INFO)
    sound = {path: path.read_bytes() for path in site.model.iterdir()}
    breaks(site.model)
    uid = a_study(site, tmp_path, f"study {code}")

    waiting = job(site, uid, JobKind.ROUTE)
    assert waiting.state is JobState.WAITING
    assert f"waits for model toy-ct ({code}: " in waiting.reason
    if breaks in (_weights_change, _weights_vanish):
        is_seen_by_people(site, uid)
    event = next(record for record in caplog.records if record.getMessage() == "model-unusable")
    assert event.__dict__["code"] == code

    for path, content in sound.items():
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    site.settle()  # the same workers and the same sweeper
    assert job(site, uid, JobKind.ROUTE).state is JobState.ROUTED
    assert job(site, uid, JobKind.ANALYSE).state is JobState.COMMITTED
    assert any(record.getMessage() == "work-released" for record in caplog.records)
    # What it was refused for stands in no decision any more.
    assert all("cannot be used" not in " ".join(one.reasons) for one in site.ledger.queries.decisions(uid))


def _package_away(site: Site) -> tuple[Path, Path]:
    return site.model, site.folder / "away"


def _folder_away(site: Site) -> tuple[Path, Path]:
    return site.model.parent, site.folder / "away"


@pytest.mark.parametrize("away", [_package_away, _folder_away])
def test_work_waits_for_a_package_that_went_away_and_is_done_when_it_is_back(
    site: Site, tmp_path: Path, away: Callable[[Site], tuple[Path, Path]]
) -> None:
    site.published = lambda due: due.kind is not JobKind.ANALYSE
    planned = a_study(site, tmp_path / "planned", f"planned {away.__name__}")
    assert job(site, planned, JobKind.ANALYSE).state in {JobState.READY, JobState.QUEUED}
    site.published = lambda due: True
    here, there = away(site)
    here.rename(there)  # the folder that held it is empty, or not there
    site.ledger.sweepable.forget_all_published()
    late = a_study(site, tmp_path / "late", f"late {away.__name__}")
    assert job(site, planned, JobKind.ANALYSE).state is JobState.WAITING
    assert job(site, late, JobKind.ROUTE).state is JobState.WAITING
    assert len(site.ledger.queries.list_jobs(states=[JobState.WAITING])) == 2
    there.rename(here)
    site.settle()  # the same workers and the same sweeper
    for uid in (planned, late):
        assert job(site, uid, JobKind.ROUTE).state is JobState.ROUTED
        assert job(site, uid, JobKind.ANALYSE).state is JobState.COMMITTED


def test_an_analysis_that_was_planned_waits_too(site: Site, tmp_path: Path) -> None:
    site.published = lambda due: due.kind is not JobKind.ANALYSE
    uid = a_study(site, tmp_path, "planned")
    assert job(site, uid, JobKind.ANALYSE).state in {JobState.READY, JobState.QUEUED}
    before = kinds(site.pacs)
    weights = site.model / "model.onnx"
    content = weights.read_bytes()
    weights.write_bytes(b"changed after it was planned")
    site.published = lambda due: True
    site.ledger.sweepable.forget_all_published()
    site.settle()
    waiting = job(site, uid, JobKind.ANALYSE)
    assert waiting.state is JobState.WAITING
    assert waiting.reason.startswith("weights-hash-mismatch: ")
    assert kinds(site.pacs) == before

    weights.write_bytes(content)
    site.settle()
    assert job(site, uid, JobKind.ANALYSE).state is JobState.COMMITTED
    assert kinds(site.pacs) == [*before, "SEG", "SR"]


def test_an_analysis_for_a_version_that_is_gone_waits_until_a_person_asks_for_the_study_again(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    try:
        site.published = lambda due: due.kind is not JobKind.ANALYSE
        uid = a_study(site, tmp_path, "upgrade")
        site.install("1.1.0", threshold=-400.0)
        site.published = lambda due: True
        site.ledger.sweepable.forget_all_published()
        site.settle()
        old = job(site, uid, JobKind.ANALYSE)
        assert old.state is JobState.WAITING
        assert "model-missing: There is no toy-ct 1.0.0" in old.reason
        assert "Installed: toy-ct 1.1.0" in old.reason
        site.ledger.operations.rerun(old.study_instance_uid)
        site.settle()
        done = {one.model.version: one.state for one in site.study(uid).jobs if one.model is not None}
        assert done == {"1.0.0": JobState.SUPERSEDED, "1.1.0": JobState.COMMITTED}
    finally:
        site.close()


def test_a_waiting_study_may_be_cancelled_and_tried_again_by_a_person(site: Site, tmp_path: Path) -> None:
    content = (site.model / "model.onnx").read_bytes()
    (site.model / "model.onnx").write_bytes(b"changed")
    uid = a_study(site, tmp_path, "person")
    route = job(site, uid, JobKind.ROUTE)
    assert site.ledger.operations.retry(route.job_id) is JobState.READY
    site.settle()
    assert job(site, uid, JobKind.ROUTE).state is JobState.WAITING
    assert site.ledger.operations.cancel(route.job_id) is JobState.CANCELLED
    (site.model / "model.onnx").write_bytes(content)
