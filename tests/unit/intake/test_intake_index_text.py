"""The text of the index: in the set that images declare, or that the site states of their sender."""

from __future__ import annotations

import pytest

from worker.data_elements.faults import ScanError
from worker.domain.character_sets import StatedSet
from worker.domain.study import IndexedHeader
from worker.intake.scan.header import (
    CHARACTER_SET,
    PATIENT_NAME,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    indexed_header,
)

NAME = "誠^小明"
"""Its first letter is D5 5C in GBK: the second half is a backslash to who reads single bytes."""


def index(name: bytes, declared: bytes = b"", stated: StatedSet | None = None) -> IndexedHeader:
    uids = dict.fromkeys((SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID), b"1.2.3")
    return indexed_header({**uids, PATIENT_NAME: name, CHARACTER_SET: declared}, stated)


@pytest.mark.parametrize(
    ("declared", "stated"),
    [
        (b"GB18030", None),
        (b"", StatedSet("GB18030")),
        (b"ISO_IR 192", StatedSet("GB18030", always=True)),
    ],
)
def test_a_name_is_read_in_the_set_that_is_known(declared, stated) -> None:
    assert NAME.encode("gbk")[1:2] == b"\\"
    assert index(NAME.encode("gbk"), declared, stated).patient.patient_name == NAME


def test_a_name_that_nobody_can_read_is_kept_apart_and_not_taken_for_two() -> None:
    raw = NAME.encode("gbk")
    assert index(raw).patient.patient_name == raw.decode("latin-1")
    assert index(raw, b"ISO_IR 192").patient.patient_name == raw.decode("latin-1")


def test_two_names_are_two() -> None:
    with pytest.raises(ScanError, match="several values"):
        index(b"Example^Ada\\Example^Ben")
