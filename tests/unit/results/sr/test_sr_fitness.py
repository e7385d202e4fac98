"""What no report can hold is refused before anything is encoded, with a stable code."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.results import given, projection, reading, reported
from worker.domain.codes import MILLIMETRE, Code, Unit
from worker.domain.errors import PermanentError
from worker.domain.findings import Classification, Measurement, Narrative, OperatingPoint, Presence
from worker.domain.regions import Box, Circle, Line, Point, Polygon


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> given.Study:
    return given.a_study(tmp_path_factory.mktemp("study"))


def refusal(study, *findings) -> str:
    with pytest.raises(PermanentError) as caught:
        reported.encoded(study, reported.only(study, *findings))
    assert caught.value.next_step
    return caught.value.code


def in_region(**changes):
    return reported.Detection((reported.a_region("x", Point((3.0, 3.0)), **changes),))


def measured(value=1.0, name=reported.DIAMETER, unit=MILLIMETRE):
    return in_region(measurements=(Measurement(name, value, unit),))


CODES = {
    "no value": Code("", "SCT", "Nodule"),
    "no scheme": Code("27925004", " ", "Nodule"),
    "no meaning": Code("27925004", "SCT", ""),
    "a long value": Code("1" * 17, "SCT", "Nodule"),
    "a long meaning": Code("27925004", "SCT", "n" * 65),
    "a backslash": Code("27925004", "SCT", "Nodule\\mass"),
    "a control character": Code("27925004", "SCT", "Nodule\x07"),
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_codes(study, code) -> None:
    assert refusal(study, in_region(type=code)) == "code-unfit"
    assert refusal(study, in_region(site=code)) == "code-unfit"
    assert refusal(study, measured(name=code)) == "code-unfit"
    segmented = given.a_conclusion(study.volume).findings[0]
    segments = (replace(segmented.segments[0], type=code), *segmented.segments[1:])
    assert refusal(study, replace(segmented, segments=segments)) in {"code-unfit", "segment-unnamed"}
    assert refusal(study, replace(reported.PRESENT, finding=code)) == "code-unfit"
    assert refusal(study, Narrative(code, "text")) == "code-unfit"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(study, value) -> None:
    assert refusal(study, measured(value)) == "measurement-unfit"
    quantity = replace(reported.AMOUNT, measurements=(Measurement(reported.DIAMETER, value, MILLIMETRE),))
    assert refusal(study, quantity) == "measurement-unfit"


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-300, -1.23456789e-123, 1.7e308, -123456789.123456789, 5e-324])
def test_every_finite_number_fits_its_representation(study, value) -> None:
    (ds,) = reported.reports(study, reported.only(study, measured(value)))
    (number,) = reading.named(ds, "81827009")
    written = number.MeasuredValueSequence[0].NumericValue
    assert len(str(written.original_string)) <= 16
    assert float(written) == pytest.approx(value, rel=1e-5, abs=0)


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_shares(study, share) -> None:
    assert refusal(study, in_region(probability=share)) == "probability-unfit"
    assert refusal(study, replace(reported.PRESENT, probability=share)) == "probability-unfit"
    assert refusal(study, replace(reported.PRESENT, operating_point=OperatingPoint(share))) == "probability-unfit"


PLACES = {
    "a slice beyond": reported.a_region("x", Point((3, 3)), 6),
    "a slice before": reported.a_region("x", Point((3, 3)), -1),
    "an extent beyond": reported.a_region("x", Point((3, 3)), 2, extent=(1, 9)),
    "an extent elsewhere": reported.a_region("x", Point((3, 3)), 2, extent=(3, 4)),
    "outside": reported.a_region("x", Box((40, 3), (45, 9))),
    "not a number": reported.a_region("x", Point((math.nan, 3))),
    "a box without area": reported.a_region("x", Box((3, 3), (3, 9))),
    "a circle without radius": reported.a_region("x", Circle((3, 3), 0.0)),
    "a polygon of two": reported.a_region("x", Polygon(np.array([[1.0, 1.0], [4.0, 4.0]]))),
    "a line of one": reported.a_region("x", Line(np.array([[1.0, 1.0]]))),
}


@pytest.mark.parametrize("region", PLACES.values(), ids=PLACES)
def test_places(study, region) -> None:
    assert refusal(study, reported.Detection((region,))) == "place-unfit"


def test_key_slices(study) -> None:
    assert refusal(study, replace(reported.PRESENT, key_slices=(6,))) == "place-unfit"


def test_tracking_identifiers(study) -> None:
    one = reported.a_region("x", Point((3, 3)))
    assert refusal(study, reported.Detection((one, one))) == "tracking-not-unique"
    assert refusal(study, reported.PRESENT, reported.PRESENT) == "tracking-not-unique"
    assert refusal(study, in_region(tracking_identifier=" ")) == "text-unfit"


def test_texts(study) -> None:
    assert refusal(study, Narrative(reported.FINDINGS.section, "  ")) == "text-unfit"
    assert refusal(study, Narrative(reported.FINDINGS.section, "bell\x07")) == "text-unfit"
    finding = Classification("", "AI x", reported.EDEMA, Presence.ABSENT)
    assert refusal(study, finding) == "text-unfit"


@pytest.mark.parametrize("unit", [MILLIMETRE, Unit("mm2", "square millimeter"), Unit("mL", "milliliter")])
def test_millimetres_need_a_pixel_spacing(tmp_path, unit) -> None:
    region = reported.a_region("x", Point((3, 3)), 0, measurements=(Measurement(reported.DIAMETER, 1.0, unit),))
    flat = projection.single(tmp_path / "a")
    assert refusal(flat, reported.Detection((region,))) == "unit-without-spacing"
    spaced = projection.single(tmp_path / "b", spacing_mm=(0.2, 0.2))
    assert reported.reports(spaced, reported.detected(spaced, region))


def test_names_of_the_world_and_long_texts(study) -> None:
    label = "結節 узел " + "x" * 200
    region = reported.a_region("x", Point((3, 3)), label=label, tracking_identifier=label)
    (ds,) = reported.reports(study, reported.detected(study, region))
    assert list(reported.groups(ds)) == [label]
    words = "肺は清明。\n" + "y" * 5000
    (text,) = reported.texts(study, reported.only(study, Narrative(reported.FINDINGS.section, words)))
    assert any(said.endswith(words) for said in reported.said(text))
