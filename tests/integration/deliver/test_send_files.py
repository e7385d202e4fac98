"""``overread send``: files as they are, one report line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests import builders
from tests.integration.deliver import peers
from tests.integration.deliver.objects import at, data_set_of
from tests.integration.deliver.peers import Pacs
from tests.integration.deliver.servers import storescp
from tests.ports import free_port
from worker.deliver.association import Timeouts
from worker.deliver.send_files import FileOutcome, send_files
from worker.domain.errors import ConfigurationError

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless]


def files_in_many_syntaxes(folder: Path) -> list[Path]:
    return [
        builders.write(builders.a_ct_slice(instance=n), folder / f"{n}.dcm", transfer_syntax_uid=syntax)
        for n, syntax in enumerate(SYNTAXES)
    ]


def test_every_transfer_syntax_is_sent_as_it_is(tmp_path: Path) -> None:
    files = files_in_many_syntaxes(tmp_path)
    with Pacs(syntaxes=SYNTAXES) as pacs:
        report = send_files(files, at(pacs.port), calling_ae_title="MODALITY")
    assert report.stored == len(files)
    assert report.failures == ()
    assert pacs.associations == 1
    assert pacs.callers == {"MODALITY"}
    assert [syntax for _, syntax, _ in pacs.offered] == SYNTAXES
    assert [content for _, _, content in pacs.offered] == [data_set_of(file) for file in files]


def test_an_object_that_no_request_can_name_is_reported_and_the_rest_is_sent(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path, slices=3)
    odd = dcmread(files[1])
    odd.SOPInstanceUID = odd.file_meta.MediaStorageSOPInstanceUID = "1." + "7" * 64
    odd.save_as(files[1])
    with Pacs() as pacs:
        report = send_files(files, at(pacs.port), calling_ae_title="MODALITY")
    assert report.stored == len(pacs.offered) == 2
    assert [(failure.path, failure.code) for failure in report.failures] == [(files[1], "invalid-uid")]


def test_folders_and_what_is_no_dicom(tmp_path: Path) -> None:
    good = builders.a_ct_series(tmp_path / "study", slices=3)
    (tmp_path / "study" / "README").write_text("not an image")
    seen: list[FileOutcome] = []
    with Pacs() as pacs:
        report = send_files(
            [tmp_path / "study", tmp_path / "gone"], at(pacs.port), calling_ae_title="MODALITY", on_progress=seen.append
        )
    assert report.stored == len(good) == len(pacs.offered)
    assert {(failure.path.name, failure.code) for failure in report.failures} == {
        ("README", "not-dicom"),
        ("gone", "file-missing"),
    }
    assert tuple(seen) == report.outcomes


def test_an_unaccepted_transfer_syntax_is_one_files_failure(tmp_path: Path) -> None:
    files = files_in_many_syntaxes(tmp_path)
    with Pacs(syntaxes=[ExplicitVRLittleEndian, ImplicitVRLittleEndian]) as pacs:
        report = send_files(files, at(pacs.port), calling_ae_title="MODALITY")
    assert report.stored == 2
    assert [failure.code for failure in report.failures] == ["no-presentation-context"] * 3
    assert "RLE Lossless" in report.failures[1].detail


def test_each_refusal_keeps_its_status_and_the_rest_goes_on(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path, slices=3)
    answers = iter([0x0000, 0xA700, 0xB000])
    with Pacs(lambda _: next(answers)) as pacs:
        report = send_files(files, at(pacs.port), calling_ae_title="MODALITY")
    assert [(outcome.status, outcome.stored) for outcome in report.outcomes] == [
        (0x0000, True),
        (0xA700, False),
        (0xB000, True),
    ]


def test_after_an_abort_the_rest_goes_over_a_new_association(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path, slices=3)
    calls: list[Any] = []

    def first_aborts(event: Any) -> int:
        calls.append(event)
        return peers.aborts(event) if len(calls) == 1 else 0x0000

    with Pacs(first_aborts) as pacs:
        report = send_files(files, at(pacs.port), calling_ae_title="MODALITY")
    assert [outcome.code for outcome in report.outcomes] == ["no-answer", "stored", "stored"]
    assert pacs.associations == 2


def test_nobody_there_is_the_reason_of_every_file(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path, slices=3)
    report = send_files(
        files, at(free_port()), calling_ae_title="MODALITY", timeouts=Timeouts(connect_s=2, association_s=2)
    )
    assert [outcome.code for outcome in report.outcomes] == ["destination-unreachable"] * 3


def test_nothing_acceptable_at_all(tmp_path: Path) -> None:
    files = builders.an_mr_series(tmp_path, slices=2)
    with Pacs() as pacs:
        report = send_files(files, at(pacs.port), calling_ae_title="MODALITY")
    assert [outcome.code for outcome in report.outcomes] == ["no-presentation-context"] * 2


def test_a_wrong_title_sends_nothing(tmp_path: Path) -> None:
    files = builders.a_ct_series(tmp_path, slices=1)
    with pytest.raises(ConfigurationError):
        send_files(files, at(104), calling_ae_title="")


def test_no_files() -> None:
    assert send_files([], at(104), calling_ae_title="MODALITY").outcomes == ()


@pytest.mark.dcmtk
def test_storescp_keeps_the_very_bytes(tmp_path: Path) -> None:
    files = [
        *builders.a_ct_series(tmp_path / "plain", slices=2),
        *builders.a_ct_series(tmp_path / "j2k", slices=2, series="j2k", transfer_syntax_uid=JPEG2000Lossless),
    ]
    with storescp(tmp_path / "scp") as scp:
        report = send_files(files, scp.destination, calling_ae_title="MODALITY")
        received = {str(dcmread(path).SOPInstanceUID): path for path in scp.received()}
    assert report.stored == 4
    for file in files:
        assert data_set_of(received[str(dcmread(file).SOPInstanceUID)]) == data_set_of(file)
