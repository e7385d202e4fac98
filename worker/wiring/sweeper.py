"""The sweeper: completes studies, publishes what is due and takes back what is overdue, in the ledger alone."""

from __future__ import annotations

from worker.broker.incarnation import RedisIncarnation
from worker.pipeline import ports
from worker.pipeline.sweep import Sweeper
from worker.settings import Settings
from worker.tasks.app import make_app
from worker.tasks.publisher import CeleryPublisher
from worker.tasks.work import is_dead
from worker.wiring import brokers, packages, stores


def build_sweeper(settings: Settings) -> Sweeper:
    """The sweeper of this installation; any number of them may run."""
    stores.prepare(settings)
    options = brokers.options(settings)
    publisher: ports.Publisher = CeleryPublisher(make_app(options), options)
    installed = packages.installed_packages(settings)
    bound = packages.bound_rules(settings, installed.registry())
    unusable = packages.routing_table(settings, installed.registry()).unusable
    rules = [*(one.rule for one in bound), *(one.rule for one in unusable if one.rule is not None)]
    timing = settings.assembly.to_domain()
    return Sweeper(
        stores.ledger(settings).sweepable,
        publisher,
        timing,
        rules,
        is_dead=is_dead,
        broker_incarnation=RedisIncarnation(options.url),
        models=installed.sound,
    )
