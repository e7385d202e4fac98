"""What is finished and old goes; what is not finished never does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from tests.contract.store.kit import STUDY, Kit, results_of
from worker.domain.job import JobId, JobState
from worker.domain.result import DeliveryState
from worker.domain.study import Admission, RefusedInstance, StudyInstanceUID
from worker.store.custody.retention import DAY_S, Retention, RetentionPolicy
from worker.store.database.database import Clock, Database


def finished(kit: Kit, study: str = STUDY, tag: str = "1", count: int = 2) -> JobId:
    kit.receive(count, study=study)
    job_id = kit.routed(study=study, key=f"k{study}")
    kit.produced(job_id, tag=tag)
    kit.delivered(job_id)
    return job_id


def files(kit: Kit, area: str) -> int:
    return len(list((kit.spool.root / area).rglob("*.dcm")))


def retire(kit: Kit, *, dry_run: bool = False, **policy: float | int | None) -> tuple[StudyInstanceUID, ...]:
    return Retention(kit.database, kit.spool, RetentionPolicy(**policy)).run(dry_run=dry_run).studies  # type: ignore[arg-type]


def test_a_finished_study_goes_when_it_is_old(kit: Kit) -> None:
    job_id = finished(kit)
    kit.clock.advance(29 * DAY_S)
    assert retire(kit) == ()
    kit.clock.advance(2 * DAY_S)
    assert retire(kit, dry_run=True) == (STUDY,)
    assert files(kit, "objects") == 2
    assert retire(kit) == (STUDY,)
    assert files(kit, "objects") == files(kit, "results") == 0
    assert kit.queries.counts().instances == 0
    assert retire(kit) == ()
    # Who asks later still learns what happened.
    assert kit.state(job_id) is JobState.COMMITTED
    assert len(kit.queries.timeline(job_id)) > 5
    assert kit.queries.summary(job_id) is not None


def test_a_result_that_comes_back_after_that_is_still_known_as_ours(kit: Kit) -> None:
    finished(kit)
    kit.clock.advance(31 * DAY_S)
    retire(kit)
    assert kit.store.admit(kit.offer(9, uid="1.2.826.0.7.1.2")) is Admission.OWN_RESULT


def test_a_study_that_is_sent_again_after_that_is_new(kit: Kit) -> None:
    finished(kit)
    kit.clock.advance(31 * DAY_S)
    retire(kit)
    kit.receive(2)
    assert kit.route_job().revision == 2
    assert len(kit.evidence.of_route(kit.route_job())) == 2


@pytest.mark.parametrize("state", ["received", "ready", "queued", "running", "produced", "delivering", "delivered"])
def test_what_is_not_finished_never_goes(kit: Kit, state: str) -> None:
    kit.receive(2)
    if state == "ready":
        kit.complete()
    elif state in {"queued", "running"}:
        job_id = kit.complete()
        kit.publish()
        if state == "running":
            assert kit.jobs.claim(job_id, worker="w1") is not None
    elif state != "received":
        kit.offer_committing(frozenset({"PACS"}))
        kit.produced(kit.routed())
        if state != "produced":
            claim = kit.outbox.claim(kit.due_deliveries()[0], worker="d1")
            assert claim is not None
            if state == "delivered":
                kit.outbox.settle(claim, DeliveryState.SENT, reason="")
    kit.clock.advance(4000 * DAY_S)
    assert retire(kit, max_bytes=0, problems_s=0.0, finished_s=0.0) == ()
    assert files(kit, "objects") == 2


def test_what_failed_waits_longer_for_a_person_and_size_never_takes_it(kit: Kit) -> None:
    kit.receive(2)
    kit.jobs.settle(kit.claim(kit.routed()), JobState.QUARANTINED, reason="gate-refused")
    kit.clock.advance(31 * DAY_S)
    assert retire(kit, max_bytes=0) == ()
    kit.clock.advance(60 * DAY_S)
    assert retire(kit) == (STUDY,)


def test_size_takes_the_oldest_finished_first_and_no_more_than_needed(kit: Kit) -> None:
    studies = [f"1.2.826.0.1.{n}" for n in range(3)]
    for n, study in enumerate(studies):
        finished(kit, study, tag=str(n))
        kit.clock.advance(10)
    total = kit.queries.counts().instance_bytes + kit.queries.counts().result_bytes
    assert retire(kit, max_bytes=total) == ()
    assert retire(kit, max_bytes=total - 1) == (studies[0],)


def test_history_goes_at_its_own_age_and_only_after_the_study(kit: Kit) -> None:
    job_id = finished(kit)
    kit.clock.advance(31 * DAY_S)
    assert retire(kit) == (STUDY,)
    kit.clock.advance(400 * DAY_S)
    assert Retention(kit.database, kit.spool).run().histories == 1
    assert kit.queries.list_jobs() == ()
    assert kit.queries.timeline(job_id) == ()
    assert kit.queries.study(STUDY) is None


def test_a_history_that_may_not_go_hides_no_other(kit: Kit) -> None:
    """A job that a person revived long after its study went; a batch that it fills alone."""
    kit.receive(1)
    revived = kit.routed()
    kit.produced(revived)
    (delivery,) = kit.due_deliveries()
    claim = kit.outbox.claim(delivery, worker="d1")
    assert claim is not None
    kit.outbox.settle(claim, DeliveryState.PARKED, reason="0xA900")
    kit.clock.advance(5)
    finished(kit, study="1.2.826.0.1.2", tag="2")
    retention = Retention(kit.database, kit.spool, RetentionPolicy(), batch=1)
    kit.clock.advance(100 * DAY_S)
    assert len(retention.run().studies) == 2
    kit.operations.retry(revived)
    kit.clock.advance(500 * DAY_S)
    assert retention.run(dry_run=True).histories == 1
    assert retention.run().histories == 1
    assert kit.queries.study(StudyInstanceUID("1.2.826.0.1.2")) is None
    assert retention.run().histories == 0
    assert kit.state(revived) is JobState.DELIVERING


def test_conflicts_and_refusals_go_with_their_files(kit: Kit) -> None:
    finished(kit)
    kit.store.admit(kit.offer(1, content=b"other"))
    path = kit.store.temporary_folder / "bad.part"
    path.write_bytes(b"rubbish")
    kit.store.refuse(RefusedInstance(path, "not-dicom", "", "MODALITY", "a1"))
    assert (files(kit, "conflicts"), files(kit, "quarantine")) == (1, 1)
    kit.clock.advance(31 * DAY_S)
    found = Retention(kit.database, kit.spool).run()
    assert found.refusals == 1
    assert (files(kit, "conflicts"), files(kit, "quarantine")) == (0, 0)
    assert kit.queries.conflicts() == ()
    assert kit.queries.refusals() == ()


def test_results_that_no_row_names_go_after_a_day(kit: Kit) -> None:
    kept = kit.products.keep(results_of("lost"))
    assert Retention(kit.database, kit.spool).run().orphans == 0
    past = time.time() - 2 * DAY_S
    for one in kept:
        os.utime(one.path, (past, past))
    kit.products.keep(results_of("lost"))[0]  # an attempt is just making them again: young again
    assert Retention(kit.database, kit.spool).run().orphans == 0
    for one in kept:
        os.utime(one.path, (past, past))
    assert Retention(kit.database, kit.spool).run().orphans == 2
    assert files(kit, "results") == 0


class Interrupting(Database):
    """Something happens just before the n-th writing transaction."""

    def __init__(self, url: str, clock: Clock, happens: Callable[[], object], before: int) -> None:
        super().__init__(url, clock=clock)
        self._happens = happens
        self._countdown = before

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._countdown -= 1
        if self._countdown == 0:
            self._happens()
        with super().write() as connection:
            yield connection


def test_a_study_that_wakes_up_while_it_goes_is_kept_whole(kit: Kit, database_url: str) -> None:
    """Between the two transactions of a deletion a late instance opens the study again."""
    finished(kit)
    kit.clock.advance(31 * DAY_S)
    database = Interrupting(database_url, kit.clock, lambda: kit.store.admit(kit.offer(3)), before=2)
    assert Retention(database, kit.spool).run().studies == ()
    database.close()
    assert len(kit.evidence.of_route(kit.route_job())) == 3
    assert files(kit, "objects") == 3
