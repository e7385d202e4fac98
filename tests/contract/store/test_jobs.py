"""Claims, leases, fencing, attempts; with clocks that jump."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.store.kit import PASSED, STUDY, Kit, results_of
from worker.domain.errors import LeaseLostError, PermanentError
from worker.domain.job import JobId, JobState, StageTime
from worker.domain.study import StudyInstanceUID
from worker.store.work.jobs import LedgerJobs, Limits

pytestmark = pytest.mark.slow

DAY = 86400.0


@pytest.fixture
def ready(kit: Kit) -> JobId:
    """A route job that may run."""
    kit.receive(1)
    return kit.complete()


def test_only_what_was_rung_can_be_claimed_and_only_once(kit: Kit, ready: JobId) -> None:
    assert kit.jobs.claim(ready, worker="w1") is None
    assert kit.publish() == [ready]
    claim = kit.jobs.claim(ready, worker="w1")
    assert claim is not None
    assert (claim.attempt, claim.job.state, claim.worker) == (1, JobState.RUNNING, "w1")
    assert kit.jobs.claim(ready, worker="w2") is None
    assert kit.jobs.claim(JobId("unknown"), worker="w2") is None


def test_the_timeline_tells_every_step_with_its_attempt_and_reason(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    kit.jobs.settle(claim, JobState.READY, reason="the disk was slow", retry_in_s=5)
    steps = [(t.before, t.after, t.attempt) for t in kit.queries.timeline(ready)]
    assert steps == [
        (None, JobState.RECEIVED, 0),
        (JobState.RECEIVED, JobState.READY, 0),
        (JobState.READY, JobState.QUEUED, 0),
        (JobState.QUEUED, JobState.RUNNING, 1),
        (JobState.RUNNING, JobState.READY, 1),
    ]
    times = [t.at for t in kit.queries.timeline(ready)]
    assert times == sorted(times)
    assert kit.queries.timeline(ready)[-1].reason == "the disk was slow"
    assert kit.queries.job(ready[:9]).reason == "the disk was slow"


def test_threads_that_race_for_a_job_give_one_winner(kit: Kit, ready: JobId) -> None:
    kit.publish()
    with ThreadPoolExecutor(6) as threads:
        claims = list(threads.map(lambda n: kit.jobs.claim(ready, worker=f"w{n}"), range(6)))
    assert sum(claim is not None for claim in claims) == 1


def test_a_retry_waits_for_its_time(kit: Kit, ready: JobId) -> None:
    kit.jobs.settle(kit.claim(ready), JobState.READY, reason="transient", retry_in_s=30)
    assert kit.publish() == []
    kit.clock.advance(29)
    assert kit.publish() == []
    kit.clock.advance(2)
    assert kit.publish() == [ready]


def test_a_clock_set_back_freezes_no_retry(kit: Kit, ready: JobId) -> None:
    kit.jobs.settle(kit.claim(ready), JobState.READY, reason="transient", retry_in_s=30)
    kit.clock.advance(-DAY)
    assert kit.publish() == [ready]


def test_the_last_attempt_quarantines(kit: Kit, ready: JobId) -> None:
    for attempt in (1, 2):
        kit.jobs.settle(kit.claim(ready), JobState.READY, reason=f"failed {attempt}", retry_in_s=1)
        assert kit.state(ready) is JobState.READY
        kit.clock.advance(2)
    kit.jobs.settle(kit.claim(ready), JobState.READY, reason="failed 3", retry_in_s=1)
    job = kit.queries.job(ready)
    assert job.state is JobState.QUARANTINED
    assert "too-many-attempts" in job.reason
    assert "failed 3" in job.reason
    assert job.attempt == 3


def test_handing_back_in_good_order_uses_up_no_attempt(kit: Kit, ready: JobId) -> None:
    for _ in range(5):
        kit.jobs.settle(kit.claim(ready), JobState.READY, reason="handed-back", retry_in_s=0.0)
    assert kit.state(ready) is JobState.READY
    assert kit.claim(ready).attempt == 6


def test_a_lower_limit_quarantines_instead_of_claiming(kit: Kit, ready: JobId) -> None:
    kit.jobs.settle(kit.claim(ready), JobState.READY, reason="failed", retry_in_s=1)
    kit.clock.advance(2)
    kit.publish()
    strict = LedgerJobs(kit.database, limits=Limits(max_attempts=1))
    assert strict.claim(ready, worker="w1") is None
    assert kit.state(ready) is JobState.QUARANTINED


def test_only_the_holder_may_extend_settle_and_record(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    kit.jobs.extend(claim)
    kit.jobs.record_stages(claim, [StageTime("headers", 0.5), StageTime("select", 0.25)])
    kit.operations.lost(False, ready, worker="w1", reason="worker-lost: signal 9")
    kit.clock.advance(2)
    second = kit.claim(ready, "w2")
    for act in (
        lambda: kit.jobs.extend(claim),
        lambda: kit.jobs.settle(claim, JobState.NO_MODEL_APPLIES, reason=""),
        lambda: kit.jobs.record_stages(claim, [StageTime("headers", 1.0)]),
        lambda: kit.routings.record(claim, [], []),
    ):
        with pytest.raises(LeaseLostError) as caught:
            act()
        assert caught.value.code == "lease-lost"
    assert kit.state(ready) is JobState.RUNNING
    kit.jobs.settle(second, JobState.NO_MODEL_APPLIES, reason="nothing")
    assert [stage.stage for stage in kit.queries.stages(ready)] == ["headers", "select"]


def test_a_silent_worker_loses_its_job_after_the_lease(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    assert kit.sweep.take_back_overdue() == 0
    kit.clock.advance(61)
    kit.monotonic.advance(59)
    assert kit.sweep.take_back_overdue() == 0
    kit.monotonic.advance(2)
    assert kit.sweep.take_back_overdue() == 1
    assert kit.state(ready) is JobState.READY
    with pytest.raises(LeaseLostError):
        kit.jobs.extend(claim)


def test_a_heartbeat_keeps_the_job(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    for _ in range(10):
        kit.sweep.take_back_overdue()
        kit.jobs.extend(claim)
        kit.clock.advance(50)
        kit.monotonic.advance(50)
        assert kit.sweep.take_back_overdue() == 0
    assert kit.state(ready) is JobState.RUNNING


def test_a_clock_that_jumps_a_day_forward_takes_no_job_from_a_living_worker(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    kit.sweep.take_back_overdue()
    kit.clock.advance(DAY)
    kit.monotonic.advance(20)
    assert kit.sweep.take_back_overdue() == 0
    assert kit.new_sweep().take_back_overdue() == 0
    kit.jobs.extend(claim)
    kit.monotonic.advance(59)
    assert kit.sweep.take_back_overdue() == 0


def test_a_clock_that_jumps_a_day_back_protects_no_dead_worker(kit: Kit, ready: JobId) -> None:
    kit.claim(ready)
    kit.sweep.take_back_overdue()
    kit.clock.advance(-DAY)
    kit.monotonic.advance(119)
    assert kit.sweep.take_back_overdue() == 0
    kit.monotonic.advance(2)
    assert kit.sweep.take_back_overdue() == 1
    kit.clock.advance(2)
    assert kit.publish() == [ready]


def test_a_study_does_not_wait_for_an_old_time_when_the_clock_is_set_back(kit: Kit) -> None:
    kit.receive(2)
    kit.clock.advance(-DAY)
    (activity,) = kit.sweep.arriving()
    assert 0 <= (activity.now - activity.last_received_at).total_seconds() < 1
    kit.clock.advance(100)
    (activity,) = kit.sweep.arriving()
    assert (activity.now - activity.last_received_at).total_seconds() >= 100
    assert kit.sweep.complete(activity, reason="quiet")


def test_a_dead_worker_that_is_reported_loses_its_job_at_once(kit: Kit, ready: JobId) -> None:
    kit.claim(ready)
    assert not kit.operations.lost(False, ready, worker="somebody else", reason="signal 9")
    assert kit.operations.lost(False, ready, worker="w1", reason="worker-lost: signal 11 (SIGSEGV)")
    assert not kit.operations.lost(False, ready, worker="w1", reason="worker-lost: signal 11 (SIGSEGV)")
    assert kit.state(ready) is JobState.READY


def test_a_job_that_kills_its_workers_is_quarantined_with_the_evidence(kit: Kit, ready: JobId) -> None:
    for _ in range(3):
        kit.claim(ready)
        kit.operations.lost(False, ready, worker="w1", reason="worker-lost: signal 11 (SIGSEGV)")
        kit.clock.advance(2)
    job = kit.queries.job(ready)
    assert job.state is JobState.QUARANTINED
    assert "SIGSEGV" in job.reason


def test_what_the_broker_forgot_is_rung_again(kit: Kit, ready: JobId) -> None:
    assert kit.publish() == [ready]
    kit.clock.advance(4)
    assert kit.publish() == []
    kit.clock.advance(2)
    assert kit.publish() == [ready]
    kit.clock.advance(-DAY)
    assert kit.publish() == [ready]
    assert [step.after for step in kit.queries.timeline(ready)].count(JobState.QUEUED) == 1


def test_what_waits_long_is_rung_ever_less_often_but_every_minute(kit: Kit, ready: JobId) -> None:
    published, waited_s = 0, 0
    while waited_s < 3600:
        published += len(kit.publish())
        step_s = 1 if waited_s < 180 else 4  # short beside the pauses of that time
        kit.clock.advance(step_s)
        waited_s += step_s
    assert 55 <= published <= 80


def test_a_job_that_waits_long_at_the_broker_hides_no_other(kit: Kit) -> None:
    """Each is published again when its own pause is over; the pause of the oldest is the longest."""
    old, young = (StudyInstanceUID(f"1.2.826.0.2.{n}") for n in range(2))
    kit.receive(1, study=old)
    old_job = kit.complete(old)
    for _ in range(100):
        kit.publish()
        kit.clock.advance(10)
    while kit.publish() == []:
        kit.clock.advance(1)
    kit.receive(1, study=young)
    young_job = kit.complete(young)
    assert kit.publish() == [young_job]
    kit.clock.advance(6)
    assert kit.publish() == [young_job]
    kit.clock.advance(60)
    assert kit.publish() == [old_job, young_job]


def test_what_could_not_be_rung_is_due_again_at_once(kit: Kit, ready: JobId) -> None:
    published = kit.sweep.due(limit=10)
    assert [due.job_id for due in published] == [ready]
    assert kit.publish() == []
    kit.sweep.forget_published(published)
    assert kit.publish() == [ready]


def test_what_was_rung_is_due_at_once_when_the_broker_began_anew(kit: Kit) -> None:
    for n in range(3):
        kit.receive(1, study=f"1.2.826.0.3.{n}")
        kit.complete(f"1.2.826.0.3.{n}")
    published = kit.publish()
    assert len(published) == 3
    assert kit.jobs.claim(published[0], worker="w1") is not None
    assert kit.sweep.forget_all_published() == 2
    assert kit.sweep.forget_all_published() == 0
    assert sorted(kit.publish()) == sorted(published[1:])  # what is claimed is not published again
    assert kit.publish() == []


def test_a_long_backlog_waits_in_the_database_not_at_the_broker(kit: Kit) -> None:
    for n in range(40):
        study = f"1.2.826.0.2.{n}"
        kit.receive(1, study=study)
        kit.complete(study)
    first = kit.publish()
    assert len(first) == 32
    assert kit.publish() == []
    claim = kit.jobs.claim(first[0], worker="w1")
    assert claim is not None
    assert len(kit.publish()) == 1


def test_what_a_dead_worker_held_is_taken_back_with_its_attempt_counted(kit: Kit, ready: JobId) -> None:
    kit.publish()
    claim = kit.jobs.claim(ready, worker="here:1")
    assert claim is not None
    assert kit.sweep.holders() == ("here:1",)
    assert kit.sweep.take_back_from("here:2") == 0
    assert kit.sweep.take_back_from("here:1") == 1
    assert kit.state(ready) is JobState.READY
    assert kit.sweep.holders() == ()
    with pytest.raises(LeaseLostError):
        kit.jobs.extend(claim)
    assert kit.queries.job(ready).attempt == 1


def test_sweepers_that_race_ring_each_job_once(kit: Kit) -> None:
    for n in range(5):
        study = f"1.2.826.0.1.{n}"
        kit.receive(1, study=study)
        kit.complete(study)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: kit.new_sweep().due(limit=100), range(4)))
    published = [due.job_id for one in found for due in one]
    assert len(published) == len(set(published)) == 5


def test_the_most_urgent_is_rung_first_and_the_limit_holds(kit: Kit) -> None:
    kit.receive(1)
    kit.produced(kit.routed())  # a delivery of priority 5
    for n in range(1, 4):
        kit.receive(1, study=f"1.2.826.0.1.1{n}")
        kit.complete(f"1.2.826.0.1.1{n}")
    first = kit.sweep.due(limit=2)
    assert [due.delivery_id is not None for due in first] == [True, False]
    assert [due.priority for due in first] == [5, 7]
    assert first[0].label == "deliver PACS"
    assert first[1].label == "route"
    assert len(kit.sweep.due(limit=10)) == 2


def test_a_person_may_try_a_quarantined_job_again_with_all_its_attempts(kit: Kit, ready: JobId) -> None:
    kit.jobs.settle(kit.claim(ready), JobState.QUARANTINED, reason="identity-conflict")
    assert kit.operations.retry(ready) is JobState.READY
    for _ in range(2):
        kit.jobs.settle(kit.claim(ready), JobState.READY, reason="failed", retry_in_s=1)
        kit.clock.advance(2)
    claim = kit.claim(ready)
    assert claim.attempt == 4
    kit.jobs.settle(claim, JobState.READY, reason="failed", retry_in_s=1)
    assert kit.state(ready) is JobState.QUARANTINED


def test_a_person_may_not_retry_what_runs_or_is_unknown(kit: Kit, ready: JobId) -> None:
    with pytest.raises(PermanentError) as caught:
        kit.operations.retry(ready)
    assert caught.value.code == "cannot-retry"
    with pytest.raises(PermanentError) as caught:
        kit.operations.retry(JobId("nothing"))
    assert caught.value.code == "unknown-job"


def test_a_cancelled_job_is_fenced_and_stays_so(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    assert kit.operations.cancel(ready) is JobState.CANCELLED
    with pytest.raises(LeaseLostError):
        kit.jobs.settle(claim, JobState.NO_MODEL_APPLIES, reason="")
    with pytest.raises(PermanentError) as caught:
        kit.operations.cancel(ready)
    assert caught.value.code == "cannot-cancel"
    assert kit.sweep.take_back_overdue() == 0


def test_a_late_attempt_cannot_produce(kit: Kit) -> None:
    kit.receive(2)
    job_id = kit.routed()
    first = kit.claim(job_id)
    kit.operations.lost(False, job_id, worker="w1", reason="worker-lost")
    kit.clock.advance(2)
    second = kit.claim(job_id, "w2")
    kept = kit.products.keep(results_of())
    report = kit.queries.gate_report(job_id)
    assert report is None
    with pytest.raises(LeaseLostError):
        kit.products.produce(first, kept, PASSED, "{}")
    kit.products.produce(second, kept, PASSED, '{"by": "second"}')
    assert kit.queries.summary(job_id) == '{"by": "second"}'
    assert len(kit.queries.results(job_id)) == 2


def test_a_prefix_must_name_one_job(kit: Kit) -> None:
    kit.receive(1)
    kit.receive(1, study=f"{STUDY}.7")
    with pytest.raises(PermanentError) as caught:
        kit.queries.job("")
    assert caught.value.code == "ambiguous-job"
    with pytest.raises(PermanentError) as caught:
        kit.queries.job("zzz")
    assert caught.value.code == "unknown-job"
    with pytest.raises(PermanentError):
        kit.queries.job("%")
