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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.contract.store.kit import PASSED, Kit, a_decision, a_plan, an_offer, results_of, stored
from worker.domain.errors import OverreadError
from worker.domain.job import JobId, JobKind
from worker.domain.result import DeliveryState
from worker.domain.study import OfferedInstance
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


def run(what: str, url: str, folder: Path, argument: str, *, fault: str = "") -> subprocess.CompletedProcess[str]:
    """Run this module in a process of its own, to its end."""
    return subprocess.run(
        command(what, url, folder, argument),
        cwd=ROOT,
        env={**os.environ, **({VARIABLE: fault} if fault else {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def command(what: str, url: str, folder: Path, argument: str) -> list[str]:
    return [sys.executable, "-m", "tests.integration.store.child", what, url, str(folder), argument]


if __name__ == "__main__":
    opened = open_kit(sys.argv[2], Path(sys.argv[3]))
    {"admit": admit, "route": route, "produce": produce, "deliver": deliver, "race": race}[sys.argv[1]](
        opened, sys.argv[4]
    )
    opened.close()
