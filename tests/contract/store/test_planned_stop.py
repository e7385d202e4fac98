"""A worker that is asked to stop has not failed, however it ends: only what dies without a warning counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.store.kit import Kit
from tests.contract.store.test_outbox import claims, produced, states  # noqa: F401 - a fixture
from worker.domain.errors import LeaseLostError
from worker.domain.job import JobId, JobState
from worker.domain.result import DeliveryState
from worker.store.work.outbox import DEATHS_UNTIL_PARKED

NIGHTS = 5


@pytest.fixture
def ready(kit: Kit) -> JobId:
    kit.receive(1)
    return kit.complete()


def silence(kit: Kit) -> None:
    """Its machine is gone: only the lease tells."""
    kit.sweep.take_back_overdue()
    kit.clock.advance(121)
    kit.monotonic.advance(121)
    assert kit.sweep.take_back_overdue() == 1


ENDS: dict[str, Callable[[Kit, JobId], object]] = {
    "its parent says it is gone": lambda kit, job_id: kit.operations.stopped(["w1"]),
    "killed, and its parent saw it": lambda kit, job_id: kit.operations.lost(False, job_id, worker="w1", reason="9"),
    "killed with its parent": lambda kit, job_id: kit.sweep.take_back_from("w1"),
    "silent": lambda kit, job_id: silence(kit),
    "handed back": lambda kit, job_id: None,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_job_whose_worker_is_restarted_every_night_is_never_used_up(kit: Kit, ready: JobId, end: str) -> None:
    for night in range(1, NIGHTS + 1):
        claim = kit.claim(ready)
        assert (claim.attempt, claim.failures) == (night, 0)
        assert kit.operations.stop_asked(["w1", "w2"]) == 1
        if end == "handed back":
            kit.jobs.settle(claim, JobState.READY, reason="handed-back", retry_in_s=0.0)
        ENDS[end](kit, ready)
        assert kit.state(ready) is JobState.READY
        with pytest.raises(LeaseLostError):
            kit.jobs.extend(claim)
        assert kit.publish() == [ready]  # at once
    assert kit.operations.stopped(["w1"]) == 0


@pytest.mark.parametrize("end", [one for one in ENDS if one not in {"handed back", "its parent says it is gone"}])
def test_without_a_warning_each_end_counts(kit: Kit, ready: JobId, end: str) -> None:
    for _ in range(3):
        kit.claim(ready)
        kit.operations.stop_asked(["w2"])
        ENDS[end](kit, ready)
        kit.clock.advance(2)
    assert kit.state(ready) is JobState.QUARANTINED


def test_a_warning_is_for_one_attempt(kit: Kit, ready: JobId) -> None:
    kit.claim(ready)
    kit.operations.stop_asked(["w1"])
    kit.operations.stopped(["w1"])
    for _ in range(3):
        kit.claim(ready)
        kit.operations.lost(False, ready, worker="w1", reason="signal 11")
        kit.clock.advance(2)
    assert kit.state(ready) is JobState.QUARANTINED


def test_what_is_finished_in_time_is_accepted(kit: Kit, ready: JobId) -> None:
    claim = kit.claim(ready)
    kit.operations.stop_asked(["w1"])
    kit.jobs.settle(claim, JobState.NO_MODEL_APPLIES, reason="nothing")
    assert kit.operations.stopped(["w1"]) == 0
    assert kit.state(ready) is JobState.NO_MODEL_APPLIES


@pytest.mark.parametrize("gone", [True, False])
def test_a_delivery_is_parked_by_no_restart(kit: Kit, produced: JobId, gone: bool) -> None:  # noqa: F811
    for _ in range(DEATHS_UNTIL_PARKED + 1):
        assert set(claims(kit)) == {"PACS", "ARCHIVE"}
        assert kit.operations.stop_asked(["d1"]) == 2
        assert (kit.operations.stopped(["d1"]) if gone else kit.sweep.take_back_from("d1")) == 2
        assert set(states(kit, produced).values()) == {DeliveryState.PENDING}
        kit.clock.advance(2)
