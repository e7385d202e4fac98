"""The listener with the store behind it: started and stopped together, and what a crash left put right beside it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from worker.domain.errors import ConfigurationError, OverreadError
from worker.intake.association.server import Listener

log = logging.getLogger(__name__)

PORT_WAIT_S = 5.0
"""How long the port may still be taken: a listener whose parent was killed closes it a moment later."""
_PORT_POLL_S = 0.05


class Custody(Protocol):
    """The store that keeps what the listener receives: its threads."""

    def start(self) -> None:
        """Begin to take in instances."""

    def close(self) -> None:
        """Commit what waits, and end."""


class Receiving:
    """The listener with its store. ``recover`` puts right what a crash left, beside receiving."""

    port_wait_s = PORT_WAIT_S

    def __init__(self, listener: Listener, store: Custody, recover: Callable[[], object]) -> None:
        self._listener = listener
        self._store = store
        self._recover = recover

    @property
    def port(self) -> int:
        """The TCP port on which it listens."""
        return self._listener.port

    def start(self) -> None:
        """Listen; then, beside receiving, put right what a crash left.

        Raises ConfigurationError (``port-in-use``) when the port is not free after ``port_wait_s`` either.
        """
        self._store.start()
        self._bind()
        threading.Thread(target=self._put_right, name="recovery", daemon=True).start()

    def stop(self, *, grace_s: float) -> None:
        """Let associations end within the grace, commit what waits, and close."""
        self._listener.stop(grace_s)
        self._store.close()

    def _bind(self) -> None:
        ends = time.monotonic() + self.port_wait_s
        while True:
            try:
                self._listener.start()
            except ConfigurationError as error:
                if error.code != "port-in-use" or time.monotonic() > ends:
                    raise
                time.sleep(_PORT_POLL_S)
            else:
                return

    def _put_right(self) -> None:
        try:
            self._recover()
        except OverreadError as error:
            log.warning("recovery-failed", extra={"code": error.code})
