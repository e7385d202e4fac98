"""Real associations with pynetdicom as the sender: what arrives, what is answered, what is kept."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    CTImageStorage,
    ModalityPerformedProcedureStep,
    PatientRootQueryRetrieveInformationModelFind,
    StorageCommitmentPushModel,
    Verification,
)

from tests.integration.intake.folder_store import FolderStore
from tests.integration.intake.raw_peer import (
    ClosedError,
    RawPeer,
    association_request,
    c_store,
    command_set,
    us,
)
from tests.integration.intake.waiting import until
from tests.unit.intake.corpus import CT, EXPLICIT, SOP, Element, a_ct, encapsulated, encode
from tests.unit.intake.corpus import DEFLATED as LITTLE_DEFLATED
from worker.domain.errors import OutOfSpaceError, StoreUnavailableError
from worker.domain.study import Admission
from worker.intake.association.access_policy import AccessPolicy
from worker.intake.association.server import Listener
from worker.intake.limits import Limits
from worker.intake.supported_syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    NATIVE,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
)


@pytest.fixture
def ae() -> AE:
    entity = AE(ae_title="SENDER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    return entity


def test_echo(listener: Listener, ae: AE) -> None:
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", listener.port, ae_title="OVERREAD")
    assert association.is_established
    assert association.send_c_echo().Status == 0x0000
    association.release()
    assert association.is_released
    assert listener.stats().echoes == 1


def test_an_instance_is_stored_byte_for_byte_as_a_part_10_file_of_ours(
    listener: Listener, store: FolderStore, ae: AE
) -> None:
    source = dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
    ae.add_requested_context(CTImageStorage, source.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", listener.port, ae_title="OVERREAD")
    assert association.send_c_store(source).Status == 0x0000
    association.release()
    (offered,) = store.offered
    data = store.path_of(offered.sha256).read_bytes()
    assert data[:132] == bytes(128) + b"DICM"
    stored = dcmread(io.BytesIO(data))
    assert stored.file_meta.MediaStorageSOPInstanceUID == source.SOPInstanceUID
    assert stored.file_meta.MediaStorageSOPClassUID == source.SOPClassUID
    assert stored.file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
    assert stored == source
    assert stored.PixelData == source.PixelData
    assert offered.calling_ae_title == "SENDER"
    assert offered.header.patient.patient_id == source.PatientID
    assert offered.size_bytes == listener.stats().bytes_received
    assert store.temporaries() == []


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=lambda uid: UID(uid).name)
def test_every_transfer_syntax_is_taken_and_kept_as_received(
    listener: Listener, store: FolderStore, syntax: str
) -> None:
    if syntax in NATIVE:
        data = encode(a_ct(syntax), syntax)
    elif syntax in DEFLATED:
        data = _deflated_without_pixels()
    else:
        data = encode(a_ct(syntax, change={0x7FE00010: encapsulated(b"\xff\xd8", b"\xff\xd9")}), syntax)
    with RawPeer(listener.port) as peer:
        peer.open(association_request(((1, CT, (syntax,)),)))
        assert peer.accepted == {1: syntax}
        assert peer.store(data, SOP, fragment=33) == 0x0000
        peer.release()
    (offered,) = store.offered
    assert offered.transfer_syntax_uid == syntax
    assert store.path_of(offered.sha256).read_bytes().endswith(data)
    assert offered.size_bytes == len(data)


def _deflated_without_pixels() -> bytes:
    parts = a_ct(change={0x7FE00010: None, 0x00287FE0: Element(0x00287FE0, b"UR", b"https://jpip.invalid/1")})
    return encode(parts, LITTLE_DEFLATED)


def test_every_storage_class_and_later_ones_are_accepted(listener: Listener) -> None:
    classes = [*sorted(STORAGE_CLASSES), "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.999.1"]
    for start in range(0, len(classes), 120):
        part = classes[start : start + 120]
        contexts = tuple((2 * n + 1, uid, (EXPLICIT,)) for n, uid in enumerate(part))
        with RawPeer(listener.port) as peer:
            peer.open(association_request(contexts))
            assert len(peer.accepted) == len(part)
            peer.release()


def test_what_is_no_storage_is_refused_context_by_context(listener: Listener) -> None:
    contexts = (
        (1, CT, (EXPLICIT,)),
        (3, str(PatientRootQueryRetrieveInformationModelFind), (EXPLICIT,)),
        (5, str(ModalityPerformedProcedureStep), (EXPLICIT,)),
        (7, "1.3.12.2.1107.5.9.1", (EXPLICIT,)),
        (9, CT, ("1.2.3.4.5",)),
        (11, "not-a-uid", (EXPLICIT,)),
    )
    with RawPeer(listener.port) as peer:
        assert peer.open(association_request(contexts))[0] == 0x02
        assert peer.accepted == {1: EXPLICIT}


def test_private_classes_are_taken_where_the_site_says_so(store: FolderStore) -> None:
    contexts = ((1, "1.3.12.2.1107.5.9.1", (EXPLICIT,)), (3, "1.3.46.670589.5.0.2", (EXPLICIT,)))
    for keywords, accepted in (
        ({"extra_storage_classes": ("1.3.12.2.1107.5.9.1",)}, {1}),
        ({"accept_private_classes": True}, {1, 3}),
    ):
        listener = Listener(store, ae_title="OVERREAD", port=0, **keywords)  # type: ignore[arg-type]
        listener.start()
        with RawPeer(listener.port) as peer:
            peer.open(association_request(contexts))
            assert set(peer.accepted) == accepted
        listener.stop(2.0)


def test_uncompressed_explicit_little_endian_is_preferred(listener: Listener) -> None:
    every = tuple(reversed(TRANSFER_SYNTAXES))
    contexts = ((1, CT, every), (3, CT, every[:-2]), (5, CT, (IMPLICIT_LITTLE, EXPLICIT_BIG)))
    with RawPeer(listener.port) as peer:
        peer.open(association_request(contexts))
        assert peer.accepted == {1: EXPLICIT, 3: EXPLICIT_BIG, 5: IMPLICIT_LITTLE}


def test_a_repeat_is_a_success_and_a_conflict_is_not(listener: Listener, store: FolderStore) -> None:
    first, other = encode(a_ct()), encode(a_ct(study="1.2.3"))
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(first, SOP) == 0x0000
        assert peer.store(first, SOP) == 0x0000
        peer.message(_store_request(), other)
        answer = peer.answer()
        assert int.from_bytes(answer[0x0900], "little") == 0xA900
        assert answer[0x0902].strip() == b"instance-conflict"
        peer.release()
    assert len(store.stored_paths()) == 2
    assert listener.stats().instances == {"stored": 1, "repeated": 1, "conflict": 1}
    assert store.temporaries() == []


def _store_request() -> bytes:
    return c_store(CT, SOP)


def test_a_site_may_accept_conflicts(store: FolderStore) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0, accept_conflicts=True)
    listener.start()
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(encode(a_ct()), SOP) == 0x0000
        assert peer.store(encode(a_ct(study="1.2.3")), SOP) == 0x0000
    listener.stop(2.0)
    assert len(store.stored_paths()) == 2


class _OwnResults(FolderStore):
    def admit(self, offered: object) -> Admission:
        return Admission.OWN_RESULT


def test_an_own_result_is_a_success(tmp_path: Path) -> None:
    store = _OwnResults(tmp_path)
    listener = Listener(store, ae_title="OVERREAD", port=0)
    listener.start()
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(encode(a_ct()), SOP) == 0x0000
    listener.stop(2.0)
    assert store.temporaries() == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OutOfSpaceError("full"), 0xA700, b"out-of-space"),
        (StoreUnavailableError("gone"), 0xA700, b"store-unavailable"),
        (OSError(28, "No space left on device"), 0xA700, b"out-of-space"),
        (OSError(5, "Input/output error"), 0xA700, b"storage-trouble"),
        (ValueError("a bug"), 0x0110, b"internal-error"),
    ],
)
def test_trouble_of_the_store_is_told_and_recovers_by_itself(
    listener: Listener, store: FolderStore, error: Exception, status: int, code: bytes
) -> None:
    data = encode(a_ct(rows=256, columns=256))
    with RawPeer(listener.port) as peer:
        peer.open()
        store.fail_with = error
        peer.message(_store_request(), data)
        answer = peer.answer()
        assert int.from_bytes(answer[0x0900], "little") == status
        assert answer[0x0902].strip() == code
        assert peer.echo() == 0x0000
        store.fail_with = None
        assert peer.store(data, SOP) == 0x0000
    assert store.temporaries() == []


class _FailsLate(FolderStore):
    def admit(self, offered: object) -> Admission:
        raise StoreUnavailableError("The index cannot be synced.")


def test_what_could_not_be_admitted_is_not_acknowledged_and_leaves_nothing(tmp_path: Path) -> None:
    store = _FailsLate(tmp_path)
    listener = Listener(store, ae_title="OVERREAD", port=0)
    listener.start()
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(encode(a_ct()), SOP) == 0xA700
    listener.stop(2.0)
    assert store.temporaries() == []
    assert listener.stats().instances == {"out-of-resources": 1}


def test_an_object_above_the_limit_is_refused_and_the_association_goes_on(store: FolderStore) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0, limits=Limits(object_bytes=100_000))
    listener.start()
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(encode(a_ct(rows=512, columns=512)), SOP) == 0xC000
        assert peer.store(encode(a_ct()), SOP) == 0x0000
    listener.stop(2.0)
    assert [refused.code for refused in store.refused] == ["object-too-large"]
    assert store.temporaries() == []


def test_the_store_hears_of_an_association_when_it_brings_instances(listener: Listener, store: FolderStore) -> None:
    for ending in ("release", "abort", "lost"):
        with RawPeer(listener.port) as peer:
            peer.open()
            assert peer.echo() == 0x0000
            assert len(store.opened) == len(store.released)
            assert peer.store(encode(a_ct()), SOP) == 0x0000
            assert len(store.opened) == len(store.released) + 1
            if ending == "release":
                peer.release()
            elif ending == "abort":
                peer.send(b"\x07\0\0\0\0\x04\0\0\0\0")
        assert until(lambda: len(store.opened) == len(store.released))
    with RawPeer(listener.port) as peer:
        peer.open()
        peer.release()
    assert len(store.opened) == 3
    assert set(store.opened) == set(store.released)
    assert set(store.opened.values()) == {"RAW"}


@pytest.mark.parametrize(
    ("access", "request_", "answer"),
    [
        (AccessPolicy(), association_request(called=b"SOMEBODY"), b"\x00\x01\x01\x07"),
        (AccessPolicy(), association_request(called=b"overread"), b"\x00\x01\x01\x07"),
        (AccessPolicy(calling_ae_titles=("PACS",)), association_request(), b"\x00\x01\x01\x03"),
        (AccessPolicy(), association_request(calling=b" "), b"\x00\x01\x01\x03"),
        (AccessPolicy(), association_request(version=2), b"\x00\x01\x02\x02"),
        (AccessPolicy(), association_request(application_context="1.2.3"), b"\x00\x01\x01\x02"),
        (AccessPolicy(), association_request(application_context=""), b"\x00\x01\x01\x02"),
    ],
)
def test_who_is_not_expected_is_rejected_with_the_reason(
    store: FolderStore, access: AccessPolicy, request_: bytes, answer: bytes
) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0, access=access)
    listener.start()
    with RawPeer(listener.port) as peer:
        assert peer.open(request_) == (0x03, answer)
        assert peer.closed_within(10)
    listener.stop(2.0)
    assert sum(listener.stats().requests_refused.values()) == 1


@pytest.mark.parametrize(
    "access",
    [
        AccessPolicy(require_called_ae_title=False),
        AccessPolicy(calling_ae_titles=("RAW",), networks=("10.0.0.0/8", "127.0.0.0/8")),
    ],
)
def test_who_is_expected_comes_in(store: FolderStore, access: AccessPolicy) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0, access=access)
    listener.start()
    called = b"OVERREAD" if access.require_called_ae_title else b"ANYTHING"
    with RawPeer(listener.port) as peer:
        assert peer.open(association_request(called=called))[0] == 0x02
    listener.stop(2.0)


def test_an_address_that_is_not_allowed_is_closed_at_once(store: FolderStore) -> None:
    listener = Listener(store, ae_title="OVERREAD", port=0, access=AccessPolicy(networks=("10.0.0.0/8",)))
    listener.start()
    with RawPeer(listener.port) as peer:
        assert peer.closed_within(10)
    listener.stop(2.0)
    assert listener.stats().requests_refused == {"address-not-allowed": 1}


_COMMITMENT = b"1.2.840.10008.1.20.1"


@pytest.fixture
def commitment() -> tuple[PresentationContext, list[tuple[object, ...]], list[Dataset]]:
    asked: list[Dataset] = []

    def on_action(event: evt.Event) -> tuple[int, Dataset | None]:
        asked.append(event.action_information)
        return 0x0000, None

    return build_context(StorageCommitmentPushModel), [(evt.EVT_N_ACTION, on_action)], asked


def test_further_services_can_be_added(
    store: FolderStore,
    ae: AE,
    commitment: tuple[PresentationContext, list[tuple[object, ...]], list[Dataset]],
) -> None:
    context, handlers, asked = commitment
    listener = Listener(store, ae_title="OVERREAD", port=0, extra_contexts=[context], event_handlers=handlers)
    listener.start()
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", listener.port, ae_title="OVERREAD")
    question = Dataset()
    question.TransactionUID = "1.2.3"
    status, _ = association.send_n_action(question, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
    assert status.Status == 0x0000
    assert association.send_c_echo().Status == 0x0000
    association.release()
    listener.stop(2.0)
    assert [q.TransactionUID for q in asked] == ["1.2.3"]


@pytest.mark.parametrize(
    "wrong",
    [
        [(0x0003, _COMMITMENT), (0x0100, us(0x0130)), (0x1001, b"1." + b"7" * 64), (0x1008, us(1))],
        [(0x0003, b"1." + b"7" * 64), (0x0100, us(0x0130)), (0x1001, _COMMITMENT + b".1"), (0x1008, us(1))],
        [(0x0100, us(0x0130)), (0x1008, us(1))],
        [(0x0003, _COMMITMENT), (0x0100, us(0x0110)), (0x1001, _COMMITMENT + b".1")],
        [(0x0002, _COMMITMENT), (0x0100, us(0x0001)), (0x0700, us(0)), (0x1000, b"1." + b"7" * 64)],
        [(0x0002, _COMMITMENT), (0x0100, us(0x0100)), (0x1000, b"1." + b"7" * 64), (0x1002, us(1))],
        [(0x0003, b"1.2.3"), (0x0100, us(0x0130)), (0x1001, b"1.2.3.4"), (0x1008, us(1))],
    ],
    ids=["long instance", "long class", "neither", "another operation", "c-store", "event report", "another class"],
)
def test_a_request_of_a_further_service_that_cannot_be_answered_ends_the_association(
    store: FolderStore,
    commitment: tuple[PresentationContext, list[tuple[object, ...]], list[Dataset]],
    wrong: list[tuple[int, bytes]],
) -> None:
    context, handlers, asked = commitment
    listener = Listener(store, ae_title="OVERREAD", port=0, extra_contexts=[context], event_handlers=handlers)
    listener.start()
    command = command_set(*sorted([*wrong, (0x0110, us(1)), (0x0800, us(1))]))
    with RawPeer(listener.port) as peer:
        peer.open(association_request(((1, _COMMITMENT.decode(), (EXPLICIT,)),)))
        peer.message(command, b"")
        try:
            assert 0x0900 in peer.answer()  # an answer would do as well
        except ClosedError:
            assert peer.closed_within(5.0)
    assert asked == []
    listener.stop(2.0)


def test_a_large_object_does_not_grow_the_process(listener: Listener, store: FolderStore) -> None:
    data = encode(a_ct(rows=4096, columns=8192))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    with RawPeer(listener.port) as peer:
        peer.open()
        assert peer.store(data, SOP) == 0x0000
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert len(data) > 64 << 20
    assert peak < 8 << 20
    assert store.path_of(store.offered[0].sha256).stat().st_size > len(data)


def test_many_messages_may_be_on_their_way(listener: Listener, store: FolderStore) -> None:
    with RawPeer(listener.port) as peer:
        peer.open()
        for number in range(20):
            sop = f"{SOP}.{number}"
            peer.message(c_store(CT, sop, message_id=number + 1), encode(a_ct(sop=sop)))
        numbers = [int.from_bytes(peer.answer()[0x0120], "little") for _ in range(20)]
        assert numbers == list(range(1, 21))
        peer.release()
    assert len(store.stored_paths()) == 20


def test_answers_fit_the_peers_maximum_length(listener: Listener) -> None:
    with RawPeer(listener.port) as peer:
        peer.open(association_request(maximum_length=20))
        peer.message(_store_request(), encode(a_ct()))
        assert peer.status() == 0x0000
        peer.release()
