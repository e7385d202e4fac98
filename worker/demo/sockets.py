"""What pynetdicom does not set on its sockets. DEMONSTRATION ONLY."""

from __future__ import annotations

import socket
from typing import Any


def send_at_once(event: Any) -> None:
    """EVT_CONN_OPEN: no PDU waits until the peer has acknowledged the one before (Nagle's algorithm).

    A C-STORE is a PDU of the command and others of the data set: each image would wait 40 ms for a delayed ACK.
    """
    opened = event.assoc.dul.socket.socket
    if opened is not None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
