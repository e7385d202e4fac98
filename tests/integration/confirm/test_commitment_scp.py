"""Storage commitment as SCP, through the listener as it is wired: honest answers on a new association, until heard."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from pynetdicom import AE, evt

from tests import builders, scp
from tests.integration.confirm.site import Site
from tests.integration.deliver.objects import at
from tests.integration.deliver.servers import orthanc, wait_until
from tests.integration.deliver.test_commitment_scu import report as a_report
from tests.integration.deliver.test_commitment_scu import tell
from tests.ports import free_port
from worker.deliver.commitment_scp import PUSH_MODEL, WELL_KNOWN_INSTANCE
from worker.domain.result import Destination

pytestmark = pytest.mark.timeout(120)


@dataclass
class Requester:
    """A modality that sends, asks, and hears reports; ``answers`` are its statuses, 0x0000 when they are used up."""

    port: int
    ae_title: str = "CT1"
    answers: list[int | None] = field(default_factory=list)
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    callers: set[str] = field(default_factory=set)
    accepts_role: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE(ae_title=self.ae_title)
        roles = {"scu_role": True, "scp_role": True} if self.accepts_role else {}
        ae.add_supported_context(PUSH_MODEL, **roles)
        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on_report)]
        )
        try:
            yield
        finally:
            scp.stop(server)

    def _on_report(self, event: Any) -> tuple[int, None]:
        with self._lock:
            self.callers.add(str(event.assoc.requestor.ae_title).strip())
            answer = self.answers.pop(0) if self.answers else 0x0000
            if answer is None:
                event.assoc.abort()
                return 0x0000, None
            self.reports.append((event.event_type, event.event_information))
            return answer, None

    def send(self, to: Destination, *images: Path) -> list[int]:
        association = self._association(to, CTImageStorage)
        statuses = [int(association.send_c_store(str(one)).Status) for one in images]
        association.release()
        return statuses

    def ask(
        self, to: Destination, transaction_uid: str, wanted: list[tuple[str, str]], *, action: int = 1,
        instance: str = WELL_KNOWN_INSTANCE,
    ) -> int:  # fmt: skip
        association = self._association(to, PUSH_MODEL)
        information = Dataset()
        information.TransactionUID = transaction_uid
        information.ReferencedSOPSequence = []
        for sop_class_uid, sop_instance_uid in wanted:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
            information.ReferencedSOPSequence.append(item)
        response, _ = association.send_n_action(information, action, PUSH_MODEL, instance)
        association.release()
        return int(response.Status)

    def _association(self, to: Destination, abstract_syntax: str) -> Any:
        ae = AE(ae_title=self.ae_title)
        ae.add_requested_context(abstract_syntax, ["1.2.840.10008.1.2.1"])
        association = ae.associate(to.host, to.port, ae_title=to.ae_title)
        assert association.is_established
        return association


def images(folder: Path, count: int) -> list[Path]:
    return [builders.write(builders.a_ct_slice(instance=n), folder / f"{n}.dcm") for n in range(count)]


def names(found: list[Path]) -> list[tuple[str, str]]:
    read = [dcmread(one) for one in found]
    return [(str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in read]


def said(report: Dataset) -> tuple[list[str], dict[str, int]]:
    return (
        [str(one.ReferencedSOPInstanceUID) for one in report.get("ReferencedSOPSequence", [])],
        {str(one.ReferencedSOPInstanceUID): int(one.FailureReason) for one in report.get("FailedSOPSequence", [])},
    )


def a_site(folder: Path, url: str, requester: Requester, *, offers: bool = True, port: int | None = None) -> Site:
    listener = {
        "offer_storage_commitment": offers,
        "commitment_requesters": [{"ae_title": requester.ae_title, "host": "127.0.0.1", "port": requester.port}],
    }
    return Site(folder, url, port=port, listener=listener, storage={"retention_days": 7})


@pytest.fixture
def requester() -> Requester:
    return Requester(free_port())


def test_what_we_keep_is_promised_and_what_we_do_not_is_not(
    tmp_path: Path, database_url: str, requester: Requester
) -> None:
    found = images(tmp_path, 2)
    with requester.listening(), a_site(tmp_path, database_url, requester) as site:
        assert requester.send(site.address, *found) == [0x0000, 0x0000]
        assert requester.ask(site.address, "2.25.1", names(found)) == 0x0000
        wait_until(lambda: len(requester.reports) == 1)
        first, second = (uid for _, uid in names(found))
        wanted = [(str(CTImageStorage), first), (str(MRImageStorage), second), (str(CTImageStorage), "2.25.4711")]
        assert requester.ask(site.address, "2.25.2", wanted) == 0x0000
        wait_until(lambda: len(requester.reports) == 2)
    (all_kept, one), (some_failed, other) = requester.reports
    assert (all_kept, some_failed) == (1, 2)
    assert (one.TransactionUID, other.TransactionUID) == ("2.25.1", "2.25.2")
    assert said(one) == ([first, second], {})
    assert said(other) == ([first], {second: 0x0119, "2.25.4711": 0x0112})
    assert requester.callers == {"OVERREAD"}


def test_a_requester_without_role_selection_hears_it_too(
    tmp_path: Path, database_url: str, requester: Requester
) -> None:
    requester.accepts_role = False
    with requester.listening(), a_site(tmp_path, database_url, requester) as site:
        assert requester.ask(site.address, "2.25.1", [("1.2", "1.2.3")]) == 0x0000
        wait_until(lambda: len(requester.reports) == 1)


def test_nobody_else_is_promised_anything(tmp_path: Path, database_url: str, requester: Requester) -> None:
    stranger = Requester(free_port(), ae_title="SOMEBODY")
    with stranger.listening(), a_site(tmp_path, database_url, requester) as site:
        assert stranger.ask(site.address, "2.25.1", [("1.2", "1.2.3")]) == 0x0124
        assert site.ledger.commitment_requests.take("SOMEBODY") is None


def test_it_is_off_by_default(tmp_path: Path, database_url: str, requester: Requester) -> None:
    with a_site(tmp_path, database_url, requester, offers=False) as site, pytest.raises(AssertionError):
        requester.ask(site.address, "2.25.1", [("1.2", "1.2.3")])  # the context is not accepted


@pytest.mark.parametrize(
    ("transaction_uid", "wanted", "more", "status"),
    [
        ("", [("1.2", "1.2.3")], {}, 0x0115),
        ("2.25.1", [], {}, 0x0115),
        ("2.25.1", [("1.2", "")], {}, 0x0115),
        ("2.25.1", [("1.2", "1.2.3")], {"action": 2}, 0x0123),
        ("2.25.1", [("1.2", "1.2.3")], {"instance": "1.2.3.4"}, 0x0112),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_the_next_one_taken(
    tmp_path: Path,
    database_url: str,
    requester: Requester,
    transaction_uid: str,
    wanted: list[tuple[str, str]],
    more: dict[str, Any],
    status: int,
) -> None:
    with a_site(tmp_path, database_url, requester) as site:
        assert requester.ask(site.address, transaction_uid, wanted, **more) == status
        assert requester.ask(site.address, "2.25.9", [("1.2", "1.2.3")]) == 0x0000
        assert requester.ask(site.address, "2.25.9", [("1.2", "1.2.3")]) == 0x0000  # its answer was lost
        assert requester.ask(site.address, "2.25.9", [("1.2", "1.2.4")]) == 0x0131


def test_a_report_is_made_until_it_is_heard_also_by_the_next_process(
    tmp_path: Path, database_url: str, requester: Requester
) -> None:
    """Away, then aborting, then failing; and we are restarted in between."""
    found = images(tmp_path, 1)
    port = free_port()
    with a_site(tmp_path, database_url, requester, port=port) as site:
        requester.send(site.address, *found)
        assert requester.ask(site.address, "2.25.1", names(found)) == 0x0000
    requester.answers = [None, 0x0110]
    with requester.listening(), a_site(tmp_path, database_url, requester, port=port) as site:
        _hurry(site, lambda: len(requester.reports) == 2)
        _hurry(site, lambda: site.ledger.commitment_requests.accept("CT1", "2.25.1", []) is False)
    assert [said(report) for _, report in requester.reports] == [([names(found)[0][1]], {})] * 2


def _hurry(site: Site, condition: Any) -> None:
    """Take the pauses away until it is so."""
    from sqlalchemy import update

    from worker.store.database.tables import promises

    def look() -> bool:
        with site.ledger.database.write() as connection:
            now = site.ledger.database.now(connection)
            connection.execute(update(promises).where(promises.c.not_before > now).values(not_before=now))
        return bool(condition())

    wait_until(look)


def test_a_site_that_only_promises_hears_no_reports(tmp_path: Path, database_url: str, requester: Requester) -> None:
    with a_site(tmp_path, database_url, requester) as site:
        assert tell(site.address, a_report("2.25.1", ["1.2.3"], {}), 1) == 0x0124


@pytest.mark.orthanc
@pytest.mark.timeout(280)
def test_orthanc_sends_asks_and_hears_our_promise(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    us = at(port, ae_title="OVERREAD", name="overread")
    with ExitStack() as stack:
        pacs = stack.enter_context(orthanc(tmp_path / "orthanc", peers=[us]))
        as_requester = Requester(pacs.destination.port, ae_title="ORTHANC")
        site = stack.enter_context(a_site(tmp_path, database_url, as_requester, port=port))
        path = tmp_path / "ct.dcm"
        builders.write(builders.a_ct_slice(), path)
        uploaded = json.loads(_post(pacs.http_port, "/instances", path.read_bytes()))["ID"]
        body = json.dumps({"Resources": [uploaded], "StorageCommitment": True, "Synchronous": True}).encode()
        answer = json.loads(_post(pacs.http_port, "/modalities/overread/store", body))
        transaction = answer["StorageCommitmentTransactionUID"]
        wait_until(lambda: pacs.get(f"/storage-commitment/{transaction}")["Status"] != "Pending")
        report = pacs.get(f"/storage-commitment/{transaction}")
        assert report["Status"] == "Success", report
        assert report["RemoteAET"] == "OVERREAD"
        assert len(report["Success"]) == 1
        assert site.ledger.queries.counts().instances == 1


def _post(port: int, path: str, body: bytes) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())
