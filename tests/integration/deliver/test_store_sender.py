"""C-STORE of results: what arrives, in which encoding, and what each kind of peer makes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, SegmentationStorage

from tests.integration.deliver import peers
from tests.integration.deliver.objects import a_result_set, a_seg, at, changed, data_set_of
from tests.integration.deliver.peers import Pacs
from tests.ports import free_port
from worker.deliver.association import Timeouts
from worker.deliver.store_scu import StoreSender
from worker.domain.errors import ConfigurationError, PermanentError, TransientError
from worker.domain.result import ResultKind

QUICK = Timeouts(connect_s=5, association_s=2, response_s=1, network_s=2)


def sender(timeouts: Timeouts | None = None) -> StoreSender:
    return StoreSender(ae_title="OVERREAD", timeouts=timeouts)


def test_all_objects_in_order_over_one_association_byte_for_byte(tmp_path: Path) -> None:
    results = a_result_set(tmp_path)
    with Pacs() as pacs:
        outcomes = list(sender().send(at(pacs.port), results))
    assert [(outcome.sop_instance_uid, outcome.status, outcome.stored) for outcome in outcomes] == [
        (result.sop_instance_uid, 0x0000, True) for result in results
    ]
    assert pacs.associations == 1
    assert pacs.callers == {"OVERREAD"}
    for result, (uid, syntax, received) in zip(results, pacs.offered, strict=True):
        assert uid == result.sop_instance_uid
        assert syntax == ExplicitVRLittleEndian
        assert received == data_set_of(result.path)


def test_nothing_to_send_opens_no_association() -> None:
    assert list(sender().send(at(free_port()), ())) == []


def test_a_pacs_that_takes_only_implicit_vr_gets_the_same_values(tmp_path: Path) -> None:
    seg = a_seg(tmp_path, padding_bytes=64)
    with Pacs(syntaxes=[ImplicitVRLittleEndian]) as pacs:
        (outcome,) = sender().send(at(pacs.port), [seg])
    assert outcome.stored
    ((_, syntax, received),) = pacs.offered
    assert syntax == ImplicitVRLittleEndian
    copy = tmp_path / "copy"
    copy.write_bytes(received)
    sent, stored = dcmread(copy, force=True), dcmread(seg.path)
    assert sent.PixelData == stored.PixelData
    del sent.PixelData, stored.PixelData  # OB there is OW here (PS3.5 8.2)
    assert sent == stored


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0111])
def test_a_warning_counts_as_stored_and_keeps_its_status(tmp_path: Path, status: int) -> None:
    with Pacs(lambda _: status) as pacs:
        outcomes = list(sender().send(at(pacs.port), a_result_set(tmp_path)))
    assert [(outcome.status, outcome.stored) for outcome in outcomes] == [(status, True)] * 2


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        (0xA700, True),
        (0xA701, True),
        (0x0110, True),
        (0xA900, False),
        (0xC000, False),
        (0x0124, False),
    ],
)
def test_a_refused_object_stops_the_rest(tmp_path: Path, status: int, transient: bool) -> None:
    results = a_result_set(tmp_path)
    with Pacs(lambda _: status) as pacs:
        outcomes = list(sender().send(at(pacs.port), results))
    assert [(outcome.status, outcome.stored, outcome.transient) for outcome in outcomes] == [(status, False, transient)]
    assert pacs.uids == [results[0].sop_instance_uid]


@pytest.mark.parametrize("misbehaviour", [peers.aborts, peers.drops_the_connection])
def test_an_answer_that_never_comes_leaves_the_object_in_doubt(
    tmp_path: Path, misbehaviour: Callable[[Any], int]
) -> None:
    results = a_result_set(tmp_path)
    with Pacs(misbehaviour) as pacs:
        (outcome,) = sender().send(at(pacs.port), results)
    assert (outcome.status, outcome.stored, outcome.transient) == (None, False, True)
    assert pacs.uids == [results[0].sop_instance_uid]
    with Pacs() as better:  # the same UID again, and the rest
        assert [one.stored for one in sender().send(at(better.port), results)] == [True, True]
    assert better.uids[0] == pacs.uids[0]


def test_a_hanging_pacs_is_given_up(tmp_path: Path) -> None:
    with peers.hangs() as answer, Pacs(answer) as pacs:
        (outcome,) = sender(QUICK).send(at(pacs.port), a_result_set(tmp_path))
    assert (outcome.status, outcome.stored, outcome.transient) == (None, False, True)


def test_a_slow_answer_within_the_limit_is_waited_for(tmp_path: Path) -> None:
    pause = threading.Event()

    def slowly(_: Any) -> int:
        pause.wait(0.2)
        return 0x0000

    with Pacs(slowly) as pacs:
        assert all(outcome.stored for outcome in sender().send(at(pacs.port), a_result_set(tmp_path)))


@pytest.mark.parametrize("misbehaviour", [peers.silent, peers.trickles, peers.no_dicom])
def test_what_is_no_working_pacs_gives_no_association(tmp_path: Path, misbehaviour: Callable[..., None]) -> None:
    limits = Timeouts(connect_s=1, association_s=0.3, response_s=0.3, network_s=0.3)
    with peers.raw_server(misbehaviour) as port, pytest.raises(TransientError) as caught:
        list(sender(limits).send(at(port), a_result_set(tmp_path)))
    assert caught.value.code == "association-aborted"
    assert caught.value.next_step


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        list(sender(QUICK).send(at(free_port()), a_result_set(tmp_path)))
    assert caught.value.code == "destination-unreachable"
    assert "pacs" in caught.value.message


def test_an_unknown_host(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        list(sender(QUICK).send(replace(at(104), host="no-such-host.invalid"), a_result_set(tmp_path)))
    assert caught.value.code == "destination-unreachable"


def test_a_pacs_that_does_not_know_its_own_title(tmp_path: Path) -> None:
    with Pacs(called_ae_title="ARCHIVE") as pacs, pytest.raises(TransientError) as caught:
        list(sender().send(at(pacs.port), a_result_set(tmp_path)))
    assert caught.value.code == "called-ae-not-recognised"
    assert "PACS" in caught.value.next_step


def test_a_pacs_that_does_not_know_us(tmp_path: Path) -> None:
    with Pacs(calling_ae_titles=["SOMEBODY"]) as pacs, pytest.raises(TransientError) as caught:
        list(sender().send(at(pacs.port), a_result_set(tmp_path)))
    assert caught.value.code == "calling-ae-not-recognised"
    assert "OVERREAD" in caught.value.next_step


def test_a_busy_pacs(tmp_path: Path) -> None:
    results = a_result_set(tmp_path)
    with Pacs(maximum_associations=1) as pacs:
        first = sender().send(at(pacs.port), results)
        assert next(first).stored
        with pytest.raises(TransientError) as caught:
            list(sender().send(at(pacs.port), results))
        assert caught.value.code == "association-rejected"
        assert next(first).stored


def test_a_pacs_that_takes_none_of_our_classes_is_permanent_and_named(tmp_path: Path) -> None:
    with Pacs(classes=["1.2.840.10008.5.1.4.1.1.2"]) as pacs:
        outcomes = list(sender().send(at(pacs.port), a_result_set(tmp_path)))
    assert [(one.status, one.stored, one.transient, one.not_taken) for one in outcomes] == [
        (None, False, False, True)
    ] * 2
    assert "Segmentation Storage" in outcomes[0].detail


def test_a_pacs_that_takes_the_seg_but_no_sr(tmp_path: Path) -> None:
    with Pacs(classes=[SegmentationStorage]) as pacs:
        seg, sr = sender().send(at(pacs.port), a_result_set(tmp_path))
    assert seg.stored
    assert (sr.status, sr.stored, sr.transient) == (None, False, False)
    assert "Comprehensive SR Storage" in sr.detail


def test_a_pacs_that_takes_the_sr_but_no_seg_gets_the_sr(tmp_path: Path) -> None:
    results = a_result_set(tmp_path)
    with Pacs(classes=[ComprehensiveSRStorage]) as pacs:
        seg, sr = sender().send(at(pacs.port), results)
    assert (seg.status, seg.stored, seg.transient, seg.not_taken) == (None, False, False, True)
    assert "Segmentation Storage" in seg.detail
    assert sr.stored
    assert pacs.uids == [results[1].sop_instance_uid]


def test_a_pacs_that_agrees_on_the_seg_and_then_does_not_support_it_gets_the_rest(tmp_path: Path) -> None:
    with Pacs(lambda event: 0x0122 if event.request.AffectedSOPClassUID == SegmentationStorage else 0) as pacs:
        seg, sr = sender().send(at(pacs.port), a_result_set(tmp_path))
    assert (seg.status, seg.not_taken, sr.stored) == (0x0122, True, True)


def test_nothing_is_withdrawn_where_nothing_that_replaces_it_is_taken(tmp_path: Path) -> None:
    seg, sr = a_result_set(tmp_path)
    note = replace(sr, kind=ResultKind.KOS)
    with Pacs(classes=[ComprehensiveSRStorage]) as pacs:
        outcomes = list(sender().send(at(pacs.port), [seg, note]))
    assert [(one.stored, one.not_taken) for one in outcomes] == [(False, True), (False, True)]
    assert pacs.uids == []


def test_changed_bytes_never_leave(tmp_path: Path) -> None:
    seg, sr = a_result_set(tmp_path)
    with Pacs() as pacs, pytest.raises(PermanentError) as caught:
        list(sender().send(at(pacs.port), [seg, changed(sr)]))
    assert caught.value.code == "result-changed"
    assert pacs.associations == 0


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    seg, sr = a_result_set(tmp_path)
    sr.path.unlink()
    with Pacs() as pacs, pytest.raises(PermanentError) as caught:
        list(sender().send(at(pacs.port), [seg, sr]))
    assert caught.value.code == "file-missing"
    assert pacs.associations == 0


def test_stopping_early_releases_the_association(tmp_path: Path) -> None:
    with Pacs(maximum_associations=1) as pacs:
        outcomes = sender().send(at(pacs.port), a_result_set(tmp_path))
        assert next(outcomes).stored
        outcomes.close()  # type: ignore[attr-defined]
        assert len(pacs.offered) == 1
        _until(lambda: _all_stored(pacs, tmp_path))


def test_an_association_that_ends_between_two_objects_is_in_doubt(tmp_path: Path) -> None:
    seen: list[Any] = []

    def remember(event: Any) -> int:
        seen.append(event.assoc)
        return 0x0000

    with Pacs(remember) as pacs:
        outcomes = sender().send(at(pacs.port), a_result_set(tmp_path))
        assert next(outcomes).stored
        seen[0].abort()
        (outcome,) = outcomes
    assert (outcome.status, outcome.stored, outcome.transient) == (None, False, True)


def test_our_own_title_must_be_one() -> None:
    with pytest.raises(ConfigurationError):
        StoreSender(ae_title="MUCH TOO LONG A TITLE")


def _all_stored(pacs: Pacs, folder: Path) -> bool:
    try:
        return all(outcome.stored for outcome in sender().send(at(pacs.port), a_result_set(folder)))
    except TransientError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.05)
