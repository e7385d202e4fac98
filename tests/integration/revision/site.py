"""A whole site in one process: listener, ledger, sweeper, use-cases with a real ONNX model, and two PACS.

Everything is what ``worker.wiring`` makes of a configuration file. Only the broker is left out: the publisher calls the
use-cases directly, so that a test knows when nothing is left to do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.e2e.processes import command
from tests.ports import free_port
from tests.unit.inference import tiny_models
from worker.demo.pacs import DemoPacs
from worker.domain.job import Job, JobKind, JobState
from worker.domain.result import Destination
from worker.domain.work import DueWork
from worker.observe.crash_record import BlackBox
from worker.pipeline.sweep import Sweeper
from worker.settings import Settings, load
from worker.store.reading.views import StudyDetails
from worker.wiring import stores
from worker.wiring.listener import build_listener
from worker.wiring.packages import installed_packages
from worker.wiring.workers import UseCases

_RESTING = frozenset(
    {
        JobState.ROUTED,
        JobState.NO_MODEL_APPLIES,
        JobState.COMMITTED,
        JobState.SUPERSEDED,
        JobState.QUARANTINED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.WAITING,
    }
)


@dataclass
class DirectPublisher:
    """Does at once what it publishes."""

    site: Site

    def publish(self, due: DueWork) -> None:
        work = self.site.work
        if not self.site.published(due):
            return
        if due.delivery_id is not None:
            work.deliver.run(due.delivery_id, worker="test:1")
        elif due.job_id is not None and due.kind is JobKind.ROUTE:
            work.route.run(due.job_id, worker="test:1")
        elif due.job_id is not None:
            work.analyse.run(due.job_id, worker="test:1")


@dataclass
class Site:
    """PACS wants rejection notes, ARCHIVE does not."""

    folder: Path
    pacs: DemoPacs = field(init=False)
    archive: DemoPacs = field(init=False)
    published: Callable[[DueWork], bool] = lambda _: True

    def __post_init__(self) -> None:
        self.model = self.folder / "models" / "toy-ct"
        self.install("1.0.0", threshold=-500.0)
        self.pacs = DemoPacs(self.folder / "pacs", ae_title="PACS")
        self.archive = DemoPacs(self.folder / "archive", ae_title="ARCHIVE")
        self.pacs.start()
        self.archive.start()
        self.config = self.folder / "overread.toml"
        self.config.write_text(
            f"""
[node]
data = "{self.folder / "data"}"

[listener]
port = {free_port()}

[assembly]
quiet_after_release_s = 0
quiet_s = 0
gap_factor = 0

[models]
folders = ["{self.folder / "models"}"]
packaged = false

[pictures]
keep = false

[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {self.pacs.port}
rejection_note = true

[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {self.archive.port}
""",
            encoding="utf-8",
        )
        self.settings: Settings = load(self.config, environ={})
        self.receiving = build_listener(self.settings)
        self.receiving.start()
        self.ledger = stores.ledger(self.settings)
        self.sweeper = Sweeper(
            self.ledger.sweepable,
            DirectPublisher(self),
            self.settings.assembly.to_domain(),
            [],
            models=installed_packages(self.settings).sound,
        )
        self.work = self.new_worker()

    def close(self) -> None:
        self.receiving.stop(grace_s=5)
        self.pacs.stop()
        self.archive.stop()
        self.ledger.spool.close()
        self.ledger.database.close()

    @property
    def listener(self) -> Destination:
        return Destination("overread", self.settings.node.ae_title, "127.0.0.1", self.receiving.port)

    def install(self, version: str, *, threshold: float) -> None:
        """Put a version of the model in the place of the last one."""
        self.model.mkdir(parents=True, exist_ok=True)
        tiny_models.affine_net(self.model / "model.onnx", scale=[0.0, -1.0], bias=[0.0, threshold])
        data = tiny_models.changed(tiny_models.package_data("0" * 64), "package.version", version)
        tiny_models.write_package(self.model, data)

    def new_worker(self) -> UseCases:
        """A worker that was just started: it knows the models that are installed now."""
        return UseCases(self.settings, BlackBox(self.folder / "data" / "run"))

    def settle(self) -> None:
        """Sweep until everything rests."""
        for _ in range(500):
            self.sweeper.sweep()
            if all(self._rests(job) for job in self.ledger.queries.list_jobs(limit=1000)):
                return
        raise AssertionError([(job.kind, job.state, job.reason) for job in self.ledger.queries.list_jobs()])

    def _rests(self, job: Job) -> bool:
        return job.state in _RESTING or not self.published(DueWork(job.job_id, None, job.kind, "", 5))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``overread`` as a person does."""
        return command(*arguments, "--config", str(self.config))

    def study(self, uid: str) -> StudyDetails:
        details = self.ledger.queries.study(uid)  # type: ignore[arg-type]
        assert details is not None
        return details


def held_by(pacs: DemoPacs) -> Iterator[tuple[Path, Dataset]]:
    """Everything that is no image, in the order in which it came."""
    root = Path(pacs._archive._objects)
    for path in sorted(root.glob("*/*.dcm"), key=lambda path: path.stat().st_mtime_ns):
        ds = dcmread(path)
        if ds.Modality != "CT":
            yield path, ds
