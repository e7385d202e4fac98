"""Every text of every kind of result object, changed by a word or a digit: the gate refuses each, but for a short list.

Nothing is chosen here: the texts are those that are found in the objects, whatever element they stand in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import config, dcmread, dcmwrite
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, projection, reported
from tests.unit.results.display import pictured
from tests.unit.results.revised import predecessors_of
from tests.unit.results.test_copied_values import code, put
from worker.domain.character_sets import StatedSets
from worker.domain.codes import HOUNSFIELD, Code
from worker.domain.findings import Conclusion, Detection, Evaluation, Measurement, Refusal
from worker.domain.profile import OHIF, SLICER, KeyImages, Profile, SegmentEncoding
from worker.domain.result import Check, EncodedObject, ResultContext, ResultKind, Withdrawal
from worker.gate.codes import known_meanings
from worker.gate.display.key_objects import key_checks
from worker.gate.display.parametric_map import map_checks
from worker.gate.display.presentation_state import presentation_checks
from worker.gate.display.secondary_capture import capture_checks
from worker.gate.header import REPORT_CLASS, TEXT_CLASS, header_checks
from worker.gate.header_text import Said, equipment_check
from worker.gate.reading import Inspection, Parsed, read_evidence, read_object
from worker.gate.rejection_note import note_checks, predecessor_check
from worker.gate.seg.segmentation import seg_checks
from worker.gate.sr.basic_text import text_checks
from worker.gate.sr.not_analysed import refusal_checks
from worker.gate.sr.report import report_checks
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

TEXTS = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})

NOT_CHANGED = {"SpecificCharacterSet": "how the other texts are read; test_copied_text is about it"}
"""Keywords of texts that are left alone here, with the reason."""

FROM_THE_BYTES = re.compile(r"(ContributingEquipment|ReferencedRequest|ProcedureCode|AdmittingDiagnoses)\w*Sequence")
"""What the gate compares byte by byte with the images, and so not in what pydicom makes of it."""

Change = Callable[[str], str | None]


OF_CODES = frozenset({"CodeValue", "CodingSchemeDesignator", "CodeMeaning", "ValueType", "RelationshipType"})
"""There are hundreds of them, each one word or few: one change is enough."""


def another_digit(words: str) -> str | None:
    """The last digit is the next one."""
    found = list(re.finditer(r"[0-9]", words))
    if not found:
        return None
    at = found[-1].start()
    return f"{words[:at]}{(int(words[at]) + 1) % 10}{words[at + 1 :]}"


def another_word(at: int) -> Change:
    """One of the words is another."""

    def change(words: str) -> str | None:
        found = list(re.finditer(r"[A-Za-z]{2,}", words))
        if not found or (at == -1 and len(found) == 1):
            return None
        one = found[at]
        new = "LIVER" if one[0].isupper() else "liver" if one[0].islower() else "Liver"
        return f"{words[: one.start()]}{new}{words[one.end() :]}"

    return change


CHANGES: dict[str, Change] = {
    "another digit": another_digit,
    "another first word": another_word(0),
    "another last word": another_word(-1),
    "a word more": lambda words: f"{words} malignant",
}


@dataclass(frozen=True)
class Sent:
    """A set of objects with everything that they are compared with."""

    study: given.Study
    conclusion: Conclusion
    profile: Profile
    context: ResultContext = given.CONTEXT
    refusal: Refusal | None = None

    @cached_property
    def objects(self) -> tuple[EncodedObject, ...]:
        encoder = DicomEncoder(standard=self.profile)
        if self.refusal is not None:
            return encoder.refuse(self.refusal, self.study.evidence, self.context)
        return encoder.encode(self.conclusion, self.study.evidence, self.context)

    @cached_property
    def parsed(self) -> list[Parsed]:
        return [Parsed(one, read_object(one)) for one in self.objects]

    @cached_property
    def inspection(self) -> Inspection:
        evidence = read_evidence(self.study.evidence, StatedSets())
        return Inspection(self.conclusion, evidence, self.context, self.profile)

    @cached_property
    def said(self) -> Said:
        if self.refusal is not None:
            return Said(self.refusal.algorithm, known_meanings(()), series="not analysed")
        modality = self.conclusion.volume.modality
        return Said(self.conclusion.algorithm, known_meanings(self.conclusion.findings, modality))

    def checks(self, at: int, parsed: Sequence[Parsed], *, header_first: bool = False) -> Iterator[Check]:
        """What the gate asks of one object."""
        ds, item = parsed[at].dataset, parsed[at].item
        yield equipment_check([one.dataset for one in parsed])
        name = {ResultKind.SR: "text" if parsed[at].sop_class == TEXT_CLASS else "sr"}.get(item.kind, item.kind.lower())
        evidence, limit = self.inspection.evidence, 1 << 30
        parts = (
            self._of_kind(ds, item, parsed),
            header_checks(item, ds, evidence, self.profile, self.said, name=name, maximum_bytes=limit),
        )
        for part in reversed(parts) if header_first else parts:
            yield from part

    def _of_kind(self, ds: Dataset, item: EncodedObject, parsed: Sequence[Parsed]) -> Iterator[Check]:
        def of(kind: ResultKind, sop_class: str = "") -> list[Dataset]:
            found = [one for one in parsed if one.item.kind is kind]
            return [one.dataset for one in found if not sop_class or one.sop_class == sop_class]

        inspection, segmented = self.inspection, [one for one in self.conclusion.segmentations if one.segments]
        match item.kind:
            case ResultKind.SEG:
                yield from seg_checks(ds, segmented[0], inspection)
            case ResultKind.SR if self.refusal is not None:
                yield from refusal_checks(ds, self.refusal, inspection.evidence)
            case ResultKind.SR if item.sop_class_uid == TEXT_CLASS:
                yield from text_checks(ds, inspection)
                yield predecessor_check("text", ds, self.context)
            case ResultKind.SR:
                pairs = list(zip(of(ResultKind.SEG), segmented, strict=False))
                yield from report_checks(of(ResultKind.SR, REPORT_CLASS), pairs, inspection)
                yield predecessor_check("sr", ds, self.context)
            case ResultKind.PM:
                heat_map = self.conclusion.heat_maps[of(ResultKind.PM).index(ds)]
                yield from map_checks(ds, heat_map, inspection)
            case ResultKind.SC:
                yield from capture_checks(of(ResultKind.SC), inspection)
            case ResultKind.KEY:
                yield from key_checks(ds, of(ResultKind.SC), inspection)
            case ResultKind.PR:
                yield from presentation_checks(of(ResultKind.PR), inspection)
            case ResultKind.KOS:
                (withdrawal,) = self.context.withdrawals
                others = [one.dataset for one in parsed]
                yield from note_checks(ds, withdrawal, others, inspection.evidence, self.conclusion.algorithm)


@dataclass(frozen=True)
class Text:
    """A text of an object: where it stands, and the element."""

    path: tuple[str, ...]
    element: DataElement

    @property
    def value(self) -> str:
        """The last of its values."""
        return str(self.element.value if self.element.VM == 1 else self.element.value[-1])

    @property
    def is_of_header(self) -> bool:
        return len(self.path) == 1 or self.path[0] == "FileMeta" or FROM_THE_BYTES.match(self.path[0]) is not None

    def changed(self, new: str) -> object:
        return new if self.element.VM == 1 else [*list(self.element.value)[:-1], new]


def texts_of(ds: Dataset, path: tuple[str, ...] = ()) -> Iterator[Text]:
    """Every text, at any depth; content items are told apart by their concept names."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                concept = item.get("ConceptNameCodeSequence") or [Dataset()]
                yield from texts_of(item, (*path, f"{element.keyword} {concept[0].get('CodeValue', '')}".strip()))
        elif element.VR in TEXTS and not element.is_empty and element.keyword not in NOT_CHANGED:
            yield Text((*path, element.keyword), element)


def unnoticed(sent: Sent, at: int, text: Text, new: str) -> bool:
    """Change a text, ask the gate, and change it back."""
    parsed, value = sent.parsed, text.element.value
    with config.disable_value_validation():
        text.element.value = text.changed(new)
        try:
            if text.is_of_header:
                buffer = BytesIO()
                dcmwrite(buffer, parsed[at].dataset)
                item = replace(parsed[at].item, content=buffer.getvalue())
                parsed = [*parsed[:at], Parsed(item, parsed[at].dataset), *parsed[at + 1 :]]
            return all(check.passed for check in sent.checks(at, parsed, header_first=text.is_of_header))
        finally:
            text.element.value = value


PRIVATE = Code("GRADE-3", "99OVERREAD", "Grade 3")
GRADE = Code("371469007", "SCT", "Histologic grade")


def a_study(folder: Path) -> given.Study:
    """Images that say as much as images can say, and one thing that is no valid value."""
    request = Dataset()
    request.RequestedProcedureID, request.RequestedProcedureDescription = "RP1", "CT of the chest"
    request.ReasonForTheRequestedProcedure, request.AccessionNumber = "Cough for 3 weeks", "A00000001"
    request.RequestedProcedureCodeSequence = [code("51185008")]
    attributes = {
        "StudyDescription": "Chest 2", "OtherPatientIDs": ["X1", "X2"], "OtherPatientNames": "Example^Adele",
        "ProcedureCodeSequence": [code("51185008")], "AdmittingDiagnosesCodeSequence": [code("49727002")],
        "RequestAttributesSequence": [request], "BodyPartExamined": "CHEST", "Manufacturer": "Scanners",
        "ManufacturerModelName": "S 1", "SoftwareVersions": ["a1", "b2"], "DeviceSerialNumber": "55",
        "StationName": "CT1", "AdmittingDiagnosesDescription": "Pain 1", "EthnicGroup": "x1", "Occupation": "Baker 1",
        "AdditionalPatientHistory": "Fall 2", "MedicalAlerts": "Alert 1", "Allergies": ["Nuts 1", "Milk 2"],
        "PhysiciansOfRecord": "Doctor^Dora", "ClinicalTrialSponsorName": "Sponsor 1", "PatientIdentityRemoved": "NO",
        "WindowCenter": [40, 300], "WindowWidth": [400, 9], "PositionReferenceIndicator": "XY", "AdmissionID": "7",
    }  # fmt: skip
    study = pictured.a_ct(folder, slices=4, attributes=attributes)
    for path in study.paths:
        ds = dcmread(path)
        put(ds, "PatientWeight", "DS", b"70,5")
        with config.disable_value_validation():
            ds.save_as(path)
    return replace(study, evidence=builders.stored_instances(study.paths))


def a_conclusion(study: given.Study) -> Conclusion:
    """Every kind of finding, with all that it can say."""
    base = given.a_conclusion(study.volume, absent=("Trachea",))
    (segmented,) = base.segmentations
    graded = replace(segmented.segments[1], site=given.LUNG, laterality=given.LEFT, evaluations=(reported.MARGINS,))
    region = reported.a_region(
        "box", reported.SHAPES["box"], 1, probability=0.931, site=given.LUNG, laterality=given.RIGHT,
        measurements=(Measurement(reported.ATTENUATION, -12.5, HOUNSFIELD, derivation=reported.MEAN),),
        evaluations=(Evaluation(GRADE, PRIVATE),), extent=(0, 2),
    )  # fmt: skip
    line = reported.a_region("line", reported.SHAPES["line"], 2, label="Axis 1")
    findings = (
        replace(segmented, segments=(segmented.segments[0], graded)),
        Detection((region, line), absent=("Mass",)),
        pictured.a_heat_map(study.volume),
        replace(reported.PRESENT, key_slices=(2,)),
        reported.ABSENT,
        reported.UNSURE,
        reported.AMOUNT,
        reported.FINDINGS,
        reported.IMPRESSIONS,
        reported.QUALITY,
    )
    return replace(base, findings=findings, notes=("few slices",))


def everything(folder: Path) -> Sent:
    """Of a second run, which withdraws what a first one sent."""
    study = a_study(folder)
    first = Sent(study, a_conclusion(study), OHIF)
    old = predecessors_of(first.objects)
    context = replace(
        given.CONTEXT, revision=2, generation=1, predecessors=old, withdrawals=(Withdrawal(("PACS",), old),)
    )
    return replace(first, profile=pictured.FULL, context=context)


def of_profile(**changes: object) -> Callable[[Path], Sent]:
    def make(folder: Path) -> Sent:
        study = a_study(folder)
        return Sent(study, a_conclusion(study), replace(OHIF, **changes))  # type: ignore[arg-type]

    return make


def projections(folder: Path) -> Sent:
    study = projection.several(folder)
    return Sent(study, pictured.without_measurements(given.a_conclusion(study.volume)), OHIF)


def a_refusal(folder: Path) -> Sent:
    study = a_study(folder)
    refusal = Refusal(given.ALGORITHM, study.volume.series_instance_uid, "CT", "too-few-slices", "There are 3 slices.")
    return Sent(study, given.a_conclusion(study.volume), replace(OHIF, refusals=True), refusal=refusal)


SLICED = {"regions": SLICER.regions, "statements": SLICER.statements, "one_template": True}
SETS: dict[str, tuple[Callable[[Path], Sent], frozenset[ResultKind]]] = {
    "everything": (everything, frozenset(ResultKind)),
    "templates": (of_profile(**SLICED), frozenset({ResultKind.SR})),
    "label map": (of_profile(segmentation=SegmentEncoding.LABELMAP), frozenset({ResultKind.SEG})),
    "fractions": (of_profile(segmentation=SegmentEncoding.FRACTIONAL), frozenset({ResultKind.SEG})),
    "words alone": (of_profile(report=False, heat_maps=False), frozenset({ResultKind.SR})),
    "frames": (of_profile(key_images=KeyImages.MULTI_FRAME), frozenset({ResultKind.SC})),
    "projections": (projections, frozenset({ResultKind.SEG, ResultKind.SR})),
    "a refusal": (a_refusal, frozenset({ResultKind.SR})),
}


@pytest.fixture(scope="module")
def tried() -> set[tuple[str, ...]]:
    """What was changed before: paths and values, alone and with the class of their object."""
    return set()


def changes_of(text: Text, sop_class: str, tried: set[tuple[str, ...]]) -> list[tuple[str, str]]:
    """All changes of a text that is new; one of a code, and of what another kind of object says as well; else none."""
    place = (*text.path, text.value)
    if (sop_class, *place) in tried:
        return []
    once = text.path[-1] in OF_CODES or place in tried
    tried |= {place, (sop_class, *place)}
    changed = [(what, new) for what, change in CHANGES.items() if (new := change(text.value)) is not None]
    return changed[:1] if once else changed


@pytest.mark.parametrize("name", SETS)
def test_no_text_passes_with_another_word_or_digit(tmp_path: Path, name: str, tried: set[tuple[str, ...]]) -> None:
    make, kinds = SETS[name]
    sent = make(tmp_path)
    missed: set[tuple[str, str, str]] = set()
    count = 0
    for at, one in enumerate(sent.parsed):
        if one.item.kind not in kinds:
            continue
        assert [check for check in sent.checks(at, sent.parsed) if not check.passed] == []
        for text in (*texts_of(one.dataset.file_meta, ("FileMeta",)), *texts_of(one.dataset)):
            for what, new in changes_of(text, one.sop_class, tried):
                count += 1
                if unnoticed(sent, at, text, new):
                    missed.add((one.item.kind, " > ".join(text.path), what))
    assert count
    assert not missed
