"""A process of its own that uses the store, for tests that kill it, trace it, or race it.

``python -m tests.integration.store.child WHAT URL FOLDER ARGUMENT``. Whatever is acknowledged is written to standard
output in one write, at once: what the parent has read, nobody may lose.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.contract.store.kit import PASSED, Kit, a_decision, a_plan, an_offer, results_of, stored
from worker.domain.errors import OverreadError
from worker.domain.job import JobId, JobKind
from worker.domain.result import DeliveryState
from worker.domain.study import OfferedInstance
from worker.store import faults
from worker.store.database.database import Database
from worker.store.faults import VARIABLE

ROOT = Path(__file__).resolve().parents[3]


class Live(Kit):
    """The kit on the real clocks."""


def open_kit(url: str, folder: Path) -> Kit:
    """The store's parts in this process, on the database's own clock."""
    return Live(Database(url), folder, clock=None)  # type: ignore[arg-type]


def said(words: str) -> None:
    os.write(1, f"{words}\n".encode())


def admit(kit: Kit, count: str) -> None:
    """Offer instances from four threads; say which were acknowledged, and how others were refused."""

    def one(number: int) -> None:
        try:
            admission = kit.store.admit(an_offer(kit.store.temporary_folder, number, size=3000))
        except OverreadError as error:
            said(f"{error.code} {number}")
        else:
            said(f"{admission.value} {number}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(int(count))))


def route(kit: Kit, job_id: str) -> None:
    """Claim a route job and record one analysis."""
    claim = kit.jobs.claim(JobId(job_id), worker="child")
    assert claim is not None
    said("claimed")
    plan = a_plan(kit.evidence.of_route(claim.job), "k1")
    kit.routings.record(claim, [a_decision()], [plan])
    said("recorded")


def produce(kit: Kit, job_id: str) -> None:
    """Claim an analysis and produce."""
    claim = kit.jobs.claim(JobId(job_id), worker="child")
    assert claim is not None
    said("claimed")
    kit.products.produce(claim, kit.products.keep(results_of("1")), PASSED, json.dumps({}))
    said("produced")


def deliver(kit: Kit, delivery_id: str) -> None:
    """Claim a delivery and send it."""
    claim = kit.outbox.claim(delivery_id, worker="child")  # type: ignore[arg-type]
    assert claim is not None
    said("claimed")
    for item in claim.delivery.items:
        if item.status is None:
            kit.outbox.note(claim, stored(item.result.sop_instance_uid))
            said(f"sent {item.result.sop_instance_uid}")
    kit.outbox.settle(claim, DeliveryState.SENT, reason="all stored")
    said("settled")


def race(kit: Kit, worker: str) -> None:
    """Claim every queued job that is left, again and again, with other processes doing the same."""
    sys.stdin.readline()
    for job in sorted(kit.queries.list_jobs(limit=1000), key=lambda job: job.job_id):
        if job.kind is JobKind.ROUTE and kit.jobs.claim(job.job_id, worker=worker) is not None:
            said(job.job_id)


def reindex(path: Path) -> OfferedInstance | None:
    """Read an object of these tests again, as the listener's scan would."""
    content = path.read_bytes()[132:]
    uid, _, rest = content.partition(b"|")
    if not rest:
        return None
    study, _, _ = uid.decode().rpartition(".9.")
    offered = an_offer(path.parent, 0, study=study, uid=uid.decode(), content=content, association="recovered")
    offered.temporary.unlink()
    assert offered.sha256 == hashlib.sha256(content).hexdigest()
    return offered


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status (negative: the signal), and what it said."""

    returncode: int
    stdout: str
    stderr: str


class Forks:
    """A process that has imported all of this module and forks a child for each call: a start takes no time then."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.store.child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=120)
        assert self._process.returncode == 0

    def run(self, what: str, url: str, folder: Path, argument: str, *, fault: str = "") -> Ended:
        """Do something in a process of its own, to its end."""
        process, files = self._process, [folder / f"child.{name}" for name in ("stdout", "stderr")]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([what, url, str(folder), argument, fault, *map(str, files)]) + "\n")
        process.stdin.flush()
        returncode = int(process.stdout.readline())
        stdout, stderr = (file.read_text(encoding="utf-8") for file in files)
        return Ended(returncode, stdout, stderr)


def serve_forks() -> None:
    """For each line of standard input a child; its exit status is a line of standard output."""
    for line in sys.stdin:
        *wanted, fault, stdout, stderr = json.loads(line)
        pid = os.fork()
        if pid == 0:
            for number, path in ((1, stdout), (2, stderr)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.environ[VARIABLE] = fault
            faults.arm()  # a program of its own would have read it when it was started
            code = 1
            try:
                main(*wanted)
                code = 0
            except BaseException:  # noqa: BLE001 - of a child, which must not go on as its parent
                traceback.print_exc()
            os._exit(code)
        said(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))


def command(what: str, url: str, folder: Path, argument: str) -> list[str]:
    return [sys.executable, "-m", "tests.integration.store.child", what, url, str(folder), argument]


def main(what: str, url: str, folder: str, argument: str) -> None:
    opened = open_kit(url, Path(folder))
    {"admit": admit, "route": route, "produce": produce, "deliver": deliver, "race": race}[what](opened, argument)
    opened.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        serve_forks()
