"""A private Redis for installations without a broker: started, watched and stopped by us.

It has no TCP port: a Unix socket in a folder that only this user can enter, and a password besides. What it holds is
job ids (the database is the truth), yet it keeps them through a crash, so that nothing has to be swept up. On Linux it
ends when the thread that started it does, however that ends: start it from a thread that lives as long as it is wanted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.broker.binary import find_redis_server
from worker.broker.configuration import redis_configuration
from worker.broker.folder import listener_on, password, private_folder, socket_path
from worker.broker.launch import ending_with_us
from worker.domain.errors import ConfigurationError, TransientError

log = logging.getLogger(__name__)

_POLL_S = 0.02
_LOG_LIMIT_BYTES = 1 << 20
_TAIL_BYTES = 2000


class EmbeddedRedis:
    """The redis-server of one installation.

    Parameters
    ----------
    folder:
        Where its files are: append-only file, password (0600), log, locks. Made when it is not there (0700).
    binary:
        A server to run; by default what ``find_redis_server`` finds.
    start_timeout_s:
        How long it may take until it answers, loading included.
    maximum_memory_mb:
        Above this it refuses new messages (it never evicts one).
    """

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path | None = None,
        start_timeout_s: float = 30.0,
        maximum_memory_mb: int = 256,
    ) -> None:
        self._folder = folder.resolve()
        self._binary = binary
        self._start_timeout_s = start_timeout_s
        self._maximum_memory_mb = maximum_memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._owner: IO[bytes] | None = None
        self._wanted = False

    @property
    def url(self) -> str:
        """Broker URL for Celery and Flower, password included: ``redis+socket://:…@/path/redis.sock``."""
        private_folder(self._folder)
        return f"redis+socket://:{password(self._folder)}@{quote(str(socket_path(self._folder)))}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def is_answering(self) -> bool:
        """Ask for a PONG, whoever started the server."""
        return (self._folder / "password").exists() and self._ping() == "PONG"

    def start(self) -> None:
        """Start, and wait until it answers. Does nothing when it runs already, starts again when it has died.

        What an earlier run left is cleared up: a stale socket, a server that outlived its parent, a torn end of the
        append-only file, and an append-only file that cannot be read at all (it is set aside).

        Raises
        ------
        ConfigurationError
            ``broker-binary-missing``, ``broker-folder-unusable``, ``broker-folder-in-use`` (another Overread runs
            with it), ``broker-did-not-start`` (with the last line of its log).
        """
        if self.pid is not None:
            return
        private_folder(self._folder)
        self._wanted = True
        binary = self._binary or find_redis_server().path
        self._own()
        try:
            self._end_leftover()
            try:
                self._launch(binary)
            except ConfigurationError as error:
                if not self._set_aside_unreadable_file(error.message):
                    raise
                self._launch(binary)
        except BaseException:
            self._disown()
            raise

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End it in good order (its file is synced); kill it when that takes too long. Any number of calls."""
        self._wanted = False
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                log.warning("broker-killed", extra={"pid": process.pid})
                process.kill()
                process.wait()
            log.info("broker-stopped", extra={"pid": process.pid})
        self._disown()

    def restart_if_dead(self) -> bool:
        """For a watching parent: start again when the process has ended by itself. Tells whether it had.

        Raises TransientError (``broker-restart-failed``) when it does not come up: the parent tries again later.
        """
        if not self._wanted or self.pid is not None:
            return False
        if self._process is not None:
            log.warning("broker-died", extra={"exit_code": self._process.returncode})
            self._process = None
        self._disown()
        try:
            self.start()
        except ConfigurationError as error:
            raise TransientError(error.message, next_step=error.next_step, code="broker-restart-failed") from error
        return True

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- one owner per folder

    def _own(self) -> None:
        if self._owner is not None:
            return
        owner = (self._folder / "owner.lock").open("ab")
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner.close()
            raise _in_use(self._folder) from error
        self._owner = owner

    def _disown(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def _end_leftover(self) -> None:
        """End a server whose parent died and which did not end with it: it holds ``server.lock`` as long as it lives.

        We own the folder (``owner.lock``), so nobody else counts on that server.
        """
        with (self._folder / "server.lock").open("ab") as lock:
            deadline = time.monotonic() + self._start_timeout_s
            told = False
            while not _locked(lock):
                if time.monotonic() > deadline:
                    raise _in_use(self._folder)
                if not told and self._ping() is not None:
                    told = self._terminate_whoever_listens()
                time.sleep(_POLL_S)
        socket_path(self._folder).unlink(missing_ok=True)

    def _terminate_whoever_listens(self) -> bool:
        """Signal the process that answers on our socket; tells whether there was one that we may signal."""
        pid = listener_on(socket_path(self._folder))
        try:
            if pid is None:
                pid = int(self._client().info("server")["process_id"])
            if pid <= 0:
                return False
            os.kill(pid, signal.SIGTERM)
        except (redis.RedisError, OSError, KeyError, ValueError):
            return False
        log.warning("broker-leftover-ended", extra={"pid": pid})
        return True

    # -- the process

    def _launch(self, binary: Path) -> None:
        configuration = redis_configuration(
            folder=self._folder,
            socket=socket_path(self._folder),
            password=password(self._folder),
            maximum_memory_mb=self._maximum_memory_mb,
        )
        log_path = self._folder / "redis.log"
        mode = "ab" if log_path.exists() and log_path.stat().st_size < _LOG_LIMIT_BYTES else "wb"
        with (self._folder / "server.lock").open("ab") as lock, log_path.open(mode) as output:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            began_at = output.tell()
            # Its own session: Ctrl-C reaches us first, and we stop the broker last. The lock's descriptor goes along,
            # so the lock lasts as long as the server does, even when we are killed and it is not.
            self._process = subprocess.Popen(
                [*ending_with_us(), str(binary), "-"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                umask=0o077,
            )
        self._feed(configuration)
        self._wait_until_it_answers(log_path, began_at)
        log.info("broker-started", extra={"pid": self._process.pid})

    def _feed(self, configuration: str) -> None:
        """By standard input, so that neither the password's digest nor a path stands in the process list."""
        assert self._process is not None  # noqa: S101
        assert self._process.stdin is not None  # noqa: S101
        try:
            with self._process.stdin as stream:
                stream.write(configuration.encode())
        except BrokenPipeError:
            log.warning("broker-ended-early")  # the exit status is looked at next

    def _wait_until_it_answers(self, log_path: Path, began_at: int) -> None:
        assert self._process is not None  # noqa: S101
        deadline = time.monotonic() + self._start_timeout_s
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._ping() == "PONG":
                return
            time.sleep(_POLL_S)
        ended = self._process.poll()
        if ended is None:
            self._process.kill()
            self._process.wait()
        self._process = None
        how = f"did not answer within {self._start_timeout_s:.0f} s" if ended is None else f"ended with status {ended}"
        raise ConfigurationError(
            f"The embedded broker {how}: {_last_line(log_path, began_at)}",
            next_step=f"Look into {log_path}, or set the URL of a broker that runs elsewhere.",
            code="broker-did-not-start",
        )

    def _set_aside_unreadable_file(self, message: str) -> bool:
        """Move an append-only file away that this server cannot read; the sweeper publishes what was in it again."""
        if "append only file" not in message.lower() and "appendonly" not in message.lower():
            return False
        moved = False
        for name in ("appendonly.aof", "appendonlydir"):
            found = self._folder / name
            if found.exists():
                found.rename(self._folder / f"{name}.unreadable-{time.time_ns()}")
                moved = True
        if moved:
            log.error("broker-file-set-aside")
        return moved

    def _client(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(socket_path(self._folder)),
            password=password(self._folder),
            socket_timeout=2.0,
            retry=Retry(NoBackoff(), 0),
        )

    def _ping(self) -> str | None:
        """PONG, the kind of error of a server that is there but not ready, or None when nobody is there."""
        client = self._client()
        try:
            client.ping()
        except redis.exceptions.BusyLoadingError:
            return "LOADING"
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
            return None
        except redis.exceptions.ResponseError as error:
            return str(error).split(" ", 1)[0]
        finally:
            client.close()
        return "PONG"


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"Another Overread runs with the broker folder {folder}.",
        next_step="Stop it, or choose another data folder.",
        code="broker-folder-in-use",
    )


def _last_line(log_path: Path, began_at: int) -> str:
    with log_path.open("rb") as stream:
        stream.seek(max(began_at, log_path.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"
