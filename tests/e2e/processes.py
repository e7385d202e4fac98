"""Real processes for end-to-end tests: an installation of Overread, and an Orthanc that plays the hospital's PACS."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from tests.ports import free_port
from worker.cli import console
from worker.cli.main import build
from worker.wiring import stores

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 240.0


def until(question: Callable[[], Any], *, what: str, wait_s: float = WAIT_S) -> Any:
    """Ask again and again until the answer is true; fail with ``what`` after ``wait_s``.

    To ask must not keep a processor from those who are asked about: it takes a fifth of the time.
    """
    ends = time.monotonic() + wait_s
    while (began := time.monotonic()) < ends:
        if answer := question():
            return answer
        time.sleep(max(0.02, 4 * (time.monotonic() - began)))
    raise AssertionError(f"did not happen within {wait_s:.0f} s: {what}")


@contextmanager
def _as_if_just_started(environ: Mapping[str, str]) -> Iterator[None]:
    """An environment of its own, no installation open yet, and lines that are not broken."""
    outside, opened = dict(os.environ), dict(stores._open)
    widths = [(one, one.width) for one in (console.out, console.err)]
    os.environ.update(environ)
    stores._open.clear()
    for one, _ in widths:
        one.width = 200
    try:
        yield
    finally:
        for ledger in stores._open.values():
            ledger.database.close()
        stores._open.clear()
        stores._open.update(opened)
        os.environ.clear()
        os.environ.update(outside)
        for one, width in widths:
            one.width = width


def command(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end, in this process: another start of Python costs seconds.

    What the process itself does (signals, its last words, how a service manager sees it end) needs ``overread``.
    """
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with _as_if_just_started(environ or {}), redirect_stdout(out), redirect_stderr(err):
        try:
            with console.reporting():
                build(only=arguments[0])(args=list(arguments), prog_name="overread")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def overread(
    *arguments: str, environ: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end, in a process of its own as a person does."""
    with a_process(*arguments, environ=environ) as process:
        out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def a_process(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command of the command line in a process of its own; killed at the end where it has not ended."""
    with subprocess.Popen(
        [sys.executable, "-m", "worker.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **(environ or {})},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Installation:
    """``overread up`` in a folder of its own.

    At the end of a ``with`` it is killed: nobody needs it any more. ``stop`` where how it ends is a matter of the test.
    """

    def __init__(
        self,
        folder: Path,
        *,
        send_to: Sequence[str],
        environ: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.data = folder / "data"
        self.port = port or free_port()
        self.log = folder / "overread.log"
        self.environ = {
            "OVERREAD_FLOWER__ENABLED": "false",
            "OVERREAD_ASSEMBLY__QUIET_AFTER_RELEASE_S": "1",
            **(environ or {}),
        }
        self._arguments = ["up", "--data", str(self.data), "--aet", "OVERREAD", "--port", str(self.port)]
        for destination in send_to:
            self._arguments += ["--send-to", destination]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Installation:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )
        until(self._answers, what="the listener answers", wait_s=60)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """kill -9 of every process of the installation at once; nothing where it has ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            return
        for pid in reversed(tree(self.process.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(10)

    def json(self, *arguments: str) -> Any:
        done = command(*arguments, "--data", str(self.data), "--json", environ=self.environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def send(self, *paths: Path) -> subprocess.CompletedProcess[str]:
        """``overread send``: files and folders to the listener."""
        to = f"OVERREAD@127.0.0.1:{self.port}"
        return command("send", *map(str, paths), "--to", to, "--json", environ=self.environ)

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("jobs")["jobs"]
        return found

    def __enter__(self) -> Installation:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


def tree(pid: int) -> list[int]:
    """A process and all its descendants, parents first."""
    found = [pid]
    for one in found:
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == one:
                found.append(int(path.parent.name))
    return found


def command_line(pid: int) -> str:
    """The command of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


class Orthanc:
    """A private Orthanc with the auto-routing that ``deploy/orthanc`` ships."""

    def __init__(self, folder: Path, *, worker_port: int) -> None:
        self.folder = folder
        self.http, self.dicom = free_port(), free_port()
        self._worker_port = worker_port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Orthanc:
        self.folder.mkdir(parents=True, exist_ok=True)
        script = self.folder / "autoroute.lua"
        shutil.copyfile(ROOT / "deploy" / "orthanc" / "autoroute.lua", script)
        # What we ship, with this machine's folders and ports in place of those of the containers.
        configuration = json.loads((ROOT / "deploy" / "orthanc" / "orthanc.json").read_text())
        configuration.update(
            {
                "StorageDirectory": str(self.folder / "db"),
                "IndexDirectory": str(self.folder / "db"),
                "HttpPort": self.http,
                "DicomPort": self.dicom,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "StableAge": 2,
                "Plugins": [],
                "LuaScripts": [str(script)],
            }
        )
        for peer in configuration["DicomModalities"].values():
            peer.update({"Host": "127.0.0.1", "Port": self._worker_port})
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(configuration))
        executable = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen([executable, str(path)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(self._answers, what="Orthanc answers", wait_s=60)
        return self

    def _answers(self) -> bool:
        try:
            self.get("/system")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    @property
    def destination(self) -> str:
        return f"ORTHANC@127.0.0.1:{self.dicom}"

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def file(self, instance: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/instances/{instance}/file", timeout=60) as answer:
            return bytes(answer.read())

    def upload(self, files: Sequence[Path]) -> None:
        for file in files:
            request = urllib.request.Request(f"http://127.0.0.1:{self.http}/instances", file.read_bytes())
            urllib.request.urlopen(request, timeout=30).close()

    def series(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/series?expand")
        return found

    def instances_of(self, modality: str) -> list[str]:
        return [
            instance
            for series in self.series()
            if series["MainDicomTags"].get("Modality") == modality
            for instance in series["Instances"]
        ]

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def __enter__(self) -> Orthanc:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
