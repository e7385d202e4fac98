"""Every code that a result can hold exists in its scheme's dictionary (PS3.16), or is listed with its reason."""

from __future__ import annotations

import pytest
from pydicom.sr import codedict
from pydicom.sr._concepts_dict import concepts

from tests.unit.results import given, reading
from worker.results import coding, text_sr
from worker.results.encoder import DicomEncoder

NOT_IN_PYDICOM = {("en-US", "RFC5646"): "a language tag, not a concept (TID 1204)"}
"""Codes that the dictionary lacks, and why they are right all the same."""


def known() -> dict[tuple[str, str], set[str]]:
    """(value, scheme) to the meanings that the dictionary gives it, in lower case."""
    found: dict[tuple[str, str], set[str]] = {}
    for scheme, keywords in concepts.items():
        for values in keywords.values():
            for value, (meaning, _) in values.items():
                found.setdefault((value, scheme), set()).add(meaning.lower())
    return found


def test_constants_are_in_the_dictionary() -> None:
    dictionary = known()
    codes = [value for module in (coding, text_sr) for value in vars(module).values() if type(value).__name__ == "Code"]
    codes += [coding.procedure_reported(modality) for modality in ("CT", "MR", "PT", "NM", "CR", "DX", "US")]
    assert len(codes) > 10
    for code in codes:
        if (code.value, code.scheme) not in NOT_IN_PYDICOM:
            assert code.meaning.lower() in dictionary[code.value, code.scheme], code


def test_procedures_are_of_context_group_100() -> None:
    group = {(code.value, code.scheme_designator) for code in codedict.codes.cid100.concepts.values()}
    for modality in ("CT", "MR", "PT", "NM", "CR", "DX", "US"):
        code = coding.procedure_reported(modality)
        assert (code.value, code.scheme) in group


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_code_in_an_object_is_known(tmp_path, which) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    ds = reading.dataset(DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)[which])
    dictionary = known()
    seen = 0
    for item in _sequences(ds):
        if "CodeValue" not in item:
            continue
        seen += 1
        key = (item.CodeValue, item.CodingSchemeDesignator)
        if key[1] == "UCUM" or key in NOT_IN_PYDICOM:
            continue
        assert key in dictionary, key
        if key[1] == "DCM":
            assert item.CodeMeaning.lower() in dictionary[key], key
    assert seen > 8


def _sequences(ds):
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _sequences(item)
