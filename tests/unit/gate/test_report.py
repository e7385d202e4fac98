"""Errors seeded into the reports of every kind of finding, each noticed by the check that is meant for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.unit.results import given, reading, reported
from worker.domain.findings import Conclusion, Detection, OperatingPoint
from worker.domain.profile import OHIF, Profile, RegionEncoding, Statements
from worker.domain.result import EncodedObject, GateReport

pytestmark = pytest.mark.slow

PROFILE = replace(OHIF, regions=RegionEncoding.PATIENT, statements=Statements.BOTH)
SR, TEXT = "88.34", "88.11"


@dataclass(frozen=True)
class Good:
    study: given.Study
    conclusion: Conclusion
    objects: tuple[EncodedObject, ...]

    def check(
        self, which: str = SR, change: Callable[[Dataset], object] = lambda ds: None, profile: Profile = PROFILE
    ) -> GateReport:
        objects = [
            reading.changed(item, change) if item.sop_class_uid.endswith(which) else item for item in self.objects
        ]
        return reported.gated(objects, self.study, self.conclusion, profile)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Good:
    study = given.a_study(tmp_path_factory.mktemp("study"))
    conclusion = reported.everything(study)
    return Good(study, conclusion, reported.encoded(study, conclusion, PROFILE))


def group(ds: Dataset, name: str, number: int = 0) -> Dataset:
    return reported.groups(ds)[f"AI {name}"][number]


def region(ds: Dataset, name: str, number: int = 0) -> Dataset:
    return reading.named(group(ds, f"nodule {name}", number), "111030")[0]


def moved(name: str, by: float, number: int = 0) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        item = region(ds, name, number)
        item.GraphicData = (np.array(item.GraphicData) + by).tolist()

    return apply


def value(name: str, code: str, text: str) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        for own in reported.groups(ds)[f"AI {name}"]:
            for item in reading.named(own, code):
                item.MeasuredValueSequence[0].NumericValue = text

    return apply


def answer(name: str, question: str, code: str) -> Callable[[Dataset], None]:
    return lambda ds: setattr(reading.named(group(ds, name), question)[0].ConceptCodeSequence[0], "CodeValue", code)


def without(name: str, code: str) -> Callable[[Dataset], None]:
    return lambda ds: reading.drop(group(ds, name), code)


def without_groups(name: str) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        (container,) = reading.named(ds, "126010")
        gone = [id(own) for own in reported.groups(ds)[name]]
        container.ContentSequence = [own for own in container.ContentSequence if id(own) not in gone]

    return apply


def doubled(ds: Dataset) -> None:
    (container,) = reading.named(ds, "126010")
    container.ContentSequence.append(container.ContentSequence[-1])


def other_image(ds: Dataset) -> None:
    references = [region(ds, name).ContentSequence[0].ReferencedSOPSequence[0] for name in ("point", "circle")]
    first, second = (reference.ReferencedSOPInstanceUID for reference in references)
    assert first != second
    references[0].ReferencedSOPInstanceUID = second


def sentence(start: str, change: Callable[[str], str]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        found = [i for i in reading.items(ds) if i.ValueType == "TEXT" and i.TextValue.startswith(start)]
        assert found
        found[0].TextValue = change(str(found[0].TextValue))

    return apply


def drop_sentence(start: str) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        (section,) = reading.named(ds, "121070")
        section.ContentSequence = [i for i in section.ContentSequence if not i.TextValue.startswith(start)]

    return apply


def one_more_sentence(ds: Dataset) -> None:
    (section,) = reading.named(ds, "121070")
    extra = Dataset()
    extra.update(section.ContentSequence[0])
    extra.TextValue = "Fracture: PRESENT."
    section.ContentSequence.append(extra)


SEEDED: dict[str, tuple[str, Callable[[Dataset], object], str]] = {
    # places
    "a region three pixels off": (SR, moved("point", 3.0), "sr-outlines"),
    "a circle with another radius": (
        SR, lambda d: setattr(region(d, "circle"), "GraphicData", [26.5, 15.5, 34.5, 15.5, 30.5, 12.5, 30.5, 18.5]),
        "sr-outlines",
    ),
    "a box with rows and columns swapped": (
        SR,
        lambda d: setattr(
            region(d, "box"), "GraphicData",
            np.array(region(d, "box").GraphicData).reshape(-1, 2)[:, ::-1].ravel().tolist(),
        ),
        "sr-outlines",
    ),
    "a polygon outside of the image": (SR, moved("polygon", 500.0), "sr-outlines"),
    "a region on another image": (SR, other_image, "sr-outlines"),
    "a box of five points": (
        SR,
        lambda d: setattr(region(d, "box"), "GraphicData", [6, 5, 15, 5, 15, 11, 6, 11, 6, 5]), "sr-outlines",
    ),
    "INFERRED FROM in place of SELECTED FROM": (
        SR, lambda d: setattr(region(d, "point").ContentSequence[0], "RelationshipType", "INFERRED FROM"),
        "sr-outlines",
    ),
    "a point with a polyline's data": (SR, lambda d: setattr(region(d, "box"), "GraphicType", "POINT"), "sr-outlines"),
    "an open polygon": (
        SR, lambda d: setattr(region(d, "polygon"), "GraphicData", list(region(d, "polygon").GraphicData)[:-2]),
        "sr-outlines",
    ),
    "an extent one slice short": (
        SR,
        lambda d: reading.drop(group(d, "nodule box", 1), "111030"), "sr-outlines",
    ),
    "a line as CONTAINS": (
        SR,
        lambda d: setattr(
            reading.named(group(d, "nodule line"), "410668003")[0].ContentSequence[0], "RelationshipType", "CONTAINS"
        ),
        "sr-outlines",
    ),
    "a line moved": (
        SR,
        lambda d: setattr(
            reading.named(group(d, "nodule line"), "410668003")[0].ContentSequence[0], "GraphicData", [1, 1, 9, 9]
        ),
        "sr-outlines",
    ),
    "another place in the patient": (SR, moved("point", 2.0, number=1), "sr-outlines"),
    "a SCOORD3D that viewers crash on": (
        SR, lambda d: setattr(region(d, "point", 1), "GraphicType", "POLYGON"), "sr-outlines",
    ),
    "another Frame of Reference": (
        SR, lambda d: setattr(region(d, "point", 1), "ReferencedFrameOfReferenceUID", "1.2.3"), "sr-outlines",
    ),
    # numbers and answers of regions
    "another probability": (SR, value("nodule box", "122157", "13.9"), "sr-groups"),
    "another diameter": (SR, value("nodule circle", "81827009", "8"), "sr-groups"),
    "another length": (SR, value("nodule line", "410668003", "17.5"), "sr-groups"),
    "no number": (SR, without("nodule circle", "81827009"), "sr-groups"),
    "no derivation": (SR, without("nodule polygon", "121401"), "sr-groups"),
    "another margin": (SR, answer("nodule polygon", "129737002", "1"), "sr-groups"),
    "another finding": (SR, answer("nodule point", "121071", "1234"), "sr-groups"),
    "another category": (SR, answer("nodule point", "276214006", "1234"), "sr-groups"),
    "another side": (SR, answer("nodule box", "272741003", "7771000"), "sr-groups"),
    "no site": (SR, without("nodule box", "363698007"), "sr-groups"),
    "no algorithm family": (SR, without("nodule point", "111000"), "sr-groups"),
    "a tracking UID of its own": (
        SR, lambda d: setattr(reading.named(group(d, "nodule box", 1), "112040")[0], "UID", "1.2.3"), "sr-groups",
    ),
    "another template": (
        SR,
        lambda d: setattr(group(d, "nodule point").ContentTemplateSequence[0], "TemplateIdentifier", "1411"),
        "sr-groups",
    ),
    "a region left out": (SR, without_groups("AI nodule ellipse"), "sr-groups"),
    "a group twice": (SR, doubled, "sr-groups"),
    # statements as groups
    "absent in place of present": (SR, answer("pneumothorax", "121052", "121054"), "sr-groups"),
    "not urgent any more": (SR, without("pneumothorax", "260870009"), "sr-groups"),
    "another share of a class": (SR, value("edema", "122157", "20"), "sr-groups"),
    "no operating point": (
        SR,
        lambda d: [
            setattr(i, "TextValue", i.TextValue.replace("operating point", "x"))
            for i in reading.named(group(d, "edema"), "111002")
        ],
        "sr-groups",
    ),
    "another sensitivity": (
        SR,
        lambda d: [
            setattr(i, "TextValue", i.TextValue.replace("0.95", "0.99"))
            for i in reading.named(group(d, "pneumothorax"), "111002")
        ],
        "sr-groups",
    ),
    "another quantity": (SR, value("lung volume", "118565006", "42"), "sr-groups"),
    "other images of a statement": (SR, without("pneumothorax", "121112"), "sr-groups"),
    "an absence left out": (SR, without_groups("Trachea"), "sr-groups"),
    "a statement left out": (SR, without_groups("AI edema"), "sr-groups"),
    # context
    "another procedure": (
        SR, lambda d: setattr(reading.named(d, "121058")[0].ConceptCodeSequence[0], "CodeValue", "169069000"),
        "sr-context",
    ),
    "another language": (
        SR, lambda d: setattr(reading.named(d, "121049")[0].ConceptCodeSequence[0], "CodeValue", "de-DE"), "sr-context",
    ),
    # words
    "TEXT: present in place of absent": (
        TEXT, sentence("Edema", lambda w: w.replace("absent", "PRESENT")), "text-statements",
    ),
    "TEXT: not urgent": (TEXT, sentence("URGENT", lambda w: w.removeprefix("URGENT. ")), "text-statements"),
    "TEXT: another probability": (
        TEXT, sentence("URGENT", lambda w: w.replace("93.1", "39.1")), "text-statements",
    ),
    "TEXT: another specificity": (TEXT, sentence("URGENT", lambda w: w.replace("90 %", "99 %")), "text-statements"),
    "TEXT: another threshold": (TEXT, sentence("Edema", lambda w: w.replace("50 %", "5 %")), "text-statements"),
    "TEXT: another quantity": (TEXT, sentence("Lung volume", lambda w: w.replace("4.2", "42")), "text-statements"),
    "TEXT: another unit": (TEXT, sentence("Lung volume", lambda w: w.replace("mL", "L")), "text-statements"),
    "TEXT: a statement left out": (TEXT, drop_sentence("Effusion"), "text-statements"),
    "TEXT: an absence left out": (TEXT, drop_sentence("Not found: Mass"), "text-statements"),
    "TEXT: a note left out": (TEXT, drop_sentence("Note:"), "text-statements"),
    "TEXT: quality left out": (TEXT, drop_sentence("Limited quality"), "text-statements"),
    "TEXT: the found left out": (TEXT, drop_sentence("Found and"), "text-statements"),
    "TEXT: something that was not concluded": (TEXT, one_more_sentence, "text-statements"),
    "TEXT: a narrative without its mark": (
        TEXT, lambda d: setattr(reading.named(d, "59776-5")[0].ContentSequence[0], "TextValue", "The lungs are clear."),
        "text-narratives",
    ),
    "TEXT: another narrative": (
        TEXT, sentence("AI DRAFT, not verified by a physician. The", lambda w: w.replace("clear", "dense")),
        "text-narratives",
    ),
    "TEXT: a section left out": (TEXT, lambda d: reading.drop(d, "19005-8"), "text-narratives"),
    "TEXT: an image without a name": (
        TEXT, lambda d: delattr(reading.named(d, "121080")[0], "ConceptNameCodeSequence"), "text-images",
    ),
    "TEXT: another image": (
        TEXT,
        lambda d: setattr(
            reading.named(d, "121080")[0].ReferencedSOPSequence[0], "ReferencedSOPInstanceUID",
            reading.named(d, "121080")[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
        ),
        "text-images",
    ),
    "TEXT: no language": (TEXT, lambda d: reading.drop(d, "121049"), "text-form"),
    "TEXT: no procedure": (TEXT, lambda d: reading.drop(d, "121058"), "text-form"),
}  # fmt: skip


def test_good_reports_pass(good: Good) -> None:
    assert good.check().passed, good.check().failures


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_are_noticed(good: Good, name: str) -> None:
    which, change, expected = SEEDED[name]
    failed = {check.name: check.detail for check in good.check(which, change).failures}
    assert expected in failed, f"only {failed}"
    for detail in failed.values():
        for private in ("Example", "Ada", "OR-0001", "1960"):
            assert private not in detail


def test_a_tracking_uid_that_ohif_cannot_open(good: Good) -> None:
    """The groups that another profile wants are what keeps OHIF from opening a report."""
    text_only = replace(PROFILE, statements=Statements.TEXT)
    failed = {check.name for check in good.check(profile=text_only).failures}
    assert {"sr-tracking", "sr-groups"} <= failed


def test_another_conclusion_than_the_encoded_one(good: Good) -> None:
    """Not a changed object but a changed mind: the gate compares both ways."""
    for old, new in (
        (reported.ABSENT, replace(reported.ABSENT, operating_point=OperatingPoint(0.01))),
        (reported.PRESENT, replace(reported.PRESENT, urgent=False)),
        (reported.AMOUNT, replace(reported.AMOUNT, site=None)),
    ):
        findings = tuple(new if one is old else one for one in good.conclusion.findings)
        conclusion = replace(good.conclusion, findings=findings)
        failed = {c.name for c in reported.gated(good.objects, good.study, conclusion, PROFILE).failures}
        assert "sr-groups" in failed
        assert "text-statements" in failed
    findings = tuple(one for one in good.conclusion.findings if not isinstance(one, Detection))
    conclusion = replace(good.conclusion, findings=findings)
    assert "sr-groups" in {c.name for c in reported.gated(good.objects, good.study, conclusion, PROFILE).failures}
