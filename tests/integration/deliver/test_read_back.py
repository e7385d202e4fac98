"""C-FIND read-back where a destination makes no promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from tests import scp
from tests.integration.deliver.objects import a_result_set, at
from tests.integration.deliver.peers import Pacs
from worker.deliver.association import Timeouts
from worker.deliver.read_back import ReadBack
from worker.domain.errors import PermanentError, TransientError
from worker.domain.result import Destination

QUICK = Timeouts(connect_s=2, association_s=2, response_s=1, network_s=2)


@contextmanager
def a_queryable_pacs(on_find: Callable[[Any], Iterator[tuple[int, Dataset | None]]]) -> Iterator[Destination]:
    ae = AE(ae_title="PACS")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.2.2.1")
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, on_find)])
    try:
        yield at(int(server.socket.getsockname()[1]))
    finally:
        scp.stop(server)


def test_a_liar_is_found_out(tmp_path: Path) -> None:
    seg, sr = a_result_set(tmp_path)

    def only_the_seg(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if event.identifier.SeriesInstanceUID == seg.series_instance_uid:
            answer = Dataset()
            answer.QueryRetrieveLevel = "IMAGE"
            answer.SOPInstanceUID = seg.sop_instance_uid
            yield 0xFF00, answer

    with a_queryable_pacs(only_the_seg) as pacs:
        assert ReadBack(ae_title="OVERREAD").found(pacs, [seg, sr]) == {seg.sop_instance_uid}


@pytest.mark.parametrize(
    ("status", "code"), [(0xA700, "read-back-failed"), (0xA900, "read-back-refused"), (0xC001, "read-back-refused")]
)
def test_a_failed_query_is_no_empty_answer(tmp_path: Path, status: int, code: str) -> None:
    def fails(_: Any) -> Iterator[tuple[int, Dataset | None]]:
        yield status, None

    with a_queryable_pacs(fails) as pacs, pytest.raises(TransientError) as caught:
        ReadBack(ae_title="OVERREAD").found(pacs, a_result_set(tmp_path))
    assert caught.value.code == code


def test_an_abort_is_no_empty_answer(tmp_path: Path) -> None:
    def abort(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        event.assoc.abort()
        yield 0x0000, None

    with a_queryable_pacs(abort) as pacs, pytest.raises(TransientError) as caught:
        ReadBack(ae_title="OVERREAD", timeouts=QUICK).found(pacs, a_result_set(tmp_path))
    assert caught.value.code == "read-back-failed"


def test_a_pacs_that_cannot_be_queried_is_named(tmp_path: Path) -> None:
    with Pacs() as pacs, pytest.raises(PermanentError) as caught:
        ReadBack(ae_title="OVERREAD").found(at(pacs.port), a_result_set(tmp_path))
    assert caught.value.code == "no-presentation-context"
