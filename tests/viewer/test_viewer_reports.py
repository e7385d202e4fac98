"""Measurement reports in OHIF: what is outlined, where, and with which values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.integration.results import subjects
from tests.unit.results import reading
from tests.viewer import screen
from tests.viewer.expectations import line_of, outlined, places_of_masks, places_of_regions, segments_on
from tests.viewer.reading_room import STUDIES, ReadingRoom, marked
from worker.domain.profile import OHIF, Profile
from worker.domain.result import ResultKind

pytestmark = [pytest.mark.orthanc, pytest.mark.slow, pytest.mark.timeout(1800)]

SHOWN = ("CT", "MR", "Enhanced CT", "CR")
EDITABLE = Profile(name="editable", editable_measurements=True)


def said(text: str, what: str) -> float:
    """The number that follows a name on the screen."""
    found = re.search(rf"{what}:? ([0-9.]+)", text)
    assert found, text
    return float(found.group(1))


@pytest.mark.parametrize("name", marked(SHOWN))
def test_segments_are_outlined_with_their_values(
    room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path
) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    objects = subjects.encoded(study, conclusion, OHIF)
    report = next(one for one in objects if one.kind is ResultKind.SR)
    index = subjects.middle(study.volume)
    room.open(study, objects)
    view = room.load(study, [report], index)
    assert not room.viewer.crashed()
    found = outlined(view, places_of_masks(view, list(segments_on(conclusion, index).values())))
    assert found.holds, found

    listed = room.viewer.measurements()
    assert len(listed) == len(conclusion.segments)
    assert all(one["loaded"] for one in listed)
    drawn = room.viewer.words().drawn
    assert len(drawn) == len(conclusion.segments), drawn
    areas = sorted(said(text, "Area") for text in drawn)
    masks = segments_on(conclusion, index)
    _, row_mm, column_mm = study.volume.geometry.spacing_mm if study.volume.has_spacing else (1.0, 1.0, 1.0)
    assert areas == pytest.approx(sorted(mask.sum() * row_mm * column_mm for mask in masks.values()), rel=0.01)
    if study.volume.in_patient_space:
        volumes = sorted(said(text, "Volume") for text in drawn)
        expected = sorted(one.measurements[0].value for one in conclusion.segments)
        assert volumes == pytest.approx(expected, rel=0.01, abs=0.01)
    room.keep(f"sr-segments-{name.lower().replace(' ', '-')}")


@pytest.mark.parametrize("shape", ["box", "polygon", "circle", "ellipse"])
@pytest.mark.parametrize("name", ["CT", "CR"])
def test_regions_are_drawn_where_they_are(
    room: ReadingRoom, name: str, shape: str, tmp_path: Path, sample_cache: Path
) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    conclusion = subjects.regions_only(study, shape)
    (report,) = (one for one in subjects.encoded(study, conclusion, OHIF) if one.kind is ResultKind.SR)
    room.open(study, [report])
    view = room.load(study, [report], subjects.middle(study.volume))
    assert not room.viewer.crashed()
    found = outlined(view, places_of_regions(view, conclusion.regions))
    assert found.holds, found
    assert "Probability" in " ".join(room.viewer.words().drawn)


@pytest.mark.parametrize("name", ["CT", "MR", "CR", "US cine"])
def test_all_regions_together(room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    drawn_shapes = ("box", "polygon", "circle", "ellipse")
    conclusion = subjects.regions_only(study, *drawn_shapes)
    (report,) = (one for one in subjects.encoded(study, conclusion, OHIF) if one.kind is ResultKind.SR)
    room.open(study, [report])
    view = room.load(study, [report], subjects.middle(study.volume))
    assert not room.viewer.crashed()
    found = outlined(view, places_of_regions(view, conclusion.regions))
    assert found.holds, found
    assert len(room.viewer.measurements()) == len(drawn_shapes)
    room.keep(f"sr-regions-{name.lower().replace(' ', '-')}")


def test_points_and_lines_open(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES["CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.regions_only(study, "point", "line")
    (report,) = (one for one in subjects.encoded(study, conclusion, OHIF) if one.kind is ResultKind.SR)
    index = subjects.middle(study.volume)
    room.open(study, [report])
    view = room.load(study, [report], index)
    assert not room.viewer.crashed()
    assert all(one["loaded"] for one in room.viewer.measurements())
    point, line = conclusion.regions
    (at,) = places_of_regions(view, [point])
    marks = np.argwhere(view.marks())[:, ::-1] + 0.5
    assert np.linalg.norm(marks - at, axis=1).min() < 8, "nothing is drawn at the point"
    found = outlined(view, places_of_regions(view, [line]))
    assert found.covered > 0.97, found
    room.keep("sr-point-and-line")


@pytest.mark.parametrize("name", marked(["CT", "MR", "CR"]))
def test_what_a_user_may_take_over_is_listed_in_the_panel(
    room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path
) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    conclusion = subjects.regions_only(study, "line")
    (report,) = (one for one in subjects.encoded(study, conclusion, EDITABLE) if one.kind is ResultKind.SR)
    room.open(study, [report])
    view = room.load(study, [report], subjects.middle(study.volume))
    assert not room.viewer.crashed()
    found = outlined(view, places_of_regions(view, conclusion.regions))
    assert found.covered > 0.97, found
    room.viewer.panel("trackedMeasurements")
    room.keep(f"sr-editable-{name.lower()}")
    words = room.viewer.words()
    assert "Measurements (1)" in words.page
    assert len(words.rows) == 1
    assert conclusion.regions[0].type.meaning in words.rows[0]
    _, row_mm, column_mm = study.volume.geometry.spacing_mm if study.volume.has_spacing else (1.0, 1.0, 1.0)
    begin, end = line_of(conclusion.regions[0].shape)
    length = float(np.hypot(*((end - begin) * (row_mm, column_mm))))
    unit = "mm" if study.volume.has_spacing else "px"
    said_length = re.fullmatch(rf"([0-9.]+) {unit}", " ".join(words.drawn))
    assert said_length, words.drawn
    assert float(said_length[1]) == pytest.approx(length, rel=0.01)


def test_what_a_user_cannot_take_over_vanishes_when_he_does(
    room: ReadingRoom, tmp_path: Path, sample_cache: Path
) -> None:
    """Why lines that can be edited are not the default. When this fails, OHIF was mended."""
    study = STUDIES["CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.regions_only(study, "point", "line")
    (report,) = (one for one in subjects.encoded(study, conclusion, EDITABLE) if one.kind is ResultKind.SR)
    room.open(study, [report])
    view = room.load(study, [report], subjects.middle(study.volume))
    point, line = (places_of_regions(view, [region]) for region in conclusion.regions)
    assert outlined(view, line).covered > 0.97
    assert outlined(view, point).covered == 0


def test_on_oblong_pixels_the_viewer_draws_elsewhere(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    """A defect of OHIF 3.13, which exchanges the spacings of rows and columns. When this fails, it was mended."""
    study = STUDIES["DX"](tmp_path / "images", sample_cache)
    _, row_mm, column_mm = study.volume.geometry.spacing_mm
    assert row_mm != column_mm
    conclusion = subjects.regions_only(study, "polygon")
    (report,) = (one for one in subjects.encoded(study, conclusion, OHIF) if one.kind is ResultKind.SR)
    room.open(study, [report])
    view = room.load(study, [report], 0)
    assert not outlined(view, places_of_regions(view, conclusion.regions)).holds
    exchanged = line_of(conclusion.regions[0].shape) * (column_mm / row_mm, row_mm / column_mm)
    assert outlined(view, screen.expected_line(exchanged, view.placement)).holds
    room.keep("sr-oblong-pixels-wrong")


def mirrored(ds: Dataset) -> None:
    """Outlines with left and right exchanged."""
    for item in reading.items(ds):
        if item.get("GraphicType") == "POLYLINE":
            points = np.array(item.GraphicData).reshape(-1, 2)
            points[:, 0] = 512 - points[:, 0]
            item.GraphicData = points.ravel().tolist()


def test_control_a_mirrored_outline_is_seen_to_be_wrong(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES["CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    seg, report = subjects.encoded(study, conclusion, OHIF)
    wrong = reading.changed(report, mirrored)
    index = subjects.middle(study.volume)
    room.open(study, [seg, wrong])
    view = room.load(study, [wrong], index)
    found = outlined(view, places_of_masks(view, list(segments_on(conclusion, index).values())))
    assert not found.holds, found
    turned = [mask[:, ::-1] for mask in segments_on(conclusion, index).values()]
    assert outlined(view, places_of_masks(view, turned)).holds, "it is drawn where the wrong report says"
