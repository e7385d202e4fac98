"""TCP ports of this machine: which one is free."""

from __future__ import annotations

import socket


def free_port(wanted: int, *, host: str = "127.0.0.1") -> int:
    """``wanted`` when nobody listens there, else a port that the system gives."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")
