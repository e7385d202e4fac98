from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.domain.codes import MILLILITRE, Code
from worker.domain.findings import Conclusion, Measurement, Segment, Segmentation
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.study import Digest, FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Volume
from worker.pictures.overlay import Style, picture, write_overlay
from worker.pictures.planes import LUNG_WINDOW, SOFT_WINDOW, chosen_slices, to_grey, view_of, window_of

CODE = Code("39607008", "SCT", "Lung")
RED = (255, 0, 0)


def a_volume(affine=None, *, shape=(9, 20, 30), modality="CT", fill=40.0) -> Volume:
    matrix = np.eye(4)
    if affine is None:
        matrix[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    else:
        matrix[:3, :3] = affine
    return Volume(
        voxels=np.full(shape, fill, np.float32),
        geometry=Geometry(shape, matrix),
        slices=tuple(SliceRef(SOPInstanceUID(f"1.{k}")) for k in range(shape[0])),
        modality=modality,
        series_instance_uid=SeriesInstanceUID("1.2"),
        frame_of_reference_uid=FrameOfReferenceUID("1.3"),
    )


def a_conclusion(volume: Volume, labels=None, *, absent=("Trachea",)) -> Conclusion:
    if labels is None:
        labels = np.zeros(volume.geometry.shape, np.uint8)
    segments = tuple(
        Segment(n, f"Structure {n}", CODE, CODE, RED, (Measurement(CODE, 12.5, MILLILITRE),), f"AI {n}")
        for n in range(1, int(labels.max(initial=0)) + 1)
    )
    algorithm = Algorithm(ModelIdentity("m", "1.2.3", Digest("d")), "A model", "Maker")
    return Conclusion(algorithm, volume, (Segmentation(labels, segments, absent),))


def red(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image).astype(int)
    return np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60))


TURNS = [
    np.diag(signs)[:, list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: "".join(f"{v:+.0f}" for v in turn.ravel()))
def test_every_stored_orientation_is_shown_the_usual_way(turn) -> None:
    volume = a_volume(turn, shape=(16, 16, 16))
    view = view_of(volume)
    normal = int(np.argmax(np.abs(turn[:, 0])))
    assert view.letters == {2: ("R", "L", "A", "P"), 1: ("R", "L", "H", "F"), 0: ("A", "P", "H", "F")}[normal]
    # The voxel that is farthest to the left (or back) of the patient, and farthest to the bottom of the picture.
    down, right = {2: (1, 0), 1: (2, 0), 0: (2, 1)}[normal]
    index = np.stack(np.meshgrid(*(np.arange(16.0),) * 3, indexing="ij"), -1)
    place = volume.geometry.to_patient_mm(index)[8]
    shown = np.asarray(view.turn(place[..., right]))
    assert (np.diff(shown, axis=1) > 0).all()
    shown = np.asarray(view.turn(place[..., down]))
    assert (np.diff(shown, axis=0) * (1 if down == 1 else -1) > 0).all()


def test_oblique_directions_have_two_letters() -> None:
    c, d = np.cos(np.radians(30)), np.sin(np.radians(30))
    turned_about_the_long_axis = np.array([[0, -d, c], [0, c, d], [1, 0, 0]])
    assert view_of(a_volume(turned_about_the_long_axis)).letters == ("RA", "LP", "AL", "PR")


def test_pixels_are_square() -> None:
    volume = a_volume(np.array([[0, 0, 0.5], [0, 2.0, 0], [1, 0, 0]]), shape=(3, 20, 40))
    sheet = picture(a_conclusion(volume), Style(tile_px=200, slices=1, columns=1))
    assert sheet.height >= 200
    tile_width = 200 * (40 * 0.5) / (20 * 2.0)
    grey = np.asarray(sheet)[:200].astype(int)
    shown = np.flatnonzero((grey.max(axis=2) > 60).any(axis=0))
    assert shown.max() + 1 == pytest.approx(tile_width, abs=1)


def test_structures_are_drawn_where_they_are() -> None:
    volume = a_volume()
    labels = np.zeros((9, 20, 30), np.uint8)
    labels[4, 2:6, 24:28] = 1
    sheet = picture(a_conclusion(volume, labels), Style(tile_px=300, slices=1, columns=1))
    rows, columns = red(sheet.crop((0, 0, 300, 200))).T
    assert 20 <= rows.min() < 23
    assert 57 <= rows.max() < 60
    assert 240 <= columns.min() < 243
    assert 277 <= columns.max() < 280


def test_the_window_follows_modality_and_finding() -> None:
    lungs = np.ones((9, 20, 30), np.uint8)
    air = a_volume(fill=-800.0)
    assert window_of(air, a_conclusion(air, lungs).findings[0]) == LUNG_WINDOW
    assert window_of(a_volume(), None) == SOFT_WINDOW
    magnetic = a_volume(modality="MR")
    magnetic = replace(magnetic, voxels=np.linspace(0, 1000, 9 * 20 * 30, dtype=np.float32).reshape(9, 20, 30))
    centre, width = window_of(magnetic, None)
    assert 300 < centre < 700
    assert 700 < width < 1200


def test_constant_and_missing_values() -> None:
    window = window_of(a_volume(modality="MR", fill=7.0), None)
    grey = to_grey(np.array([[7.0, np.nan, np.inf, -np.inf]], np.float32), window)
    assert grey.dtype == np.uint8
    assert grey[0, 1] == 0
    assert (grey[0, 2], grey[0, 3]) == (255, 0)


def test_slices_show_every_structure_and_are_spread() -> None:
    volume = a_volume(shape=(60, 8, 8))
    labels = np.zeros((60, 8, 8), np.uint8)
    labels[10:50, 1:3, 1:3] = 1
    labels[33, 5, 5] = 2
    chosen = chosen_slices(volume, a_conclusion(volume, labels).findings[0], 6)
    assert len(chosen) == 6
    assert 33 in chosen
    assert all(labels[k].any() for k in chosen)
    assert min(np.diff(chosen)) >= 3
    assert chosen_slices(volume, None, 4) == tuple(sorted(chosen_slices(volume, None, 4)))
    assert len(chosen_slices(a_volume(shape=(1, 8, 8)), None, 8)) == 1


def test_the_file_has_no_patient(tmp_path: Path) -> None:
    labels = np.zeros((9, 20, 30), np.uint8)
    labels[2:5, 3:9, 4:20] = 1
    path = tmp_path / "overlay.png"
    write_overlay(a_conclusion(a_volume(), labels), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.info == {}
        assert image.mode == "RGB"


def test_odd_conclusions_have_a_picture(tmp_path: Path) -> None:
    volume = a_volume()
    many = np.zeros((9, 20, 30), np.uint8)
    many.reshape(-1)[:200] = np.arange(1, 201)
    cases = [
        replace(a_conclusion(volume), findings=()),
        a_conclusion(volume),
        a_conclusion(volume, many),
        a_conclusion(a_volume(shape=(1, 1, 1)), np.ones((1, 1, 1), np.uint8)),
        a_conclusion(a_volume(shape=(2, 3, 400))),
        a_conclusion(volume, many.astype(np.uint16)),
        a_conclusion(volume, absent=("A structure with a very long name " * 10,)),
    ]
    for number, conclusion in enumerate(cases):
        path = tmp_path / f"{number}.png"
        write_overlay(conclusion, path)
        with Image.open(path) as image:
            assert image.width >= 200
            assert image.height < 4000
