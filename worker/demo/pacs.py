"""A small PACS for demonstrations and tests: DEMONSTRATION ONLY, loopback only, no access control, no retention.

It answers C-ECHO, keeps what it gets by C-STORE (every storage SOP class, every transfer syntax, bytes as received),
answers C-FIND and storage commitment honestly, and routes stable image studies to the worker as a real PACS does.

``python -m worker.demo.pacs --folder DIR [--ae-title PACS] [--port 0] [--route-to AET@host:port [--auto-route]]
[--peer AET@host:port] [--control-file FILE]`` prints one JSON line when it is ready and ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.dsutils import encode_file_meta

from worker.demo.archive import UNREADABLE, Archive, ArchivedInstance, SeriesListing, part10_files
from worker.demo.commitment import PUSH_MODEL, Commitments
from worker.demo.query import matches
from worker.demo.routing import Routed, Router
from worker.demo.sockets import send_at_once
from worker.domain.errors import ConfigurationError
from worker.domain.result import Destination

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_VERIFICATION = UID("1.2.840.10008.1.1")
_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_BACKLOG = 128
_CONTROL_POLL_S = 0.25
_EX_CONFIG = 78


class DemoPacs:
    """The demonstration PACS. DEMONSTRATION ONLY.

    Parameters
    ----------
    folder:
        Where it keeps its objects.
    ae_title, port:
        Its address on 127.0.0.1; port 0 takes a free one (see ``port``).
    route_to:
        The worker, for ``route`` and auto-routing; it is also a known peer.
    auto_route:
        Route image studies by itself when no image came for ``stable_age_s``.
    peers:
        Who else may be told of commitments on a new association.
    commitment_delay_s:
        How long the report of a commitment takes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "DEMOPACS",
        port: int = 0,
        route_to: Destination | None = None,
        auto_route: bool = False,
        stable_age_s: float = 2.0,
        peers: Sequence[Destination] = (),
        commitment_delay_s: float = 0.3,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ae_title = ae_title
        self._wanted_port = port
        self._route_to = route_to
        self._auto_route = auto_route
        self._peers = {peer.ae_title: peer for peer in (*peers, *([route_to] if route_to else []))}
        self._archive = Archive(folder)
        self._archive.clear_incoming()
        self._router = Router(self._archive, ae_title=ae_title, memory=folder / "routed.txt", stable_age_s=stable_age_s)
        self._commitments = Commitments(
            self._archive, ae_title=ae_title, peer=self._peers.get, delay_s=commitment_delay_s
        )
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self._server.socket.getsockname()[1]) if self._server is not None else self._wanted_port

    @property
    def address(self) -> Destination:
        """What a site would write in its configuration to send results here."""
        return Destination(
            name=self.ae_title, ae_title=self.ae_title, host=_LOOPBACK, port=self.port, storage_commitment=True
        )

    def start(self) -> None:
        """Listen, and route if asked to. Raises ConfigurationError (``port-in-use``)."""
        ae = AE(ae_title=self.ae_title)
        ae.maximum_associations = 100
        ae.maximum_pdu_size = 1 << 18
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax or "", ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(_VERIFICATION)
        ae.add_supported_context(_STUDY_ROOT_FIND)
        ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        try:
            self._server = ae.start_server(
                (_LOOPBACK, self._wanted_port),
                block=False,
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, send_at_once),
                    (evt.EVT_C_STORE, self._on_store),
                    (evt.EVT_C_FIND, self._on_find),
                    (evt.EVT_N_ACTION, self._commitments.on_action),
                ],
            )
        except OSError as error:
            raise ConfigurationError(
                f"The demonstration PACS cannot listen on port {self._wanted_port} ({error.strerror}).",
                next_step="Stop what listens there, or choose another port.",
                code="port-in-use",
            ) from error
        self._server.socket.listen(_BACKLOG)
        if self._route_to is not None and self._auto_route:
            self._router.start(self._route_to)
        log.info("demo-pacs-started", extra={"ae_title": self.ae_title, "port": self.port})

    def stop(self) -> None:
        """End all threads. Any number of calls."""
        self._router.stop()
        self._commitments.stop()
        if self._server is not None:
            with suppress(OSError):  # wakes the loop of the server, which looks for its end twice a second
                self._server.socket.shutdown(socket.SHUT_RDWR)
            self._server.shutdown()
            self._server = None

    def __enter__(self) -> DemoPacs:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def route(self, study_instance_uid: str, to: Destination | None = None) -> Routed:
        """Send a stored study's images (never results) by C-STORE, with this PACS's AE title as the calling one."""
        target = to or self._route_to
        if target is None:
            raise ValueError("no destination to route to")
        return self._router.route(study_instance_uid, target)

    def import_folder(self, folder: Path) -> tuple[str, ...]:
        """Take the DICOM files below a folder in, as if a modality had sent them; return their studies."""
        studies: dict[str, None] = {}
        for content in part10_files(folder):
            instance, _ = self._archive.add(content)
            self._kept(instance)
            studies[instance.study_instance_uid] = None
        return tuple(studies)

    def studies(self) -> tuple[SeriesListing, ...]:
        """What stands in it, one line per series and SOP class."""
        return self._archive.studies()

    def _kept(self, instance: ArchivedInstance) -> None:
        if instance.is_image:
            self._router.image_arrived(instance)

    def _on_store(self, event: Any) -> int:
        try:
            instance, new = self._archive.add(_part10(event))
            if instance.sop_instance_uid != event.request.AffectedSOPInstanceUID:
                return 0xA900
        except OSError:
            log.exception("demo-store-failed")
            return 0xA700
        except UNREADABLE:
            log.warning("demo-store-not-understood")
            return 0xC000
        if new:
            self._kept(instance)
        log.debug("demo-stored", extra={"sop_instance_uid": instance.sop_instance_uid, "new": new})
        return 0x0000

    def _on_find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        try:
            for answer in matches(self._archive, event.identifier):
                if event.is_cancelled:
                    yield 0xFE00, None
                    return
                yield 0xFF00, answer
        except UNREADABLE:
            yield 0xC000, None


def list_studies(folder: Path) -> tuple[SeriesListing, ...]:
    """What stands in the folder of a demonstration PACS, from another process."""
    return Archive(folder).studies()


def _part10(event: Any) -> bytes:
    """The received bytes as a Part 10 file, with the sender's AE title in its file meta information."""
    if _config.STORE_RECV_CHUNKED_DATASET:  # a listener in the same process has switched this on
        return Path(event.dataset_path).read_bytes()
    meta = event.file_meta
    meta.SourceApplicationEntityTitle = str(event.assoc.requestor.ae_title).strip()
    encoded: bytes = encode_file_meta(meta)
    return b"".join((b"\0" * 128, b"DICM", encoded, event.encoded_dataset(include_meta=False)))


# -- as a process


def destination(text: str) -> Destination:
    """Read a destination of the command line: ``AET@host:port``."""
    found = re.fullmatch(r"([^@\\]{1,16})@([^:@]+):(\d{1,5})", text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not AET@host:port")
    return Destination(name=found[1], ae_title=found[1], host=found[2], port=int(found[3]))


def _obey(pacs: DemoPacs, control_file: Path, ended: threading.Event) -> None:
    """Route each study that ``{"route": ["1.2.3", ...]}`` in the control file names, once."""
    done: set[str] = set()
    while not ended.wait(_CONTROL_POLL_S):
        try:
            wanted = json.loads(control_file.read_text(encoding="utf-8")).get("route", [])
        except (OSError, ValueError, AttributeError):
            continue  # not there yet, or being written
        for study_instance_uid in wanted:
            if study_instance_uid not in done:
                done.add(study_instance_uid)
                pacs.route(str(study_instance_uid))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m worker.demo.pacs", description="Demonstration PACS (loopback).")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ae-title", default="DEMOPACS")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--route-to", type=destination, metavar="AET@HOST:PORT")
    parser.add_argument("--auto-route", action="store_true")
    parser.add_argument("--stable-age", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--peer", type=destination, action="append", default=[], metavar="AET@HOST:PORT")
    parser.add_argument("--control-file", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.auto_route and chosen.route_to is None:
        parser.error("--auto-route needs --route-to")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    pacs = DemoPacs(
        chosen.folder,
        ae_title=chosen.ae_title,
        port=chosen.port,
        route_to=chosen.route_to,
        auto_route=chosen.auto_route,
        stable_age_s=chosen.stable_age,
        peers=chosen.peer,
    )
    try:
        pacs.start()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return _EX_CONFIG
    ready = {"ready": True, "ae_title": pacs.ae_title, "host": _LOOPBACK, "port": pacs.port}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    if chosen.control_file is not None:
        threading.Thread(target=_obey, args=(pacs, chosen.control_file, ended), daemon=True).start()
    ended.wait()
    pacs.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
