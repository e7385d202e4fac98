"""Every line of the pages of statements, with look-alikes: missing, doubled, changed or one more, it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.results import given, reading, reported
from tests.unit.results.display import pictured
from worker.domain.findings import Conclusion, Detection, Presence
from worker.domain.profile import KeyImages, Profile
from worker.domain.regions import Box
from worker.domain.result import ResultKind
from worker.gate.display.statement_pages import page_problems

DATED = ", images of 2026-03-14 09:15"
PROFILE = Profile(name="pages", key_images=KeyImages.SINGLE_FRAME)


def a_conclusion(study: given.Study) -> Conclusion:
    base = pictured.everything(study.volume)
    box = Box((4.5, 5.5), (10.5, 14.5))
    twins = tuple(
        reported.a_region("box", box, index, label=label, tracking_identifier=f"AI {label}", probability=0.931)
        for label, index in (("Lung", 1), ("Lung nodule", 1), ("Lung nodule 2", 2))
    )
    answered = pictured.a_classification(
        Presence.INDETERMINATE,
        evaluations=(reported.MARGINS,),
        label="Effusion of the lung",
        tracking_identifier="AI effusion of the lung",
    )
    more = (Detection(twins, absent=("Mass", "Mass of the lung")), reported.AMOUNT, answered)
    return replace(base, findings=(*base.findings, *more), notes=("few slices",))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Conclusion, list[str]]:
    study = given.a_study(tmp_path_factory.mktemp("study"))
    conclusion = a_conclusion(study)
    one = pictured.encoded(study, conclusion, PROFILE)
    assert one.failures() == {}
    pages = [ds for ds in one.of(ResultKind.SC) if "a page of text" in ds.DerivationDescription]
    return conclusion, [str(ds.ImageComments) for ds in pages]


def lines_of(pages: list[str]) -> list[str]:
    return [line for page in pages for line in page.split("\r\n")]


CHANGES: dict[str, Callable[[list[str], int], list[str]]] = {
    "missing": lambda lines, at: [*lines[:at], *lines[at + 1 :]],
    "doubled": lambda lines, at: [*lines[: at + 1], lines[at], *lines[at + 1 :]],
    "in the place of the next": lambda lines, at: [*lines[: at + 1], lines[at], *lines[at + 2 :]],
    "a word more": lambda lines, at: [*lines[:at], f"{lines[at]} malignant", *lines[at + 1 :]],
    "a word in front": lambda lines, at: [*lines[:at], f"no {lines[at]}", *lines[at + 1 :]],
    "a number changed": lambda lines, at: [*lines[:at], lines[at].replace("1", "7"), *lines[at + 1 :]],
    "another day": lambda lines, at: [*lines[:at], lines[at].replace("2026-03-14", "2026-03-15"), *lines[at + 1 :]],
    "found for not found": lambda lines, at: [*lines[:at], lines[at].replace("not found", "found"), *lines[at + 1 :]],
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_error_in_any_line(written: tuple[Conclusion, list[str]], name: str) -> None:
    conclusion, pages = written
    lines = lines_of(pages)
    assert len(lines) > 25
    assert list(page_problems(pages, conclusion, DATED)) == []
    for at, line in enumerate(lines):
        changed = CHANGES[name](lines, at)
        if name == "missing" and " - page " in line:
            continue  # how many pages there are, nobody concluded
        if not line or changed == lines or changed[at : at + 2] == lines[at : at + 2]:
            continue
        assert list(page_problems(["\r\n".join(changed)], conclusion, DATED)), line


def test_it_is_asked_of_the_pages_of_a_set(tmp_path) -> None:
    study = given.a_study(tmp_path)
    one = pictured.encoded(study, a_conclusion(study), PROFILE)
    at = next(n for n, item in enumerate(one.objects) if item.kind is ResultKind.SC)
    objects = list(one.objects)
    objects[at] = reading.changed(
        objects[at],
        lambda ds: setattr(ds, "ImageComments", ds.ImageComments.replace("Lung nodule 2: ", "Lung nodule: ")),
    )
    assert "sc-words" in one.failures(objects)


def test_a_line_may_go_on_on_the_next_page(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = replace(a_conclusion(study), notes=(" ".join(f"Remark {n}." for n in range(600)),))
    one = pictured.encoded(study, conclusion, PROFILE)
    assert one.failures() == {}
    assert sum("a page of text" in ds.DerivationDescription for ds in one.of(ResultKind.SC)) > 2


def test_labels_that_the_font_cannot_write(tmp_path) -> None:
    """One label for things of two meanings, and a space at the end of another."""
    study = given.a_study(tmp_path)
    box = Box((4.5, 5.5), (10.5, 14.5))
    found = tuple(
        reported.a_region("box", box, index, label=label, type=kind, tracking_identifier=f"AI {n}", extent=(0, 5))
        for n, (label, kind, index) in enumerate(
            (("肺结节", given.NODULE, 1), ("肺结节", given.LUNG, 2), ("Étude", given.LUNG, 1), ("Lung ", given.LUNG, 3))
        )
    )
    conclusion = replace(a_conclusion(study), findings=(Detection(found),))
    assert pictured.encoded(study, conclusion, pictured.FULL).failures() == {}
