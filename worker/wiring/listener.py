"""The listener, and the store behind it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path

from worker.domain.errors import ConfigurationError, OverreadError
from worker.domain.implementation import MANUFACTURER, MODEL_NAME
from worker.domain.study import OfferedInstance
from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.server import Listener
from worker.intake.limits import Limits
from worker.intake.ports import InstanceStore as Custody
from worker.intake.scan.reindex import offered_again
from worker.settings import Settings
from worker.store.custody.admission import InstanceStore
from worker.store.custody.recovery import recover
from worker.wiring import commitment, stores

log = logging.getLogger(__name__)

PORT_WAIT_S = 5.0
"""How long the port may still be taken: a listener whose parent was killed closes it a moment later."""
_PORT_POLL_S = 0.05


class Receiving:
    """The listener with its store: started and stopped together."""

    def __init__(self, settings: Settings) -> None:
        stores.prepare(settings)
        self._ledger = stores.ledger(settings)
        entry = settings.listener
        self._store = InstanceStore(
            database=self._ledger.database,
            spool=self._ledger.spool,
            # The same listener after a restart: what its last run left open counts as closed.
            listener_id=f"{socket.gethostname()}:{entry.port}",
            own_equipment=(MANUFACTURER, MODEL_NAME),
        )
        custody: Custody = self._store
        self._stated_of_all = settings.stated_sets.default
        heard = commitment.listening(settings)
        self._listener = Listener(
            custody,
            ae_title=settings.node.ae_title,
            bind_address=entry.bind,
            port=entry.port,
            limits=Limits(
                associations=entry.max_associations,
                associations_per_peer=max(1, int(entry.max_associations * 0.8)),
                associations_per_calling_ae=max(1, int(entry.max_associations * 0.8)),
                idle_s=entry.idle_s,
                object_bytes=entry.max_object_mb << 20,
            ),
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

    @property
    def port(self) -> int:
        """The TCP port on which it listens."""
        return self._listener.port

    def start(self) -> None:
        """Listen; then, beside receiving, put right what a crash left.

        Raises ConfigurationError (``port-in-use``) when the port is not free after ``PORT_WAIT_S`` either.
        """
        self._store.start()
        self._bind()
        threading.Thread(target=self._recover, name="recovery", daemon=True).start()

    def stop(self, *, grace_s: float) -> None:
        """Let associations end within the grace, commit what waits, and close."""
        self._listener.stop(grace_s)
        self._store.close()

    def _bind(self) -> None:
        ends = time.monotonic() + PORT_WAIT_S
        while True:
            try:
                self._listener.start()
            except ConfigurationError as error:
                if error.code != "port-in-use" or time.monotonic() > ends:
                    raise
                time.sleep(_PORT_POLL_S)
            else:
                return

    def _offered_again(self, path: Path) -> OfferedInstance | None:
        return offered_again(path, self._stated_of_all)

    def _recover(self) -> None:
        try:
            recover(self._ledger.database, self._ledger.spool, self._store, self._offered_again)
        except OverreadError as error:
            log.warning("recovery-failed", extra={"code": error.code})


def build_listener(settings: Settings) -> Receiving:
    """The listener of this installation."""
    return Receiving(settings)
