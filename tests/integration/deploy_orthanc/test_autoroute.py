"""Orthanc's auto-routing as we ship it: images go to Overread once, new images again, our results never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.builders import a_ct_slice, a_uid
from tests.integration.deploy_orthanc.orthanc import DummyOverread, PrivateOrthanc, until
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.orthanc]


@pytest.fixture
def overread() -> Iterator[DummyOverread]:
    with DummyOverread(free_port()) as running:
        yield running


@pytest.fixture
def orthanc(tmp_path: Path, overread: DummyOverread) -> Iterator[PrivateOrthanc]:
    with PrivateOrthanc(tmp_path, overread_port=overread.port) as running:
        yield running


def images(study: str, *instances: int, series: str = "images") -> list[Dataset]:
    return [a_ct_slice(study=study, series=series, instance=n, position=(0.0, 0.0, 2.5 * n)) for n in instances]


def uids(*groups: list[Dataset]) -> Counter[str]:
    return Counter(str(ds.SOPInstanceUID) for group in groups for ds in group)


def a_result(study: str) -> Dataset:
    """What a viewer's plug-in calls a report: only its modality matters to routing."""
    ds = a_ct_slice(study=study, series="report", instance=1)
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.Modality = "SR"
    return ds


def everything_routed(orthanc: PrivateOrthanc, overread: DummyOverread, marker: str) -> Counter[str]:
    """What Overread has been sent by now, made certain by a later study: Orthanc calls its Lua in order."""
    mark = images(marker, 1)
    orthanc.store(mark, calling_ae_title="MODALITY")
    (uid,) = uids(mark)
    until(lambda: uid in overread.received, f"the marker study arrives; Orthanc's log: {orthanc.log()}")
    until(lambda: all(job["State"] == "Success" for job in orthanc.get("/jobs?expand")), "every sending is done")
    markers = uids(*(images(name, 1) for name in ("marker-1", "marker-2", "marker-3")))
    return Counter(one for one in overread.received if one not in markers)


def test_images_are_routed_once_and_results_never(orthanc: PrivateOrthanc, overread: DummyOverread) -> None:
    first, report = images("a", 1, 2, 3), a_result("a")
    orthanc.store([*first, report], calling_ae_title="MODALITY")
    assert everything_routed(orthanc, overread, "marker-1") == uids(first)

    # Results come back into the same study: it becomes stable again. One of them is a derived image.
    stable_before = orthanc.stable_studies()
    derived = images("a", 1, series="derived by Overread")
    second_report = a_result("a")
    second_report.SOPInstanceUID = a_uid("another report")
    orthanc.store([second_report, *derived], calling_ae_title="OVERREAD")
    until(lambda: orthanc.stable_studies() > stable_before, "the study is stable again")
    assert everything_routed(orthanc, overread, "marker-2") == uids(first)


def test_a_repeat_is_not_routed_and_a_late_image_is(orthanc: PrivateOrthanc, overread: DummyOverread) -> None:
    first, late = images("a", 1, 2), images("a", 3)
    orthanc.store(first, calling_ae_title="MODALITY")
    assert everything_routed(orthanc, overread, "marker-1") == uids(first)

    orthanc.store(first, calling_ae_title="MODALITY")
    assert everything_routed(orthanc, overread, "marker-2") == uids(first)

    orthanc.store(late, calling_ae_title="MODALITY")
    assert everything_routed(orthanc, overread, "marker-3") == uids(first, first, late)


def test_what_failed_while_overread_was_down_is_sent_at_the_next_heart_beat(tmp_path: Path) -> None:
    port = free_port()
    study = images("a", 1, 2)
    with PrivateOrthanc(tmp_path, overread_port=port) as orthanc:
        orthanc.store(study, calling_ae_title="MODALITY")
        until(lambda: [job["State"] for job in orthanc.get("/jobs?expand")] == ["Failure"], "the sending fails")
        with DummyOverread(port) as overread:
            assert "is sent again" in orthanc.run_lua("OnHeartBeat()")
            until(lambda: uids(study) == Counter(overread.received), "the study arrives")


def test_lua_writes_no_error_into_the_log(orthanc: PrivateOrthanc, overread: DummyOverread) -> None:
    orthanc.store(images("a", 1), calling_ae_title="MODALITY")
    everything_routed(orthanc, overread, "marker-1")
    # "E1121 23:39:44.3": how Orthanc begins the line of an error.
    assert not [line for line in orthanc.log().splitlines() if line[:1] == "E" and line[1:5].isdigit()]
