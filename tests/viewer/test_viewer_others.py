"""Maps, texts, key images and what a viewer cannot open: each seen, or seen to do no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.integration.results import subjects
from tests.unit.results import reading
from tests.unit.results.display import pictured
from tests.viewer import screen
from tests.viewer.expectations import assert_segments, colour_inside, segments_on
from tests.viewer.reading_room import STUDIES, ReadingRoom
from worker.domain.profile import OHIF, PLAIN, Profile, SegmentEncoding, Statements
from worker.domain.result import EncodedObject, ResultKind

pytestmark = [pytest.mark.orthanc, pytest.mark.slow, pytest.mark.timeout(1800)]


def only(objects: tuple[EncodedObject, ...], kind: ResultKind) -> list[EncodedObject]:
    return [one for one in objects if one.kind is kind]


@pytest.mark.parametrize("name", ["CT", "MR"])
def test_a_heat_map_glows_where_it_is_hot(room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    conclusion = subjects.heat_map_only(study)
    (heat_map,) = conclusion.heat_maps
    objects = subjects.encoded(study, conclusion, OHIF)
    index = subjects.middle(study.volume)
    room.open(study, objects)
    view = room.load(study, only(objects, ResultKind.PM), index)
    assert not room.viewer.crashed()
    room.keep(f"pm-{name.lower()}")

    wide = view.after.astype(np.int16)
    red = view.marks() & (wide[..., 0] - wide[..., 1:].max(axis=-1) > 40)

    def overlap(values: np.ndarray) -> float:
        """Of the red part with what is above a threshold: the colours change somewhere."""
        hot = [
            screen.expected_marks(values > share * values.max(), view.placement, view.after.shape)
            for share in np.linspace(0.3, 0.9, 13)
        ]
        return max(screen.agreement(red, one).overlap for one in hot)

    values = heat_map.values[index]
    assert overlap(values) > 0.85
    assert all(overlap(turned) < 0.5 for turned in (values[:, ::-1], values[::-1]))


def test_a_text_report_can_be_read(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES["CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.statements_only(study)
    objects = subjects.encoded(study, conclusion, OHIF)
    room.open(study, objects)
    room.viewer.load(str(objects[0].series_instance_uid), patience_s=10)
    room.viewer.picture()
    assert not room.viewer.crashed()
    page = " ".join(room.viewer.words().page.split())
    said = [str(item.TextValue) for item in reading.items(reading.dataset(objects[0])) if item.ValueType == "TEXT"]
    assert len(said) > 5
    for text in said:
        assert " ".join(text.split()) in page
    room.keep("text-ct")


@pytest.mark.parametrize("name", ["CT", "CR"])
def test_key_images_show_what_was_drawn_into_them(
    room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path
) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    captures = only(subjects.encoded(study, conclusion, PLAIN), ResultKind.SC)
    drawn = [reading.dataset(one) for one in captures]
    picture = next(ds for ds in drawn if "SliceLocation" in ds or ds.get("PatientOrientation"))
    room.open(study, captures)
    room.viewer.load(str(picture.SeriesInstanceUID), patience_s=5)
    room.viewer.show(str(picture.SOPInstanceUID))
    shown, placement = room.viewer.picture_without_words(), room.viewer.placement()
    room.keep(f"key-image-{name.lower()}")
    pixels = picture.pixel_array
    assert screen.likeness(shown, pixels.mean(axis=-1), placement) > 0.9
    drawn_in = screen.chroma(pixels) > 60
    _, within = screen.sampled(pixels, placement, shown.shape)
    found = screen.coloured(shown, placement, least=60) & within

    def overlap(marks: np.ndarray) -> float:
        """Lines of a pixel or two are blurred by the zoom of the viewer, and its bar for cine lies over a part."""
        return screen.agreement(found, screen.expected_marks(marks, placement, shown.shape)).overlap

    assert overlap(drawn_in) > 0.65
    assert all(overlap(turned) < 0.3 for turned in (drawn_in[:, ::-1], drawn_in[::-1]))


@pytest.mark.parametrize("kind", [ResultKind.KEY, ResultKind.PR])
def test_what_ohif_cannot_open_does_no_harm(
    room: ReadingRoom, kind: ResultKind, tmp_path: Path, sample_cache: Path
) -> None:
    study = STUDIES["Enhanced CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    objects = subjects.encoded(study, conclusion, pictured.FULL)
    room.open(study, objects)
    (one,) = only(objects, kind)
    (listed,) = [found for found in room.viewer.series() if found["series"] == one.series_instance_uid]
    assert listed["unsupported"]
    room.viewer.load(str(one.series_instance_uid), patience_s=5)
    assert not room.viewer.crashed()
    # What it can open still opens.
    index = subjects.middle(study.volume)
    view = room.load(study, only(objects, ResultKind.SEG), index)
    assert_segments(view, conclusion, index, {seg.number: seg.colour_rgb for seg in conclusion.segments})


LABELMAP = Profile(name="label-map", segmentation=SegmentEncoding.LABELMAP)
FRACTIONAL = Profile(name="fractional", segmentation=SegmentEncoding.FRACTIONAL)
TEMPLATE = Profile(name="template", statements=Statements.TEMPLATE)


def test_why_label_maps_are_not_sent_to_ohif(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    """Each segment in the colour of the one before it. When this fails, OHIF was mended, and the profile can change."""
    study = STUDIES["Enhanced CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    objects = subjects.encoded(study, conclusion, LABELMAP)
    index = subjects.middle(study.volume)
    room.open(study, objects)
    view = room.load(study, only(objects, ResultKind.SEG), index)
    assert not room.viewer.crashed()
    room.keep("seg-labelmap-wrong-colours")
    one, other = conclusion.segments
    masks = segments_on(conclusion, index)
    assert room.viewer.segments() == ["Background", one.label, other.label]
    assert np.abs(colour_inside(view, masks[one.number])[0] - one.colour_rgb).max() > 60
    assert np.abs(colour_inside(view, masks[other.number])[0] - one.colour_rgb).max() < 16


def test_fractional_segmentations_of_decided_masks_open(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    """All or nothing in every voxel: OHIF takes that for binary."""
    study = STUDIES["Enhanced CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    objects = subjects.encoded(study, conclusion, FRACTIONAL)
    index = subjects.middle(study.volume)
    room.open(study, objects)
    view = room.load(study, only(objects, ResultKind.SEG), index)
    assert_segments(view, conclusion, index, {seg.number: seg.colour_rgb for seg in conclusion.segments})


def test_why_statements_are_not_sent_in_the_report(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    """Groups without a place (TID 1501): the report does not open. When this fails, the profile can change."""
    study = STUDIES["Enhanced CT"](tmp_path / "images", sample_cache)
    (report, *_) = subjects.encoded(study, subjects.statements_only(study), TEMPLATE)
    room.open(study, [report])
    room.viewer.load(str(report.series_instance_uid), patience_s=15)
    assert room.viewer.crashed() or not any(one["loaded"] for one in room.viewer.measurements())
