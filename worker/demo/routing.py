"""Auto-routing of the demonstration PACS: stable image studies go to the worker, once. DEMONSTRATION ONLY."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pynetdicom import AE, _config, build_context, evt

from worker.demo.archive import Archive, ArchivedInstance
from worker.demo.sockets import send_at_once
from worker.domain.result import Destination
from worker.domain.study import SOPInstanceUID, StudyInstanceUID

# Files are sent byte by byte as they are stored.
_config.STORE_SEND_CHUNKED_DATASET = True

log = logging.getLogger(__name__)

_POLL_S = 0.1
_RETRY_S = 3.0


@dataclass(frozen=True, slots=True)
class Routed:
    """What a routing did: the instances that the peer has taken, and how many it has not."""

    taken: tuple[SOPInstanceUID, ...]
    failed: int


class Router:
    """Sends stored images to a destination by C-STORE, as a PACS does.

    Parameters
    ----------
    archive:
        Where the studies are.
    ae_title:
        The calling AE title: that of the PACS.
    memory:
        A file that remembers which instances were auto-routed, so that a restart routes nothing again.
    stable_age_s:
        A study is stable when no image came for this long.
    """

    def __init__(self, archive: Archive, *, ae_title: str, memory: Path, stable_age_s: float) -> None:
        self._archive = archive
        self._ae_title = ae_title
        self._memory = memory
        self._stable_age_s = stable_age_s
        self._lock = threading.Lock()
        self._arrived: dict[StudyInstanceUID, float] = {}
        self._routed = set(memory.read_text(encoding="ascii").split()) if memory.exists() else set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def route(self, study_instance_uid: str, to: Destination) -> Routed:
        """Send every image of a study (never a result) over one association."""
        return self._send([one for one in self._archive.instances(study_instance_uid) if one.is_image], to)

    def image_arrived(self, instance: ArchivedInstance) -> None:
        """Start, or restart, the quiet time of a study."""
        with self._lock:
            self._arrived[instance.study_instance_uid] = time.monotonic()

    def start(self, to: Destination) -> None:
        """Route by itself from now on. Images that are there already count as just arrived."""
        for instance in self._archive.instances():
            if instance.is_image:
                self.image_arrived(instance)
        self._thread = threading.Thread(target=self._watch, args=(to,), name="demo-auto-route", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End auto-routing; what is being sent is sent to its end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _watch(self, to: Destination) -> None:
        while not self._stopping.wait(_POLL_S):
            for study_instance_uid in self._stable():
                self._route_what_is_new(study_instance_uid, to)

    def _stable(self) -> list[StudyInstanceUID]:
        now = time.monotonic()
        with self._lock:
            found = [uid for uid, at in self._arrived.items() if now - at >= self._stable_age_s]
            for uid in found:
                del self._arrived[uid]
        return found

    def _route_what_is_new(self, study_instance_uid: StudyInstanceUID, to: Destination) -> None:
        new = [
            one
            for one in self._archive.instances(study_instance_uid)
            # What the worker itself has sent never goes back to it.
            if one.is_image and one.sop_instance_uid not in self._routed and one.source_ae_title != to.ae_title
        ]
        if not new:
            return
        routed = self._send(new, to)
        self._remember(routed.taken)
        if routed.failed:
            with self._lock:  # asked again a little later, unless images come anyway
                self._arrived.setdefault(study_instance_uid, time.monotonic() - self._stable_age_s + _RETRY_S)

    def _remember(self, taken: Sequence[SOPInstanceUID]) -> None:
        self._routed.update(taken)
        with self._memory.open("a", encoding="ascii") as stream:
            stream.writelines(f"{uid}\n" for uid in taken)
            stream.flush()
            os.fsync(stream.fileno())

    def _send(self, instances: Sequence[ArchivedInstance], to: Destination) -> Routed:
        if not instances:
            return Routed(taken=(), failed=0)
        ae = AE(ae_title=self._ae_title)
        ae.connection_timeout, ae.acse_timeout, ae.dimse_timeout = 5, 30, 60
        pairs = dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in instances)
        contexts = [build_context(sop_class, syntax) for sop_class, syntax in pairs][:128]
        association = ae.associate(
            to.host,
            to.port,
            contexts=contexts,
            ae_title=to.ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
        )
        taken: list[SOPInstanceUID] = []
        if association.is_established:
            for number, instance in enumerate(instances, start=1):
                if self._stopping.is_set() or not association.is_established:
                    break
                if self._store(association, instance, number):
                    taken.append(instance.sop_instance_uid)
            association.release()
        failed = len(instances) - len(taken)
        log.info("demo-routed", extra={"to": to.ae_title, "taken": len(taken), "failed": failed})
        return Routed(taken=tuple(taken), failed=failed)

    @staticmethod
    def _store(association: object, instance: ArchivedInstance, number: int) -> bool:
        try:
            response = association.send_c_store(  # type: ignore[attr-defined]
                str(instance.path), msg_id=number % 0xFFFF or 0xFFFF
            )
        except (RuntimeError, ValueError):  # association gone, or no presentation context
            return False
        return "Status" in response and (int(response.Status) == 0 or int(response.Status) >> 12 == 0xB)
