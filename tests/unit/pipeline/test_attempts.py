from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.pipeline.fakes import MODEL, FakeJobs, a_job, a_series, an_instance
from worker.domain.errors import (
    ConfigurationError,
    IdentityError,
    LeaseLostError,
    ModelUnusableError,
    PermanentError,
    ShutdownError,
    TransientError,
)
from worker.domain.job import Claim, Job, JobId, JobState
from worker.domain.routing import BoundRule, Decision, OneOf, RoutingTable, Rule, Unusable
from worker.domain.study import Digest, InstanceHeader, SeriesSummary, StoredInstance
from worker.domain.work import PlannedAnalysis
from worker.pipeline.attempt import AttemptPolicy, Heartbeat, Stopwatch, carry_out, hand_back, settle_failure
from worker.pipeline.backoff import Backoff
from worker.pipeline.route import RouteStudy

RULES = [BoundRule(Rule("chest", "lungs", (OneOf("Modality", ("CT",)),)), MODEL)]


class Stored:
    """Evidence of one series, or an error in its place."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def of_route(self, job: Job) -> tuple[StoredInstance, ...]:
        if self.error is not None:
            raise self.error
        return (an_instance(1), an_instance(2))

    def of_analysis(self, job: Job) -> tuple[StoredInstance, ...]:
        return self.of_route(job)


class Reader:
    def __init__(self, series: SeriesSummary, unreadable: Sequence[PermanentError] = ()) -> None:
        self._series = series
        self.unreadable = tuple(unreadable)

    def headers(self, instances: Sequence[StoredInstance]) -> tuple[InstanceHeader, ...]:
        return self._series.headers

    def survey(
        self, instances: Sequence[StoredInstance]
    ) -> tuple[tuple[InstanceHeader, ...], tuple[PermanentError, ...]]:
        return self._series.headers, self.unreadable

    def series(self, headers: Sequence[InstanceHeader]) -> tuple[SeriesSummary, ...]:
        return (self._series,)


class Routings:
    def __init__(self) -> None:
        self.recorded: list[tuple[Sequence[Decision], Sequence[PlannedAnalysis]]] = []

    def record(
        self,
        claim: Claim,
        decisions: Sequence[Decision],
        planned: Sequence[PlannedAnalysis],
        *,
        waits_for: str = "",
        again_in_s: float = 0.0,
    ) -> int:
        self.recorded.append((decisions, planned))
        self.waits_for = waits_for
        return len(planned)


def route(
    jobs: FakeJobs,
    *,
    error: BaseException | None = None,
    series: SeriesSummary | None = None,
    unusable: Sequence[Unusable] = (),
    routings: Routings | None = None,
    unreadable: Sequence[PermanentError] = (),
) -> RouteStudy:
    return RouteStudy(
        jobs=jobs,
        evidence=Stored(error),
        routings=routings or Routings(),
        reader=Reader(series or a_series(), unreadable),
        table=lambda: RoutingTable(tuple(RULES), tuple(unusable)),
        config_digest=Digest("c" * 64),
    )


def test_a_study_is_routed_once() -> None:
    jobs = FakeJobs(a_job())
    use_case = route(jobs)
    assert use_case.run(JobId("job-1"), worker="w") is JobState.ROUTED
    assert [stage.stage for stage in jobs.stages] == ["headers", "select"]
    # The publisher repeats itself: there is nothing to claim any more.
    assert use_case.run(JobId("job-1"), worker="w") is None


@pytest.mark.parametrize(("modality", "state"), [("CT", JobState.ROUTED), ("US", JobState.QUARANTINED)])
def test_an_object_that_cannot_be_read_ends_no_study_that_has_other_work(modality: str, state: JobState) -> None:
    error = PermanentError("Instance 1.2.3 cannot be read.", code="unreadable-instance")
    series = a_series(modality=modality, attributes={"Modality": modality})
    jobs = FakeJobs(a_job())
    assert route(jobs, series=series, unreadable=[error]).run(JobId("job-1"), worker="w") is state
    assert [reason for _, reason, _ in jobs.settled] == ["unreadable-instance: Instance 1.2.3 cannot be read."] * int(
        state is JobState.QUARANTINED
    )


BROKEN = "weights-hash-mismatch"


@pytest.mark.parametrize(
    ("rule", "modality", "state"),
    [
        (Rule("ct", "other", (OneOf("Modality", ("CT",)),)), "CT", JobState.WAITING),
        (Rule("mr", "other", (OneOf("Modality", ("MR",)),)), "CT", JobState.ROUTED),
        (Rule("mr", "other", (OneOf("Modality", ("MR",)),)), "MR", JobState.WAITING),
        (Rule("mr", "other", (OneOf("Modality", ("MR",)),)), "US", JobState.NO_MODEL_APPLIES),
        (None, "US", JobState.WAITING),  # nobody knows what it wants
    ],
)
def test_a_study_waits_for_a_model_that_it_would_go_to(rule: Rule | None, modality: str, state: JobState) -> None:
    routings = Routings()
    unusable = [Unusable("other", BROKEN, "Weights file model.onnx is another one.", rule)]
    series = a_series(modality=modality, attributes={"Modality": modality})
    use_case = route(FakeJobs(a_job()), series=series, unusable=unusable, routings=routings)
    assert use_case.run(JobId("job-1"), worker="w") is state
    (decisions, planned) = routings.recorded[0]
    assert len(planned) == int(modality == "CT")  # what other models do goes on
    assert (BROKEN in routings.waits_for) is (state is JobState.WAITING)
    said = [one for one in decisions if one.model == "other"]
    assert len(said) == int(rule is not None)
    assert all(not one.chosen and one.reasons[0].startswith("The model cannot be used now") for one in said)


def test_no_model_applies_is_an_end_of_its_own() -> None:
    jobs = FakeJobs(a_job())
    assert route(jobs, series=a_series(modality="US")).run(JobId("job-1"), worker="w") is JobState.NO_MODEL_APPLIES


@pytest.mark.parametrize(
    ("error", "state", "retried"),
    [
        (PermanentError("bad", code="bad-input"), JobState.QUARANTINED, False),
        (IdentityError("two patients", code="identity-conflict"), JobState.QUARANTINED, False),
        (TransientError("later", code="database-unavailable"), JobState.READY, True),
        (ConfigurationError("model is gone", code="model-missing"), JobState.FAILED, False),
        (ModelUnusableError("weights have changed", code="weights-hash-mismatch"), JobState.WAITING, True),
        (MemoryError(), JobState.READY, True),
        (ZeroDivisionError("Doe^Jane"), JobState.READY, True),
    ],
)
def test_each_kind_of_failure_has_its_end(error: Exception, state: JobState, retried: bool) -> None:
    jobs = FakeJobs(a_job())
    assert route(jobs, error=error).run(JobId("job-1"), worker="w") is state
    ((_, reason, retry_in_s),) = jobs.settled
    assert (retry_in_s is not None) is retried
    assert "Doe" not in reason


@pytest.mark.parametrize("stop", [SystemExit(0), ShutdownError()])
def test_a_stop_hands_the_job_back_at_once(stop: BaseException) -> None:
    jobs = FakeJobs(a_job())
    with pytest.raises(type(stop)):
        route(jobs, error=stop).run(JobId("job-1"), worker="w")
    assert jobs.settled == [(JobState.READY, "handed-back: the worker was asked to stop.", 0.0)]


@pytest.mark.parametrize(
    "came",
    [
        PermanentError("what handles every exception made one of ours", code="custom-step-failed"),
        ConfigurationError("the same", code="provider-missing"),
        ZeroDivisionError(),
        None,  # or went on as if nothing had been: nobody knows what it left out
    ],
)
def test_what_an_attempt_comes_to_after_a_stop_was_asked_for_does_not_count(came: Exception | None) -> None:
    jobs, routings = FakeJobs(a_job()), Routings()
    use_case = replace(route(jobs, error=came, routings=routings), policy=AttemptPolicy(stopping=lambda: True))
    with pytest.raises(ShutdownError):
        use_case.run(JobId("job-1"), worker="w")
    assert jobs.settled == [(JobState.READY, "handed-back: the worker was asked to stop.", 0.0)]
    assert routings.recorded == []


def test_an_attempt_that_lost_its_lease_writes_nothing() -> None:
    jobs = FakeJobs(a_job(), lost=True)
    assert route(jobs).run(JobId("job-1"), worker="w") is None
    assert jobs.settled == []


def test_handing_back_a_job_that_was_taken_is_no_error() -> None:
    jobs = FakeJobs(a_job())
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None
    jobs.lost = True
    hand_back(jobs, claim)
    assert jobs.settled == []


def _until(condition: threading.Event | object, check: object = None) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        if callable(condition) and condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


def test_the_heartbeat_beats_until_its_deadline() -> None:
    jobs = FakeJobs(a_job())
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None
    with Heartbeat(jobs, claim, every_s=0.005, deadline_s=60):
        _until(lambda: jobs.beats >= 3)
    seen = jobs.beats
    with Heartbeat(jobs, claim, every_s=0.005, deadline_s=0) as hung:
        _until(lambda: not hung._thread.is_alive())
    assert jobs.beats == seen


@pytest.mark.parametrize(
    "error",
    [
        TransientError("The database is busy.", code="database-unavailable"),
        ConfigurationError("The database is damaged.", code="database-damaged"),
        RuntimeError("a defect; Doe^Jane"),
        MemoryError(),
    ],
)
def test_the_heartbeat_outlives_every_error_and_says_each(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A job whose heartbeat ended in silence would be taken back while it runs, and run twice."""

    class Failing(FakeJobs):
        failed = 0

        def extend(self, claim: Claim) -> None:
            if self.failed < 3:
                self.failed += 1
                raise error
            super().extend(claim)

    jobs = Failing(a_job())
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None
    with Heartbeat(jobs, claim, every_s=0.005, deadline_s=60) as heartbeat:
        _until(lambda: jobs.beats >= 2)
        heartbeat.ensure_held()
    missed = [one for one in caplog.records if one.message == "heartbeat-missed"]
    assert len(missed) == 3
    assert {one.code for one in missed} == {getattr(error, "code", type(error).__name__)}  # type: ignore[attr-defined]
    assert "Doe" not in caplog.text


def test_a_heartbeat_that_reaches_its_deadline_says_so(caplog: pytest.LogCaptureFixture) -> None:
    jobs = FakeJobs(a_job())
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None
    with Heartbeat(jobs, claim, every_s=0.005, deadline_s=0) as hung:
        _until(lambda: not hung._thread.is_alive())
    assert [one.message for one in caplog.records] == ["heartbeat-deadline"]


def test_an_attempt_that_is_not_done_at_its_deadline_has_failed_by_that_name() -> None:
    """A model that never returns: its worker cannot say so, and the end of the lease would look like a dead worker."""
    jobs = FakeJobs(a_job())
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None

    def never(_: Heartbeat[Claim]) -> JobState:
        _until(lambda: bool(jobs.settled))
        jobs.lost = True
        raise LeaseLostError("The lease was lost.", code="lease-lost")

    ended = carry_out(jobs, claim, never, AttemptPolicy(heartbeat_s=60, deadline_s=0.01))
    ((state, reason, retry_in_s),) = jobs.settled
    assert (ended, state) == (None, JobState.READY)
    assert reason.startswith("time-limit: The attempt ran longer than 0.01 s")
    assert retry_in_s is not None
    assert retry_in_s > 0


def test_pauses_grow_with_failures_not_with_attempts() -> None:
    """A job that was handed back a hundred times has not failed once."""
    jobs = FakeJobs(a_job(), attempt=100)
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None
    settle_failure(jobs, claim, TransientError("Busy.", code="busy"), Backoff(first_s=10, cap_s=1000))
    ((_, _, retry_in_s),) = jobs.settled
    assert retry_in_s is not None
    assert 5 <= retry_in_s <= 10


def test_a_lost_lease_is_noticed_while_running() -> None:
    jobs = FakeJobs(a_job())
    claim = jobs.claim(JobId("job-1"), worker="w")
    assert claim is not None
    jobs.lost = True
    with Heartbeat(jobs, claim, every_s=0.005, deadline_s=60) as heartbeat:
        _until(lambda: not heartbeat._thread.is_alive())
        with pytest.raises(Exception, match="lease was lost"):
            heartbeat.ensure_held()


def test_backoff_grows_to_its_cap_and_never_overflows() -> None:
    backoff = Backoff(first_s=5, factor=2, cap_s=100)
    longest = [backoff.delay_s(n, uniform=lambda _low, high: high) for n in (1, 2, 3, 10, 10**6)]
    assert longest == [5, 10, 20, 100, 100]
    assert backoff.delay_s(2, uniform=lambda low, _high: low) == 5


def test_a_stage_that_fails_is_timed_as_well() -> None:
    ticks = iter([1.0, 3.5])
    watch = Stopwatch(clock=lambda: next(ticks))
    with pytest.raises(ValueError, match="x"), watch.stage("decode"):
        raise ValueError("x")
    (stage,) = watch.stages
    assert (stage.stage, stage.seconds) == ("decode", 2.5)
