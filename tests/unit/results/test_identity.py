from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given as forall
from hypothesis import strategies as st
from pydicom.uid import UID

from tests.unit.results import given
from worker.domain.implementation import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.domain.study import SOPInstanceUID, StudyInstanceUID
from worker.results.identity import (
    Equipment,
    ResultUids,
    derived_uid,
)

EVIDENCE = ((SOPInstanceUID("1.2.3"), given.digest("a")), (SOPInstanceUID("1.2.4"), given.digest("b")))


def uids(**changes: object) -> ResultUids:
    arguments: dict[str, object] = {
        "study_instance_uid": StudyInstanceUID("1.2"),
        "evidence": EVIDENCE,
        "model_digest": given.digest("m"),
        "config_digest": given.digest("c"),
    }
    return ResultUids.of(**{**arguments, **changes})  # type: ignore[arg-type]


def test_the_same_input_in_any_order_gives_the_same_uids() -> None:
    assert uids() == uids(evidence=EVIDENCE[::-1])


def test_every_input_counts() -> None:
    changed = [
        uids(study_instance_uid="1.3"),
        uids(evidence=EVIDENCE[:1]),
        uids(evidence=(*EVIDENCE[:1], (EVIDENCE[1][0], given.digest("x")))),
        uids(model_digest=given.digest("n")),
        uids(config_digest=given.digest("d")),
    ]
    assert len({uids().key, *(other.key for other in changed)}) == len(changed) + 1


def test_the_revision_does_not_count(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume)
    first = ResultUids.of_conclusion(conclusion, study.evidence, given.CONTEXT)
    assert first == ResultUids.of_conclusion(conclusion, study.evidence[::-1], replace(given.CONTEXT, revision=7))


def test_kinds_parts_and_levels_do_not_meet() -> None:
    one = uids()
    made = [one.series(kind) for kind in ("SEG", "SR", "TEXT")]
    made += [one.instance(kind, part) for kind in ("SEG", "SR", "TEXT") for part in (0, 1)]
    made += [one.tracking(part, name) for part in (0, 1) for name in ("AI Lung", "AI Nodule 1")]
    made += [one.dimension_organization(0), one.dimension_organization(1)]
    assert len(set(made)) == len(made)


@forall(st.lists(st.text(max_size=30), max_size=6))
def test_derived_uids_are_valid(parts: list[str]) -> None:
    uid = UID(derived_uid(*parts))
    assert uid.is_valid
    assert len(uid) <= 44


def test_parts_are_not_run_together() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc") != derived_uid("abc")


def test_implementation() -> None:
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert implementation_version_name("0.1.0") == "OVERREAD_0_1"
    assert re.fullmatch(r"OVERREAD_[0-9_]{3,}", implementation_version_name())
    assert len(implementation_version_name("1000000.2000000.3")) <= 16


def test_the_device_is_constant_per_installation() -> None:
    one = Equipment(device_serial_number="A", software_version="1.0")
    assert one.observer_uid == Equipment(device_serial_number="A", software_version="2.0").observer_uid
    assert one.observer_uid != Equipment(device_serial_number="B", software_version="1.0").observer_uid
    assert Equipment(device_uid="1.2.3").observer_uid == "1.2.3"
    assert UID(one.observer_uid).is_valid
