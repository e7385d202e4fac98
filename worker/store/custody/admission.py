"""Admission: instances become durable in groups, and only then is anybody told so.

Order, for each group: every file is synced by the thread that brought it; all get their final names; every folder
concerned is synced once; all rows are committed in one transaction; the waiting threads are woken. A process that dies
anywhere in between has promised nothing, and ``worker.store.custody.recovery`` finds what it left.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from worker.domain.errors import (
    OutOfSpaceError,
    OverreadError,
    PermanentError,
    StoreUnavailableError,
)
from worker.domain.study import Admission, Digest, OfferedInstance, RefusedInstance
from worker.store.custody.group_commit import GroupThread, Ticket, unavailable
from worker.store.custody.indexing import AdmissionContext, Offer, index, judge, known, own_results, record_conflict
from worker.store.custody.refusals import SetAside, kept_bytes, record, set_aside
from worker.store.database.database import Database
from worker.store.database.sessions import ListenerSession
from worker.store.database.tables import Kept
from worker.store.faults import reach
from worker.store.spool.spool import Spool, object_key
from worker.store.spool.verification import is_intact

log = logging.getLogger(__name__)

_APART = frozenset({Admission.CONFLICT, Admission.OTHER_ENCODING})


@dataclass(frozen=True, slots=True)
class _Released:
    association_id: str


@dataclass(frozen=True, slots=True)
class _Offered:
    """An instance whose bytes are durable. ``verified``: the first copy on the disk holds the same."""

    instance: OfferedInstance
    key: str
    verified: bool


_Item = _Offered | RefusedInstance | _Released
_Ticket = Ticket[_Item, Admission | None]


class InstanceStore:
    """Takes custody of instances. Many threads may call it at once.

    Parameters
    ----------
    listener_id:
        Stable name of this listener: its next start ends the sessions, and so the associations, of its last one.
    own_equipment:
        Manufacturer and Manufacturer's Model Name that our own results carry: such instances are never evidence.
    route_priority:
        Priority of route jobs (9 is the most urgent).
    heartbeat_s:
        How often the listener says in the database that it is alive (associations of a silent one count as closed).
    quarantine_bytes:
        How much refused material is kept at most; beyond it, only the record of the refusal.
    answer_within_s:
        How long an instance waits for its commit at most, before its sender is told to try again.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that whoever starts a listener decides
        self,
        *,
        database: Database,
        spool: Spool,
        listener_id: str = "listener",
        own_equipment: tuple[str, str] = ("", ""),
        route_priority: int = 7,
        heartbeat_s: float = 10.0,
        group_limit: int = 128,
        quarantine_bytes: int = 2**30,
        answer_within_s: float = 60.0,
    ) -> None:
        self._database = database
        self._spool = spool
        # An empty equipment equals none: an instance without manufacturer is not ours.
        equipment = own_equipment if any(own_equipment) else ("\x00", "\x00")
        self._context = AdmissionContext(str(uuid.uuid4()), equipment, route_priority)
        self._heartbeat_s = heartbeat_s
        self._group_limit = group_limit
        self._quarantine_bytes = quarantine_bytes
        self._answer_within_s = answer_within_s
        self._lock = threading.Lock()
        self._thread: GroupThread[_Item, Admission | None] | None = None
        # From here on: only the group's thread.
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self._session = ListenerSession(self._context.session_id, listener_id, heartbeat_s=heartbeat_s)

    def start(self) -> None:
        """Start the committing thread (else the first call does), which registers this listener's new session."""
        self._group()

    def close(self) -> None:
        """Commit what waits, end the session, and stop."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()
            with suppress(OverreadError), self._database.write() as connection:
                self._session.end(connection, self._database.now(connection))
        self._disconnect()

    @property
    def temporary_folder(self) -> Path:
        """Folder for files that are still arriving, on the spool's file system, of this process alone."""
        return self._spool.temporary_folder

    def check_space(self, size_bytes: int) -> None:
        """Raise OutOfSpaceError when ``size_bytes`` more would go below the reserve (StoreUnavailableError: broken)."""
        self._spool.check_space(size_bytes)

    def admit(self, offered: OfferedInstance) -> Admission:
        """Block until file, name and row are durable. Takes the temporary away whatever happens.

        Raises
        ------
        OutOfSpaceError, StoreUnavailableError
            Nothing was acknowledged. (What lies under its final name already is whole, and is indexed at next start.)
        PermanentError
            ``invalid-uid``: a UID is empty or longer than 64 characters (PS3.5 9.1).
        """
        try:
            _check_uids(offered)
            self._spool.ensure_usable()
            self._spool.sync(offered.temporary)
            reach("admit.synced")
            key = object_key(offered.sha256, offered.transfer_syntax_uid)
            # Here, on the thread that brought it: comparing large objects must not hold up the group.
            verified = self._spool.holds(key, offered.temporary)
            admission = self._group().offer(_Offered(offered, key, verified)).wait(self._answer_within_s)
        finally:
            with suppress(OSError):
                offered.temporary.unlink(missing_ok=True)
        if admission is None:
            raise AssertionError("the group settled an offer without an admission")
        return admission

    def refuse(self, refused: RefusedInstance) -> None:
        """Keep what was refused, with its reason, for people to look at. Never raises."""
        try:
            self._group().offer(refused).wait(self._answer_within_s)
        except OverreadError as error:
            log.warning("refusal-not-recorded", extra={"code": refused.code, "error": error.code})
        finally:
            if refused.temporary is not None:
                with suppress(OSError):
                    refused.temporary.unlink(missing_ok=True)

    def association_opened(self, association_id: str, calling_ae_title: str) -> None:
        """An association is about to bring instances: its row is written with its first one."""

    def association_released(self, association_id: str) -> None:
        """That association ended. Returns at once; should the database be away, it is written down later."""
        self._group().offer(_Released(association_id))

    # ---- everything below runs in the group's thread, except _group

    def _group(self) -> GroupThread[_Item, Admission | None]:
        with self._lock:
            if self._thread is not None and not self._thread.is_alive:
                log.critical("group-thread-died")
                self._thread = None
                self._disconnect()
            if self._thread is None:
                self._thread = GroupThread(
                    self._handle, name="group-commit", idle_s=self._heartbeat_s / 2, limit=self._group_limit
                )
                self._thread.offer(_Released(""))
            return self._thread

    def _handle(self, group: Sequence[_Ticket]) -> None:
        rest = list(group)
        while True:
            batch, rest = _one_of_each(rest)
            self._commit(batch)
            if not rest:
                return

    def _commit(self, batch: Sequence[_Ticket]) -> None:
        was_connected = self._connection is not None
        try:
            self._store(batch)
        except OverreadError as error:
            self._disconnect()
            if was_connected and error.code == "database-unavailable":
                # The server was restarted under a connection that we held. Again, once, on a fresh one: should the
                # lost commit have been made after all, the second try finds a repeat.
                self._commit(batch)
            else:
                self._fail(batch, error)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, and the thread must live
            self._disconnect()
            if len(batch) > 1:
                # One of them is at fault. Alone, each gets its own answer.
                for ticket in batch:
                    self._commit([ticket])
                return
            log.error("admission-defect", extra={"error": type(error).__name__})  # noqa: TRY400 - may quote a data set
            self._fail(batch, unavailable(f"an unexpected {type(error).__name__}"))

    def _fail(self, batch: Sequence[_Ticket], error: OverreadError) -> None:
        answer = error
        if not isinstance(error, OutOfSpaceError | StoreUnavailableError):
            answer = StoreUnavailableError(error.message, next_step=error.next_step, code=error.code)
            answer.__cause__ = error
        log.warning("group-not-stored", extra={"code": error.code, "size": len(batch)})
        for ticket in batch:
            if isinstance(ticket.item, _Released):
                self._session.released_later(ticket.item.association_id)
            ticket.fail(answer)

    def _store(self, batch: Sequence[_Ticket]) -> None:
        offers = {
            id(t): Offer(t.item.instance, t.item.key, t.item.instance.temporary, verified=t.item.verified)
            for t in batch
            if isinstance(t.item, _Offered)
        }
        refused = [t.item for t in batch if isinstance(t.item, RefusedInstance)]
        released = {t.item.association_id for t in batch if isinstance(t.item, _Released)}
        if not batch and not self._session.is_due:
            return
        connection = self._connected()
        self._place_first(connection, list(offers.values()))
        aside = self._set_aside(connection, refused)
        reach("admit.placed")
        with self._database.transaction(connection):
            now = self._database.now(connection)
            admissions = self._decide(connection, list(offers.values()), now)
            stored = [one.offered for one in offers.values() if admissions[one.uid] is Admission.STORED]
            self._session.write(connection, stored, released, now)
            record(connection, aside, now=now)
            reach("admit.before-commit")
        reach("admit.after-commit")
        self._session.committed()
        for ticket in batch:
            offer = offers.get(id(ticket))
            ticket.succeed(None if offer is None else admissions[offer.uid])

    def _place_first(self, connection: Connection, offers: Sequence[Offer]) -> None:
        """Do the slow, durable part before the transaction, by what the index says now; `_decide` has the last word."""
        if not offers:
            return
        with self._database.look(connection):
            firsts = known(connection, (offer.uid for offer in offers))
        moves = []
        repeats = []
        for offer in offers:
            first = firsts.get(offer.uid)
            admission = judge(offer, first, frozenset(), self._context.own_equipment)
            if admission is Admission.OTHER_ENCODING and first is not None and not self._is_whole(first):
                offer.replaces = True
                admission = Admission.STORED
            if admission is Admission.REPEATED:
                if offer.verified:
                    continue
                repeats.append(offer)
            target = self._final_path(offer, admission)
            moves.append((offer.at, target))
            offer.at = target
        written = self._spool.place(moves)
        for offer in repeats:
            offer.rewritten = offer.at in written

    def _is_whole(self, first: Row[Any]) -> bool:
        path = self._spool.object_path(first.object_key)
        return first.kept is Kept.PRESENT and is_intact(
            path, sha256=Digest(first.sha256), size_bytes=int(first.size_bytes)
        )

    def _decide(self, connection: Connection, offers: Sequence[Offer], now: datetime) -> dict[str, Admission]:
        firsts = known(connection, (offer.uid for offer in offers)) if offers else {}
        ours = own_results(connection, (offer.uid for offer in offers)) if offers else frozenset()
        kept: list[tuple[Offer, Admission]] = []
        admissions: dict[str, Admission] = {}
        for offer in offers:
            first = firsts.get(offer.uid)
            admission = judge(offer, first, ours, self._context.own_equipment)
            admissions[offer.uid] = admission
            if admission is Admission.REPEATED:
                continue
            self._place(offer, admission)
            if admission in _APART and first is not None:
                record_conflict(connection, offer, first, now=now)
                if admission is Admission.CONFLICT:
                    log.warning("instance-conflict", extra={"sop_instance_uid": offer.uid})
            else:
                lost = first is not None and first.kept is Kept.MISSING
                if offer.rewritten or offer.replaces or lost:
                    log.error("object-healed", extra={"object_key": offer.key, "sop_instance_uid": offer.uid})
                kept.append((offer, admission))
        if kept:
            index(connection, kept, firsts, self._context, now=now)
        return admissions

    def _final_path(self, offer: Offer, admission: Admission) -> Path:
        return self._spool.conflict_path(offer.key) if admission in _APART else self._spool.object_path(offer.key)

    def _place(self, offer: Offer, admission: Admission) -> None:
        path = self._final_path(offer, admission)
        if offer.at != path:  # another process changed the index between the look and the transaction
            self._spool.place([(offer.at, path)])
            offer.at = path
        # Retention deletes objects only inside of a writing transaction, so this answer holds until the commit.
        if not path.exists():
            raise unavailable("an object was deleted while it was being indexed")

    def _set_aside(self, connection: Connection, refused: Sequence[RefusedInstance]) -> list[SetAside]:
        if not refused:
            return []
        with self._database.look(connection):
            room = self._quarantine_bytes - kept_bytes(connection)
        aside = []
        for one in refused:
            aside.append(set_aside(self._spool, one, room_bytes=room))
            room -= aside[-1].size_bytes
        return aside

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._stack.enter_context(self._database.held())
        return self._connection

    def _disconnect(self) -> None:
        self._connection = None
        stack, self._stack = self._stack, ExitStack()
        with suppress(OverreadError):
            stack.close()


def _one_of_each(tickets: Sequence[_Ticket]) -> tuple[list[_Ticket], list[_Ticket]]:
    """Split off a batch in which every SOP Instance UID occurs once; what is left keeps its order."""
    batch: list[_Ticket] = []
    rest: list[_Ticket] = []
    seen: set[str] = set()
    for ticket in tickets:
        item = ticket.item
        if not isinstance(item, _Offered):
            batch.append(ticket)
        elif item.instance.header.sop_instance_uid in seen:
            rest.append(ticket)
        else:
            seen.add(item.instance.header.sop_instance_uid)
            batch.append(ticket)
    return batch, rest


def _check_uids(offered: OfferedInstance) -> None:
    header = offered.header
    uids = (header.sop_instance_uid, header.study_instance_uid, header.series_instance_uid, header.sop_class_uid)
    if not all(0 < len(uid) <= 64 for uid in uids) or len(offered.transfer_syntax_uid) > 64:
        raise PermanentError(
            "An instance has a UID that is empty or longer than 64 characters (PS3.5 9.1).",
            next_step="The sender must be corrected; the instance was not stored.",
            code="invalid-uid",
        )
