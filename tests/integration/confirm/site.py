"""Our side as it is wired, in one process: listener, deliveries, background tasks. Results come without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from sqlalchemy import update

from tests.contract.store.kit import PASSED, DatabaseClock, Kit, a_decision, a_plan
from tests.integration.deliver.objects import a_result_set, at
from tests.integration.deliver.servers import wait_until
from tests.ports import free_port
from worker.cli.background_threads import Background
from worker.deliver.association import Timeouts
from worker.deliver.store_scu import StoreSender
from worker.domain.job import JobId, JobState
from worker.domain.result import Delivery, Destination, EncodedObject
from worker.pipeline.backoff import Backoff
from worker.pipeline.deliver import DeliverResults
from worker.settings.load import validate
from worker.store.database.database import Database
from worker.store.database.tables import deliveries
from worker.wiring import stores
from worker.wiring.background_work import CLEAN_EVERY_S, BackgroundTask, background_tasks
from worker.wiring.listener import build_listener

QUICK = {
    "answer_within_s": 60,
    "wait_on_association_s": 0,
    "read_back_after_s": 0.1,
    "first_pause_s": 0.05,
    "longest_pause_s": 0.1,
}


def quick(task: BackgroundTask, every_s: float = 0.1) -> BackgroundTask:
    """The same task, more often; what is done once in ten minutes is done at the beginning only."""
    return task if task.every_s >= CLEAN_EVERY_S else BackgroundTask(task.name, task.step, every_s)


class Site:
    """An installation without broker and models.

    Parameters
    ----------
    folder, url:
        Data folder and migrated database.
    destinations:
        Tables of the configuration, without name (``PACS``, ``PACS2``, ...) and host.
    sections:
        Further sections.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        destinations: Sequence[Mapping[str, Any]] = (),
        port: int | None = None,
        **sections: Mapping[str, Any],
    ) -> None:
        listener = {"bind": "127.0.0.1", "port": port or free_port(), **sections.pop("listener", {})}
        self.folder = folder
        self.settings = validate(
            {
                "node": {"data": str(folder / "data"), "ae_title": "OVERREAD"},
                "database": {"url": url},
                "storage": {"reserve_mb": 1, **sections.pop("storage", {})},
                "listener": listener,
                "confirmation": {**QUICK, **sections.pop("confirmation", {})},
                "destinations": [
                    {"name": f"PACS{n or ''}", "host": "127.0.0.1", **one} for n, one in enumerate(destinations)
                ],
                **sections,
            },
            origin="test",
        )
        self.address = at(listener["port"], ae_title="OVERREAD", name="overread")
        self.ledger = stores.ledger(self.settings)
        self._kit: Kit | None = None
        self._stack = ExitStack()

    @property
    def kit(self) -> Kit:
        """To tell the story of a job by hand, on the database's real clock."""
        if self._kit is None:
            self._kit = Kit(Database(self.settings.database_url), self.settings.node.data, DatabaseClock())
            self._kit.offer_committing(self.ledger.committing)
        return self._kit

    def __enter__(self) -> Self:
        listener = build_listener(self.settings)
        listener.start()
        self._stack.callback(lambda: listener.stop(grace_s=1.0))
        steps = [quick(one) for one in background_tasks(self.settings)]
        self._stack.enter_context(Background([*steps, BackgroundTask("deliver", self._deliver, 0.1)]))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.close()

    def close(self) -> None:
        """Close the ledger: for a site that was never entered."""
        if self._kit is not None:
            self._kit.close()
        self.ledger.database.close()  # the cluster of the tests has few places

    def produced(self, number: int = 1) -> JobId:
        """An analysis with a SEG and an SR in its outbox, in a study of its own."""
        kit, study = self.kit, f"1.2.826.0.1.{number}"
        kit.receive(1, study=study)
        claim = kit.claim(kit.complete(study))
        destinations = tuple(one.name for one in self.settings.destinations)
        plan = a_plan(kit.evidence.of_route(claim.job), f"k{number}", destinations=destinations)
        kit.routings.record(claim, [a_decision()], [plan])
        job_id = kit.job_of_key(f"k{number}")
        folder = self.folder / f"results-{number}"
        folder.mkdir()
        objects = [
            EncodedObject(
                one.kind, one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid, one.path.read_bytes()
            )
            for one in a_result_set(folder, study=f"study-{number}")
        ]
        kit.products.produce(kit.claim(job_id), kit.products.keep(objects), PASSED, "{}")
        self.ledger.sweepable.forget_all_published()  # the kit's claims published deliveries as well, to nobody
        return job_id

    def uids(self, job_id: JobId) -> list[str]:
        return [one.sop_instance_uid for one in self.ledger.queries.results(job_id)]

    def state(self, job_id: JobId) -> JobState:
        return self.ledger.queries.job(job_id).state

    def delivery(self, job_id: JobId, destination: str = "PACS") -> Delivery:
        return next(one for one in self.ledger.queries.deliveries(job_id) if one.destination == destination)

    def outcomes(self, job_id: JobId) -> list[str]:
        return [one.outcome for one in self.ledger.queries.commitments(job_id)]

    def end_pauses(self) -> None:
        """As if every pause before a question or a sending were over."""
        with self.ledger.database.write() as connection:
            now = self.ledger.database.now(connection)
            connection.execute(update(deliveries).where(deliveries.c.not_before > now).values(not_before=now))

    def until(self, job_id: JobId, state: JobState = JobState.COMMITTED) -> None:
        wait_until(lambda: self.state(job_id) is state)

    def _deliver(self) -> None:
        destinations: dict[str, Destination] = {one.name: one.to_domain() for one in self.settings.destinations}
        sender = StoreSender(ae_title="OVERREAD", timeouts=Timeouts(connect_s=2, association_s=5, response_s=5))
        deliver = DeliverResults(self.ledger.outbox, sender, destinations, Backoff(first_s=0.2, cap_s=0.5))
        for due in self.ledger.sweepable.due(limit=100):
            if due.delivery_id is not None:
                deliver.run(due.delivery_id, worker="d1")
