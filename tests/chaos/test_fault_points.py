"""The whole system, killed exactly at every named fault point on the way of a study; then nothing is lost or doubled.

``tests/integration/store`` kills single use-cases at the same points and looks at what is left. Here the processes of
``overread up`` die there, are started again by it, and finish the work.
"""

from __future__ import annotations

import queue
import random
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.book import Book
from tests.chaos.reconcile import ledger, reconcile, unfinished
from tests.chaos.senders import Connections, Errand, Sender
from tests.chaos.studies import a_study
from tests.chaos.system import Pacs, System
from tests.e2e.processes import ROOT, until

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(600)]

OF_THE_LISTENER = ("spool.fsync", "spool.renamed", "admit.synced", "admit.placed", "admit.before-commit")
AFTER_THE_COMMIT = ("admit.after-commit",)
OF_WORKERS = (
    "route.before-commit",
    "route.after-commit",
    "produce.kept-one",
    "produce.before-commit",
    "produce.after-commit",
    "deliver.noted",
    "deliver.before-commit",
)
OF_OTHER_TESTS = {
    "promise.before-commit": "we as SCP of storage commitment, off by default: tests/contract/store",
    "promise.judged": "we as SCP of storage commitment, off by default: tests/contract/store",
}


def points() -> set[str]:
    """Every point in the source."""
    found: set[str] = set()
    for path in (ROOT / "worker").rglob("*.py"):
        found |= set(re.findall(r'\breach\("([a-z.-]+)"\)', path.read_text(encoding="utf-8")))
    return found


def test_no_point_is_forgotten() -> None:
    assert points() == {*OF_THE_LISTENER, *AFTER_THE_COMMIT, *OF_WORKERS, *OF_OTHER_TESTS}


@dataclass
class Tour:
    """One installation that is started again with another fault each time."""

    system: System
    pacs: Pacs
    book: Book
    errands: queue.Queue[Errand]
    sent: int = 0

    def send_a_study(self) -> None:
        study = a_study(self.sent, random.Random(self.sent), prefix="fa")
        self.sent += 1
        self.book.plan([study])
        self.errands.put(Errand(study.instances))

    def arm(self, fault: str) -> None:
        self.system.kill_tree()
        self.system.environ.pop("OVERREAD_FAULT", None)
        if fault:
            self.system.environ["OVERREAD_FAULT"] = fault
        self.system.start()

    def deaths(self) -> int:
        """Processes that died by SIGKILL, as their parents saw it."""
        log = self.system.log.read_text(errors="replace")
        return log.count('"process-died"') + log.count('"error": "WorkerLostError"')


@contextmanager
def a_tour(folder: Path) -> Iterator[Tour]:
    pacs = Pacs(folder / "pacs")
    system = System(folder, destination=pacs.destination(confirm="no"))
    tour = Tour(system, pacs, Book(), queue.Queue())
    sender = Sender(
        0,
        port=system.port,
        errands=tour.errands,
        book=tour.book,
        connections=Connections(),
        seed="faults",
        pace_s=0.0,
    )
    pacs.start(peer_port=system.port)
    sender.start()
    try:
        yield tour
        tour.arm("")
        tour.errands.join()
        until(lambda: not unfinished(system.data), what="all work has ended", wait_s=180)
        assert sender.defect is None
        found = reconcile(tour.book, data=system.data, pacs=pacs.folder)
        assert found.clean, list(found.complaints())
        assert found.complete_studies == tour.sent
    finally:
        sender.end()
        if system.processes():
            system.stop()
        pacs.stop()


def test_the_listener_dies_at_every_point_of_receiving(tmp_path: Path) -> None:
    with a_tour(tmp_path) as tour:
        for point in (*OF_THE_LISTENER, *AFTER_THE_COMMIT):
            # The second time: the first instance of a study is acknowledged, the second one meets the fault.
            tour.arm(f"{point}:kill:2")
            before = tour.deaths()
            tour.send_a_study()
            until(lambda before=before: tour.deaths() > before, what=f"somebody died at {point}", wait_s=60)


def test_workers_die_at_every_point_of_their_work(tmp_path: Path) -> None:
    with a_tour(tmp_path) as tour:
        for point in OF_WORKERS:
            tour.arm(f"{point}:kill")
            before = tour.deaths()
            tour.send_a_study()
            until(lambda before=before: tour.deaths() > before, what=f"somebody died at {point}", wait_s=90)
        with closing(ledger(tour.system.data)) as db:
            (attempts,) = db.execute("SELECT max(attempt) FROM jobs").fetchone()
        assert attempts > 1
