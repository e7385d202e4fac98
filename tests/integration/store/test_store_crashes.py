"""kill -9 at every named step: nothing acknowledged is lost, nothing is half-written, and a start needs no hand."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.kit import STUDY, Kit, an_offer
from tests.integration.store.child import Ended, Forks, reindex
from worker.domain.job import JobId, JobState
from worker.domain.result import DeliveryState
from worker.domain.study import Admission
from worker.store.custody.recovery import recover
from worker.store.spool.spool import object_key

pytestmark = pytest.mark.slow

COUNT = 16
_FORKS = Forks()
ADMISSION_STEPS = [
    "spool.fsync",
    "admit.synced",
    "spool.renamed",
    "admit.placed",
    "admit.before-commit",
    "admit.after-commit",
]


@pytest.fixture(scope="module", autouse=True)
def _forks() -> Iterator[None]:
    with _FORKS:
        yield


def run(what: str, url: str, folder: Path, argument: str, *, fault: str = "") -> Ended:
    return _FORKS.run(what, url, folder, argument, fault=fault)


def acknowledged(output: str) -> set[str]:
    return {f"{STUDY}.9.{line.split()[1]}" for line in output.splitlines() if line.startswith("stored")}


def assert_intact(kit: Kit) -> set[str]:
    """Every row has its object, whole; nothing lies under a final name without a row. Returns the UIDs."""
    evidence = kit.evidence.of_route(kit.route_job()) if kit.queries.list_jobs() else ()
    for one in evidence:
        offered = reindex(one.path)
        assert offered is not None
        assert object_key(offered.sha256, offered.transfer_syntax_uid) == one.path.stem
        assert offered.sha256 == one.sha256
    on_disk = {path.stem for path in (kit.spool.root / "objects").rglob("*.dcm")}
    assert on_disk == {one.path.stem for one in evidence}
    return {one.sop_instance_uid for one in evidence}


def test_control_without_a_kill(kit: Kit, database_url: str, tmp_path: Path) -> None:
    child = run("admit", database_url, tmp_path, str(COUNT))
    assert child.returncode == 0, child.stderr
    assert len(acknowledged(child.stdout)) == COUNT
    assert len(assert_intact(kit)) == COUNT


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("step", ADMISSION_STEPS)
def test_a_listener_killed_at_any_step_loses_nothing_acknowledged(
    kit: Kit, database_url: str, tmp_path: Path, step: str, nth: int
) -> None:
    # Four threads send sixteen instances: a step of the group is reached at least four times.
    child = run("admit", database_url, tmp_path, str(COUNT), fault=f"{step}:kill:{nth}")
    assert child.returncode == -signal.SIGKILL, child.stdout + child.stderr
    told = acknowledged(child.stdout)
    found = recover(kit.database, kit.spool, kit.store, reindex)
    assert found.missing == found.quarantined == 0
    kept = assert_intact(kit)
    assert told <= kept
    assert [path for path in (kit.spool.root / "tmp").rglob("*.part") if path.exists()] == []
    # The sender sends again what it was not told of, and more.
    again = [kit.store.admit(an_offer(kit.store.temporary_folder, number, size=3000)) for number in range(COUNT)]
    assert again.count(Admission.REPEATED) == len(kept)
    assert len(assert_intact(kit)) == COUNT
    assert kit.route_job().revision == 1


def killed(what: str, url: str, folder: Path, argument: str, step: str) -> str:
    child = run(what, url, folder, argument, fault=step)
    assert child.returncode == -signal.SIGKILL, child.stdout + child.stderr
    return child.stdout


@pytest.mark.parametrize(("step", "done"), [("route.before-commit", False), ("route.after-commit", True)])
def test_a_worker_killed_while_routing(kit: Kit, database_url: str, tmp_path: Path, step: str, done: bool) -> None:
    kit.receive(3)
    job_id = kit.complete()
    kit.publish()
    killed("route", database_url, tmp_path, job_id, f"{step}:kill")
    assert kit.state(job_id) is (JobState.ROUTED if done else JobState.RUNNING)
    assert len(kit.queries.list_jobs()) == (2 if done else 1)
    if not done:
        assert kit.operations.lost(False, job_id, worker="child", reason="worker-lost: signal 9")
        kit.clock.advance(2)
        kit.publish()
        assert run("route", database_url, tmp_path, job_id).returncode == 0
        assert kit.state(job_id) is JobState.ROUTED
    assert len(kit.queries.list_jobs()) == 2


@pytest.mark.parametrize(
    ("step", "done"), [("produce.kept-one", False), ("produce.before-commit", False), ("produce.after-commit", True)]
)
def test_a_worker_killed_while_producing(kit: Kit, database_url: str, tmp_path: Path, step: str, done: bool) -> None:
    kit.receive(3)
    job_id = kit.routed()
    kit.publish()
    killed("produce", database_url, tmp_path, job_id, f"{step}:kill")
    assert len(kit.queries.results(job_id)) == (2 if done else 0)
    if not done:
        assert kit.operations.lost(False, job_id, worker="child", reason="worker-lost: signal 9")
        kit.clock.advance(2)
        kit.publish()
        assert run("produce", database_url, tmp_path, job_id).returncode == 0
    assert kit.state(job_id) is JobState.PRODUCED
    assert len(kit.queries.results(job_id)) == 2
    assert len(kit.queries.deliveries(job_id)) == 1
    assert len(list((kit.spool.root / "results").rglob("*.dcm"))) == 2


@pytest.mark.parametrize("step", ["deliver.noted:kill:1", "deliver.noted:kill:2", "deliver.before-commit:kill"])
def test_a_sender_killed_while_delivering_sends_no_object_again_that_was_noted(
    kit: Kit, database_url: str, tmp_path: Path, step: str
) -> None:
    kit.receive(3)
    job_id = kit.routed()
    kit.produced(job_id)
    (delivery_id,) = kit.due_deliveries()
    killed("deliver", database_url, tmp_path, delivery_id, step)
    noted = [item.status for item in kit.queries.deliveries(job_id)[0].items]
    assert noted == ([0, None] if step.endswith(":1") else [0, 0])
    assert kit.operations.lost(True, delivery_id, worker="child", reason="worker-lost: signal 9")
    kit.clock.advance(2)
    second = run("deliver", database_url, tmp_path, delivery_id)
    assert second.returncode == 0, second.stderr
    assert second.stdout.count("sent") == noted.count(None)
    assert kit.state(job_id) is JobState.COMMITTED
    assert [one.state for one in kit.queries.deliveries(job_id)] == [DeliveryState.SENT]


def test_a_failed_fsync_stops_the_spool_until_the_next_start(kit: Kit, database_url: str, tmp_path: Path) -> None:
    child = run("admit", database_url, tmp_path, str(COUNT), fault="spool.fsync:fail:5")
    assert child.returncode == 0, child.stderr
    lines = child.stdout.splitlines()
    refused = [line for line in lines if line.startswith("store-unavailable")]
    assert len(lines) == COUNT
    # The one that failed, and all that came after it (three other threads may have been under way).
    assert COUNT - 4 - 3 <= len(refused) <= COUNT - 4
    assert acknowledged(child.stdout) == assert_intact(kit)
    again = run("admit", database_url, tmp_path, str(COUNT))
    assert len(acknowledged(again.stdout)) == len(refused)
    assert JobId(kit.route_job().job_id)


def test_a_disk_that_is_full_for_a_moment_refuses_one_and_goes_on(kit: Kit, database_url: str, tmp_path: Path) -> None:
    child = run("admit", database_url, tmp_path, str(COUNT), fault="spool.fsync:full:5")
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("out-of-space") == 1
    assert len(acknowledged(child.stdout)) == COUNT - 1
    assert acknowledged(child.stdout) == assert_intact(kit)
