"""A private Orthanc with its DICOMweb plug-in: what the viewer asks for images and results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.e2e.processes import until
from tests.ports import free_port

PLUGINS = [Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins")]


class DicomWebPacs:
    """Starts Orthanc in a folder of its own, on this machine only, and ends it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        found = [path for place in PLUGINS for path in place.glob("libOrthancDicomWeb.so*")]
        assert found, "Orthanc's DICOMweb plug-in is not installed (sh tests/services.sh)"
        configuration = {
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "Plugins": [str(found[0])],
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "OverwriteInstances": False,
            "HttpThreadsCount": 10,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Host": f"127.0.0.1:{self.port}"},
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DicomWebPacs:
        binary = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
        assert binary
        with (self._folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [binary, str(self._folder / "orthanc.json")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._answers, what="Orthanc answers")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()  # its folder is thrown away
        self._process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def upload(self, objects: Iterable[Path | bytes]) -> None:
        """Store files or their bytes, all of which the PACS has to take."""
        for one in objects:
            content = one if isinstance(one, bytes) else one.read_bytes()
            request = urllib.request.Request(f"{self.url}/instances", content)
            with urllib.request.urlopen(request, timeout=120) as answer:
                assert json.loads(answer.read())["Status"] in {"Success", "AlreadyStored"}

    def forget_everything(self) -> None:
        for study in self._get("/studies"):
            request = urllib.request.Request(f"{self.url}/studies/{study}", method="DELETE")
            urllib.request.urlopen(request, timeout=120).close()

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log.txt").read_text(encoding="utf-8")[-2000:]
        with suppress(OSError):
            return bool(self._get("/system"))
        return False
