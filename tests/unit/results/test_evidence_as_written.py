"""Evidence in the forms in which it comes: the spool keeps the bytes of the sender, whatever their encoding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests import builders
from tests.unit.results import given, reading
from tests.unit.results.test_copied_text import EVERYTHING, results

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def a_study(folder: Path, syntax: str = ExplicitVRLittleEndian, **values: object) -> given.Study:
    study = given.a_study(folder, slices=2, rows=16, columns=16)
    for path in study.paths:
        ds = dcmread(path)
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        builders.write(ds, path, transfer_syntax_uid=syntax)
    return replace(study, evidence=builders.stored_instances(study.paths))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_what_is_empty_is_no_obstacle_in_any_encoding(tmp_path, syntax) -> None:
    """In Implicit VR nothing says that an empty value is text; names and accession numbers often are empty."""
    study = a_study(
        tmp_path, syntax, PatientName="", AccessionNumber="", PatientBirthDate="", ReferringPhysicianName=""
    )
    for item in results(study, EVERYTHING):
        ds = reading.dataset(item)
        assert (ds.PatientID, ds.PatientName, ds.AccessionNumber) == ("OR-0001", "", "")


@pytest.mark.parametrize("vr", [b"??", b"  ", b"\0\0"])
def test_a_value_representation_that_is_none_costs_no_result(tmp_path, vr) -> None:
    """The listener stores such objects; what they say is read as it was meant, in the items of sequences as well."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTCHEST", "99LOCAL", "CT chest"
    study = a_study(tmp_path, StudyDescription="CT CHEST", ProcedureCodeSequence=[code])
    for path in study.paths:
        data = path.read_bytes()
        for tag, written in ((b"\x08\x00\x30\x10", b"LO"), (b"\x08\x00\x04\x01", b"LO")):
            assert data.count(tag + written) == 1
            data = data.replace(tag + written, tag + vr)
        path.write_bytes(data)
    for item in results(study, EVERYTHING):
        ds = reading.dataset(item)
        assert ds.StudyDescription == "CT CHEST"
        assert ds.ProcedureCodeSequence[0].CodeMeaning == "CT chest"


def test_data_sets_without_file_meta_information(tmp_path) -> None:
    """The offline reader takes them; the meta information is what a file has, not what the instance is."""
    study = a_study(tmp_path, ImplicitVRLittleEndian, PatientName="")
    for path in study.paths:
        path.write_bytes(builders.data_set_bytes(path))
    for item in results(study, EVERYTHING):
        assert reading.dataset(item).PatientID == "OR-0001"
