"""C-STORE of results to DCMTK's storescp, which behaves, stops in the middle, and aborts."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.integration.deliver.objects import a_result_set, a_seg, an_sr, data_set_of
from tests.integration.deliver.servers import storescp
from worker.deliver.association import Timeouts
from worker.deliver.store_scu import StoreSender

pytestmark = pytest.mark.dcmtk

QUICK = Timeouts(connect_s=5, association_s=2, response_s=1, network_s=2, slowest_bytes_per_s=50e6)


def test_the_very_bytes_arrive(tmp_path: Path) -> None:
    results = a_result_set(tmp_path / "results")
    with storescp(tmp_path / "scp") as scp:
        assert all(outcome.stored for outcome in StoreSender(ae_title="OVERREAD").send(scp.destination, results))
        received = {str(dcmread(path).SOPInstanceUID): path for path in scp.received()}
    assert {uid: data_set_of(path) for uid, path in received.items()} == {
        result.sop_instance_uid: data_set_of(result.path) for result in results
    }


def test_only_implicit_vr(tmp_path: Path) -> None:
    with storescp(tmp_path / "scp", "+xi") as scp:
        outcomes = list(StoreSender(ae_title="OVERREAD").send(scp.destination, a_result_set(tmp_path / "results")))
        assert len(scp.received()) == 2
    assert all(outcome.stored for outcome in outcomes)


def test_an_abort_after_the_store_is_in_doubt(tmp_path: Path) -> None:
    results = a_result_set(tmp_path / "results")
    with storescp(tmp_path / "scp", "--abort-after") as scp:
        (outcome,) = StoreSender(ae_title="OVERREAD").send(scp.destination, results)
    assert (outcome.status, outcome.stored, outcome.transient) == (None, False, True)


def test_a_pacs_that_stops_reading_in_the_middle_is_given_up(tmp_path: Path) -> None:
    """A stopped process: its kernel still takes some megabytes, then the window stays shut and no answer comes."""
    first, large = an_sr(tmp_path / "results"), a_seg(tmp_path / "results", padding_bytes=30_000_000)
    with storescp(tmp_path / "scp") as scp:
        outcomes = StoreSender(ae_title="OVERREAD", timeouts=QUICK).send(scp.destination, [first, large])
        assert next(outcomes).stored
        scp.process.send_signal(signal.SIGSTOP)
        outcome = next(outcomes)
        assert list(outcomes) == []
    assert (outcome.status, outcome.stored, outcome.transient) == (None, False, True)
