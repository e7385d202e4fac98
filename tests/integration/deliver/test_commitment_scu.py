"""Storage commitment as SCU: the promise comes on the same association or on a new one, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_RELEASE_RQ

from tests import scp
from tests.integration.deliver.listener import Reports, a_listener
from tests.integration.deliver.objects import a_result_set, a_seg, an_sr, at
from tests.integration.deliver.peers import Pacs
from tests.integration.deliver.servers import orthanc
from worker.deliver.association import Timeouts
from worker.deliver.commitment_scu import CommitmentRequester
from worker.deliver.read_back import ReadBack
from worker.deliver.store_scu import StoreSender
from worker.domain.errors import PermanentError, TransientError
from worker.domain.result import Destination

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
INSTANCE = UID("1.2.840.10008.1.20.1.1")
QUICK = Timeouts(connect_s=2, association_s=2, response_s=1, network_s=2)


@contextmanager
def a_committing_pacs(
    on_action: Callable[[Any], tuple[int, None]], *, on_pdu: Callable[[Any], None] = lambda _: None
) -> Iterator[Destination]:
    ae = AE(ae_title="PACS")
    ae.add_supported_context(PUSH_MODEL)
    handlers = [(evt.EVT_N_ACTION, on_action), (evt.EVT_PDU_RECV, on_pdu)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield at(int(server.socket.getsockname()[1]))
    finally:
        scp.stop(server)


def report(transaction_uid: str, committed: list[str], failed: dict[str, int]) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction_uid

    def item(uid: str, reason: int | None = None) -> Dataset:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = "1.2", uid
        if reason is not None:
            one.FailureReason = reason
        return one

    if committed:
        information.ReferencedSOPSequence = [item(uid) for uid in committed]
    if failed:
        information.FailedSOPSequence = [item(uid, reason) for uid, reason in failed.items()]
    return information


def nameless() -> Dataset:
    """Event Information without a transaction."""
    information = Dataset()
    information.RetrieveAETitle = "PACS"
    return information


def tell(listener: Destination, information: Dataset, event_type: int, *, with_role: bool = True) -> int:
    """Report on a new association, as the PACS does."""
    ae = AE(ae_title="PACS")
    ae.add_requested_context(PUSH_MODEL)
    roles = [build_role(PUSH_MODEL, scp_role=True)] if with_role else []
    association = ae.associate(listener.host, listener.port, ae_title=listener.ae_title, ext_neg=roles)
    assert association.is_established
    response, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, INSTANCE)
    association.release()
    return int(response.Status)


def test_the_request_names_transaction_and_instances(tmp_path: Path) -> None:
    results = a_result_set(tmp_path)
    asked: list[Dataset] = []

    def on_action(event: Any) -> tuple[int, None]:
        asked.append(event.action_information)
        return 0x0000, None

    with a_committing_pacs(on_action) as pacs:
        came = CommitmentRequester(ae_title="OVERREAD").request(
            pacs, results, transaction_uid="2.25.7", on_report=Reports()
        )
    assert not came
    (information,) = asked
    assert information.TransactionUID == "2.25.7"
    assert [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in information.ReferencedSOPSequence
    ] == [(result.sop_class_uid, result.sop_instance_uid) for result in results]


def test_a_report_on_the_same_association(tmp_path: Path) -> None:
    reports = Reports()

    def on_action(event: Any) -> tuple[int, None]:
        information = report("2.25.8", ["1.2.3"], {"1.2.4": 0x0112})
        threading.Timer(0.1, event.assoc.send_n_event_report, (information, 2, PUSH_MODEL, INSTANCE)).start()
        return 0x0000, None

    requester = CommitmentRequester(ae_title="OVERREAD", wait_for_report_s=20)
    with a_committing_pacs(on_action) as pacs:
        assert requester.request(pacs, a_result_set(tmp_path), transaction_uid="2.25.8", on_report=reports)
    assert reports.came == [("2.25.8", frozenset({"1.2.3"}), {"1.2.4": 0x0112})]


def as_a_message(information: Dataset, event_type: int) -> N_EVENT_REPORT:
    message = N_EVENT_REPORT()
    message.MessageID = 7
    message.AffectedSOPClassUID, message.AffectedSOPInstanceUID = PUSH_MODEL, INSTANCE
    message.EventTypeID = event_type
    message.EventInformation = BytesIO(encode(information, is_implicit_vr=True, is_little_endian=True) or b"")
    return message


@pytest.mark.timeout(60)
@pytest.mark.parametrize("waits_for_its_answer", [False, True])
def test_a_report_that_crosses_our_release_is_heard(tmp_path: Path, waits_for_its_answer: bool) -> None:
    """The PACS begins to report while our A-RELEASE-RQ is on its way (PS3.8 9.2.3, state 7): its word counts.

    Some answer the release and report again on a new association; others wait for the answer to their report first,
    which nobody may give them any more.
    """
    reports = Reports()
    accepted: list[int] = []

    def on_action(event: Any) -> tuple[int, None]:
        accepted.append(event.context.context_id)
        return 0x0000, None

    def on_pdu(event: Any) -> None:
        if isinstance(event.pdu, A_RELEASE_RQ):
            if waits_for_its_answer:
                event.assoc._reactor_checkpoint.clear()  # the release stays unanswered
            message = as_a_message(report("2.25.8", ["1.2.3"], {"1.2.4": 0x0112}), 2)
            event.assoc.dimse.send_msg(message, accepted[0])

    patient = Timeouts(connect_s=2, association_s=600, response_s=600, network_s=600)
    with a_committing_pacs(on_action, on_pdu=on_pdu) as pacs:
        came = CommitmentRequester(ae_title="OVERREAD", timeouts=patient).request(
            pacs, a_result_set(tmp_path), transaction_uid="2.25.8", on_report=reports
        )
    assert came
    assert reports.came == [("2.25.8", frozenset({"1.2.3"}), {"1.2.4": 0x0112})]


@pytest.mark.parametrize("with_role", [True, False])
def test_a_report_on_a_new_association(with_role: bool) -> None:
    reports = Reports()
    with a_listener(reports) as listener:
        assert tell(listener, report("2.25.9", ["1.2.3"], {}), 1, with_role=with_role) == 0x0000
    assert reports.came == [("2.25.9", frozenset({"1.2.3"}), {})]


def test_an_instance_in_both_lists_counts_as_failed() -> None:
    reports = Reports()
    with a_listener(reports) as listener:
        tell(listener, report("2.25.9", ["1.2.3", "1.2.4"], {"1.2.3": 0x0110}), 2)
    assert reports.came == [("2.25.9", frozenset({"1.2.4"}), {"1.2.3": 0x0110})]


@pytest.mark.parametrize(
    ("information", "event_type", "status"),
    [
        (report("", ["1.2.3"], {}), 1, 0x0115),
        (nameless(), 1, 0x0115),
        (report("2.25.9", ["1.2.3"], {}), 3, 0x0113),
    ],
)
def test_a_broken_report_is_refused_and_not_passed_on(information: Dataset, event_type: int, status: int) -> None:
    reports = Reports()
    with a_listener(reports) as listener:
        assert tell(listener, information, event_type) == status
        assert tell(listener, report("2.25.9", ["1.2.3"], {}), 1) == 0x0000  # the listener goes on
    assert len(reports.came) == 1


def test_a_report_that_could_not_be_kept_is_answered_with_a_failure() -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    with a_listener(full_disk) as listener:
        assert tell(listener, report("2.25.9", ["1.2.3"], {}), 1) == 0x0110


def test_we_promise_nothing_to_others() -> None:
    with a_listener(Reports()) as listener:
        ae = AE(ae_title="ROUTER")
        ae.add_requested_context(PUSH_MODEL)
        association = ae.associate(listener.host, listener.port, ae_title=listener.ae_title)
        response, _ = association.send_n_action(report("2.25.9", ["1.2.3"], {}), 1, PUSH_MODEL, INSTANCE)
        association.release()
    assert response.Status == 0x0124


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (0x0213, TransientError, "commitment-refused"),
        (0x0124, PermanentError, "commitment-refused"),
        (0x0110, TransientError, "commitment-objects-refused"),
        (0x0119, PermanentError, "commitment-objects-refused"),
    ],
)
def test_a_refused_request(tmp_path: Path, status: int, kind: type[Exception], code: str) -> None:
    with a_committing_pacs(lambda _: (status, None)) as pacs, pytest.raises(kind) as caught:
        CommitmentRequester(ae_title="OVERREAD").request(
            pacs, a_result_set(tmp_path), transaction_uid="2.25.7", on_report=Reports()
        )
    assert getattr(caught.value, "code", "") == code


def test_no_answer_is_transient(tmp_path: Path) -> None:
    def on_action(event: Any) -> tuple[int, None]:
        event.assoc.abort()
        return 0x0000, None

    with a_committing_pacs(on_action) as pacs, pytest.raises(TransientError) as caught:
        CommitmentRequester(ae_title="OVERREAD", timeouts=QUICK).request(
            pacs, a_result_set(tmp_path), transaction_uid="2.25.7", on_report=Reports()
        )
    assert caught.value.code == "commitment-unanswered"


def test_a_pacs_without_the_service_is_named(tmp_path: Path) -> None:
    with Pacs() as pacs, pytest.raises(PermanentError) as caught:
        CommitmentRequester(ae_title="OVERREAD").request(
            at(pacs.port), a_result_set(tmp_path), transaction_uid="2.25.7", on_report=Reports()
        )
    assert caught.value.code == "commitment-not-offered"


@pytest.mark.orthanc
def test_orthanc_stores_promises_and_finds(tmp_path: Path) -> None:
    """The whole of delivery against a real PACS: C-STORE, repeat, commitment on a new association, C-FIND."""
    seg, sr = a_seg(tmp_path / "results"), an_sr(tmp_path / "results")
    reports = Reports()
    with (
        a_listener(reports) as listener,
        orthanc(tmp_path / "orthanc", peers=[listener]) as pacs,
    ):
        sender, read_back = StoreSender(ae_title="OVERREAD"), ReadBack(ae_title="OVERREAD")
        assert read_back.found(pacs.destination, [seg, sr]) == frozenset()
        for _ in range(2):  # the repeat changes nothing
            assert all(outcome.stored for outcome in sender.send(pacs.destination, [seg, sr]))
        assert pacs.instances() == {seg.sop_instance_uid, sr.sop_instance_uid}
        assert read_back.found(pacs.destination, [seg, sr]) == {seg.sop_instance_uid, sr.sop_instance_uid}
        never_sent = replace(seg, sop_instance_uid="2.25.4711")
        CommitmentRequester(ae_title="OVERREAD").request(
            pacs.destination, [seg, sr, never_sent], transaction_uid="2.25.42", on_report=reports
        )
        assert reports.first.wait(60)
    ((transaction_uid, committed, failed),) = reports.came
    assert transaction_uid == "2.25.42"
    assert committed == {seg.sop_instance_uid, sr.sop_instance_uid}
    assert failed == {"2.25.4711": 0x0112}
