"""Segmentations in OHIF: in their place, in their colour, under their name; and what is wrong would be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.integration.results import subjects
from tests.unit.results import given, reading
from tests.viewer import screen
from tests.viewer.expectations import assert_segments, colour_inside, segments_on
from tests.viewer.reading_room import SAME, STUDIES, ReadingRoom, marked
from worker.domain.profile import OHIF

pytestmark = [pytest.mark.orthanc, pytest.mark.slow, pytest.mark.timeout(1800)]

SHOWN = ("CT", "MR", "Enhanced CT", "CR", "DX", "US cine")


@pytest.mark.parametrize("name", marked(SHOWN))
def test_segments_lie_on_their_masks(room: ReadingRoom, name: str, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES[name](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    objects = subjects.encoded(study, conclusion, OHIF)
    index = subjects.middle(study.volume)
    other = min(index + 1, len(study.volume.slices) - 1)
    room.open(study, objects)
    other_before = room.seen(study, other)
    view = room.load(study, objects[:1], index)
    assert not room.viewer.crashed()

    # The placement is the viewer's own word: the image itself must be there, and not its mirror image.
    plane = study.volume.voxels[index]
    like = screen.likeness(view.before, plane, view.placement)
    assert like > 0.75
    assert all(screen.likeness(view.before, turned, view.placement) < like - 0.02 for turned in flips(plane))

    segments = conclusion.segments
    colours = {one.number: one.colour_rgb for one in segments}
    assert room.viewer.segments() == [one.label for one in segments]
    assert_segments(view, conclusion, index, colours)
    if other != index:
        assert_segments(room.view(study, other, other_before), conclusion, other, colours)
    # Last, because the image moves when the panel opens.
    room.viewer.panel("segmentation")
    listed = " ".join(room.viewer.words().rows)
    assert all(one.label in listed for one in segments), listed
    room.look_at(study, index)
    room.keep(f"seg-{name.lower().replace(' ', '-')}")


def test_a_segment_in_another_leaves_that_one_whole(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES["CT"](tmp_path / "images", sample_cache)
    index = subjects.middle(study.volume)
    _, rows, columns = study.volume.geometry.shape
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[index, rows // 4 : rows // 2, columns // 4 : columns // 2] = 1
    labels[index, rows * 5 // 16 : rows * 7 // 16, columns * 5 // 16 : columns * 7 // 16] = 2
    conclusion = given.a_nested_conclusion(study.volume, labels)
    whole, nodule = conclusion.segments
    objects = subjects.encoded(study, conclusion, OHIF)
    room.open(study, objects)
    view = room.load(study, objects[:1], index)
    assert not room.viewer.crashed()
    room.keep("seg-overlap")
    assert room.viewer.segments() == [whole.label, nodule.label]
    assert view.agreement(labels[index] > 0).holds(**SAME)
    ring, _ = colour_inside(view, labels[index] == 1)
    assert np.abs(ring - whole.colour_rgb).max() < 16
    # Both lie over the inner one, and their colours are mixed there.
    inner, _ = colour_inside(view, labels[index] == 2)
    assert np.abs(inner - np.mean([whole.colour_rgb, nodule.colour_rgb], axis=0)).max() < 16


def flips(plane: np.ndarray) -> tuple[np.ndarray, ...]:
    return plane[:, ::-1], plane[::-1], plane[::-1, ::-1]


def frames(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        size = ds.NumberOfFrames * ds.Rows * ds.Columns
        bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")[:size]
        stack = change(bits.reshape(ds.NumberOfFrames, ds.Rows, ds.Columns))
        packed = np.packbits(np.ascontiguousarray(stack).ravel(), bitorder="little").tobytes()
        ds.PixelData = packed + b"\0" * (len(packed) % 2)

    return apply


def swapped_colours(ds: Dataset) -> None:
    one, other = ds.SegmentSequence
    one.RecommendedDisplayCIELabValue, other.RecommendedDisplayCIELabValue = (
        other.RecommendedDisplayCIELabValue, one.RecommendedDisplayCIELabValue,
    )  # fmt: skip


WRONG = {
    "mirrored": frames(lambda stack: stack[:, :, ::-1]),
    "upside down": frames(lambda stack: stack[:, ::-1]),
    "two pixels off": frames(lambda stack: np.roll(stack, 2, axis=2)),
    "frames in another order": frames(lambda stack: np.roll(stack, 2, axis=0)),
}


@pytest.mark.parametrize("error", WRONG)
def test_control_a_wrong_segmentation_is_seen_to_be_wrong(
    room: ReadingRoom, error: str, tmp_path: Path, sample_cache: Path
) -> None:
    study = STUDIES["CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    seg, _ = subjects.encoded(study, conclusion, OHIF)
    wrong = reading.changed(seg, WRONG[error])
    index = subjects.middle(study.volume)
    room.open(study, [wrong])
    view = room.load(study, [wrong], index)
    masks = segments_on(conclusion, index)
    found = view.agreement(np.logical_or.reduce(list(masks.values())))
    assert found.found > 0, "it is drawn, only wrongly"
    assert not found.holds(**SAME), found


def test_control_colours_of_others_are_seen(room: ReadingRoom, tmp_path: Path, sample_cache: Path) -> None:
    study = STUDIES["Enhanced CT"](tmp_path / "images", sample_cache)
    conclusion = subjects.segments_only(study)
    seg, _ = subjects.encoded(study, conclusion, OHIF)
    wrong = reading.changed(seg, swapped_colours)
    index = subjects.middle(study.volume)
    room.open(study, [wrong])
    view = room.load(study, [wrong], index)
    colours = {one.number: one.colour_rgb for one in conclusion.segments}
    with pytest.raises(AssertionError, match="segment 1 is"):
        assert_segments(view, conclusion, index, colours)
    assert_segments(view, conclusion, index, {1: colours[2], 2: colours[1]})
