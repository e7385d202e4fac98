"""A power cut right after any 0x0000: what was acknowledged is on the disk that keeps nothing but what was synced.

A real listener runs under strace while four senders send. From the trace, which holds every byte that was written, a
disk is computed for the moment of each acknowledgement, and a listener is started on it.
"""

from __future__ import annotations

import hashlib
import os
import queue
import random
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import data_set_bytes
from tests.chaos.book import Book
from tests.chaos.durable_disk import DurableDisk
from tests.chaos.reconcile import objects_by_key
from tests.chaos.senders import Connections, Errand, Sender
from tests.chaos.studies import Instance, Study, a_study
from tests.chaos.system import below
from tests.chaos.trace import CALLS, Call, calls
from tests.e2e.processes import ROOT, until
from tests.integration.intake.raw_peer import ClosedError, RawPeer
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDIES = 4


@dataclass(frozen=True)
class Recorded:
    """A listener's life: every call, the disk's folder, and what was sent."""

    calls: list[Call]
    data: Path
    instances: dict[str, Instance]

    def acknowledgements(self) -> Iterator[tuple[int, str]]:
        """(Position at which the answer began to leave, SOP Instance UID) of each 0x0000, in order."""
        found = [
            (call.began, uid)
            for call in self.calls
            if call.name in {"sendto", "sendmsg", "write"} and call.descriptor.startswith(("socket:", "TCP:"))
            for uid in acknowledged(b"".join(call.strings))
        ]
        return iter(sorted(found))

    def disk_at(self, position: int) -> DurableDisk:
        """The disk when nothing counts that had not ended before ``position``."""
        disk = DurableDisk(self.data)
        for call in self.calls:
            if call.ended < position:
                disk.apply(call)
        return disk


def acknowledged(pdus: bytes) -> list[str]:
    """SOP Instance UIDs of C-STORE responses with status 0x0000 in the bytes of P-DATA-TF PDUs (PS3.8 9.3.5)."""
    found = []
    while len(pdus) >= 12 and pdus[0] == 0x04:
        (length,) = struct.unpack_from(">I", pdus, 2)
        command = pdus[12 : 6 + length]
        elements = {}
        at = 0
        while at + 8 <= len(command):
            _, number, size = struct.unpack_from("<HHI", command, at)
            elements[number] = command[at + 8 : at + 8 + size]
            at += 8 + size
        if elements.get(0x0100) == b"\x01\x80" and elements.get(0x0900) == b"\0\0":
            found.append(elements[0x1000].rstrip(b"\0 ").decode())
        pdus = pdus[6 + length :]
    return found


def listen(data: Path, port: int, log: Path, *before: str) -> subprocess.Popen[bytes]:
    environ = {"OVERREAD_LISTENER__PORT": str(port), "OVERREAD_STORAGE__RESERVE_MB": "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "worker.cli", "listen", "--data", str(data)],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def answers(port: int) -> bool:
    try:
        with RawPeer(port, timeout_s=5.0) as peer:
            return peer.open()[0] == 0x02 and peer.echo() == 0
    except (ClosedError, OSError):
        return False


def kill(process: subprocess.Popen[bytes]) -> None:
    for one in reversed(below(process.pid)):
        os.kill(one.pid, signal.SIGKILL)
    process.wait(20)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("power")
    data, trace, port = folder / "data", folder / "trace", free_port()
    data.mkdir(mode=0o700)
    strace = ("strace", "-f", "-y", "-x", "-s", "300000", "-o", str(trace), "-e", f"trace={CALLS}")
    process = listen(data, port, folder / "log", *strace)
    book, errands, connections = Book(), queue.Queue[Errand](), Connections()
    rng = random.Random(7)
    studies: list[Study] = [a_study(number, rng, prefix="50") for number in range(STUDIES)]
    senders: list[Sender] = []
    try:
        until(lambda: answers(port), what="the listener under strace answers", wait_s=120)
        book.plan(studies)
        for study in studies:
            errands.put(Errand(study.instances))
        senders = [
            Sender(n, port=port, errands=errands, book=book, connections=connections, seed=f"{n}", pace_s=0.0)
            for n in range(STUDIES)
        ]
        for sender in senders:
            sender.start()
        errands.join()
    finally:
        for sender in senders:
            sender.end()
        kill(process)
    instances = {one.sop_instance_uid: one for study in studies for one in study.instances}
    assert {one.sop_instance_uid for one in book.acknowledged} == set(instances)
    return Recorded(list(calls(trace)), data, instances)


def test_every_acknowledgement_is_in_the_trace(recorded: Recorded) -> None:
    assert {uid for _, uid in recorded.acknowledgements()} == set(recorded.instances)


def test_file_folders_and_row_are_synced_before_the_answer_leaves(recorded: Recorded) -> None:
    """The audit: the order of the calls themselves, without any model of a disk."""
    for position, uid in recorded.acknowledgements():
        before = [call for call in recorded.calls if call.ended < position]
        digest = recorded.instances[uid].sha256
        with closing(sqlite3.connect(f"file:{recorded.data / 'overread.sqlite'}?mode=ro", uri=True)) as db:
            (key,) = db.execute("SELECT object_key FROM instances WHERE sha256 = ?", (digest,)).fetchone()
        renamed = next(
            call for call in before if call.name.startswith("rename") and call.paths[-1].endswith(f"/{key}.dcm")
        )
        source, target = (Path(path) for path in renamed.paths)

        def synced(path: Path | str, *, after: int = -1, by: int = position, known: list[Call] = before) -> bool:
            return any(
                call.name in {"fsync", "fdatasync"} and call.descriptor == str(path) and after < call.began < by
                for call in known
            )

        assert synced(source, by=renamed.began), "the bytes before the name"
        assert synced(target.parent, after=renamed.ended), "the folder of the new name"
        assert synced(source.parent, after=renamed.ended), "the folder of the old name"
        for folder in target.parent.parents:
            if folder.is_relative_to(recorded.data / "spool" / "objects"):
                assert synced(folder), "the folders above it"
        assert synced(recorded.data / "overread.sqlite-wal", after=renamed.ended), "the row"


@pytest.mark.parametrize("names_survive", [False, True], ids=["names-lost", "names-survive"])
def test_after_a_power_cut_at_any_answer_all_that_was_acknowledged_is_there(
    recorded: Recorded, tmp_path: Path, names_survive: bool
) -> None:
    promised: list[str] = []
    for position, uid in recorded.acknowledgements():
        promised.append(uid)
        left = tmp_path / "left"
        recorded.disk_at(position).leave(left, names_survive=names_survive)
        assert_kept(left, [recorded.instances[one] for one in promised])
        shutil.rmtree(left)


@pytest.mark.parametrize("names_survive", [False, True], ids=["names-lost", "names-survive"])
def test_a_listener_starts_on_what_a_power_cut_left(recorded: Recorded, tmp_path: Path, names_survive: bool) -> None:
    moments = list(recorded.acknowledgements())
    position = moments[len(moments) // 2][0]
    promised = [recorded.instances[uid] for began, uid in moments if began <= position]
    left, port = tmp_path / "data", free_port()
    recorded.disk_at(position).leave(left, names_survive=names_survive)
    process = listen(left, port, tmp_path / "log")
    try:
        until(lambda: answers(port), what="the listener answers after a power cut", wait_s=120)
        until(
            lambda: '"store-recovered"' in (tmp_path / "log").read_text(), what="it has looked for leftovers", wait_s=60
        )
        with RawPeer(port) as peer:
            peer.open()
            for instance in promised:
                assert peer.store(instance.content, instance.sop_instance_uid) == 0x0000
    finally:
        kill(process)
    assert_kept(left, promised)
    assert_nothing_half_written(left)


def test_the_model_would_see_a_missing_fsync(recorded: Recorded, tmp_path: Path) -> None:
    """The control: forget the syncs of one kind, and what was acknowledged is gone."""
    for number, forgotten in enumerate(re.compile(one) for one in (r"-wal$", r"/objects(/..)+$", r"\.part$")):
        kept = [
            call
            for call in recorded.calls
            if not (call.name in {"fsync", "fdatasync"} and forgotten.search(call.descriptor))
        ]
        cheated = Recorded(kept, recorded.data, recorded.instances)
        left = tmp_path / f"left{number}"
        cheated.disk_at(max(position for position, _ in cheated.acknowledgements())).leave(left, names_survive=False)
        with pytest.raises((AssertionError, sqlite3.Error)):
            assert_kept(left, list(recorded.instances.values()))


def assert_kept(data: Path, instances: list[Instance]) -> None:
    """Each instance is in the index, and its file holds exactly what was sent."""
    with closing(sqlite3.connect(data / "overread.sqlite")) as db:
        rows = dict(db.execute("SELECT sop_instance_uid, object_key FROM instances").fetchall())
    files = objects_by_key(data)
    for instance in instances:
        key = rows.get(instance.sop_instance_uid)
        assert key is not None, "acknowledged, but not in the index"
        assert key in files, "acknowledged, but its file is gone"
        assert hashlib.sha256(data_set_bytes(files[key])).hexdigest() == instance.sha256, "acknowledged, but damaged"


def assert_nothing_half_written(data: Path) -> None:
    """Under final names there are whole objects only; no temporaries of the dead are left."""
    ends = time.monotonic() + 10
    while (left := list((data / "spool" / "tmp").rglob("*.part"))) and time.monotonic() < ends:
        time.sleep(0.1)
    assert left == []
    with closing(sqlite3.connect(data / "overread.sqlite")) as db:
        known = {key for (key,) in db.execute("SELECT object_key FROM instances")}
    assert set(objects_by_key(data)) == known
