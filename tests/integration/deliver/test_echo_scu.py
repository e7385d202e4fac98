"""C-ECHO for ``overread doctor``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.deliver import peers
from tests.integration.deliver.objects import at
from tests.integration.deliver.peers import Pacs
from tests.integration.deliver.servers import storescp
from tests.ports import free_port
from worker.deliver.association import Timeouts
from worker.deliver.echo import c_echo

QUICK = Timeouts(connect_s=1, association_s=0.3, response_s=0.3, network_s=0.3)


def test_a_pacs_that_is_there() -> None:
    with Pacs() as pacs:
        result = c_echo(at(pacs.port), calling_ae_title="OVERREAD")
    assert (result.ok, result.code, result.status) == (True, "ok", 0x0000)
    assert result.seconds > 0


@pytest.mark.dcmtk
def test_storescp_answers(tmp_path: Path) -> None:
    with storescp(tmp_path) as scp:
        assert c_echo(scp.destination, calling_ae_title="OVERREAD").ok


def test_nobody_there_says_what_to_do() -> None:
    result = c_echo(at(free_port()), calling_ae_title="OVERREAD", timeouts=QUICK)
    assert (result.ok, result.code) == (False, "destination-unreachable")
    assert "firewall" in result.next_step


def test_a_rejection_names_the_title() -> None:
    with Pacs(called_ae_title="ARCHIVE") as pacs:
        result = c_echo(at(pacs.port, ae_title="WRONG"), calling_ae_title="OVERREAD")
    assert (result.ok, result.code) == (False, "called-ae-not-recognised")
    assert "WRONG" in result.next_step


@pytest.mark.parametrize("misbehaviour", [peers.silent, peers.trickles, peers.no_dicom])
def test_some_other_service_on_that_port(misbehaviour: Callable[..., None]) -> None:
    with peers.raw_server(misbehaviour) as port:
        result = c_echo(at(port), calling_ae_title="OVERREAD", timeouts=QUICK)
    assert (result.ok, result.code) == (False, "association-aborted")
    assert "DICOM" in result.next_step


def test_a_wrong_title_of_ours_is_part_of_the_answer() -> None:
    result = c_echo(at(104), calling_ae_title="FAR TOO LONG A TITLE")
    assert (result.ok, result.code) == (False, "invalid-ae-title")
