"""The montage that is written beside each job."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.pictures.scenes import (
    SHAPES,
    a_projection_image,
    a_region,
    a_volume,
    everything,
    red,
    segmented,
)
from worker.domain.findings import Classification, Conclusion, Detection, Presence
from worker.domain.volume import Space
from worker.drawing.voi_window import LUNG_WINDOW, SOFT_WINDOW
from worker.pictures.overlay import write_overlay
from worker.pictures.planes import chosen_slices, view_of, window_of
from worker.pictures.scene import Scene, scene_of
from worker.pictures.sheets import Style, montage, planes, projection
from worker.pictures.tiles import slice_name

TURNS = [
    np.diag(signs)[:, list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: "".join(f"{v:+.0f}" for v in turn.ravel()))
@pytest.mark.parametrize("axes", [(1, 2), (0, 2), (0, 1)])
def test_every_stored_orientation_is_shown_the_usual_way(turn, axes) -> None:
    volume = a_volume(turn, shape=(16, 16, 16))
    view = view_of(volume, axes)
    across = ({0, 1, 2} - set(axes)).pop()
    normal = int(np.argmax(np.abs(turn[:, across])))
    assert view.letters == {2: ("R", "L", "A", "P"), 1: ("R", "L", "H", "F"), 0: ("A", "P", "H", "F")}[normal]
    assert (view.name, view.is_oblique) == (("sagittal", "coronal", "axial")[normal], False)
    # Coordinates of every pixel must grow in the directions that the letters name.
    down, right = {2: (1, 0), 1: (2, 0), 0: (2, 1)}[normal]
    index = np.stack(np.meshgrid(*(np.arange(16.0),) * 3, indexing="ij"), -1)
    place = np.take(volume.geometry.to_patient_mm(index), 8, axis=across)
    assert (np.diff(view.turn.plane(place[..., right]), axis=1) > 0).all()
    assert (np.diff(view.turn.plane(place[..., down]), axis=0) * (1 if down == 1 else -1) > 0).all()


def test_oblique_directions_have_two_letters() -> None:
    c, d = np.cos(np.radians(30)), np.sin(np.radians(30))
    turned_about_the_long_axis = np.array([[0, -d, c], [0, c, d], [1, 0, 0]])
    assert view_of(a_volume(turned_about_the_long_axis)).letters == ("RA", "LP", "AL", "PR")
    tilted = np.array([[0, 0, 1], [-d, c, 0], [c, d, 0]])
    assert view_of(a_volume(tilted)).is_oblique


def test_projection_images_have_no_directions() -> None:
    view = view_of(a_projection_image())
    assert view.letters == ("", "", "", "")
    assert view.name == ""
    assert planes(scene_of(everything(a_projection_image())), Style()) is None
    assert projection(scene_of(everything(a_projection_image(5))), Style()) is None


def test_pixels_are_square() -> None:
    volume = a_volume(np.array([[0, 0, 0.5], [0, 2.0, 0], [1, 0, 0]]), shape=(3, 20, 40))
    sheet = montage(scene_of(segmented(volume)), Style(tile_px=100, slices=1))
    grey = np.asarray(sheet)[:200].astype(int)
    shown = np.flatnonzero((grey.max(axis=2) > 60).any(axis=0))
    assert shown.max() + 1 == pytest.approx(200 * (40 * 0.5) / (20 * 2.0), abs=1)


def test_sagittal_slices_are_as_high_as_the_patient() -> None:
    """Stored sagittal planes with thick rows: 20 rows of 3 mm, 30 columns of 1 mm."""
    volume = a_volume(np.array([[1, 0, 0], [0, 0, 1.0], [0, -3.0, 0]]), shape=(3, 20, 30))
    assert view_of(volume).letters == ("A", "P", "H", "F")
    sheet = montage(scene_of(segmented(volume)), Style(tile_px=120, slices=1))
    grey = np.asarray(sheet)[:240, :240].astype(int)
    shown = np.argwhere(grey.max(axis=2) > 60)
    assert (shown.max(axis=0) + 1).tolist() == [240, 120]


def test_structures_are_drawn_where_they_are() -> None:
    volume = a_volume()
    labels = np.zeros((9, 20, 30), np.uint8)
    labels[4, 2:6, 24:28] = 1
    sheet = montage(scene_of(segmented(volume, labels)), Style(tile_px=150, slices=1))
    rows, columns = red(sheet.crop((0, 0, 300, 200))).T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 60, 239, 280)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_regions_are_drawn_on_their_slice(shape) -> None:
    conclusion = replace(segmented(a_volume()), findings=(Detection((a_region(shape, 6, probability=0.5),)),))
    scene = scene_of(conclusion)
    assert chosen_slices(scene, 1) == (6,)
    assert len(red(montage(scene, Style(slices=1)))) > 20
    assert not len(red(montage(replace(scene, marks=()), Style(slices=1)).crop((0, 0, 720, 480))))


def test_planes_and_projections_show_structures_where_they_are() -> None:
    volume = a_volume(shape=(12, 20, 30))
    labels = np.zeros((12, 20, 30), np.uint8)
    labels[8:11, 2:6, 24:28] = 1
    scene = scene_of(segmented(volume, labels))
    cut, projected = planes(scene, Style(tile_px=250)), projection(scene, Style(tile_px=250))
    assert cut is not None
    assert projected is not None
    # 300 px for 30 columns: 10 px per mm. Axial, then coronal (head up: slices from below), then sagittal.
    axial, coronal = cut.crop((0, 0, 300, 200)), cut.crop((304, 0, 604, 120))
    assert spread(axial) == pytest.approx((20, 60, 240, 280), abs=2)
    assert spread(coronal) == pytest.approx((10, 40, 240, 280), abs=2)
    assert spread(projected.crop((0, 0, 300, 120))) == pytest.approx((10, 40, 240, 280), abs=2)


def spread(image: Image.Image) -> tuple[float, ...]:
    rows, columns = red(image).T
    return float(rows.min()), float(rows.max()) + 1, float(columns.min()), float(columns.max()) + 1


def test_the_window_follows_modality_and_finding() -> None:
    lungs = np.ones((9, 20, 30), np.uint8)
    assert window_of(scene_of(segmented(a_volume(fill=-800.0), lungs))) == LUNG_WINDOW
    assert window_of(scene_of(segmented(a_volume()))) == SOFT_WINDOW
    voxels = np.linspace(0, 1000, 9 * 20 * 30, dtype=np.float32).reshape(9, 20, 30)
    low, high = window_of(scene_of(segmented(replace(a_volume(modality="MR"), voxels=voxels))))
    assert 0 < low < 60
    assert 940 < high < 1000


def test_slices_show_every_structure_and_are_spread() -> None:
    labels = np.zeros((60, 8, 8), np.uint8)
    labels[10:50, 1:3, 1:3] = 1
    labels[33, 5, 5] = 2
    scene = scene_of(segmented(a_volume(shape=(60, 8, 8)), labels))
    chosen = chosen_slices(scene, 6)
    assert len(chosen) == 6
    assert 33 in chosen
    assert all(labels[k].any() for k in chosen)
    assert min(np.diff(chosen)) >= 3


def test_slices_without_findings_are_spread_over_the_volume() -> None:
    nothing = scene_of(segmented(a_volume(shape=(60, 8, 8))))
    assert chosen_slices(nothing, 4) == (12, 24, 35, 47)
    assert len(chosen_slices(scene_of(segmented(a_volume(shape=(1, 8, 8)))), 8)) == 1


def test_key_slices_of_statements_are_shown() -> None:
    statement = Classification(
        "Bleeding", "AI 1", a_region(SHAPES[0]).type, Presence.PRESENT, 0.9, key_slices=(7, 3, 99)
    )
    scene = scene_of(replace(segmented(a_volume()), findings=(statement,)))
    assert chosen_slices(scene, 2) == (3, 7)


def test_slices_and_frames_are_counted_from_one() -> None:
    scene = Scene(a_volume(), "m")
    assert slice_name(scene, 0) == "slice 1/9"
    assert slice_name(Scene(a_projection_image(), "m"), 0) == ""
    assert slice_name(Scene(a_projection_image(30, frame_time_ms=40.0), "m"), 10) == "frame 11/30, 0.40 s"


def test_the_file_has_no_patient(tmp_path: Path) -> None:
    path = tmp_path / "overlay.png"
    write_overlay(everything(a_volume()), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.info == {}
        assert image.mode == "RGB"


def test_every_picture_says_that_it_is_a_draft_and_whose() -> None:
    scene = scene_of(everything(a_volume()))
    for made in (montage(scene, Style()), planes(scene, Style()), projection(scene, Style())):
        other = replace(scene, maker="Another model, version 9")
        assert made is not None
        foot = np.asarray(made)[-34:].astype(int)
        assert ((foot[..., 0] > 200) & (foot[..., 1] > 150) & (foot[..., 2] < 90)).sum() > 100  # DRAFT in amber
        assert not np.array_equal(np.asarray(montage(other, Style()))[-34:], np.asarray(montage(scene, Style()))[-34:])


@pytest.mark.slow
def test_odd_conclusions_have_pictures() -> None:
    volume = a_volume()
    many = np.zeros((9, 20, 30), np.uint8)
    many.reshape(-1)[:200] = np.arange(1, 201)
    holes = replace(volume, voxels=np.full((9, 20, 30), np.nan, np.float32))
    cases: list[Conclusion] = [
        replace(segmented(volume), findings=()),
        segmented(volume),
        segmented(volume, many),
        segmented(volume, many.astype(np.uint16)),
        segmented(a_volume(shape=(1, 1, 1)), np.ones((1, 1, 1), np.uint8)),
        segmented(a_volume(shape=(2, 3, 400))),
        segmented(volume, absent=("A structure with a very long name " * 10, "<b>肺</b>")),
        everything(volume),
        everything(holes),
        everything(a_volume(modality="PT")),
        everything(a_volume(shape=(1, 20, 30))),
        everything(a_projection_image()),
        everything(a_projection_image(40, modality="US", frame_time_ms=33.3)),
        everything(a_projection_image(space=Space.PIXELS)),
    ]
    for conclusion in cases:
        scene = scene_of(conclusion)
        for made in (montage(scene, Style()), planes(scene, Style()), projection(scene, Style())):
            if made is not None:
                assert made.width >= 200
                assert made.height < 4000
