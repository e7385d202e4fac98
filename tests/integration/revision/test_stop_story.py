"""A worker that is stopped while its database is away: the ledger hears of it from the next worker."""

from __future__ import annotations

from pathlib import Path

from tests import builders
from tests.integration.revision.site import Site
from tests.integration.revision.test_revision_story import arrive
from tests.ports import free_port
from worker.domain.job import JobKind, JobState
from worker.settings.model import Database
from worker.wiring.workers import planned_stops

NIGHTS = 4
"""One more than ``work.max_attempts``."""


def test_a_stop_that_the_ledger_was_not_told_of_does_not_count_either(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    try:
        site.published = lambda due: due.kind is not JobKind.ANALYSE
        uid = arrive(site, builders.a_ct_series(tmp_path / "ct", slices=6, rows=24, columns=24), tmp_path / "sent")
        (job,) = (one for one in site.study(uid).jobs if one.kind is JobKind.ANALYSE)
        away = Database(url=f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/gone")
        for night in range(1, NIGHTS + 1):
            site.ledger.sweepable.forget_all_published()
            site.settle()
            claim = site.ledger.jobs.claim(job.job_id, worker="night:1")
            assert claim is not None
            assert (claim.attempt, claim.failures) == (night, 0)
            planned_stops(site.settings.model_copy(update={"database": away})).begins(["night:1", "night:2"])
            # Killed with its parent; then the database is back, and a worker starts.
            planned_stops(site.settings).take_up()
            assert list((site.settings.node.data / "run").glob("stop-*")) == []
            assert site.ledger.sweepable.take_back_from("night:1") == 1
        # Without a word it counts.
        site.settle()
        claim = site.ledger.jobs.claim(job.job_id, worker="night:1")
        site.ledger.sweepable.take_back_from("night:1")
        site.published = lambda due: True
        site.ledger.sweepable.forget_all_published()
        site.settle()
        (done,) = (one for one in site.study(uid).jobs if one.kind is JobKind.ANALYSE)
        assert done.state is JobState.COMMITTED
    finally:
        site.close()
