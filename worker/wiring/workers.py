"""The worker: Celery in the parent, use-cases in the children.

A worker of one lane imports what that lane needs: deliveries need no model.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from worker.domain.errors import OverreadError
from worker.inference.runtime import interruption
from worker.observe import collector
from worker.observe.crash_record import BlackBox
from worker.observe.memory_pressure import offer_to_be_killed_first
from worker.pipeline.attempt import AttemptPolicy, Stopwatch
from worker.pipeline.route import ROUTE_DEADLINE_S
from worker.settings import Settings
from worker.tasks import program
from worker.tasks.lanes import Lane
from worker.tasks.planned_stops import PlannedStops
from worker.tasks.stopping import ChildStop, ParentStop
from worker.tasks.work import at_child_start, before_first_task, register, worker_name
from worker.wiring import brokers, stores

if TYPE_CHECKING:
    from worker.inference.run.loaded_models import LoadedModels
    from worker.pipeline.analyse import AnalyseSeries
    from worker.pipeline.deliver import DeliverResults
    from worker.pipeline.route import RouteStudy
    from worker.wiring.loaded_models import ModelsByProcess

log = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 4


class UseCases:
    """Made once in each child, after the fork, at its first task.

    ``models`` gives those of this process; by default they are read at the first job that needs them.
    """

    def __init__(
        self,
        settings: Settings,
        black_box: BlackBox,
        models: Callable[[], LoadedModels] | None = None,
        *,
        stop: ChildStop | None = None,
    ) -> None:
        self._stop = stop or ChildStop()
        self._settings = settings
        self._black_box = black_box
        self._ledger = stores.ledger(settings)
        self._heartbeat_s = settings.work.lease_s / HEARTBEATS_PER_LEASE
        self._given_models = models

    def _new_watch(self) -> Stopwatch:
        self._black_box.begin("attempt")
        return Stopwatch(on_begin=self._black_box.stage)

    def _policy(self, *, deadline_s: float) -> AttemptPolicy:
        return AttemptPolicy(heartbeat_s=self._heartbeat_s, deadline_s=deadline_s, stopping=lambda: self._stop.asked)

    @cached_property
    def _models(self) -> LoadedModels:
        from worker.wiring.loaded_models import models_of

        return self._given_models() if self._given_models is not None else models_of(self._settings)

    @cached_property
    def route(self) -> RouteStudy:
        """Of a route job."""
        from worker.wiring.routing import route_study

        return route_study(
            self._settings,
            self._ledger,
            self._models.table,
            new_watch=self._new_watch,
            policy=self._policy(deadline_s=ROUTE_DEADLINE_S),
        )

    @cached_property
    def analyse(self) -> AnalyseSeries:
        """Of an analyse job."""
        from worker.wiring.analysis import analyse_series

        return analyse_series(
            self._settings,
            self._ledger,
            self._models,
            new_watch=self._new_watch,
            policy=self._policy(deadline_s=self._settings.work.deadline_s),
        )

    @cached_property
    def deliver(self) -> DeliverResults:
        """Of a delivery."""
        from worker.wiring.delivery import deliver_results

        return deliver_results(
            self._settings, self._ledger, heartbeat_s=self._heartbeat_s, stopping=lambda: self._stop.asked
        )


def planned_stops(settings: Settings) -> PlannedStops:
    """What is written down of planned stops, in the ledger or beside it."""
    return PlannedStops(settings.node.data / "run", lambda: stores.ledger(settings).operations)


def run_worker(settings: Settings, lanes: Sequence[Lane]) -> None:
    """Run one Celery worker for these lanes until SIGTERM; what is running then is handed back, and does not count."""
    with collector.starting():
        stores.prepare(settings)
        stops = planned_stops(settings)
        stops.take_up()
        brokers.remove_wrong_type_keys(settings)  # a worker that one of them ended comes by here when it starts again
        app = brokers.application(settings)
        _import_before_the_fork(lanes)
        models = _models_before_the_fork(settings, lanes)
    made: dict[int, UseCases] = {}
    making = threading.Lock()
    black_box = BlackBox(settings.node.data / "run")

    def use_cases() -> UseCases:
        # By process: what a parent made must not be used by a child that was forked from it.
        with making:
            if os.getpid() not in made:
                made[os.getpid()] = UseCases(settings, black_box, models, stop=child_stop)
            return made[os.getpid()]

    child_stop = ChildStop()
    child_stop.on_asked(interruption.interrupt)

    def on_lost(lane: Lane, id_: str, *, worker: str, reason: str) -> None:
        left = black_box.read(int(worker.rpartition(":")[2]))
        said = f"{reason} {left}".strip()
        try:
            stores.ledger(settings).operations.lost(lane is Lane.DELIVER, id_, worker=worker, reason=said)
        except OverreadError as error:
            log.warning("loss-not-recorded", extra={"code": error.code, "worker": worker})

    register(app, use_cases, on_lost, stop=child_stop)
    if Lane.ANALYSE in lanes:
        before_first_task(offer_to_be_killed_first)
    if models is not None and Lane.ANALYSE in lanes and settings.inference.warm:
        at_child_start(lambda: models().warm())
    stop = ParentStop(worker_name, begins=stops.begins, is_over=stops.is_over)
    program.run(app, lanes, concurrency=children(settings, lanes), stop=stop)


def _import_before_the_fork(lanes: Sequence[Lane]) -> None:
    """Import what these lanes need, and nothing else: the children share it, and their first tasks do not wait."""
    if Lane.ROUTE in lanes:
        import worker.wiring.routing
    if Lane.ANALYSE in lanes:
        import worker.wiring.analysis
    if Lane.DELIVER in lanes:
        import worker.wiring.delivery  # noqa: F401


def _models_before_the_fork(settings: Settings, lanes: Sequence[Lane]) -> ModelsByProcess | None:
    """The models of these lanes; None where no job needs one."""
    if not {Lane.ROUTE, Lane.ANALYSE} & set(lanes):
        return None
    from worker.wiring.loaded_models import ModelsByProcess

    models = ModelsByProcess(settings)
    if Lane.ROUTE in lanes:
        models.packages.registry()  # what a study is missing is what was here when we began
    return models


def children(settings: Settings, lanes: Sequence[Lane]) -> int:
    """How many child processes a worker of these lanes has.

    For deliveries, as many as may be sent at a time to all destinations together: however many of those hang, there is
    a child for one that answers.
    """
    work = settings.work
    deliveries = work.delivery_slots * max(1, len(settings.destinations)) if Lane.DELIVER in lanes else 0
    others = work.concurrency if Lane.ANALYSE in lanes else int(Lane.ROUTE in lanes)
    return deliveries + others
