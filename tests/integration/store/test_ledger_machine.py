"""Drawn interleavings of everybody who touches the ledger, against a model of what may be true.

Workers claim, beat, settle and die; the sweeper sweeps; instances come late; people retry and cancel; the wall clock
jumps. Whatever is drawn: never two leases, never back from an end, every step one that the domain allows.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.store.kit import PASSED, STUDY, DatabaseClock, Kit, a_decision, a_plan, refused, results_of, stored
from tests.contract.store.sqlite import new_sqlite
from worker.domain.errors import LeaseLostError, PermanentError
from worker.domain.job import TRANSITIONS, Claim, JobId, JobKind, JobState, may_follow
from worker.domain.result import DeliveryClaim, DeliveryState
from worker.domain.study import Admission
from worker.store.database.database import Database
from worker.store.work.outbox import DELIVERY_STEPS

ENDS = {state for state, after in TRANSITIONS.items() if not after}
pytestmark = pytest.mark.timeout(900)
"""A thousand steps, each with its fsyncs: on a crowded machine they take minutes."""

WORKERS = st.sampled_from(["w1", "w2", "w3"])
DESTINATIONS = st.sampled_from([(), ("PACS",), ("PACS", "ARCHIVE")])
JUMPS = st.sampled_from([0.5, 5.0, 70.0, 86400.0, -86400.0])


class Ledger(RuleBasedStateMachine):
    """The model: who holds what, by what the ledger answered."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-machine"))
        clock = DatabaseClock()
        database = Database(new_sqlite(self.folder / "overread.db"), clock=clock)
        self.stack = ExitStack()
        self.stack.enter_context(database.held())  # spares a checkpoint per transaction
        self.kit = Kit(database, self.folder, clock, committing=frozenset({"ARCHIVE"}))
        self.kit.sweep = self.kit.new_sweep()
        self.number = 0
        self.claims: list[Claim] = []
        self.deliveries: list[DeliveryClaim] = []
        self.held: dict[JobId, Claim] = {}
        self.ended: dict[JobId, JobState] = {}
        self.attempts: dict[JobId, int] = {}
        self.transaction = 0

    def teardown(self) -> None:
        self.kit.close()
        self.stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def a_study_was_routed(self) -> None:
        """Begin where it gets interesting."""
        self.an_instance_comes()
        self.the_line_moves_on("w1", ("PACS", "ARCHIVE"))

    @rule(worker=WORKERS, destinations=DESTINATIONS)
    def the_line_moves_on(self, worker: str, destinations: tuple[str, ...]) -> None:
        """A good day: what arrived is complete, what is due is claimed and done."""
        self.studies_are_judged()
        known = len(self.claims)
        self.due_work_is_rung_and_claimed(worker)
        for claim in self.claims[known:]:
            self._finish(claim, destinations)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def a_dead_worker_is_followed_by_another_and_comes_back(self, data: st.DataObject) -> None:
        """The ghost: taken for dead while it still works, and it goes on working."""
        claim = data.draw(st.sampled_from(list(self.held.values())))
        if not self.kit.operations.lost(False, claim.job.job_id, worker=claim.worker, reason="signal 9"):
            return
        self.kit.clock.advance(2)
        self.due_work_is_rung_and_claimed("w9")
        self._act(claim, lambda: self.kit.jobs.extend(claim), ends=False)
        self._finish(claim, ())

    # ---- the outside world

    @rule()
    def an_instance_comes(self) -> None:
        self.number += 1
        assert self.kit.store.admit(self.kit.offer(self.number)) is Admission.STORED

    @rule(seconds=st.sampled_from([0.5, 30.0, 70.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.kit.clock.advance(seconds)
        self.kit.monotonic.advance(seconds)

    @rule(seconds=JUMPS)
    def the_wall_clock_jumps(self, seconds: float) -> None:
        self.kit.clock.advance(seconds)

    # ---- the sweeper

    @rule()
    def studies_are_judged(self) -> None:
        for activity in self.kit.sweep.arriving():
            assert activity.now >= activity.last_received_at
            self.kit.sweep.complete(activity, reason="quiet")

    @rule()
    def overdue_work_is_taken_back(self) -> None:
        self.kit.sweep.take_back_overdue()

    @rule(worker=WORKERS)
    def due_work_is_rung_and_claimed(self, worker: str) -> None:
        for due in self.kit.sweep.due(limit=3):
            if due.job_id is not None:
                self._claim(due.job_id, worker)
            if due.delivery_id is not None:
                claim = self.kit.outbox.claim(due.delivery_id, worker=worker)
                if claim is not None:
                    self.deliveries.append(claim)

    # ---- workers

    @rule(worker=WORKERS, data=st.data())
    def a_message_comes_late_or_twice(self, worker: str, data: st.DataObject) -> None:
        jobs = self.kit.queries.list_jobs()
        if jobs:
            self._claim(data.draw(st.sampled_from([job.job_id for job in jobs])), worker)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_beats(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        self._act(claim, lambda: self.kit.jobs.extend(claim), ends=False)

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        retry=st.sampled_from([None, 0.0, 5.0]),
        state=st.sampled_from([JobState.READY, JobState.QUARANTINED, JobState.FAILED]),
    )
    def a_worker_fails(self, data: st.DataObject, retry: float | None, state: JobState) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        self._act(claim, lambda: self.kit.jobs.settle(claim, state, reason="drawn", retry_in_s=retry), ends=True)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_worker_dies_and_is_seen(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        current = self.held.get(claim.job.job_id)
        lost = self.kit.operations.lost(False, claim.job.job_id, worker=claim.worker, reason="signal 9")
        if lost:
            assert current is not None
            assert current.worker == claim.worker

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), destinations=DESTINATIONS)
    def a_worker_finishes(self, data: st.DataObject, destinations: tuple[str, ...]) -> None:
        self._finish(data.draw(st.sampled_from(self.claims)), destinations)

    def _finish(self, claim: Claim, destinations: tuple[str, ...]) -> None:
        if claim.job.kind is JobKind.ROUTE:
            evidence = self.kit.evidence.of_route(claim.job)
            plan = a_plan(evidence, f"k{len(evidence)}", destinations=destinations)
            self._act(claim, lambda: self.kit.routings.record(claim, [a_decision()], [plan]), ends=True)
        else:
            kept = self.kit.products.keep(results_of(str(claim.job.revision)))
            self._act(claim, lambda: self.kit.products.produce(claim, kept, PASSED, json.dumps({})), ends=True)

    # ---- senders

    @precondition(lambda self: self.deliveries)
    @rule(data=st.data(), state=st.sampled_from([DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.PARKED]))
    def a_sender_ends(self, data: st.DataObject, state: DeliveryState) -> None:
        claim = data.draw(st.sampled_from(self.deliveries))
        answer = stored if state is DeliveryState.SENT else refused
        try:
            for item in claim.delivery.items:
                self.kit.outbox.note(claim, answer(item.result.sop_instance_uid))
            self.kit.outbox.settle(claim, state, reason="drawn", retry_in_s=5)
        except LeaseLostError:
            pass

    @rule(promised=st.booleans())
    def an_archive_answers(self, promised: bool) -> None:
        for wanted in self.kit.commitments.wanted(limit=2):
            self.transaction += 1
            uid = f"1.2.3.{self.transaction}"
            assert self.kit.commitments.request(wanted.delivery_id, transaction_uid=uid, answer_within_s=60)
            uids = [one.sop_instance_uid for one in wanted.objects]
            assert self.kit.commitments.answered(uid, committed=uids if promised else [], failed=[])

    # ---- people

    @rule(data=st.data(), cancel=st.booleans())
    def a_person_steps_in(self, data: st.DataObject, cancel: bool) -> None:
        jobs = self.kit.queries.list_jobs()
        if not jobs:
            return
        job = data.draw(st.sampled_from(jobs))
        try:
            if cancel:
                self.kit.operations.cancel(job.job_id)
            else:
                self.kit.operations.retry(job.job_id)
        except PermanentError:
            assert not may_follow(job.state, JobState.CANCELLED if cancel else JobState.READY) or not cancel

    # ---- what must hold

    @invariant()
    def only_allowed_steps_and_no_way_back_from_an_end(self) -> None:
        for job in self.kit.queries.list_jobs(limit=1000):
            timeline = self.kit.queries.timeline(job.job_id)
            assert timeline[0].before is None
            for earlier, later in pairwise(timeline):
                assert later.before is earlier.after
                assert may_follow(later.before, later.after)
                assert later.attempt >= earlier.attempt
            assert timeline[-1].after is job.state
            runs = [step.attempt for step in timeline if step.after is JobState.RUNNING]
            assert runs == list(range(1, len(runs) + 1))
            if job.job_id in self.ended:
                assert job.state is self.ended[job.job_id]
            if job.state in ENDS:
                self.ended[job.job_id] = job.state

    @invariant()
    def a_lease_only_where_it_runs(self) -> None:
        for job in self.kit.queries.list_jobs(limit=1000):
            details = self.kit.queries.details(job.job_id)
            assert (details.lease_until is not None) is (job.state is JobState.RUNNING)
            assert bool(details.worker) is (job.state is JobState.RUNNING)

    @invariant()
    def one_key_one_living_job(self) -> None:
        living = [
            job.config_digest
            for job in self.kit.queries.list_jobs(limit=1000)
            if job.kind is JobKind.ANALYSE and job.state not in {JobState.CANCELLED, JobState.SUPERSEDED}
        ]
        assert len(living) == len(set(living))

    @invariant()
    def ended_jobs_have_settled_deliveries(self) -> None:
        for job in self.kit.queries.list_jobs(limit=1000):
            states = {one.state for one in self.kit.queries.deliveries(job.job_id)}
            if job.state is JobState.COMMITTED:
                assert states <= {DeliveryState.SENT, DeliveryState.COMMITTED}
            if job.state is JobState.FAILED and states:
                assert DeliveryState.PARKED in states
                assert not states & {DeliveryState.PENDING, DeliveryState.SENDING}
            if job.state in {JobState.SUPERSEDED, JobState.CANCELLED}:
                assert DeliveryState.PENDING not in states

    @invariant()
    def every_instance_is_evidence_of_the_latest_revision(self) -> None:
        if self.number:
            assert len(self.kit.evidence.of_route(self.kit.route_job())) == self.number

    # ---- the model

    def _claim(self, job_id: JobId, worker: str) -> None:
        claim = self.kit.jobs.claim(job_id, worker=worker)
        if claim is None:
            return
        before = self.held.get(job_id)
        if before is not None:
            # Somebody held it: the timeline must show the end of that attempt before this one began.
            steps = [step for step in self.kit.queries.timeline(job_id) if step.attempt == before.attempt]
            assert steps[-1].after is not JobState.RUNNING
        assert claim.attempt == self.attempts.get(job_id, 0) + 1
        self.attempts[job_id] = claim.attempt
        self.held[job_id] = claim
        self.claims.append(claim)

    def _act(self, claim: Claim, act, *, ends: bool) -> None:  # type: ignore[no-untyped-def]
        job = self.kit.queries.job(claim.job.job_id)
        holds = job.state is JobState.RUNNING and job.attempt == claim.attempt
        assert not holds or self.held[claim.job.job_id] == claim
        try:
            act()
        except LeaseLostError:
            assert not holds
        else:
            assert holds
            if ends:
                assert self.kit.state(claim.job.job_id) is not JobState.RUNNING


Ledger.TestCase.settings = settings(
    max_examples=int(os.environ.get("LEDGER_STORIES", "10")),  # `make chaos` tells more of them
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLedger = Ledger.TestCase


def test_the_machine_knows_every_state() -> None:
    """The model leans on the domain's own table: a new state must be thought about here too."""
    assert {JobState.ROUTED, JobState.NO_MODEL_APPLIES, JobState.SUPERSEDED, JobState.CANCELLED} == ENDS
    assert set(DELIVERY_STEPS) == set(DeliveryState)
    assert STUDY
