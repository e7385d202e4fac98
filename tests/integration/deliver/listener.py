"""A stand-in for our listener that hears reports of storage commitment."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE

from tests import scp
from tests.integration.deliver.objects import at
from worker.deliver.commitment_scu import commitment_support
from worker.domain.result import Destination
from worker.domain.study import SOPInstanceUID


@dataclass
class Reports:
    """What ``on_report`` was told."""

    came: list[tuple[str, frozenset[SOPInstanceUID], dict[SOPInstanceUID, int]]] = field(default_factory=list)
    first: threading.Event = field(default_factory=threading.Event)

    def __call__(
        self, transaction_uid: str, committed: frozenset[SOPInstanceUID], failed: Mapping[SOPInstanceUID, int]
    ) -> None:
        self.came.append((transaction_uid, committed, dict(failed)))
        self.first.set()


@contextmanager
def a_listener(on_report: Any, *, ae_title: str = "OVERREAD") -> Iterator[Destination]:
    """An SCP with ``commitment_support`` plugged in as the real listener does it."""
    support = commitment_support(on_report)
    ae = AE(ae_title=ae_title)
    ae.add_supported_context("1.2.840.10008.1.1")
    ae.add_supported_context(support.abstract_syntax, list(support.transfer_syntaxes), scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(support.handlers))
    try:
        yield at(int(server.socket.getsockname()[1]), ae_title=ae_title, name="overread")
    finally:
        scp.stop(server)
