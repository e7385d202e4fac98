"""The listener, and the store behind it."""

from __future__ import annotations

import socket
from pathlib import Path

from worker.domain.implementation import MANUFACTURER, MODEL_NAME
from worker.domain.study import OfferedInstance
from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.server import Listener
from worker.intake.limits import Limits
from worker.intake.ports import InstanceStore as Custody
from worker.intake.receiving import Receiving
from worker.intake.scan.reindex import offered_again
from worker.settings import Settings
from worker.settings.model import Listener as ListenerEntry
from worker.store.custody.admission import InstanceStore
from worker.store.custody.recovery import recover
from worker.wiring import commitment, stores


def build_listener(settings: Settings) -> Receiving:
    """The listener of this installation."""
    stores.prepare(settings)
    ledger, entry = stores.ledger(settings), settings.listener
    store = InstanceStore(
        database=ledger.database,
        spool=ledger.spool,
        # The same listener after a restart: what its last run left open counts as closed.
        listener_id=f"{socket.gethostname()}:{entry.port}",
        own_equipment=(MANUFACTURER, MODEL_NAME),
    )
    custody: Custody = store
    heard = commitment.listening(settings)
    listener = Listener(
        custody,
        ae_title=settings.node.ae_title,
        bind_address=entry.bind,
        port=entry.port,
        limits=_limits(entry),
        access=AccessPolicy(
            require_called_ae_title=entry.require_called_ae_title,
            calling_ae_titles=entry.calling_ae_titles,
            networks=entry.peers,
        ),
        accept_conflicts=entry.conflict == "accept",
        character_sets=settings.stated_sets,
        extra_contexts=[heard.context] if heard else [],
        event_handlers=heard.handlers if heard else (),
    )

    def offered(path: Path) -> OfferedInstance | None:
        return offered_again(path, settings.stated_sets.default)

    return Receiving(listener, store, lambda: recover(ledger.database, ledger.spool, store, offered))


def _limits(entry: ListenerEntry) -> Limits:
    one_peer = max(1, int(entry.max_associations * 0.8))
    return Limits(
        associations=entry.max_associations,
        associations_per_peer=one_peer,
        associations_per_calling_ae=one_peer,
        idle_s=entry.idle_s,
        object_bytes=entry.max_object_mb << 20,
    )
