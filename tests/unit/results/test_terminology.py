"""Every code that the project can write exists in its scheme's dictionary (PS3.16), or is listed with its reason."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.sr import codedict
from pydicom.sr._concepts_dict import concepts

from tests.unit.results import given, reading, reported
from worker.domain.profile import OHIF, RegionEncoding, Statements
from worker.gate.codes import MEANINGS
from worker.results import coding
from worker.results.encoder import DicomEncoder

ROOT = Path(__file__).resolve().parents[3]

LISTED = {
    ("en-US", "RFC5646"): "a language tag, not a concept (TID 1204)",
    ("276214006", "SCT"): "the meaning is that of PS3.16 TID 1410 and 1501; pydicom has the older one of Annex O",
}
"""Codes that the dictionary lacks or calls otherwise, and why they are right all the same."""

LISTED_UNITS = {
    "mL": "UCUM's litre with its metric prefix; the dictionary has the equal spelling ml",
    "{pixels}": "an annotation: what PS3.16 TID 1602 asks for the rows and columns of an image",
    "{-1:1}": "an annotation: what PS3.16 TID 1604 asks for direction cosines",
}

MODALITIES = ("CT", "MR", "PT", "NM", "CR", "DX", "MG", "IO", "PX", "RG", "RF", "XA", "US", "OT", "")


def known() -> dict[tuple[str, str], set[str]]:
    """(value, scheme) to the meanings that the dictionary gives it, in lower case and without SNOMED CT's tags."""
    found: dict[tuple[str, str], set[str]] = {}
    for scheme, keywords in concepts.items():
        for values in keywords.values():
            for value, (meaning, _) in values.items():
                plain = meaning.lower()
                found.setdefault((value, scheme), set()).update({plain, re.sub(r" \([a-z/ ]+\)$", "", plain)})
    return found


DICTIONARY = known()

Written = tuple[str, tuple[str, ...]]
"""Where, and the words of a code (value, scheme, meaning) or a unit (UCUM, meaning)."""


def literals(name: str, size: int) -> Iterator[Written]:
    """Calls of ``name`` with constant words, everywhere in the package."""
    for path in sorted((ROOT / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
                words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                if len(words) == len(node.args) == size:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", tuple(map(str, words))


def of_manifests(keys: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tables of the packaged models' manifests that have exactly these keys."""

    def tables(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
            for part in value.values():
                yield from tables(part)
        elif isinstance(value, list):
            for part in value:
                yield from tables(part)

    for path in sorted((ROOT / "models").glob("*/manifest.toml")):
        for table in tables(tomllib.loads(path.read_text())):
            if set(table) == keys:
                yield str(path.relative_to(ROOT)), table


def codes_written() -> list[Written]:
    found = [*literals("Code", 3), *literals("code_item", 3)]
    found += [
        (where, (table["value"], table["scheme"], table["meaning"]))
        for where, table in of_manifests({"value", "scheme", "meaning"})
    ]
    return found


def units_written() -> list[Written]:
    found = [*literals("Unit", 2)]
    return found + [(where, (t["ucum"], t["meaning"])) for where, t in of_manifests({"ucum", "meaning"})]


def test_every_code_is_in_its_dictionary() -> None:
    found = codes_written()
    assert len(found) > 80, "the search must find what is there"
    assert any(where.startswith("models/") for where, _ in found)
    wrong = [
        (where, code)
        for where, code in found
        if code[:2] not in LISTED and code[2].lower() not in DICTIONARY.get(code[:2], ())
    ]
    assert not wrong


def test_nothing_is_listed_without_need() -> None:
    written = {code[:2] for _, code in codes_written()}
    assert set(LISTED) <= written
    assert set(LISTED_UNITS) <= {unit[0] for _, unit in units_written()}
    needless = [
        code for _, code in codes_written()
        if code[:2] in LISTED and code[2].lower() in DICTIONARY.get(code[:2], ())
    ]  # fmt: skip
    assert not needless


def test_no_private_codes() -> None:
    assert not [(where, code) for where, code in codes_written() if code[1].startswith("99")]


def test_every_unit_is_in_the_dictionary_or_listed() -> None:
    wrong = [
        (where, unit)
        for where, unit in units_written()
        if (unit[0], "UCUM") not in DICTIONARY and unit[0] not in LISTED_UNITS
    ]
    assert not wrong


ATOM = r"(?:m|g|s|L|l|a|mo|min|h|d|Hz|J|W|Pa|V|Bq|Gy|Sv|mol|deg|%|\[hnsf'U\]|m\[Hg\]|\[[^\]]+\])"
COMPONENT = rf"(?:[0-9]+|(?:da|[YZEPTGMkhdcmunpfazy])?{ATOM}[+-]?[0-9]*)?(?:\{{[!-z|~]*\}})?"
TERM = re.compile(rf"^/?{COMPONENT}(?:[./]{COMPONENT})*$")
"""Units of The Unified Code for Units of Measure that measurements of images use: no more of its grammar."""


@pytest.mark.parametrize("good", ["mm", "mm2", "mm3", "mL", "%", "1", "[hnsf'U]", "{pixels}", "10-6.mm2/s", "g/cm3"])
def test_units_that_parse(good) -> None:
    assert TERM.match(good.replace("10-6", "10"))


@pytest.mark.parametrize("bad", ["square mm", "mm^2", "HU", "pixel", "cc", "percent", "mm2)"])
def test_units_that_do_not(bad) -> None:
    assert not TERM.match(bad)


def test_every_unit_parses() -> None:
    assert not [(where, unit) for where, unit in units_written() if not TERM.match(unit[0])]


def test_procedures_are_of_context_group_100() -> None:
    group = {(code.value, code.scheme_designator) for code in codedict.codes.cid100.concepts.values()}
    for modality in MODALITIES:
        code = coding.procedure_reported(modality)
        assert (code.value, code.scheme) in group
        assert code.meaning.lower() in DICTIONARY[code.value, code.scheme]


def test_modalities_are_of_context_group_29() -> None:
    for modality in MODALITIES[:-2]:
        code = coding.modality_code(modality)
        assert code is not None
        assert code.value == modality
    assert coding.modality_code("XX") is None


def test_every_code_in_an_object_is_known(tmp_path) -> None:
    study = given.a_study(tmp_path)
    profile = OHIF.__class__(name="all", regions=RegionEncoding.PATIENT, statements=Statements.BOTH)
    conclusion = reported.everything(study)
    for item in DicomEncoder(standard=profile).encode(conclusion, study.evidence, given.CONTEXT):
        seen = 0
        for code in _sequences(reading.dataset(item)):
            if "CodeValue" not in code:
                continue
            seen += 1
            key = (code.CodeValue, code.CodingSchemeDesignator)
            if key in LISTED or key[0] in LISTED_UNITS:
                continue
            assert key in DICTIONARY, key
            if key[1] == "DCM":
                assert code.CodeMeaning.lower() in DICTIONARY[key], key
        assert seen > 8


def _sequences(ds):
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _sequences(item)


@pytest.mark.parametrize("concept", [one for one in MEANINGS if one[1] != "UCUM"], ids=" ".join)
def test_the_gate_knows_what_codes_mean(concept: tuple[str, str]) -> None:
    assert concept in LISTED or MEANINGS[concept].lower() in DICTIONARY.get(concept, set())
