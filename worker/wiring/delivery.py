"""The deliver lane: result objects to their destinations."""

from __future__ import annotations

from collections.abc import Callable

from worker.deliver.store_scu import StoreSender
from worker.pipeline import ports
from worker.pipeline.deliver import DeliverResults
from worker.pipeline.sweep import PublishNext
from worker.settings import Settings
from worker.tasks.app import make_app
from worker.tasks.publisher import CeleryPublisher
from worker.wiring import brokers
from worker.wiring.stores import Ledger


def deliver_results(
    settings: Settings, ledger: Ledger, *, heartbeat_s: float, stopping: Callable[[], bool]
) -> DeliverResults:
    """The use-case of the deliver lane, with a sender, the site's destinations and a publisher."""
    sender: ports.Sender = StoreSender(ae_title=settings.node.ae_title)
    destinations = {entry.name: entry.to_domain() for entry in settings.destinations}
    options = brokers.options(settings)
    publisher: ports.Publisher = CeleryPublisher(make_app(options), options)
    return DeliverResults(
        ledger.outbox,
        sender,
        destinations,
        heartbeat_s=heartbeat_s,
        profiles=settings.profile_of,
        further_profiles=[settings.profile(name) for name in settings.profile_names],
        publish_next=PublishNext(ledger.sweepable, publisher),
        stopping=stopping,
    )
