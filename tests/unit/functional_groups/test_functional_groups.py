"""Functional groups of thousands of frames: each macro that is written differently is parsed once, and none is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.builders import an_enhanced_ct, write
from worker.functional_groups.elements import elements_of
from worker.functional_groups.groups import FunctionalGroups, said
from worker.functional_groups.macros import FRAME_VOI_LUT, PIXEL_MEASURES, PIXEL_VALUE_TRANSFORMATION

ENCODINGS = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def read_back(path: Path, *, slopes: Sequence[float], uid: str) -> Dataset:
    return dcmread(write(an_enhanced_ct(slices=len(slopes), slopes=slopes), path, transfer_syntax_uid=uid))


@pytest.mark.parametrize("uid", ENCODINGS, ids=lambda uid: uid.name)
def test_frames_share_what_is_written_alike_and_nothing_else(tmp_path: Path, uid: str) -> None:
    groups = FunctionalGroups(read_back(tmp_path / "a.dcm", slopes=[1.0, 2.0, 1.0, 3.0], uid=uid))
    found = [groups.macro(PIXEL_VALUE_TRANSFORMATION, frame) for frame in range(4)]
    assert [item.RescaleSlope for (item,) in found] == [1.0, 2.0, 1.0, 3.0]
    assert found[0][0] is found[2][0]
    assert len({id(items[0]) for items in found}) == 3


@pytest.mark.parametrize("uid", ENCODINGS, ids=lambda uid: uid.name)
def test_what_was_read_of_a_frame_is_not_kept_in_it(tmp_path: Path, uid: str) -> None:
    ds = read_back(tmp_path / "a.dcm", slopes=[1.0, 2.0], uid=uid)
    group = ds.PerFrameFunctionalGroupsSequence[1]
    (item,) = said(group, PIXEL_VALUE_TRANSFORMATION)
    assert item.RescaleSlope == 2.0
    assert isinstance(group.get_item(PIXEL_VALUE_TRANSFORMATION), RawDataElement)
    assert group.PixelValueTransformationSequence[0] == item


def test_the_object_speaks_only_where_no_frame_does() -> None:
    ds = an_enhanced_ct(slices=3)
    (shared,) = ds.SharedFunctionalGroupsSequence
    del shared[FRAME_VOI_LUT]
    measures = shared[PIXEL_MEASURES]
    del shared[PIXEL_MEASURES]
    ds.PerFrameFunctionalGroupsSequence[2].add(measures)
    groups = FunctionalGroups(ds)
    assert all(groups.speaker(FRAME_VOI_LUT, frame) is ds for frame in range(3))
    assert [groups.speaker(PIXEL_MEASURES, frame) == Dataset() for frame in range(3)] == [True, True, False]


def test_elements_are_those_of_pydicom_in_the_order_of_their_tags(tmp_path: Path) -> None:
    ds = Dataset()
    for keyword, value in (("StudyDate", "20260314"), ("Modality", "CT"), ("AccessionNumber", ""), ("Rows", None)):
        setattr(ds, keyword, value)
    ds.add_new(0x00090010, "LO", "SOMEBODY")
    assert elements_of(ds) == [(int(element.tag), element) for element in ds.elements()]
    found = dcmread(write(an_enhanced_ct(slices=2), tmp_path / "a.dcm"))
    del found.Modality
    found.Modality = "CT"  # now the last that was put in
    assert list(found.keys()) != sorted(found.keys())
    assert [(tag, element.value) for tag, element in elements_of(found)] == [
        (element.tag, element.value) for element in found.elements()
    ]
