"""The configuration of the embedded Redis: what it keeps, what it refuses, who may do what."""

from __future__ import annotations

import hashlib
from pathlib import Path

# What Celery, kombu and Flower use, and no more: no CONFIG, MODULE, DEBUG, SHUTDOWN, REPLICAOF, ACL, SAVE, no KEYS.
# EVALSHA, SCRIPT LOAD and SCRIPT EXISTS stay because kombu releases its locks by a Lua script (redis.lock); EVAL goes.
# FLUSHDB stays for ``celery purge`` kin and for tests: losing the queue costs time, never work.
_PERMISSIONS = "~* &* +@all -@admin -@dangerous -@scripting +evalsha +script|load +script|exists +info +flushdb +role"

_CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 600
dir "{folder}"
daemonize no
protected-mode yes
databases 1
loglevel notice
logfile ""
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory {maximum_memory_mb}mb
maxmemory-policy noeviction
lua-time-limit 1000
tcp-keepalive 60
user default reset on #{password_sha256} {permissions}
"""


def redis_configuration(*, folder: Path, socket: Path, password: str, maximum_memory_mb: int) -> str:
    """The text of ``redis.conf``. Messages survive a crash of the server; none is ever evicted."""
    return _CONFIGURATION.format(
        folder=folder,
        socket=socket,
        maximum_memory_mb=maximum_memory_mb,
        password_sha256=hashlib.sha256(password.encode()).hexdigest(),
        permissions=_PERMISSIONS,
    )
