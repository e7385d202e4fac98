"""Every kind of error, seeded into every sentence of a text report: the gate refuses each of them.

Among what is concluded are look-alikes: labels that are parts of others, twins that differ in one word or number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.unit.results import given, reading, reported
from worker.domain.character_sets import StatedSets
from worker.domain.codes import MILLIMETRE, Code, Unit
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Evaluation,
    HeatMap,
    Measurement,
    OperatingPoint,
    Presence,
    QualityStatement,
    Quantification,
)
from worker.domain.profile import OHIF, SegmentEncoding
from worker.domain.regions import Box
from worker.gate.header import TEXT_CLASS
from worker.gate.reading import EvidenceHeaders, Inspection, read_evidence
from worker.gate.sr.basic_text import text_checks

WORDS_ONLY = replace(OHIF, name="words", report=False, segmentation=SegmentEncoding.NONE, heat_maps=False)
PROFILES = {"beside a report": OHIF, "words alone": WORDS_ONLY}

GRADE = Evaluation(Code("371469007", "SCT", "Histologic grade"), Code("54102005", "SCT", "Grade 1"))
SCORE = Unit("{score}", "score")


def a_conclusion(study: given.Study) -> Conclusion:
    """Every form of a sentence, with look-alikes of each."""
    base = given.a_conclusion(study.volume, absent=("Lung", "Lung nodule", "Lung nodule 2"), notes=("few slices",))
    box = Box((4.5, 5.5), (10.5, 14.5))
    twins = tuple(
        reported.a_region(
            "box", box, index, tracking_identifier=f"AI box {name}", probability=chance, site=given.LUNG,
            laterality=side, evaluations=(reported.MARGINS,),
            measurements=(
                Measurement(reported.DIAMETER, 8.25, MILLIMETRE), Measurement(reported.ATTENUATION, -12.5, SCORE),
            ),
        )
        for name, index, chance, side in (
            ("1", 1, 0.931, given.RIGHT), ("11", 1, 0.931, given.LEFT), ("2", 2, 0.931, given.RIGHT)
        )
    )  # fmt: skip
    single = Detection((*twins, reported.a_region("lone", box, 3, label="AI nodule lone")), absent=("Mass",))
    heat = HeatMap("Suspicion", np.zeros(study.volume.geometry.shape, np.float32), reported.EDEMA, SCORE, (0.0, 1.0))
    others = (
        reported.PRESENT,
        reported.ABSENT,
        replace(reported.ABSENT, label="Edema of the lung", tracking_identifier="AI edema of the lung"),
        replace(reported.UNSURE, evaluations=(GRADE,)),
        Classification(
            "Fracture", "AI fracture", reported.EDEMA, Presence.ABSENT, 0.25, OperatingPoint(0.5, None, 0.75)
        ),
        reported.AMOUNT,
        replace(reported.AMOUNT, laterality=given.RIGHT, key_slices=(2,), tracking_identifier="AI right volume"),
        Quantification("Age", "AI age", given.LUNG, (Measurement(reported.DIAMETER, 61.0, Unit("1", "no units")),)),
        heat,
        replace(heat, label="Suspicion of edema"),
        reported.QUALITY,
        QualityStatement("thick", "Slices are thick."),
        reported.FINDINGS,
    )  # fmt: skip
    return replace(base, findings=(*base.findings, single, *others))


@dataclass(frozen=True)
class Good:
    study: given.Study
    conclusion: Conclusion
    headers: EvidenceHeaders
    texts: dict[str, Dataset]

    def failures(self, profile: str, ds: Dataset) -> Iterator[str]:
        inspected = Inspection(self.conclusion, self.headers, given.CONTEXT, PROFILES[profile])
        return (check.name for check in text_checks(ds, inspected) if not check.passed)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Good:
    study = given.a_study(tmp_path_factory.mktemp("study"))
    conclusion = a_conclusion(study)
    texts = {}
    for name, profile in PROFILES.items():
        objects = reported.encoded(study, conclusion, profile)
        (texts[name],) = [reading.dataset(item) for item in objects if item.sop_class_uid == TEXT_CLASS]
    return Good(study, conclusion, read_evidence(study.evidence, StatedSets()), texts)


Change = Callable[[str], str | None]
"""The sentence with an error; None where its form has nothing of the kind."""


def pattern(expression: str, new: str) -> Change:
    def change(words: str) -> str | None:
        changed = re.sub(expression, new, words, count=1)
        return None if changed == words else changed

    return change


def next_digit(at: int) -> Change:
    """Change the last digit of the ``at``-th number (from the end with a negative one)."""

    def change(words: str) -> str | None:
        numbers = list(re.finditer(r"[0-9]+(?:\.[0-9]+)?", words))
        if not -len(numbers) <= at < len(numbers):
            return None
        end = numbers[at].end()
        return f"{words[: end - 1]}{(int(words[end - 1]) + 1) % 10}{words[end:]}"

    return change


WORDS: dict[str, Change] = {
    "a number more": lambda words: f"{words.removesuffix('.')}, Diameter 3 mm.",
    "a number more, in front": pattern(r": ", ": Diameter 3 mm, "),
    "an answer more": lambda words: f"{words} Margins: Circumscribed.",
    "a word more": lambda words: f"{words} Malignant.",
    "a word in front": lambda words: f"Probably {words}",
    "another name": pattern(r"(Lung|[Nn]odule|Edema|Mass|Volume|Suspicion|Fracture|Age|few|blurs|thick)", "Liver"),
    "a longer name": pattern(r"(Lung nodule|Lung|Edema|Mass|Suspicion|Fracture|Nodule box)", r"\1 of the liver"),
    "a shorter name": pattern(r"(Lung nodule|Edema) (2|of the lung)", r"\1"),
    **{f"number {at} changed": next_digit(at) for at in (0, 1, 2, -1)},
    "a sign turned": pattern(r"(?<![\w.-])(-?)([0-9.]+) (?=mm|mL|score|%)", lambda m: f"{'' if m[1] else '-'}{m[2]} "),  # type: ignore[arg-type]
    "a tenth": pattern(r"([0-9]+\.?[0-9]*) (?=mm|mL|score|%)", r"\g<1>e-1 "),
    "another unit": pattern(r" (mm|mL|score)\b", " cm"),
    "no unit": pattern(r" (mm|mL|score|%)", ""),
    "another derivation": pattern(r"\(Mean\)", "(Maximum)"),
    "no derivation": pattern(r" \(Mean\)", ""),
    "the other side": pattern(r"\((left|right)\b", lambda m: "(left" if m[1] == "right" else "(right"),  # type: ignore[arg-type]
    "no side": pattern(r"\((left|right) lung\)", "(lung)"),
    "no place": pattern(r" \((left|right)? ?lung\)", ""),
    "present for absent": pattern(r": (absent|indeterminate)", ": PRESENT"),
    "absent for present": pattern(r": PRESENT", ": absent"),
    "found for not found": pattern(r"^Not found", "Found"),
    "not found for found": pattern(r"^Found", "Not found"),
    "not urgent": pattern(r"^URGENT\. ", ""),
    "urgent": lambda words: None if words.startswith("URGENT") else f"URGENT. {words}",
    "no probability": pattern(r",? ?probability [0-9.]+ %,?", ""),
    "no threshold": pattern(r", threshold [0-9.]+ %", ""),
    "no specificity": pattern(r",? ?specificity [0-9.]+ %", ""),
    "sensitivity for specificity": pattern(r"specificity", "sensitivity"),
    "another answer": pattern(r"(Circumscribed|Grade 1)", "Spiculated"),
    "no answer": pattern(r" (Margins|Histologic grade): [\w ]+\.", ""),
    "another image": pattern(r"in image ([0-9])", "in image 6"),
    "a measurement left out": pattern(r", Attenuation Coefficient -12.5 score", ""),
    "one of the found left out": pattern(r"Right lung, ", ""),
    "one more found": pattern(r"Right lung, ", "Right lung, Left lung, "),
    "a heat map that was sent": pattern(r"was made and is not sent to this destination", "is in the same study"),
    "a heat map that was not sent": pattern(r"is in the same study", "was made and is not sent to this destination"),
}


def section(ds: Dataset) -> Dataset:
    return reading.named(ds, "121070")[0]


def statements(ds: Dataset) -> Iterator[tuple[int, str]]:
    for at, item in enumerate(section(ds).ContentSequence):
        yield at, str(item.TextValue)


def fresh(ds: Dataset) -> Dataset:
    """A copy whose texts and content can be changed; the rest is shared, for a copy of everything takes long."""
    new = Dataset()
    new.update(ds)
    for keyword in ("TextValue", "ContentSequence"):
        if keyword in ds:
            delattr(new, keyword)
    if "TextValue" in ds:
        new.TextValue = ds.TextValue
    if "ContentSequence" in ds:
        new.ContentSequence = [fresh(item) for item in ds.ContentSequence]
    return new


def unnoticed(good: Good, profile: str, change: Callable[[Dataset], object], *expected: str) -> bool:
    ds = fresh(good.texts[profile])
    change(ds)
    return all(name not in (expected or ("text-statements",)) for name in good.failures(profile, ds))


@pytest.mark.parametrize("profile", PROFILES)
def test_what_the_encoder_writes_passes(good: Good, profile: str) -> None:
    assert list(good.failures(profile, good.texts[profile])) == []
    assert len(list(statements(good.texts[profile]))) >= 16


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", WORDS)
def test_an_error_in_the_words_of_any_sentence(good: Good, profile: str, name: str) -> None:
    missed = []
    for at, words in statements(good.texts[profile]):
        changed = WORDS[name](words)
        if changed is None or changed == words:
            continue
        if unnoticed(
            good, profile, lambda ds, at=at, new=changed: setattr(section(ds).ContentSequence[at], "TextValue", new)
        ):
            missed.append((words, changed))
    assert not missed


def test_every_error_can_be_made_in_some_sentence(good: Good) -> None:
    said = [words for ds in good.texts.values() for _, words in statements(ds)]
    assert [name for name, change in WORDS.items() if not any(change(words) for words in said)] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_any_sentence_missing_doubled_or_in_the_place_of_another(good: Good, profile: str) -> None:
    missed = []
    count = len(list(statements(good.texts[profile])))
    for at in range(count):

        def drop(ds: Dataset, at: int = at) -> None:
            del section(ds).ContentSequence[at]

        def double(ds: Dataset, at: int = at) -> None:
            section(ds).ContentSequence.append(fresh(section(ds).ContentSequence[at]))

        if unnoticed(good, profile, drop) or unnoticed(good, profile, double):
            missed.append(at)
        for other in {(at + 1) % count, (at + 2) % count}:

            def twice(ds: Dataset, at: int = at, other: int = other) -> None:
                section(ds).ContentSequence[other] = fresh(section(ds).ContentSequence[at])

            if unnoticed(good, profile, twice):
                missed.append((at, other))
    assert not missed


@pytest.mark.parametrize("profile", PROFILES)
def test_names_or_numbers_of_two_sentences_swapped(good: Good, profile: str) -> None:
    """The words of one with the images of the other; the values of one with the name of the other."""
    missed = []
    said = dict(statements(good.texts[profile]))
    for one, first in said.items():
        for two, second in said.items():
            heads = first.partition(": ")[0], second.partition(": ")[0]
            if (
                not one < two <= one + 4
                or heads[0] == heads[1]
                or first.partition(": ")[2] == second.partition(": ")[2]
            ):
                continue

            def swap(ds: Dataset, one: int = one, two: int = two, heads: tuple[str, str] = heads) -> None:
                for at, new in ((one, heads[1]), (two, heads[0])):
                    item = section(ds).ContentSequence[at]
                    item.TextValue = f"{new}: {str(item.TextValue).partition(': ')[2]}"

            if unnoticed(good, profile, swap):
                missed.append((first, second))
    assert not missed


@pytest.mark.parametrize("profile", PROFILES)
def test_images_of_any_sentence_missing_changed_or_of_another(good: Good, profile: str) -> None:
    missed = []
    items = list(section(good.texts[profile]).ContentSequence)
    shown = [at for at, item in enumerate(items) if item.get("ContentSequence")]
    for at in shown:
        if unnoticed(
            good, profile, lambda ds, at=at: delattr(section(ds).ContentSequence[at], "ContentSequence"), "text-images"
        ):
            missed.append(at)
        for other in {(at + 1) % len(items), (at + 2) % len(items), shown[0], shown[-1]}:

            def give(ds: Dataset, at: int = at, other: int = other) -> None:
                taken = deepcopy(section(ds).ContentSequence[at].ContentSequence)
                section(ds).ContentSequence[other].ContentSequence = taken

            own, theirs = items[at].ContentSequence, items[other].get("ContentSequence") or []
            same = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in own] == [
                i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in theirs
            ]
            if not same and unnoticed(good, profile, give, "text-images"):
                missed.append((at, other))
    assert shown
    assert not missed


def texts_of(ds: Dataset) -> list[Dataset]:
    return [item for item in reading.items(ds) if item.ValueType == "TEXT"]


def test_a_word_more_in_any_text_of_the_document(good: Good) -> None:
    """Narratives, and who says it; what names the equipment is compared with the header elsewhere."""
    ds = good.texts["beside a report"]
    observer = {"121013", "121014", "121015", "121016"}
    for at, item in enumerate(texts_of(ds)):
        if item.ConceptNameCodeSequence[0].CodeValue in observer:
            continue
        for change in (lambda words: f"{words} Malignant.", lambda words: f"Normal. {words}", lambda _: "Normal."):

            def apply(ds: Dataset, at: int = at, change: Callable[[str], str] = change) -> None:
                one = texts_of(ds)[at]
                one.TextValue = change(str(one.TextValue))

            assert not unnoticed(good, "beside a report", apply, "text-statements", "text-narratives"), item.TextValue


@pytest.mark.parametrize("where", ["root", "statements", "narrative", "conclusions", "below a statement"])
def test_an_item_more_anywhere(good: Good, where: str) -> None:
    def add(ds: Dataset) -> None:
        extra = fresh(section(ds).ContentSequence[-1])
        extra.TextValue = "Malignant."
        sections = [item for item in ds.ContentSequence if item.ValueType == "CONTAINER"]
        holder = {
            "root": ds, "statements": sections[0], "narrative": sections[1], "conclusions": sections[-1],
            "below a statement": section(ds).ContentSequence[-1],
        }[where]  # fmt: skip
        holder.ContentSequence = [*(holder.get("ContentSequence") or []), extra]

    assert not unnoticed(good, "beside a report", add, "text-form", "text-statements", "text-narratives", "text-images")


def test_a_section_more_or_sections_in_another_order(good: Good) -> None:
    def more(ds: Dataset) -> None:
        ds.ContentSequence.append(fresh(ds.ContentSequence[-1]))

    def turned(ds: Dataset) -> None:
        ds.ContentSequence = list(reversed(ds.ContentSequence))

    for change in (more, turned):
        assert not unnoticed(good, "beside a report", change, "text-narratives")
