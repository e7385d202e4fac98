"""Ports of this machine for servers that are told theirs before they start.

A port that the system gave a moment ago (bind to 0, close) may belong to somebody else when its server binds it, or
while a server that was killed starts again: any client on this machine may get it for the near end of a connection.
These lie below the range that the system gives away, and each process of the suite takes them from a block of its own.
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_FIRST, _BLOCK = 12_000, 100


def free_port() -> int:
    """A port where nobody listens, and that nobody else will be given until this process has had all of its block."""
    return next(port for port in _block(os.getpid()) if _is_free(port))


@functools.cache
def _block(_pid: int) -> Iterator[int]:
    """The ports of a block whose first one is held as long as this process lives: others see that it is taken."""
    blocks = range(_FIRST, _first_of_the_system() - _BLOCK, _BLOCK)
    start = os.getpid() % len(blocks)
    for first in (*blocks[start:], *blocks[:start]):
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", first))
        except OSError:
            guard.close()
            continue
        _GUARDS.append(guard)
        return itertools.cycle(range(first + 1, first + _BLOCK))
    raise RuntimeError(f"no {_BLOCK} ports are free between {_FIRST} and {_first_of_the_system()}")


_GUARDS: list[socket.socket] = []


def _first_of_the_system() -> int:
    stated = Path("/proc/sys/net/ipv4/ip_local_port_range")
    return int(stated.read_text().split()[0]) if stated.exists() else 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what lingers of an earlier server takes nothing
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
