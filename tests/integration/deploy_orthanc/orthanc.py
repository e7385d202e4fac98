"""A private Orthanc that runs the configuration and the Lua of ``deploy/orthanc`` as they are shipped.

Changed for the test are places only: ports, folders, where Overread is; and the site's timing (``StableAge``).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from tests import scp
from tests.ports import free_port

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
PASSWORD = "only-for-this-test"  # noqa: S105 - of an Orthanc that lives as long as the test
PATIENCE_S = 60.0
T = TypeVar("T")


def until(probe: Callable[[], T], what: str) -> T:
    """Ask again until the answer is true; fails loudly, and never says how long is too long in seconds of a test."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"did not happen: {what}")


class PrivateOrthanc:
    """Starts Orthanc in a folder of its own and ends it."""

    def __init__(self, folder: Path, *, overread_port: int) -> None:
        self.ae_title = "ORTHANC"
        self.port, self._http_port = free_port(), free_port()
        configuration = json.loads((DEPLOY / "orthanc" / "orthanc.json").read_text(encoding="utf-8"))
        configuration |= {
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "Plugins": [],
            "LuaScripts": [str(DEPLOY / "orthanc" / "autoroute.lua")],
            "DicomPort": self.port,
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "ExecuteLuaEnabled": True,  # so that a test can call the heart beat, which Orthanc 1.10 does not have
            "StableAge": 1,
        }
        configuration["DicomModalities"]["overread"] |= {"Host": "127.0.0.1", "Port": overread_port}
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        binary = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
        assert binary
        with (self._folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [binary, str(self._folder / "orthanc.json")],
                stdout=log,
                stderr=log,
                env=os.environ | {"ORTHANC_PASSWORD": PASSWORD},
            )
        until(self._answers, f"Orthanc answers; its log: {self.log()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()  # its folder is thrown away
        self._process.wait()

    def log(self) -> str:
        return (self._folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def get(self, uri: str) -> Any:
        return json.loads(self._call(uri))

    def run_lua(self, script: str) -> str:
        return self._call("/tools/execute-script", script.encode()).decode()

    def stable_studies(self) -> int:
        """How many times Orthanc found a study stable so far."""
        changes = self.get("/changes?limit=10000")["Changes"]
        return sum(change["ChangeType"] == "StableStudy" for change in changes)

    def store(self, objects: Sequence[Dataset], *, calling_ae_title: str) -> None:
        """C-STORE objects to Orthanc, all of which it has to take."""
        ae = AE(ae_title=calling_ae_title)
        for sop_class_uid in {str(ds.SOPClassUID) for ds in objects}:
            ae.add_requested_context(sop_class_uid, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", self.port, ae_title=self.ae_title)
        assert association.is_established
        try:
            for ds in objects:
                ds.file_meta = FileMetaDataset()
                ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                assert association.send_c_store(ds).Status == 0x0000
        finally:
            association.release()

    def _answers(self) -> bool:
        with suppress(OSError):
            return bool(self.get("/system"))
        return False

    def _call(self, uri: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self._http_port}{uri}", data=body)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"orthanc:{PASSWORD}".encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


class DummyOverread:
    """A C-STORE SCP in Overread's place that remembers every instance it was sent, repeats included."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[str] = []
        self._server: Any = None

    def __enter__(self) -> Self:
        ae = AE(ae_title="OVERREAD")
        ae.require_called_aet = True
        ae.supported_contexts = StoragePresentationContexts
        ae.add_supported_context(Verification)
        handlers = [(evt.EVT_C_STORE, self._on_store)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scp.stop(self._server)

    def _on_store(self, event: evt.Event) -> int:
        self.received.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000
