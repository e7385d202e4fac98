"""A PACS that misbehaves on command, as a process of its own: ``python -m tests.chaos.pacs --folder DIR --port N``.

It reads one behaviour a line from standard input and answers each with ``ok``. What it keeps is on disk under the
digest of the SOP Instance UID (whole or not at all), and every C-STORE that it was offered is a line in a journal.
Storage commitment and C-FIND are answered honestly: by what was kept.

Behaviours: ``ok``; ``refuse`` (A-ASSOCIATE-RJ, transient); ``down`` (nobody listens); ``busy`` (0xA700); ``in-doubt``
(kept, then A-ABORT instead of an answer); ``abort`` (A-ABORT, not kept); ``hang`` (kept or not, never answered, until
the behaviour changes); ``slow`` (answers after a second); ``lie`` (0x0000, not kept).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from worker.demo.commitment import Commitments
from worker.domain.result import Destination

BEHAVIOURS = ("ok", "refuse", "down", "busy", "in-doubt", "abort", "hang", "slow", "lie")
MISBEHAVIOURS = tuple(name for name in BEHAVIOURS if name not in {"ok", "lie"})
"""What any worker must survive. ``lie`` can be found out by storage commitment or read-back only."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What queries and commitment ask for."""

    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str


class MisbehavingPacs:
    """The SCP. Kept objects are files; the journal tells what was answered."""

    def __init__(self, folder: Path, *, ae_title: str, port: int, peer_port: int) -> None:
        self._folder = folder
        (folder / "objects").mkdir(parents=True, exist_ok=True)
        self._journal = (folder / "journal.jsonl").open("a", buffering=1)
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._behaviour = "ok"
        self._port = port
        self._kept: dict[str, Kept] = {}
        for ds in kept_objects(folder):
            self._remember(ds)
        peer = Destination("OVERREAD", "OVERREAD", "127.0.0.1", peer_port)
        self._commitments = Commitments(
            self,  # type: ignore[arg-type]  # all that it asks is ``get``
            ae_title=ae_title,
            peer={"OVERREAD": peer}.get,
            delay_s=0.2,
        )
        self._ae = AE(ae_title=ae_title)
        self._ae.maximum_associations = 100
        self._ae.maximum_pdu_size = 1 << 18
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(context.abstract_syntax or "", ALL_TRANSFER_SYNTAXES)
        self._ae.add_supported_context(Verification)
        self._ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        self._server: Any = None

    def behave(self, behaviour: str) -> None:
        """Behave so from now on. Associations that hang are let go."""
        if behaviour not in BEHAVIOURS:
            raise ValueError(behaviour)
        with self._lock:
            self._behaviour = behaviour
            self._changed.set()
            self._changed = threading.Event()
        if behaviour == "down":
            self._stop_listening()
        elif self._server is None:
            self._listen()

    def _listen(self) -> None:
        handlers = [
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_N_ACTION, self._commitments.on_action),
        ]
        for attempt in range(50):
            try:
                self._server = self._ae.start_server(("127.0.0.1", self._port), block=False, evt_handlers=handlers)
            except OSError:
                if attempt == 49:
                    raise
                time.sleep(0.1)
            else:
                self._server.socket.listen(128)
                return

    def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            for association in list(self._ae.active_associations):
                association.abort()

    def _on_requested(self, event: Any) -> None:
        if self._behaviour == "refuse":
            event.assoc.acse.send_reject(0x02, 0x03, 0x02)  # transient, presentation provider, local limit exceeded
            event.assoc.kill()

    def _on_store(self, event: Any) -> int:
        with self._lock:
            behaviour, changed = self._behaviour, self._changed
        status: int | None = 0x0000
        kept = True
        match behaviour:
            case "busy":
                kept, status = False, 0xA700
            case "lie":
                kept = False
            case "abort":
                kept, status = False, None
            case "in-doubt":
                status = None
            case "hang":
                kept, status = len(event.request.AffectedSOPInstanceUID) % 2 == 0, None
                if kept:
                    self._keep(event)
                changed.wait(600)
            case "slow":
                changed.wait(1.0)
            case _:
                pass
        if kept:
            self._keep(event)
        self._note(event, behaviour, status, kept=kept)
        if status is None:
            event.assoc.abort()
            return 0xC000
        return status

    def _keep(self, event: Any) -> None:
        name = hashlib.sha256(str(event.request.AffectedSOPInstanceUID).encode()).hexdigest()
        content = b"".join(
            (b"\0" * 128, b"DICM", encode_file_meta(event.file_meta), event.encoded_dataset(include_meta=False))
        )
        temporary = self._folder / f"{name}.{threading.get_ident()}.part"
        temporary.write_bytes(content)
        temporary.rename(self._folder / "objects" / f"{name}.dcm")
        self._remember(event.dataset)

    def _remember(self, ds: Dataset) -> None:
        one = Kept(str(ds.SOPClassUID), str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID))
        self._kept[str(ds.SOPInstanceUID)] = one

    def get(self, sop_instance_uid: str) -> Kept | None:
        """What storage commitment asks."""
        return self._kept.get(sop_instance_uid)

    def _on_find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        wanted = (str(event.identifier.StudyInstanceUID), str(event.identifier.SeriesInstanceUID))
        for uid, one in list(self._kept.items()):
            if (one.study_instance_uid, one.series_instance_uid) == wanted:
                answer = Dataset()
                answer.QueryRetrieveLevel = "IMAGE"
                answer.StudyInstanceUID, answer.SeriesInstanceUID = wanted
                answer.SOPInstanceUID = uid
                yield 0xFF00, answer

    def _note(self, event: Any, behaviour: str, status: int | None, *, kept: bool) -> None:
        line = {
            "sop": str(event.request.AffectedSOPInstanceUID),
            "sha256": hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest(),
            "behaviour": behaviour,
            "status": status,
            "kept": kept,
            "at": time.time(),
        }
        with self._lock:
            self._journal.write(json.dumps(line) + "\n")


def kept_objects(folder: Path) -> list[Dataset]:
    """What the PACS holds."""
    return [dcmread(BytesIO(path.read_bytes())) for path in sorted((folder / "objects").glob("*.dcm"))]


def journal(folder: Path) -> list[dict[str, Any]]:
    """Every C-STORE that it was offered, in order."""
    path = folder / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.pacs")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--peer-port", type=int, required=True, help="where OVERREAD listens for reports")
    parser.add_argument("--ae-title", default="CHAOSPACS")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pacs = MisbehavingPacs(chosen.folder, ae_title=chosen.ae_title, port=chosen.port, peer_port=chosen.peer_port)
    pacs.behave("ok")
    sys.stdout.write("ok\n")
    sys.stdout.flush()
    for line in sys.stdin:
        pacs.behave(line.strip())
        sys.stdout.write("ok\n")
        sys.stdout.flush()
    os._exit(0)  # associations that hang must not keep us


if __name__ == "__main__":
    sys.exit(main())
