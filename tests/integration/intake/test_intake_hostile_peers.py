"""Peers that lie about lengths, speak out of turn, stop in the middle or never begin."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.intake.folder_store import FolderStore
from tests.integration.intake.raw_peer import (
    ABORT,
    CT,
    EXPLICIT,
    RELEASE,
    ClosedError,
    RawPeer,
    association_request,
    c_echo,
    c_store,
    command_set,
    item,
    p_data,
    pdu,
    pdv,
    presentation_context,
    us,
)
from tests.integration.intake.waiting import until
from tests.unit.intake.corpus import SOP, a_ct, encode
from worker.intake.association.server import Listener
from worker.intake.limits import Limits

pytestmark = pytest.mark.slow

DATA = encode(a_ct(rows=64, columns=64))
STORE = c_store(CT, SOP)
HALF = p_data(pdv(1, STORE, flags=3)) + p_data(pdv(1, DATA[:4000], flags=0))


def well(listener: Listener, sop: str = SOP + ".77") -> None:
    """A good sender is served."""
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(encode(a_ct(sop=sop)), sop) == 0x0000
        peer.release()


BEFORE: dict[str, bytes] = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "zeros": bytes(500),
    "ones": b"\xff" * 500,
    "p-data first": p_data(pdv(1, c_echo(), flags=3)),
    "release first": RELEASE,
    "abort first": ABORT,
    "reject first": pdu(0x03, bytes(4)),
    "accept first": pdu(0x02, bytes(68)),
    "unknown pdu": pdu(0x42, bytes(10)),
    "request announces 4 GB": pdu(0x01, bytes(100), 0xFFFFFFFF),
    "request announces 2 MB": pdu(0x01, bytes(100), 2 << 20),
    "request of ten bytes": pdu(0x01, bytes(10)),
    "request of no bytes": pdu(0x01, b""),
    "item beyond the request": association_request(items=item(0x20, b"\x05", 60000)),
    "half an item": association_request(items=b"\x20\0\0"),
    "sub-item beyond its item": association_request(items=item(0x20, b"\x05\0\0\0" + item(0x30, b"1.2", 999))),
    "context of two bytes": association_request(items=item(0x20, b"\x05\0")),
    "even context id": association_request(((2, CT, (EXPLICIT,)),)),
    "context id twice": association_request(((1, CT, (EXPLICIT,)), (1, CT, (EXPLICIT,)))),
    "no contexts": association_request(()),
}


@pytest.mark.parametrize("name", BEFORE)
def test_no_association_without_a_sound_request(listener: Listener, name: str) -> None:
    with RawPeer(listener.port) as peer:
        peer.send(BEFORE[name])
        assert peer.closed_within(10)
    assert listener.stats().associations_accepted == 0
    well(listener)


TOLERATED: dict[str, bytes] = {
    "unknown item": association_request(items=item(0x77, b"abc")),
    "unknown user item": association_request(user_items=item(0x7F, bytes(9))),
    "user identity": association_request(user_items=item(0x58, b"\x02\x00\0\x03abc\0\x03def")),
    "broken user identity": association_request(user_items=item(0x58, b"\x02")),
    "asynchronous operations": association_request(user_items=item(0x53, struct.pack(">HH", 0, 0))),
    "extended negotiation": association_request(user_items=item(0x56, struct.pack(">H", 3) + b"1.2" + bytes(6))),
    "broken role": association_request(user_items=item(0x54, b"\0\x50abc")),
    "role for storage": association_request(
        user_items=item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\x00\x01")
    ),
    "no maximum": association_request(maximum_length=0),
    "huge maximum": association_request(maximum_length=0xFFFFFFFF),
    "later version too": association_request(version=3),
    "calling title with control characters": association_request(calling=b"A\nB\x1b[2J"),
    "context without transfer syntax": association_request(items=presentation_context(9, CT, ())),
    "context without abstract syntax": association_request(
        items=item(0x20, b"\x09\0\0\0" + item(0x40, EXPLICIT.encode()))
    ),
    "context with a path": association_request(items=presentation_context(9, "../../etc", (EXPLICIT,))),
    "uids with leading zeros": association_request(
        items=presentation_context(9, "01.002", ("01.2",)),
        user_items=item(0x54, struct.pack(">H", 4) + b"01.2\x01\x01"),
    ),
    "uid of one component": association_request(items=presentation_context(9, "7", ("7",))),
    "uid of 64 characters": association_request(items=presentation_context(9, "1." + "2" * 62, ("1." + "2" * 62,))),
    "uid of 65 characters": association_request(items=presentation_context(9, "1." + "2" * 63, ("1.2",))),
    "unheard-of storage class": association_request(
        items=presentation_context(9, "1.2.840.10008.5.1.4.1.1.0009.9", ("1.2.3",))
    ),
    "128 contexts": association_request(tuple((2 * n + 1, CT, (EXPLICIT,) * 30) for n in range(128))),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_the_standard_wants_ignored_is_ignored(listener: Listener, store: FolderStore, name: str) -> None:
    with RawPeer(listener.port) as peer:
        assert peer.open(TOLERATED[name])[0] == 0x02
        assert 9 not in peer.accepted or name == "128 contexts"
        assert peer.store(encode(a_ct()), SOP) == 0x0000
        peer.release()
    assert all(character.isprintable() for title in store.opened.values() for character in title)


WITHIN: dict[str, bytes] = {
    "pdu longer than negotiated": pdu(0x04, bytes(10), 131073),
    "pdu of 4 GB": pdu(0x04, bytes(10), 0xFFFFFFFF),
    "pdu without pdv": pdu(0x04, b""),
    "pdv of one byte": p_data(pdv(1, b"", flags=3, length=1)),
    "pdv beyond its pdu": p_data(pdv(1, STORE, flags=3, length=5000)),
    "pdv of 4 GB": p_data(pdv(1, STORE, flags=3, length=0xFFFFFFFF)),
    "half a pdv header": p_data(b"\0\0\0"),
    "unknown context": p_data(pdv(99, c_echo(), flags=3)),
    "even context": p_data(pdv(2, c_echo(), flags=3)),
    "data without command": p_data(pdv(1, DATA, flags=2)),
    "command within data": p_data(pdv(1, STORE, flags=3)) + p_data(pdv(1, STORE, flags=3)),
    "other context within a message": p_data(pdv(1, STORE, flags=3)) + p_data(pdv(3, DATA, flags=2)),
    "command that never ends": p_data(pdv(1, bytes(60000), flags=1)),
    "empty command": p_data(pdv(1, b"", flags=3)),
    "command of garbage": p_data(pdv(1, b"\xff" * 60, flags=3)),
    "command cut": p_data(pdv(1, STORE[:30], flags=3)),
    "element beyond the command": p_data(pdv(1, STORE + struct.pack("<HHI", 0, 0x1031, 400), flags=3)),
    "data group in the command": p_data(pdv(1, STORE + struct.pack("<HHI", 8, 0x16, 0), flags=3)),
    "element twice": p_data(pdv(1, STORE + struct.pack("<HHIH", 0, 0x0110, 2, 9), flags=3)),
    "no message id": p_data(pdv(1, c_store(CT, SOP, message_id=None), flags=3)),
    "no command field": p_data(pdv(1, command_set((0x0110, us(1)), (0x0800, us(1))), flags=3)),
    "no data set type": p_data(pdv(1, command_set((0x0100, us(1)), (0x0110, us(1))), flags=3)),
    "unknown command": p_data(pdv(1, command_set((0x0100, us(0x77)), (0x0110, us(1)), (0x0800, us(0x101))), flags=3)),
    "a response": p_data(pdv(1, command_set((0x0100, us(0x8001)), (0x0120, us(1)), (0x0800, us(0x101))), flags=3)),
    "second request": association_request(),
    "accept": pdu(0x02, bytes(68)),
    "reject": pdu(0x03, bytes(4)),
    "release response": pdu(0x06, bytes(4)),
    "unknown pdu": pdu(0x42, bytes(10)),
    "release of 4 GB": pdu(0x05, bytes(4), 0xFFFFFFFF),
    "half data set, then garbage": HALF + b"\xff" * 100,
    "half data set, then another request": HALF + association_request(),
    "half data set, then release": HALF + RELEASE,
    "half data set, then abort": HALF + ABORT,
}


@pytest.mark.parametrize("name", WITHIN)
def test_who_breaks_the_protocol_is_closed_and_leaves_nothing(
    listener: Listener, store: FolderStore, name: str
) -> None:
    with RawPeer(listener.port) as peer:
        peer.open()
        peer.send(WITHIN[name])
        assert peer.closed_within(10)
    assert until(lambda: listener.stats().associations_open == 0)
    assert store.temporaries() == []
    assert store.offered == []
    well(listener)
    assert "bug" not in listener.stats().associations_ended


@pytest.mark.parametrize(
    ("field", "context", "has_data", "status"),
    [
        (0x0130, 1, True, 0x0211),  # N-ACTION
        (0x0100, 1, True, 0x0211),  # N-EVENT-REPORT
        (0x0020, 1, True, 0x0211),  # C-FIND
        (0x0021, 1, True, 0x0211),  # C-MOVE
        (0x0010, 1, True, 0x0211),  # C-GET
        (0x0110, 1, False, 0x0211),  # N-GET
        (0x0150, 1, False, 0x0211),  # N-DELETE
        (0x0030, 1, False, 0x0122),  # C-ECHO on a storage context
        (0x0030, 1, True, 0x0122),
        (0x0001, 3, True, 0x0122),  # C-STORE on the verification context
        (0x0130, 3, True, 0x0211),
        (0x0020, 3, False, 0x0211),
    ],
)
def test_what_a_context_does_not_offer_never_reaches_the_store(
    listener: Listener, store: FolderStore, field: int, context: int, has_data: bool, status: int
) -> None:
    command = command_set(
        (0x0002, CT.encode()),
        (0x0100, us(field)),
        (0x0110, us(5)),
        (0x0800, us(1 if has_data else 0x0101)),
        (0x1000, SOP.encode()),
    )
    with RawPeer(listener.port) as peer:
        peer.open()
        peer.message(command, DATA if has_data else None, context=context)
        answer = peer.answer()
        assert int.from_bytes(answer[0x0100], "little") == field | 0x8000
        assert int.from_bytes(answer[0x0120], "little") == 5
        assert int.from_bytes(answer[0x0900], "little") == status
        assert peer.echo() == 0x0000
        peer.release()
    assert store.offered == []
    assert store.refused == []
    assert store.temporaries() == []


def test_a_cancel_has_no_answer_and_does_no_harm(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.open()
        peer.message(command_set((0x0100, us(0x0FFF)), (0x0120, us(1)), (0x0800, us(0x0101))))
        assert peer.echo() == 0x0000


def _reset(peer: RawPeer) -> None:
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


ENDINGS: dict[str, Callable[[RawPeer], None]] = {
    "abort": lambda peer: peer.send(ABORT),
    "reset": _reset,
    "close": lambda peer: peer.socket.close(),
    "release": lambda peer: peer.send(RELEASE),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_repeat_that_is_cut_off_leaves_the_first_copy_untouched(
    listener: Listener, store: FolderStore, ending: str
) -> None:
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(DATA, SOP) == 0x0000
        (path,) = store.stored_paths()
        before = (path.stat().st_ino, path.read_bytes())
        peer.send(HALF)
        ENDINGS[ending](peer)
    assert until(lambda: listener.stats().associations_open == 0)
    assert store.stored_paths() == [path]
    assert (path.stat().st_ino, path.read_bytes()) == before
    assert store.temporaries() == []
    assert len(store.offered) == 1


QUICK = Limits(request_s=1.0, idle_s=1.0, pdu_s=1.0, message_rate_after_s=1.0, message_rate_bytes_per_s=1000)


@pytest.fixture
def quick(store: FolderStore) -> Iterator[Listener]:
    listener = Listener(store, ae_title="OVERREAD", port=0, limits=QUICK)
    listener.start()
    yield listener
    listener.stop(2.0)


class Trickle:
    """Sends a byte every now and then, for ever."""

    def __init__(self, peer: RawPeer, data: bytes) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(peer, data), daemon=True)
        self._thread.start()

    def _run(self, peer: RawPeer, data: bytes) -> None:
        while not self._stop.wait(0.1):
            try:
                peer.send(data)
            except ClosedError:
                return

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_a_silent_connection_is_closed(quick: Listener) -> None:
    with RawPeer(quick.port) as peer:
        assert peer.closed_within(10)
    assert quick.stats().requests_refused == {"request-timeout": 1}


def test_a_request_that_trickles_is_closed_by_its_total_time(quick: Listener) -> None:
    with RawPeer(quick.port) as peer:
        peer.send(association_request()[:10])
        trickle = Trickle(peer, b"\0")
        assert peer.closed_within(10)
        trickle.stop()
    assert quick.stats().requests_refused == {"request-timeout": 1}


def test_an_idle_association_is_aborted(quick: Listener) -> None:
    with RawPeer(quick.port) as peer:
        peer.open()
        assert peer.read_pdu()[0] == 0x07
        assert peer.closed_within(10)
    assert until(lambda: quick.stats().associations_ended == {"idle-timeout": 1})


@pytest.mark.parametrize("start", [b"\x04", b"\x04\0\0\0\x10", HALF[:3000]])
def test_half_a_pdu_is_aborted(quick: Listener, store: FolderStore, start: bytes) -> None:
    with RawPeer(quick.port) as peer:
        peer.open()
        peer.send(start)
        assert peer.closed_within(10)
    assert until(lambda: quick.stats().associations_ended == {"pdu-timeout": 1})
    assert store.temporaries() == []


def test_a_pdu_that_trickles_is_closed_by_its_total_time(quick: Listener) -> None:
    with RawPeer(quick.port) as peer:
        peer.open()
        peer.send(p_data(pdv(1, STORE, flags=3)) + pdu(0x04, struct.pack(">IBB", 30000, 1, 0), 30004))
        trickle = Trickle(peer, b"\0")
        assert peer.closed_within(10)
        trickle.stop()
    assert until(lambda: quick.stats().associations_ended == {"pdu-timeout": 1})


def test_a_message_that_trickles_in_whole_pdus_is_closed_by_its_pace(quick: Listener) -> None:
    with RawPeer(quick.port) as peer:
        peer.open()
        peer.send(p_data(pdv(1, STORE, flags=3)))
        trickle = Trickle(peer, p_data(pdv(1, b"\0", flags=0)))
        assert peer.closed_within(10)
        trickle.stop()
    assert until(lambda: quick.stats().associations_ended == {"slow-message": 1})


def test_a_peer_that_reads_no_answers_is_closed(quick: Listener) -> None:
    peer = RawPeer(quick.port)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    peer.open()
    echoes = p_data(pdv(3, c_echo(), flags=3)) * 2000
    peer.socket.settimeout(20)
    with pytest.raises(ClosedError):
        peer.send(echoes * 100)
    peer.socket.close()
    well(quick)


def test_a_full_house_makes_room_for_a_newcomer(store: FolderStore) -> None:
    limits = Limits(associations=5, evictable_after_s=0.2)
    listener = Listener(store, ae_title="OVERREAD", port=0, limits=limits)
    listener.start()
    worker = RawPeer(listener.port)
    worker.open()
    assert worker.store(encode(a_ct()), SOP) == 0x0000
    idlers = [RawPeer(listener.port) for _ in range(4)]
    for idler in idlers:
        idler.open()
    for number in range(6):
        well(listener, f"{SOP}.{number}")
    newcomers = [RawPeer(listener.port) for _ in range(3)]
    for newcomer in newcomers:
        assert newcomer.open()[0] == 0x02
    assert worker.echo() == 0x0000  # who has brought something goes last
    for peer in (worker, *idlers, *newcomers):
        peer.socket.close()
    listener.stop(2.0)
    assert listener.stats().associations_ended["evicted"] >= 1


def test_when_nobody_can_go_the_newcomer_is_told_to_come_again(store: FolderStore) -> None:
    limits = Limits(associations=2, evictable_after_s=60.0, waiting_s=0.5)
    listener = Listener(store, ae_title="OVERREAD", port=0, limits=limits)
    listener.start()
    inside = [RawPeer(listener.port) for _ in range(2)]
    for peer in inside:
        peer.open()
    with RawPeer(listener.port) as peer:
        assert peer.open() == (0x03, b"\x00\x02\x03\x02")
    inside[0].release()
    assert until(lambda: listener.stats().associations_open == 1)
    well(listener)
    inside[1].socket.close()
    listener.stop(2.0)
    assert listener.stats().requests_refused == {"limit-reached": 1}


@pytest.mark.parametrize(
    "limits",
    [
        Limits(associations_per_peer=2, evictable_after_s=60.0, waiting_s=0.2),
        Limits(associations_per_calling_ae=2, evictable_after_s=60.0, waiting_s=0.2),
    ],
    ids=["address", "title"],
)
def test_one_peer_or_title_has_its_own_limit(store: FolderStore, limits: Limits) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0, limits=limits)
    listener.start()
    peers = [RawPeer(listener.port) for _ in range(3)]
    kinds = [peer.open()[0] for peer in peers]
    assert kinds == [0x02, 0x02, 0x03]
    for peer in peers:
        peer.socket.close()
    listener.stop(2.0)


def _crowd(port: int, kind: str) -> RawPeer:
    rng = random.Random(kind)
    peer = RawPeer(port)
    if kind == "silent":
        return peer
    if kind == "half request":
        peer.send(association_request()[: rng.randrange(1, 100)])
        return peer
    peer.send(association_request(calling=kind.encode()[:16]))
    assert peer.read_pdu()[0] == 0x02
    match kind:
        case "half pdu":
            peer.send(HALF[:3000])
        case "half data set":
            peer.send(HALF)
        case "garbage":
            peer.send(pdu(0x04, rng.randbytes(200), rng.choice([200, 300, 100_000])))
        case _:
            pass
    return peer


def test_three_hundred_dead_peers_of_each_kind_do_not_keep_a_sender_out(listener: Listener, store: FolderStore) -> None:
    crowd: list[RawPeer] = []
    for number, kind in enumerate(("silent", "half request", "idle", "half pdu", "half data set", "garbage")):
        crowd += [_crowd(listener.port, kind) for _ in range(300 if kind in ("half pdu", "silent") else 50)]
        well(listener, f"{SOP}.{number}")
    for peer in crowd:
        peer.socket.close()
    assert until(lambda: listener.stats().associations_open == 0)
    assert len(store.stored_paths()) == 6
    assert store.temporaries() == []


def test_running_out_of_file_descriptors_is_survived(tmp_path: Path) -> None:
    command = f"ulimit -n 90; exec {sys.executable} -m tests.integration.intake.serve --port 0 --spool {tmp_path}"
    root = Path(__file__).parents[3]
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(",")[2].strip(" )\n"))
        silent = [RawPeer(port) for _ in range(150)]
        with RawPeer(port) as peer:
            peer.open()
            assert peer.store(encode(a_ct()), SOP) == 0x0000
            peer.release()
        for other in silent:
            other.socket.close()
        process.terminate()
        assert process.wait(20) == 0


def test_a_port_scan_takes_no_place(listener: Listener) -> None:
    for _ in range(200):
        socket.create_connection(("127.0.0.1", listener.port)).close()
    well(listener)
    assert until(lambda: listener.stats().connections_pending == 0)
