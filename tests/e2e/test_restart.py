"""Restarting a site every night costs nothing: a stop in the middle of a long inference is no failure of its job."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import builders
from tests.chaos.toy_model import NAME, write_package
from tests.e2e.processes import Installation, tree, until
from worker.domain.job import Job, JobKind, JobState
from worker.store.database.database import Database, sqlite_url
from worker.store.reading.queries import Queries
from worker.store.spool.spool import Spool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Site:
    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        # Not by commands: each would cost a start of Python at every look.
        database = Database(sqlite_url(installation.data / "overread.sqlite"))
        self._queries = Queries(database, Spool(installation.data / "spool", reserve_bytes=0))

    def job(self) -> Job | None:
        return next((job for job in self._queries.list_jobs() if job.kind is JobKind.ANALYSE), None)

    def runs(self, *, attempt: int) -> int:
        """Wait until an attempt is inside of ONNX Runtime; the process id of its child."""
        folder = self.installation.data / "run"

        def inferring() -> int:
            found = [path for path in folder.glob("*.log") if "stage inference" in path.read_text(encoding="utf-8")]
            alive = [int(path.stem) for path in found if Path(f"/proc/{path.stem}").exists()]
            job = self.job()
            return alive[0] if alive and job is not None and job.attempt == attempt else 0

        return int(until(inferring, what=f"attempt {attempt} computes", wait_s=90))

    def is_over(self, pid: int) -> None:
        until(lambda: not Path(f"/proc/{pid}").exists(), what="the child is gone", wait_s=60)

    def timeline(self) -> list[str]:
        job = self.job()
        return [step.reason for step in self._queries.timeline(job.job_id)] if job else []

    def said(self, event: str) -> int:
        return self.installation.log.read_text(encoding="utf-8").count(
            f'"event": "{event}", "process": "worker-analyse"'
        )


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    write_package(tmp_path / "models", spins=1_000_000)
    environ = {
        "OVERREAD_MODELS__FOLDERS": json.dumps([str(tmp_path / "models")]),
        "OVERREAD_MODELS__ENABLED": json.dumps([NAME]),
        "OVERREAD_WORK__MAX_ATTEMPTS": "1",  # one that counts is one too many
        **getattr(request, "param", {}),
    }
    installation = Installation(tmp_path, send_to=[], environ=environ).start()
    try:
        images = builders.a_ct_series(tmp_path / "ct", slices=8, rows=64, columns=64)
        assert installation.send(*images).returncode == 0
        yield Site(installation)
    finally:
        installation.kill()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_planned_stop_is_no_failure_and_a_kill_without_warning_is(site: Site) -> None:
    # The worker alone, by SIGTERM: the run ends, the job is handed back, and the next worker takes it.
    child = site.runs(attempt=1)
    os.kill(parent_of(child), signal.SIGTERM)
    site.is_over(child)
    child = site.runs(attempt=2)
    assert "handed-back: the worker was asked to stop." in site.timeline()
    assert site.said("attempt-handed-back") == 1
    # The whole site, by Ctrl-C.
    assert site.installation.process is not None
    site.installation.process.send_signal(signal.SIGINT)
    site.installation.process.wait(60)
    assert not Path(f"/proc/{child}").exists()
    assert site.said("attempt-handed-back") == 2
    site.installation.start()
    # A child that cannot end, and somebody without patience: SIGTERM, then SIGKILL.
    child = site.runs(attempt=3)
    parent, stopping = parent_of(child), site.said("worker-stopping")
    os.kill(child, signal.SIGSTOP)
    os.kill(parent, signal.SIGTERM)
    until(lambda: site.said("worker-stopping") > stopping, what="the stop is written down", wait_s=60)
    for pid in tree(parent):
        os.kill(pid, signal.SIGKILL)
    child = site.runs(attempt=4)
    # Without a warning it counts.
    os.kill(child, signal.SIGKILL)
    until(lambda: (job := site.job()) and job.state is JobState.QUARANTINED, what="it is set aside")
    assert (job := site.job()) is not None
    assert job.attempt == 4
    assert "too-many-attempts: 1 attempts were used up" in job.reason


@pytest.mark.parametrize("site", [{"OVERREAD_WORK__DEADLINE_S": "2"}], indirect=True)
def test_a_model_that_never_returns_has_failed_at_its_deadline_by_that_name(site: Site) -> None:
    until(lambda: (job := site.job()) and job.state is JobState.QUARANTINED, what="it is set aside", wait_s=90)
    assert (job := site.job()) is not None
    assert "time-limit: The attempt ran longer than 2 s." in job.reason
    assert site.said("heartbeat-deadline") == 1
