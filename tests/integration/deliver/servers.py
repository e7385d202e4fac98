"""Real PACS software as private processes on loopback: DCMTK's storescp and Orthanc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.deliver.objects import at
from tests.ports import free_port
from worker.deliver.association import Timeouts
from worker.deliver.echo import c_echo
from worker.domain.result import Destination

# Orthanc 1.10 and storescp listen on every address; this keeps them on loopback.
_LOOPBACK_ONLY = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
int bind(int fd, const struct sockaddr *address, socklen_t length) {
  static int (*real)(int, const struct sockaddr *, socklen_t);
  if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
  struct sockaddr_in copy;
  if (address && address->sa_family == AF_INET && length >= sizeof copy) {
    memcpy(&copy, address, sizeof copy);
    if (copy.sin_addr.s_addr == htonl(INADDR_ANY)) copy.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address = (const struct sockaddr *)&copy;
  }
  return real(fd, address, length);
}
"""


def loopback_environment(folder: Path) -> dict[str, str]:
    """Environment in which a program that binds every address binds loopback only (where a C compiler is)."""
    environment = dict(os.environ)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler:
        source, library = folder / "loopback.c", folder / "loopback.so"
        source.write_text(_LOOPBACK_ONLY, encoding="ascii")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        environment["LD_PRELOAD"] = str(library)
    return environment


def wait_until(condition: Callable[[], bool], *, process: subprocess.Popen[bytes] | None = None) -> None:
    """Look again and again; fail when the process ends before. (The suite's time limit ends a wait for ever.)"""
    pause = threading.Event()
    while not condition():
        assert process is None or process.poll() is None, "the server ended"
        pause.wait(0.05)


@dataclass(frozen=True)
class Storescp:
    """A running storescp and where it puts its files."""

    process: subprocess.Popen[bytes]
    destination: Destination
    folder: Path

    def received(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[Storescp]:
    """DCMTK's storescp (every transfer syntax, bytes kept as they come)."""
    kept = folder / "kept"
    kept.mkdir(parents=True)
    destination = at(free_port(), ae_title="STORESCP", name="dcmtk")
    process = subprocess.Popen(
        ["storescp", "+xa", "--bit-preserving", "-od", str(kept), *options, str(destination.port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=loopback_environment(folder),
    )
    try:
        wait_until(lambda: echoes(destination), process=process)
        yield Storescp(process=process, destination=destination, folder=kept)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def echoes(destination: Destination) -> bool:
    return c_echo(destination, calling_ae_title="OVERREAD", timeouts=Timeouts(connect_s=2, association_s=2)).ok


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: by DICOM, and by REST to look at it from another side."""

    destination: Destination
    http_port: int

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def instances(self) -> set[str]:
        """SOP Instance UIDs of all that it has."""
        return {self.get(f"/instances/{one}")["MainDicomTags"]["SOPInstanceUID"] for one in self.get("/instances")}

    def series_modalities(self) -> dict[str, list[str]]:
        """Modalities of the series of each study, by Study Instance UID."""
        found: dict[str, list[str]] = {}
        for study in self.get("/studies?expand"):
            series = [self.get(f"/series/{one}")["MainDicomTags"]["Modality"] for one in study["Series"]]
            found[study["MainDicomTags"]["StudyInstanceUID"]] = sorted(series)
        return found


@contextmanager
def orthanc(folder: Path, *, peers: Sequence[Destination] = ()) -> Iterator[Orthanc]:
    """A private Orthanc (storage commitment is always on in it); ``peers`` may query it and hear its reports."""
    folder.mkdir(parents=True, exist_ok=True)
    http_port, dicom_port = free_port(), free_port()
    modalities = {
        peer.name: {
            "AET": peer.ae_title,
            "Host": peer.host,
            "Port": peer.port,
            "AllowEcho": True,
            "AllowStore": True,
            "AllowFind": True,
            "AllowStorageCommitment": True,
        }
        for peer in peers
    }
    configuration = {
        "Name": "TestPacs",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "OverwriteInstances": False,
        "DicomModalities": modalities,
        "Plugins": [],
        "StableAge": 1,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder / "orthanc.json")],
            stdout=log,
            stderr=log,
            env=loopback_environment(folder),
        )
    running = Orthanc(destination=at(dicom_port, ae_title="ORTHANC", name="orthanc"), http_port=http_port)
    try:
        wait_until(lambda: _serves(running), process=process)
        yield running
    finally:
        process.kill()  # its folder is thrown away
        process.wait()


def _serves(running: Orthanc) -> bool:
    try:
        running.get("/system")
    except (urllib.error.URLError, OSError):
        return False
    return echoes(running.destination)
