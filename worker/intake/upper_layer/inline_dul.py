"""The upper layer's state machine (PS3.8 9.2) on the thread of its association."""

from __future__ import annotations

import queue
import threading
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError


class InlineDul(DULServiceProvider):
    """pynetdicom's upper layer without its thread: what is sent has left when ``send_pdu`` returns."""

    def __init__(self, association: Association) -> None:
        super().__init__(association)
        self._turn = threading.RLock()

    def send_pdu(self, primitive: Any) -> None:
        """Send a primitive at once; nothing is sent any more when the association has ended."""
        with self._turn:
            if self.state_machine.current_state in ("Sta1", "Sta13"):
                return
            super().send_pdu(primitive)
            self.pump()

    def receive(self, pdu: Any, event: str) -> None:
        """Hand a received PDU to the state machine."""
        with self._turn:
            self._recv_pdu.put(pdu)
            self.event_queue.put(event)
            self.pump()

    def pump(self) -> None:
        """Run the state machine until it has nothing to do."""
        while True:
            try:
                event = self.event_queue.get_nowait()
            except queue.Empty:
                if not self._process_recv_primitive():
                    return
                continue
            try:
                self.state_machine.do_action(event)
            except InvalidEventError:
                self.to_provider_queue.queue.clear()
                return

    def send_raw(self, pdus: bytes) -> None:
        """Send encoded P-DATA-TF PDUs, unless the association has ended."""
        with self._turn:
            if self.state_machine.current_state == "Sta6" and self.socket is not None:
                self.socket.send(pdus)
