"""Every kind of error, seeded into every content item of the measurement groups: the gate refuses each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
from pydicom.dataset import Dataset

from tests.unit.results import given, reading, reported
from worker.domain.character_sets import StatedSets
from worker.domain.codes import MILLIMETRE
from worker.domain.findings import Conclusion, Detection, Finding, Measurement
from worker.domain.profile import OHIF, SegmentEncoding, Statements
from worker.domain.regions import Box
from worker.gate.header import REPORT_CLASS
from worker.gate.reading import EvidenceHeaders, Inspection, read_evidence
from worker.gate.sr.report import report_checks

pytestmark = pytest.mark.slow

PROFILE = replace(OHIF, statements=Statements.BOTH, segmentation=SegmentEncoding.NONE)
NOTICED = {"sr-form", "sr-content", "sr-groups", "sr-measurements", "sr-outlines", "sr-meanings", "sr-tracking"}


def a_conclusion(study: given.Study) -> Conclusion:
    """Every form of a group, with look-alikes: names that are parts of others, twins that differ in a side."""
    base = given.a_conclusion(study.volume, absent=("Lung", "Lung nodule"))
    box = Box((4.5, 5.5), (10.5, 14.5))
    said = {
        "probability": 0.931, "site": given.LUNG, "evaluations": (reported.MARGINS,),
        "measurements": (Measurement(reported.DIAMETER, 8.25, MILLIMETRE, derivation=reported.MEAN),),
    }  # fmt: skip
    regions = (
        reported.a_region("box", box, 1, laterality=given.RIGHT, extent=(1, 2), tracking_identifier="AI box", **said),
        reported.a_region("box", box, 1, laterality=given.LEFT, tracking_identifier="AI box 2", **said),
    )
    return replace(base, findings=(*base.findings, Detection(regions), reported.PRESENT, reported.AMOUNT))


@dataclass(frozen=True)
class Good:
    study: given.Study
    conclusion: Conclusion
    headers: EvidenceHeaders
    report: Dataset

    def failures(self, ds: Dataset) -> Iterator[str]:
        inspected = Inspection(self.conclusion, self.headers, given.CONTEXT, PROFILE)
        return (check.name for check in report_checks([ds], [], inspected) if not check.passed)


def made(study: given.Study, conclusion: Conclusion) -> Good:
    objects = reported.encoded(study, conclusion, PROFILE)
    (report,) = [reading.dataset(item) for item in objects if item.sop_class_uid == REPORT_CLASS]
    return Good(study, conclusion, read_evidence(study.evidence, StatedSets()), report)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Good:
    study = given.a_study(tmp_path_factory.mktemp("study"))
    return made(study, a_conclusion(study))


@pytest.fixture(scope="module")
def forms(good: Good) -> dict[str, Good]:
    """A report for every form of a group, with nothing else in it: small ones are judged quickly."""
    labels = given.labels_of(good.study.volume.geometry.shape)
    labels[labels == 2] = 0
    segments = given.a_conclusion(good.study.volume, labels).findings
    (detection,) = (one for one in good.conclusion.findings if isinstance(one, Detection))
    findings: dict[str, tuple[Finding, ...]] = {
        "segment": segments,
        "region": (Detection(detection.regions[:1]),),
        "classification": (reported.PRESENT,),
        "quantification": (reported.AMOUNT,),
        "absence": (Detection((), absent=("Lung",)),),
    }
    return {name: made(good.study, replace(good.conclusion, findings=own)) for name, own in findings.items()}


Place = tuple[int, ...]


def groups(ds: Dataset) -> Dataset:
    (measured,) = reading.named(ds, "126010")
    return measured


def at(ds: Dataset, place: Place) -> Dataset:
    item = groups(ds)
    for number in place:
        item = item.ContentSequence[number]
    return item


def places(ds: Dataset, place: Place = ()) -> Iterator[Place]:
    """Every content item below the measurement groups, by its position."""
    for number in range(len(at(ds, place).get("ContentSequence") or [])):
        yield (*place, number)
        yield from places(ds, (*place, number))


def swapped(ds: Dataset, place: Place, new: list[Dataset]) -> list[Dataset]:
    """Put others in the place of an item; returns what was there before, with its neighbours."""
    holder = at(ds, place[:-1])
    before = list(holder.ContentSequence)
    holder.ContentSequence = [*before[: place[-1]], *new, *before[place[-1] + 1 :]]
    return before


def missed(good: Good, make: Callable[[Dataset], list[Dataset] | None]) -> list[tuple[Place, str]]:
    """Where the gate says nothing when ``make`` of an item stands in its place."""
    found = []
    for place in list(places(good.report)):
        item = at(good.report, place)
        new = make(item)
        if new is None:
            continue
        before = swapped(good.report, place, new)
        if not any(name in NOTICED for name in good.failures(good.report)):
            found.append((place, f"{item.ValueType} {item.get('RelationshipType')} {_name(item)}"))
        at(good.report, place[:-1]).ContentSequence = before
    return found


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeMeaning) if names else ""


def changed(item: Dataset, change: Callable[[Dataset], object]) -> list[Dataset]:
    new = deepcopy(item)
    change(new)
    return [new]


def text(item: Dataset, words: Callable[[str], str]) -> list[Dataset] | None:
    if item.ValueType != "TEXT":
        return None
    return changed(item, lambda new: setattr(new, "TextValue", words(str(new.TextValue))))


def number(item: Dataset, change: Callable[[str], str]) -> list[Dataset] | None:
    if item.ValueType != "NUM":
        return None
    measured = item.MeasuredValueSequence[0]
    value = change(str(measured.NumericValue))
    return changed(item, lambda new: setattr(new.MeasuredValueSequence[0], "NumericValue", value))


def code(item: Dataset, keyword: str, part: str, value: str) -> list[Dataset] | None:
    holder = item.get("MeasuredValueSequence", [item])[0] if keyword == "MeasurementUnitsCodeSequence" else item
    if not holder.get(keyword):
        return None

    def change(new: Dataset) -> None:
        held = new.MeasuredValueSequence[0] if keyword == "MeasurementUnitsCodeSequence" else new
        setattr(held[keyword].value[0], part, value)

    return changed(item, change)


SIDES = {"24028007": ("7771000", "Left"), "7771000": ("24028007", "Right")}
PRESENCE = {"121053": ("121054", "Absent"), "121054": ("121053", "Present")}


def turned(item: Dataset, pairs: dict[str, tuple[str, str]]) -> list[Dataset] | None:
    codes = item.get("ConceptCodeSequence")
    if not codes or codes[0].CodeValue not in pairs:
        return None
    value, meaning = pairs[codes[0].CodeValue]

    def change(new: Dataset) -> None:
        new.ConceptCodeSequence[0].CodeValue, new.ConceptCodeSequence[0].CodeMeaning = value, meaning

    return changed(item, change)


def one_more(item: Dataset) -> list[Dataset] | None:
    """Something that nobody concluded, below an item that is no group."""
    extra = Dataset()
    extra.RelationshipType, extra.ValueType, extra.TextValue = "CONTAINS", "TEXT", "Malignant."
    extra.ConceptNameCodeSequence = [deepcopy(reported_comment())]
    return changed(item, lambda new: setattr(new, "ContentSequence", [*(new.get("ContentSequence") or []), extra]))


def reported_comment() -> Dataset:
    comment = Dataset()
    comment.CodeValue, comment.CodingSchemeDesignator, comment.CodeMeaning = "121106", "DCM", "Comment"
    return comment


ERRORS: dict[str, Callable[[Dataset], list[Dataset] | None]] = {
    "missing": lambda item: [],
    "doubled": lambda item: [item, deepcopy(item)],
    "something more below": one_more,
    "a word more": lambda item: text(item, lambda words: f"{words} Malignant."),
    "a word in front": lambda item: text(item, lambda words: f"no {words}"),
    "no words": lambda item: text(item, lambda words: words[:-1]),
    "another number": lambda item: number(item, lambda value: f"{float(value) * 1.001:.6g}"),
    "the fifth digit": lambda item: number(item, lambda value: f"{float(value) * 1.0001:.6g}"),
    "the sign": lambda item: number(item, lambda value: f"{-float(value):.6g}"),
    "another unit": lambda item: code(item, "MeasurementUnitsCodeSequence", "CodeValue", "cm"),
    "another meaning of the unit": lambda item: code(item, "MeasurementUnitsCodeSequence", "CodeMeaning", "centimeter"),
    "another name": lambda item: code(item, "ConceptNameCodeSequence", "CodeValue", "1234"),
    "another value": lambda item: code(item, "ConceptCodeSequence", "CodeValue", "1234"),
    "another scheme": lambda item: code(item, "ConceptCodeSequence", "CodingSchemeDesignator", "99X"),
    "the other side": lambda item: turned(item, SIDES),
    "absent for present": lambda item: turned(item, PRESENCE),
}  # fmt: skip


def test_what_the_encoder_writes_passes(good: Good, forms: dict[str, Good]) -> None:
    for one in (good, *forms.values()):
        assert list(one.failures(one.report)) == []
    assert len(groups(good.report).ContentSequence) == 11


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_in_any_item(forms: dict[str, Good], name: str) -> None:
    assert {form: missed(one, ERRORS[name]) for form, one in forms.items()} == {form: [] for form in forms}


def test_every_error_can_be_made_somewhere(good: Good) -> None:
    items = [at(good.report, place) for place in places(good.report)]
    assert [name for name, make in ERRORS.items() if all(make(item) is None for item in items)] == []


def test_a_meaning_that_is_another_code_s(forms: dict[str, Good]) -> None:
    """Readers see the meaning, not the value."""
    shown = {"121053", "121054", "24028007", "7771000", "39607008", "27925004", "36118008", "79654002", "129738007"}

    def renamed(item: Dataset) -> list[Dataset] | None:
        codes = item.get("ConceptCodeSequence")
        if not codes or codes[0].CodeValue not in shown:
            return None
        return code(item, "ConceptCodeSequence", "CodeMeaning", "Something else")

    assert {form: missed(one, renamed) for form, one in forms.items()} == {form: [] for form in forms}


def test_names_of_two_groups_swapped(good: Good) -> None:
    """Tracking identifiers of look-alikes."""
    count = len(groups(good.report).ContentSequence)
    names = [str(reading.named(at(good.report, (n,)), "112039")[0].TextValue) for n in range(count)]
    for one in range(count):
        for two in range(one + 1, min(one + 4, count)):
            if names[one] == names[two]:
                continue
            items = [reading.named(at(good.report, (n,)), "112039")[0] for n in (one, two)]
            items[0].TextValue, items[1].TextValue = names[two], names[one]
            noticed = any(name in NOTICED for name in good.failures(good.report))
            items[0].TextValue, items[1].TextValue = names[one], names[two]
            assert noticed, (names[one], names[two])


def test_a_group_in_the_place_of_a_look_alike(good: Good) -> None:
    count = len(groups(good.report).ContentSequence)
    for one in range(count):
        for two in {(one + 1) % count, (one + 2) % count}:
            if one != two:
                before = swapped(good.report, (one,), [deepcopy(at(good.report, (two,)))])
                noticed = any(name in NOTICED for name in good.failures(good.report))
                groups(good.report).ContentSequence = before
                assert noticed, (one, two)


@pytest.mark.parametrize("where", ["root", "measurements"])
def test_an_item_more_outside_of_the_groups(good: Good, where: str) -> None:
    holder = good.report if where == "root" else groups(good.report)
    before = list(holder.ContentSequence)
    extra = Dataset()
    extra.RelationshipType, extra.ValueType, extra.TextValue = "CONTAINS", "TEXT", "Malignant."
    extra.ConceptNameCodeSequence = [reported_comment()]
    holder.ContentSequence = [*before, extra]
    noticed = any(name in NOTICED for name in good.failures(good.report))
    holder.ContentSequence = before
    assert noticed
