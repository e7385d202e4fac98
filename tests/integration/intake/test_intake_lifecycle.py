"""Start, stop and what a person is told when the listener cannot start."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.integration.intake.folder_store import FolderStore
from tests.integration.intake.raw_peer import CT, ClosedError, RawPeer, c_store, p_data, pdv
from tests.integration.intake.waiting import until
from tests.unit.intake.corpus import SOP, a_ct, encode
from worker.domain.errors import ConfigurationError
from worker.domain.study import Admission
from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.server import Listener
from worker.intake.limits import Limits


def test_a_port_in_use_is_named_with_the_next_step(store: FolderStore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listener = Listener(store, ae_title="OVERREAD", port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"in use.*ss -ltnp") as caught:
            listener.start()
    assert caught.value.code == "port-in-use"
    listener.stop()


@pytest.mark.parametrize(("address", "port"), [("192.0.2.1", 0), ("not an address", 0), ("127.0.0.1", 70000)])
def test_a_bad_address_is_named(store: FolderStore, address: str, port: int) -> None:
    with pytest.raises(ConfigurationError, match="cannot be bound") as caught:
        Listener(store, ae_title="OVERREAD", bind_address=address, port=port).start()
    assert caught.value.code == "bad-bind-address"


@pytest.mark.parametrize("title", ["", "SEVENTEENCHARACTS", " X", "A\\B", "Ü"])
def test_a_bad_ae_title_is_named(store: FolderStore, title: str) -> None:
    with pytest.raises(ConfigurationError, match="AE title"):
        Listener(store, ae_title=title, port=0)


def test_bad_limits_and_networks_are_named() -> None:
    with pytest.raises(ConfigurationError, match="idle_s must be above zero"):
        Limits(idle_s=0)
    with pytest.raises(ConfigurationError, match="at least 4096"):
        Limits(maximum_pdu_bytes=100)
    with pytest.raises(ConfigurationError, match="neither an address nor a network"):
        AccessPolicy(networks=("ten.ten",))


def test_the_default_is_loopback(store: FolderStore) -> None:
    assert Listener(store, ae_title="OVERREAD").address == ("127.0.0.1", 11112)


def test_it_can_be_started_again_after_a_stop(store: FolderStore) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0)
    for number in range(2):
        listener.start()
        with RawPeer(listener.port) as peer:
            peer.open()
            sop = f"{SOP}.{number}"
            assert peer.store(encode(a_ct(sop=sop)), sop) == 0x0000
        listener.stop(2.0)
        listener.stop(2.0)
        with pytest.raises(OSError, match="refused"):
            RawPeer(listener.port)


def test_a_second_start_is_a_bug(listener: Listener) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        listener.start()


class _SlowStore(FolderStore):
    """Admits when it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def admit(self, offered: object) -> Admission:
        self.reached.set()
        assert self.go_on.wait(20)
        return super().admit(offered)  # type: ignore[arg-type]


def test_a_stop_lets_messages_finish_and_drops_the_idle(tmp_path: Path) -> None:
    store = _SlowStore(tmp_path)
    listener = Listener(store, ae_title="OVERREAD", port=0)
    listener.start()
    idle, half, busy = (RawPeer(listener.port) for _ in range(3))
    for peer in (idle, half, busy):
        peer.open()
    data = encode(a_ct())
    other = encode(a_ct(sop=SOP + ".1"))
    half.send(p_data(pdv(1, c_store(CT, SOP + ".1"), flags=3)) + p_data(pdv(1, other[:100], flags=0)))
    busy.message(c_store(CT, SOP), data)
    assert store.reached.wait(20)
    # The half message has arrived as well: before that, its association is as idle as the idle one.
    assert until(lambda: len(store.temporaries()) == 2)
    stopping = threading.Thread(target=listener.stop, args=(20.0,))
    stopping.start()
    assert idle.closed_within(10)
    store.go_on.set()
    assert busy.status() == 0x0000
    half.send(p_data(pdv(1, other[100:], flags=2)))
    assert half.status() == 0x0000
    with pytest.raises(ClosedError):
        busy.echo()
    stopping.join(20)
    assert not stopping.is_alive()
    assert len(store.stored_paths()) == 2
    assert store.temporaries() == []
    assert listener.stats().associations_open == 0


def test_a_stop_does_not_wait_longer_than_its_grace(tmp_path: Path) -> None:
    store = _SlowStore(tmp_path)
    listener = Listener(store, ae_title="OVERREAD", port=0)
    listener.start()
    busy = RawPeer(listener.port)
    busy.open()
    busy.message(c_store(CT, SOP), encode(a_ct()))
    assert store.reached.wait(20)
    stopping = threading.Thread(target=listener.stop, args=(0.1,))
    stopping.start()
    with pytest.raises(ClosedError):
        busy.status()
    store.go_on.set()
    stopping.join(20)
    assert not stopping.is_alive()
    assert len(store.stored_paths()) == 1  # kept, not acknowledged: the sender will repeat it


def test_no_patient_in_any_log_line(listener: Listener, store: FolderStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(encode(a_ct()), SOP) == 0x0000
        assert peer.store(encode(a_ct())[:-4], SOP) == 0xC000
        store.fail_with = ValueError("Doe^Jane PID1")
        assert peer.store(encode(a_ct()), SOP) == 0x0110
        peer.send(b"\xff" * 100)
    listener.stop(2.0)
    lines = [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert {"instance-received", "instance-refused", "instance-handler-bug"} <= {r.getMessage() for r in caplog.records}
    for word in ("Doe", "Jane", "PID1", "19700101"):
        assert not [line for line in lines if word in line]
