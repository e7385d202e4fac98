"""Several processes on one ledger, forks, a server that is restarted, and a disk that is really full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.kit import Kit, an_offer
from tests.contract.store.postgres import cluster
from tests.integration.store.child import ROOT, command
from worker.domain.errors import OutOfSpaceError, TransientError
from worker.domain.job import JobState
from worker.domain.study import Admission, OfferedInstance
from worker.store.custody.admission import InstanceStore
from worker.store.database.database import Database, sqlite_url
from worker.store.database.schema import migrate
from worker.store.spool.spool import Spool


def test_processes_that_race_for_jobs_share_them_without_overlap(kit: Kit, database_url: str, tmp_path: Path) -> None:
    for n in range(12):
        kit.receive(1, study=f"1.2.826.0.1.{n}")
        kit.complete(f"1.2.826.0.1.{n}")
    queued = kit.publish()
    children = [
        subprocess.Popen(
            command("race", database_url, tmp_path, f"w{n}"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [child.communicate(timeout=120)[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert sorted(job for jobs in won for job in jobs) == sorted(queued)
    for n, jobs in enumerate(won):
        for job in jobs:
            assert kit.queries.job(job).state is JobState.RUNNING
            assert kit.queries.details(job).worker == f"w{n}"
            assert kit.queries.job(job).attempt == 1


def test_a_forked_child_harms_neither_itself_nor_its_parent(kit: Kit) -> None:
    kit.receive(1)
    job_id = kit.complete()
    kit.publish()
    pid = os.fork()
    if pid == 0:  # the child: nothing of pytest may run here
        code = 1
        try:
            claim = kit.jobs.claim(job_id, worker="forked")
            code = 0 if claim is not None and kit.queries.job(job_id).attempt == 1 else 2
            kit.database.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert kit.state(job_id) is JobState.RUNNING
    kit.receive(1, first=2)
    assert kit.route_job().revision == 2


@pytest.mark.postgres
def test_a_database_server_that_restarts_costs_no_instance(tmp_path: Path) -> None:
    server = cluster()
    database = Database(server.url(server.new_database()))
    migrate(database)
    spool = Spool(tmp_path / "spool", reserve_bytes=0)
    store = InstanceStore(database=database, spool=spool)
    assert store.admit(an_offer(store.temporary_folder, 1)) is Admission.STORED
    server.stop()
    with pytest.raises(TransientError) as caught:
        store.admit(an_offer(store.temporary_folder, 2))
    assert caught.value.code == "database-unavailable"
    server.start()
    assert store.admit(an_offer(store.temporary_folder, 2)) is Admission.STORED
    server.stop()
    server.start()
    # The connection that was held is dead; nobody but us needs to know.
    assert store.admit(an_offer(store.temporary_folder, 3)) is Admission.STORED
    store.close()
    database.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_refuses_loses_nothing_and_recovers_alone(small_disk: Path) -> None:
    database = Database(sqlite_url(small_disk / "overread.db"))
    migrate(database)
    spool = Spool(small_disk / "spool", reserve_bytes=1 << 20)
    store = InstanceStore(database=database, spool=spool)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (2 << 20))
    admitted, refusals = [], []
    for number in range(200):
        try:
            store.check_space(50_000)
            admitted.append(store.admit(an_offer(store.temporary_folder, number, size=50_000)))
        except OutOfSpaceError as error:
            refusals.append(error.code)
            if len(refusals) == 5:
                break
    assert refusals == ["out-of-space"] * 5
    assert 10 < len(admitted) < 100
    assert set(admitted) == {Admission.STORED}
    assert list(store.temporary_folder.iterdir()) == []
    assert len(list((spool.root / "objects").rglob("*.dcm"))) == len(admitted)
    ballast.unlink()
    store.check_space(50_000)
    assert store.admit(an_offer(store.temporary_folder, 500, size=50_000)) is Admission.STORED
    store.close()


def admitted(store: InstanceStore, offer: OfferedInstance, told: list[str]) -> bool:
    try:
        store.admit(offer)
    except OutOfSpaceError:
        return False
    told.append(offer.header.sop_instance_uid)
    return True


def test_a_disk_without_any_reserve_is_refused_too_and_stays_consistent(small_disk: Path) -> None:
    """The database's own writes meet the full disk: the group is refused, and nothing acknowledged is lost."""
    database = Database(sqlite_url(small_disk / "overread.db"))
    migrate(database)
    spool = Spool(small_disk / "spool", reserve_bytes=0)
    store = InstanceStore(database=database, spool=spool)
    (small_disk / "ballast").write_bytes(b"\0" * (4 << 20))
    told: list[str] = []
    refused = 0
    for number in range(400):
        try:
            offer = an_offer(store.temporary_folder, number, size=9000)
        except OSError:  # the listener's own write met the full disk
            refused += 1
        else:
            refused += not admitted(store, offer, told)
        if refused == 5:
            break
    assert refused == 5
    assert len(told) > 10
    (small_disk / "ballast").unlink()
    assert store.admit(an_offer(store.temporary_folder, 900, size=9000)) is Admission.STORED
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT sop_instance_uid, object_key FROM instances").all()
    assert set(told) <= {row[0] for row in rows}
    assert all(spool.object_path(row[1]).stat().st_size == 132 + 9000 for row in rows)
    store.close()
