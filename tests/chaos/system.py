"""The whole system as real processes: ``overread up`` and the PACS, and a hand that kills any of them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis

from tests.chaos import toy_model
from tests.e2e.processes import ROOT
from tests.integration.intake.raw_peer import ClosedError, RawPeer
from tests.ports import free_port
from worker.broker.embedded import EmbeddedRedis

READY_S = 90.0
VICTIMS = ("listener", "sweeper", "worker", "worker-child", "redis", "main", "tree")


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it."""

    pid: int
    parent: int
    command: tuple[str, ...]

    @property
    def role(self) -> str:
        """What it does in the system; a pool process has the command line of the worker that forked it."""
        words = set(self.command)
        for word, role in (("listen", "listener"), ("sweep", "sweeper"), ("work", "worker"), ("up", "main")):
            if word in words:
                return role
        return "redis" if any("redis-server" in part for part in self.command[:1]) else "other"


def processes() -> dict[int, Process]:
    """Every process of this machine by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = tuple((folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
        except (OSError, ValueError, IndexError):
            continue
        found[int(folder.name)] = Process(int(folder.name), parent, command)
    return found


def below(root: int) -> list[Process]:
    """A process and all its descendants, parents first."""
    everybody = processes()
    tree = [everybody[root]] if root in everybody else []
    for one in tree:
        tree.extend(other for other in everybody.values() if other.parent == one.pid)
    return tree


class System:
    """``overread up`` with the toy model, on a data folder of its own.

    Parameters
    ----------
    folder:
        Below it: data, model, log. ``data`` may be put on another file system with ``disk``.
    environ:
        More configuration.
    """

    def __init__(self, folder: Path, *, destination: Mapping[str, object], environ: Mapping[str, str] | None = None):
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.log = folder / "overread.log"
        toy_model.write_package(folder / "models")
        self.environ = {
            "OVERREAD_FLOWER__ENABLED": "false",
            "OVERREAD_PICTURES__KEEP": "false",
            "OVERREAD_MODELS__PACKAGED": "false",
            "OVERREAD_MODELS__FOLDERS": f'["{folder / "models"}"]',
            "OVERREAD_ASSEMBLY__QUIET_AFTER_RELEASE_S": "0.5",
            "OVERREAD_ASSEMBLY__QUIET_S": "3",
            "OVERREAD_ASSEMBLY__LONGEST_QUIET_S": "5",
            "OVERREAD_WORK__LEASE_S": "5",
            # Kills are not the job's fault here: each of them would count against a poison job.
            "OVERREAD_WORK__MAX_ATTEMPTS": "100",
            "OVERREAD_STORAGE__RESERVE_MB": "16",
            "OVERREAD_INFERENCE__THREADS": "1",
            "OVERREAD_CONFIRMATION__ANSWER_WITHIN_S": "5",
            "OVERREAD_CONFIRMATION__READ_BACK_AFTER_S": "0.5",
            "OVERREAD_CONFIRMATION__FIRST_PAUSE_S": "1",
            "OVERREAD_DESTINATIONS": json.dumps([dict(destination)]),
            **(environ or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    # -- life

    def start(self) -> float:
        """Start, and wait until the listener answers C-ECHO. Returns how many seconds that took."""
        began = time.monotonic()
        arguments = ["up", "--data", str(self.data), "--aet", "OVERREAD", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        while time.monotonic() - began < READY_S:
            if self._process.poll() is not None:
                raise RuntimeError(f"`overread up` ended with {self._process.returncode}:\n{self.tail()}")
            if self.answers():
                return time.monotonic() - began
            time.sleep(0.05)
        raise RuntimeError(f"the listener does not answer after {READY_S:.0f} s:\n{self.tail()}")

    def wait_until_it_answers(self, *, wait_s: float = READY_S) -> float:
        """Wait for the listener to come back by itself."""
        began = time.monotonic()
        while not self.answers():
            if time.monotonic() - began > wait_s:
                raise RuntimeError(f"the listener did not come back within {wait_s:.0f} s:\n{self.tail()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def check(self) -> None:
        """Raise when it has ended by itself: nobody may have to start it again by hand but those who killed it."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"`overread up` ended by itself:\n{self.tail()}")

    def answers(self) -> bool:
        """C-ECHO."""
        try:
            with RawPeer(self.port, timeout_s=5.0) as peer:
                kind, _ = peer.open()
                return kind == 0x02 and peer.echo() == 0
        except (ClosedError, OSError):
            return False

    def stop(self) -> int:
        """SIGTERM, as a person or systemd would."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill_tree()
            raise

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    # -- death

    def processes(self) -> list[Process]:
        """All its processes. The embedded Redis is among them: it is a child of ``up``."""
        return below(self._process.pid) if self._process is not None and self._process.poll() is None else []

    def kill(self, victim: str, rng: random.Random) -> int:
        """SIGKILL one kind of process; returns how many died (0: there was none at this moment)."""
        tree = self.processes()
        if victim == "tree":
            return self.kill_tree()
        by_pid = {one.pid: one for one in tree}
        candidates = [one for one in tree if one.role == victim.removesuffix("-child")]
        if victim in {"worker", "worker-child"}:
            is_child = [one.parent in by_pid and by_pid[one.parent].role == "worker" for one in candidates]
            wanted = victim == "worker-child"
            candidates = [one for one, child in zip(candidates, is_child, strict=True) if child is wanted]
        if not candidates:
            return 0
        chosen = rng.choice(candidates)
        with suppress(ProcessLookupError):
            os.kill(chosen.pid, signal.SIGKILL)
        if victim == "main":
            assert self._process is not None
            self._process.wait(10)
        return 1

    def kill_tree(self) -> int:
        """SIGKILL everything at once, as a machine that loses its power ends it (the page cache stays, though)."""
        for _ in range(2):  # frozen first, so that nothing is forked away while it is killed
            for one in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGSTOP)
        tree = self.processes()
        for one in tree:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
        return len(tree)

    # -- the broker

    def flush_broker(self) -> bool:
        """The broker forgets everything (one database: FLUSHDB is FLUSHALL). False when it does not answer just now."""
        parts = urlsplit(EmbeddedRedis(self.data / "broker").url)
        _, _, path = parts.netloc.rpartition("@")
        client = redis.Redis(
            unix_socket_path=unquote(path + parts.path), password=parts.password, socket_timeout=2.0, retry=None
        )
        try:
            client.flushdb()
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            return False
        finally:
            client.close()
        return True


class Pacs:
    """The process of ``tests.chaos.pacs``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.behaviour = "ok"
        self._process: subprocess.Popen[str] | None = None

    def destination(self, *, confirm: str) -> dict[str, object]:
        """Its entry in the configuration; ``confirm`` is ``no``, ``read-back`` or ``commitment``."""
        return {
            "name": "CHAOSPACS",
            "ae_title": "CHAOSPACS",
            "host": "127.0.0.1",
            "port": self.port,
            "storage_commitment": confirm == "commitment",
            "read_back": confirm == "read-back",
        }

    def start(self, *, peer_port: int) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.pacs", "--folder", str(self.folder)),
                *("--port", str(self.port), "--peer-port", str(peer_port)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        self._told()

    def behave(self, behaviour: str) -> None:
        """Change its behaviour; returns when it is in force."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(behaviour + "\n")
        self._process.stdin.flush()
        self._told()
        self.behaviour = behaviour

    def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _told(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ok":
            raise RuntimeError("the PACS of the test ended")


class Disk:
    """A small file system of its own for the data folder, so that it can be filled. Needs root on Linux.

    ``why_not`` says why there is none; everything else then runs without filling a disk.
    """

    def __init__(self, path: Path, *, size_mb: int) -> None:
        self.path = path
        self.why_not = ""
        path.mkdir(parents=True, exist_ok=True)
        mount = shutil.which("mount")
        if not size_mb or mount is None or os.geteuid() != 0:
            self.why_not = "needs root" if size_mb else "not wanted"
            return
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0700", "overread-chaos", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            self.why_not = done.stderr.strip() or "mount failed"

    def fill(self, *, leave_bytes: int) -> int:
        """Take all space but ``leave_bytes``; returns how many bytes were taken."""
        status = os.statvfs(self.path)
        wanted = max(0, status.f_bavail * status.f_frsize - leave_bytes)
        taken = 0
        # A disk that is full already has no room for one more name either: that is as full as it can be.
        with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            for piece in _pieces(wanted):
                taken += file.write(b"\0" * piece)
        return taken

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


def _pieces(total: int) -> Iterator[int]:
    piece = 1 << 20
    while total > 0:
        yield min(piece, total)
        total -= piece


def port_is_free(port: int) -> bool:
    """Nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
