"""One table for both: what the listener takes, the offline reader reads as the same; what one refuses, both refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.intake.folder_store import FolderStore
from tests.integration.intake.raw_peer import RawPeer, association_request, c_store
from tests.unit.intake.corpus import CORPUS, CT, SOP, SR, Case, a_ct
from worker.decode.pixels.pixels import PixelReader
from worker.decode.series.headers import HeaderReader
from worker.intake.association.server import Listener
from worker.intake.dimse.reception import file_meta
from worker.wiring.reading import instances_in


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    return FolderStore(tmp_path_factory.mktemp("listener"))


@pytest.fixture(scope="module")
def shared_listener(shared_store: FolderStore) -> Iterator[Listener]:
    listener = Listener(shared_store, ae_title="OVERREAD", port=0)
    listener.start()
    yield listener
    listener.stop(2.0)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_the_door_and_the_reader_say_the_same(
    shared_listener: Listener, shared_store: FolderStore, tmp_path: Path, case: Case
) -> None:
    data = case.make()
    shared_store.forget()
    with RawPeer(shared_listener.port) as peer:
        peer.open(association_request(((1, CT, (case.syntax,)), (3, SR, (case.syntax,)))))
        peer.message(c_store(case.sop_class, SOP), data, context=1 if case.sop_class == CT else 3)
        status = peer.status()
        peer.release()
    said = [refused.code for refused in shared_store.refused]
    (tmp_path / "1.dcm").write_bytes(bytes(128) + b"DICM" + file_meta(case.sop_class, SOP, case.syntax) + data)
    found, skipped = instances_in(tmp_path)
    if case.code:
        assert (status, said) == (case.status, [case.code])
        assert ([one.code for one in skipped], found) == ([case.code], ())
        return
    assert (status, said) == (0x0000, [])
    assert skipped == ()
    (instance,), (offered,) = found, shared_store.offered
    assert instance.header == offered.header
    assert instance.sha256 == offered.sha256
    header = HeaderReader().header(instance)
    if case.decodes:
        assert (header.rows, header.columns, header.number_of_frames) == (8, 8, 1)
        pixels = a_ct()[-1].value  # type: ignore[union-attr]
        expected = np.frombuffer(pixels, ">u2" if case.syntax.endswith(".2.2") else "<u2").reshape(1, 8, 8)
        np.testing.assert_array_equal(PixelReader().frames(instance).values, expected)
