"""The route lane: which models a study is given to."""

from __future__ import annotations

from collections.abc import Callable

from worker.domain.routing import RoutingTable
from worker.pipeline.attempt import AttemptPolicy, Stopwatch
from worker.pipeline.route import RouteStudy
from worker.settings import Settings
from worker.wiring.reading import reader
from worker.wiring.stores import Ledger


def route_study(
    settings: Settings,
    ledger: Ledger,
    table: Callable[[], RoutingTable],
    *,
    new_watch: Callable[[], Stopwatch],
    policy: AttemptPolicy,
) -> RouteStudy:
    """What a route job does; ``table`` gives the routing table as it is now."""
    return RouteStudy(
        jobs=ledger.jobs,
        evidence=ledger.evidence,
        routings=ledger.routings,
        reader=reader(settings),
        table=table,
        config_digest=settings.result_digest,
        new_watch=new_watch,
        policy=policy,
    )
