"""The corpus through the listener: each data set is answered, kept where it belongs, and the next one is served."""

from __future__ import annotations

import pytest

from tests.integration.intake.folder_store import FolderStore
from tests.integration.intake.raw_peer import CT, RawPeer, association_request, c_store
from tests.unit.intake.corpus import CORPUS, EXPLICIT, SOP, Case, Element, a_ct, encode
from worker.intake.association.server import Listener

# The scan of the whole corpus is tested without a network; here is one data set for each outcome and encoding.
AT_THE_DOOR = {(case.code, case.syntax): case for case in CORPUS if case.sop_class == CT}


@pytest.mark.parametrize("case", AT_THE_DOOR.values(), ids=lambda case: case.name)
def test_every_data_set_is_answered_by_its_outcome(listener: Listener, store: FolderStore, case: Case) -> None:
    data = case.make()
    with RawPeer(listener.port) as peer:
        peer.open(association_request(((1, CT, (case.syntax,)), (5, CT, (EXPLICIT,)))))
        peer.message(c_store(CT, SOP), data)
        answer = peer.answer()
        status = int.from_bytes(answer[0x0900], "little")
        if not case.code:
            assert status == 0x0000
            assert store.refused == []
            assert store.path_of(store.offered[0].sha256).read_bytes().endswith(data)
        else:
            assert status in (0xC000, 0xA900)
            assert store.offered == []
            assert len(store.refused) == 1
            assert answer[0x0902].strip().decode() == store.refused[0].code
        assert store.temporaries() == []
        peer.message(c_store(CT, SOP + ".9", message_id=2), encode(a_ct(sop=SOP + ".9")), context=5)
        assert peer.status() == 0x0000
        peer.release()


@pytest.mark.parametrize(
    ("sop_class", "sop_instance", "status", "code"),
    [
        (CT, None, 0xC000, "command-without-sop-instance-uid"),
        (CT, "", 0xC000, "command-without-sop-instance-uid"),
        (CT, "../../../tmp/evil", 0xC000, "command-with-invalid-sop-instance-uid"),
        (CT, "1.2\n3", 0xC000, "command-with-invalid-sop-instance-uid"),
        (CT, "1." + "3" * 80, 0xC000, "command-with-invalid-sop-instance-uid"),
        (CT, "1.2\\1.3", 0xC000, "command-with-invalid-sop-instance-uid"),
        (None, SOP, 0xC000, "command-without-sop-class-uid"),
        ("1.2.840.10008.5.1.4.1.1.4", SOP, 0x0122, "command-with-other-sop-class"),
        (CT, SOP + ".1", 0xA900, "sop-instance-differs"),
    ],
)
def test_a_wrong_request_is_answered_after_its_data_set_was_read_past(
    listener: Listener, store: FolderStore, sop_class: str | None, sop_instance: str | None, status: int, code: str
) -> None:
    with RawPeer(listener.port) as peer:
        peer.open()
        peer.message(c_store(sop_class, sop_instance), encode(a_ct(rows=256, columns=256)))
        answer = peer.answer()
        assert int.from_bytes(answer[0x0900], "little") == status
        assert answer[0x0902].strip().decode() == code
        assert [refused.code for refused in store.refused] == [code]
        assert peer.store(encode(a_ct()), SOP) == 0x0000
        peer.release()
    assert len(store.stored_paths()) == 1
    assert store.temporaries() == []


@pytest.mark.parametrize("tag", [0x0020000D, 0x0020000E], ids=["study", "series"])
def test_each_sending_of_a_uid_of_66_characters_is_answered(listener: Listener, store: FolderStore, tag: int) -> None:
    too_long = encode(a_ct(change={tag: Element(tag, b"UI", b"1." + b"3" * 64)}))
    for _ in range(2):
        with RawPeer(listener.port) as peer:
            peer.open()
            assert [peer.store(too_long, SOP) for _ in range(2)] == [0xC000, 0xC000]
            assert peer.store(encode(a_ct()), SOP) == 0x0000
            peer.release()
    assert len(store.refused) == 4


def test_a_data_set_of_another_class_does_not_match(listener: Listener) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    with RawPeer(listener.port) as peer:
        peer.open(association_request(((1, mr, (EXPLICIT,)),)))
        peer.message(c_store(mr, SOP), encode(a_ct()))
        answer = peer.answer()
        assert int.from_bytes(answer[0x0900], "little") == 0xA900
        assert answer[0x0902].strip() == b"sop-class-differs"


def test_a_request_without_data_set_is_answered_at_once(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.open()
        peer.message(c_store(CT, SOP, data=0x0101))
        assert peer.status() == 0xC000
        assert peer.echo() == 0x0000
