"""The demonstration PACS against our own SCUs, DCMTK's, and a stand-in for the worker."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless
from pynetdicom import AE, evt

from tests import builders
from tests.integration.deliver.listener import Reports, a_listener
from tests.integration.deliver.objects import a_result_set, at, data_set_of
from tests.integration.deliver.peers import Pacs
from tests.ports import free_port
from worker.deliver.commitment_scu import CommitmentRequester
from worker.deliver.echo import c_echo
from worker.deliver.read_back import ReadBack
from worker.deliver.send_files import send_files
from worker.deliver.store_scu import StoreSender
from worker.demo.pacs import DemoPacs, list_studies
from worker.demo.sockets import send_at_once
from worker.domain.errors import ConfigurationError
from worker.domain.result import Destination

ROOT = Path(__file__).resolve().parents[3]


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.05)


def a_worker() -> Pacs:
    """Something that takes images as the worker does."""
    return Pacs(
        classes=["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"],
        syntaxes=["1.2.840.10008.1.2.1", JPEG2000Lossless],
    )


def test_echo_store_find(tmp_path: Path) -> None:
    results = a_result_set(tmp_path / "results")
    with DemoPacs(tmp_path / "pacs") as pacs:
        assert c_echo(pacs.address, calling_ae_title="OVERREAD").ok
        for _ in range(2):  # the same UIDs again: success, nothing changes
            assert all(one.stored for one in StoreSender(ae_title="OVERREAD").send(pacs.address, results))
        assert ReadBack(ae_title="OVERREAD").found(pacs.address, results) == {
            result.sop_instance_uid for result in results
        }
        assert sorted((line.modality, line.instance_count) for line in pacs.studies()) == [("SEG", 1), ("SR", 1)]
    assert len(list_studies(tmp_path / "pacs")) == 2


def test_every_encoding_is_kept_as_received(tmp_path: Path) -> None:
    files = [
        *builders.a_ct_series(tmp_path / "in", slices=2),
        *builders.a_ct_series(tmp_path / "in", slices=2, series="j2k", transfer_syntax_uid=JPEG2000Lossless),
        *builders.a_ct_series(tmp_path / "in", slices=2, series="rle", transfer_syntax_uid=RLELossless),
    ]
    with DemoPacs(tmp_path / "pacs") as pacs:
        assert send_files(files, pacs.address, calling_ae_title="MODALITY").stored == 6
    kept = {data_set_of(path) for path in (tmp_path / "pacs" / "objects").rglob("*.dcm")}
    assert kept == {data_set_of(path) for path in files}


@pytest.mark.dcmtk
def test_dcmtk_talks_to_it(tmp_path: Path) -> None:
    file = builders.write(builders.a_ct_slice(), tmp_path / "ct.dcm")
    with DemoPacs(tmp_path / "pacs") as pacs:
        here = ["-aec", pacs.ae_title, "127.0.0.1", str(pacs.port)]
        subprocess.run(["echoscu", *here], check=True)
        subprocess.run(["storescu", *here, str(file)], check=True)
        assert [line.modality for line in pacs.studies()] == ["CT"]


def test_commitment_on_a_new_association_is_honest(tmp_path: Path) -> None:
    seg, sr = a_result_set(tmp_path / "results")
    reports = Reports()
    with a_listener(reports) as listener, DemoPacs(tmp_path / "pacs", peers=[listener]) as pacs:
        assert all(one.stored for one in StoreSender(ae_title="OVERREAD").send(pacs.address, [seg]))
        wrong_class = replace(seg, sop_class_uid=sr.sop_class_uid)
        requester = CommitmentRequester(ae_title="OVERREAD")
        requester.request(pacs.address, [seg, sr], transaction_uid="2.25.1", on_report=reports)
        until(lambda: len(reports.came) == 1)
        requester.request(pacs.address, [wrong_class], transaction_uid="2.25.2", on_report=reports)
        until(lambda: len(reports.came) == 2)
    assert reports.came == [
        ("2.25.1", frozenset({seg.sop_instance_uid}), {sr.sop_instance_uid: 0x0112}),
        ("2.25.2", frozenset(), {seg.sop_instance_uid: 0x0119}),
    ]


def test_commitment_on_the_same_association(tmp_path: Path) -> None:
    results = a_result_set(tmp_path / "results")
    reports = Reports()
    with DemoPacs(tmp_path / "pacs", commitment_delay_s=0.1) as pacs:
        assert all(one.stored for one in StoreSender(ae_title="OVERREAD").send(pacs.address, results))
        requester = CommitmentRequester(ae_title="OVERREAD", wait_for_report_s=30)
        assert requester.request(pacs.address, results, transaction_uid="2.25.1", on_report=reports)
    assert reports.came == [("2.25.1", frozenset(result.sop_instance_uid for result in results), {})]


def test_a_promise_survives_a_restart(tmp_path: Path) -> None:
    results = a_result_set(tmp_path / "results")
    with DemoPacs(tmp_path / "pacs") as pacs:
        assert all(one.stored for one in StoreSender(ae_title="OVERREAD").send(pacs.address, results))
    reports = Reports()
    with DemoPacs(tmp_path / "pacs", commitment_delay_s=0.0) as pacs:
        requester = CommitmentRequester(ae_title="OVERREAD", wait_for_report_s=30)
        requester.request(pacs.address, results, transaction_uid="2.25.1", on_report=reports)
    assert reports.came[0][2] == {}


def test_routing_sends_images_and_never_results(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path / "in", slices=3)
    results = a_result_set(tmp_path / "results")
    with a_worker() as worker, DemoPacs(tmp_path / "pacs", ae_title="HOSPITAL") as pacs:
        (study,) = pacs.import_folder(tmp_path / "in")
        assert all(one.stored for one in StoreSender(ae_title="OVERREAD").send(pacs.address, results))
        routed = pacs.route(study, at(worker.port))
    assert (len(routed.taken), routed.failed) == (3, 0)
    assert worker.callers == {"HOSPITAL"}
    assert {content for _, _, content in worker.offered} == {data_set_of(file) for file in files}


def test_auto_routing_sends_a_stable_study_once(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path / "in", slices=4)
    with a_worker() as worker:
        target = at(worker.port, ae_title="OVERREAD")
        with DemoPacs(tmp_path / "pacs", route_to=target, auto_route=True, stable_age_s=0.3) as pacs:
            send_files(files[:3], pacs.address, calling_ae_title="MODALITY")
            until(lambda: len(worker.offered) == 3)
            results = a_result_set(tmp_path / "results")
            assert all(one.stored for one in StoreSender(ae_title="OVERREAD").send(pacs.address, results))
            derived = builders.a_ct_series(tmp_path / "derived", slices=1, series="derived")
            send_files(derived, pacs.address, calling_ae_title="OVERREAD")  # an image that the worker made
            send_files(files, pacs.address, calling_ae_title="MODALITY")  # three repeats and a late slice
            until(lambda: len(worker.offered) == 4)
        with DemoPacs(tmp_path / "pacs", route_to=target, auto_route=True, stable_age_s=0.1) as pacs:
            late = builders.a_ct_series(tmp_path / "other", slices=1, series="other", study="other")
            send_files(late, pacs.address, calling_ae_title="MODALITY")
            until(lambda: len(worker.offered) >= 5)
    assert len(worker.offered) == 5
    assert len(set(worker.uids)) == 5


def test_auto_routing_waits_for_a_worker_that_is_away(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path / "in", slices=2)
    target = at(free_port(), ae_title="OVERREAD")
    with DemoPacs(tmp_path / "pacs", route_to=target, auto_route=True, stable_age_s=0.1) as pacs:
        send_files(files, pacs.address, calling_ae_title="MODALITY")
        with DemoPacs(tmp_path / "worker", ae_title="OVERREAD", port=target.port) as worker:
            until(lambda: sum(line.instance_count for line in worker.studies()) == 2)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with (
        DemoPacs(tmp_path / "one") as first,
        pytest.raises(ConfigurationError) as caught,
        DemoPacs(tmp_path / "two", port=first.port),
    ):
        pytest.fail("two listeners on one port")
    assert caught.value.code == "port-in-use"


# -- as a process


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], Destination]:
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.demo.pacs", "--folder", str(folder), "--ae-title", "HOSPITAL", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["ready"] is True
    assert ready["host"] == "127.0.0.1"
    return process, at(ready["port"], ae_title=ready["ae_title"])


def test_the_process_obeys_its_control_file_and_ends_cleanly(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path / "in", slices=2)
    control = tmp_path / "control.json"
    with a_worker() as worker:
        process, pacs = start(
            tmp_path / "pacs", "--route-to", f"OVERREAD@127.0.0.1:{worker.port}", "--control-file", str(control)
        )
        try:
            assert send_files(files, pacs, calling_ae_title="MODALITY").stored == 2
            control.write_text(json.dumps({"route": [str(builders.a_ct_slice().StudyInstanceUID)]}), encoding="utf-8")
            until(lambda: len(worker.offered) == 2)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [line.instance_count for line in list_studies(tmp_path / "pacs")] == [2]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path / "in", slices=3)
    process, pacs = start(tmp_path / "pacs")
    assert send_files(files, pacs, calling_ae_title="MODALITY").stored == 3
    process.kill()
    process.wait()
    assert [line.instance_count for line in list_studies(tmp_path / "pacs")] == [3]


def test_the_process_names_a_port_in_use(tmp_path: Path) -> None:
    with DemoPacs(tmp_path / "one") as first:
        port = str(first.port)
        ended = subprocess.run(
            [sys.executable, "-m", "worker.demo.pacs", "--folder", str(tmp_path / "two"), "--port", port],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
    assert ended.returncode == 78
    assert port in ended.stderr.decode()


def test_no_pdu_waits_for_an_acknowledgement(tmp_path: Path) -> None:
    with DemoPacs(tmp_path) as pacs:
        ae = AE(ae_title="CT1")
        ae.add_requested_context("1.2.840.10008.1.1")
        handlers = [(evt.EVT_CONN_OPEN, send_at_once)]
        association = ae.associate("127.0.0.1", pacs.port, ae_title="DEMOPACS", evt_handlers=handlers)
        assert association.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        association.release()
