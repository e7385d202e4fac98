"""Orientation, resampling, cropping, and the way back, on grids of every kind."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from worker.domain.volume import Geometry
from worker.inference.image import Image, Scores, index_map
from worker.inference.steps.decide import argmax, restore
from worker.inference.steps.orient import closest_axes, rectify, reorient
from worker.inference.steps.resample import (
    crop_or_pad,
    cut,
    resample_to_grid,
    resample_to_shape,
    resample_to_spacing,
)
from worker.inference.steps.sampling import sample

AXES = [
    "".join(letters) for order in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*order)
]


@st.composite
def grids(draw: st.DrawFn, *, sheared: bool = True, most: int = 7) -> Geometry:
    """Any regular grid: rotated, with negated and swapped axes, anisotropic, sheared as by a gantry tilt."""
    shape = tuple(draw(st.integers(2, most)) for _ in range(3))
    # In steps of a millionth: of angles like 1e-300 degrees SimpleITK says that they are no rotation.
    angles = [round(draw(st.floats(-180, 180)), 6) for _ in range(3)]
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    spacing = np.diag([draw(st.floats(0.4, 6.0)) for _ in range(3)])
    shear = np.eye(3)
    if sheared:
        shear[1, 0] = draw(st.floats(-0.4, 0.4))
    swap = np.eye(3)[list(draw(st.permutations(range(3))))]
    affine = np.eye(4)
    affine[:3, :3] = rotation @ shear @ spacing @ swap
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return Geometry(shape=(shape[0], shape[1], shape[2]), affine_lps=affine)


def patient_points(geometry: Geometry) -> np.ndarray:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    return geometry.to_patient_mm(index.astype(np.float64))


def linear_field(geometry: Geometry) -> np.ndarray:
    """A value that grows evenly through the patient: every correct linear resampling keeps it to the last digit."""
    return (patient_points(geometry) @ np.array([0.03, -0.05, 0.07]) + 1.0).astype(np.float32)


def field_image(geometry: Geometry) -> Image:
    return Image(linear_field(geometry)[None], geometry)


def inside(target: Geometry, source: Geometry) -> np.ndarray:
    """Points of the target between the outermost voxel centres of the source, where nothing is extrapolated."""
    index = source.to_index(patient_points(target))
    return np.all((index >= -1e-6) & (index <= np.asarray(source.shape) - 1 + 1e-6), axis=-1)


@given(grids(), st.sampled_from(AXES))
def test_reorient_moves_no_value_in_the_patient(geometry: Geometry, axes: str) -> None:
    result = reorient(field_image(geometry), axes=axes)
    np.testing.assert_allclose(result.values[0], linear_field(result.geometry), atol=2e-4)
    assert sorted(result.values[0].ravel().tolist()) == sorted(linear_field(geometry).ravel().tolist())
    assert closest_axes(result.geometry) == axes


def test_reorient_of_axial_lps_to_ras_is_what_nibabel_would_do() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * [3.0, 2.0, 1.0]
    values = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    result = reorient(Image(values, Geometry((2, 3, 4), affine)), axes="RAS")
    np.testing.assert_array_equal(result.values[0], values[0].transpose(2, 1, 0)[::-1, ::-1])
    np.testing.assert_allclose(np.diag(result.geometry.affine_lps)[:3], [-1.0, -2.0, 3.0])


@given(grids(most=9), st.sampled_from(["edges", "centre", "first"]), st.floats(0.5, 4.0))
def test_resample_to_spacing_keeps_a_linear_field(geometry: Geometry, alignment: str, wished: float) -> None:
    result = resample_to_spacing(
        field_image(geometry),
        spacing_mm=("keep", wished, wished),
        interpolation="linear",
        alignment=alignment,  # type: ignore[arg-type]
    )
    there = inside(result.geometry, geometry)
    np.testing.assert_allclose(result.values[0][there], linear_field(result.geometry)[there], atol=1e-3)
    assert result.values.shape[1:] == result.geometry.shape
    if alignment != "edges":
        np.testing.assert_allclose(result.geometry.spacing_mm[1:], wished)


@given(grids(sheared=False, most=9), st.floats(0.5, 4.0), st.sampled_from(["linear", "nearest"]))
def test_resample_to_spacing_equals_simpleitk(geometry: Geometry, wished: float, interpolation: str) -> None:
    values = np.random.default_rng(0).normal(size=geometry.shape).astype(np.float32)
    result = resample_to_spacing(
        Image(values[None], geometry),
        spacing_mm=(wished, wished, wished),
        interpolation=interpolation,  # type: ignore[arg-type]
        alignment="first",
    )
    reference = simpleitk_on(values, geometry, result.geometry, interpolation)
    there = inside(result.geometry, geometry)
    index = geometry.to_index(patient_points(result.geometry))
    if interpolation == "nearest":  # half way between two voxels either is right
        there &= np.all(np.abs(index - np.floor(index) - 0.5) > 1e-4, axis=-1)
    np.testing.assert_allclose(result.values[0][there], reference[there], atol=1e-4)


def simpleitk_on(values: np.ndarray, source: Geometry, target: Geometry, interpolation: str) -> np.ndarray:
    image = SimpleITK.GetImageFromArray(values.astype(np.float64))
    place(image, source)
    grid = SimpleITK.Image([int(n) for n in target.shape[::-1]], SimpleITK.sitkFloat64)
    place(grid, target)
    how = SimpleITK.sitkLinear if interpolation == "linear" else SimpleITK.sitkNearestNeighbor
    return SimpleITK.GetArrayFromImage(SimpleITK.Resample(image, grid, SimpleITK.Transform(), how))


def place(image: SimpleITK.Image, geometry: Geometry) -> None:
    steps = geometry.affine_lps[:3, :3][:, ::-1]  # SimpleITK counts columns first
    image.SetSpacing([float(x) for x in geometry.spacing_mm[::-1]])
    image.SetOrigin([float(x) for x in geometry.affine_lps[:3, 3]])
    image.SetDirection((steps / np.linalg.norm(steps, axis=0)).ravel().tolist())


@given(grids(most=8), st.tuples(*[st.integers(1, 13)] * 3))
def test_resample_to_shape_nearest_is_torchs_nearest_exact(geometry: Geometry, shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(1).normal(size=geometry.shape).astype(np.float32)
    result = resample_to_shape(Image(values[None], geometry), shape=shape, interpolation="nearest")
    expected = values
    for axis, (n, m) in enumerate(zip(geometry.shape, shape, strict=True)):
        # In whole numbers: floor((i + 1/2) * n / m)
        expected = np.take(expected, [((2 * i + 1) * n) // (2 * m) for i in range(m)], axis=axis)
    np.testing.assert_array_equal(result.values[0], expected)


@pytest.mark.parametrize("shape", [(5, 6, 7), (20, 3, 9), (10, 12, 14)])
def test_resample_to_shape_linear_is_scipys_zoom_over_the_same_field_of_view(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(2).normal(size=(10, 12, 14)).astype(np.float32)
    geometry = Geometry((10, 12, 14), np.diag([1.0, 2.0, 3.0, 1.0]))
    result = resample_to_shape(Image(values[None], geometry), shape=shape, interpolation="linear")
    zoom = [m / n for n, m in zip(values.shape, shape, strict=True)]
    expected = ndimage.zoom(values, zoom, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(result.values[0], expected, atol=1e-5)


@given(grids(most=9), st.floats(0.5, 3.0), st.integers(1, 12))
def test_resample_to_grid_is_centred_exact_and_filled(geometry: Geometry, wished: float, count: int) -> None:
    result = resample_to_grid(
        field_image(geometry),
        spacing_mm=("keep", wished, wished),
        shape=("keep", count, count),
        interpolation="linear",
        outside=-1024.0,
    )
    middle = (np.asarray(result.geometry.shape) - 1) / 2
    np.testing.assert_allclose(
        result.geometry.to_patient_mm(middle), geometry.to_patient_mm((np.asarray(geometry.shape) - 1) / 2), atol=1e-6
    )
    np.testing.assert_allclose(result.geometry.spacing_mm[1:], wished)
    there = inside(result.geometry, geometry)
    np.testing.assert_allclose(result.values[0][there], linear_field(result.geometry)[there], atol=1e-3)
    index = geometry.to_index(patient_points(result.geometry))
    beyond = np.any((index < -0.501) | (index > np.asarray(geometry.shape) - 0.499), axis=-1)
    assert np.all(result.values[0][beyond] == -1024.0)


@given(grids(), st.tuples(*[st.integers(1, 12)] * 3))
def test_crop_or_pad_keeps_places_and_fills_the_rest(geometry: Geometry, shape: tuple[int, int, int]) -> None:
    result = crop_or_pad(field_image(geometry), shape=shape, outside=-7.0)
    assert result.values.shape[1:] == shape == result.geometry.shape
    there = inside(result.geometry, geometry)
    np.testing.assert_allclose(result.values[0][there], linear_field(result.geometry)[there], atol=2e-4)
    assert np.all(result.values[0][~there] == -7.0)
    # Round the middle: at most half a voxel of difference between before and after.
    offset = geometry.to_index(result.geometry.to_patient_mm((np.asarray(shape) - 1) / 2))
    assert np.all(np.abs(offset - (np.asarray(geometry.shape) - 1) / 2) <= 0.5 + 1e-6)


def test_cut_reaches_beyond_every_edge() -> None:
    values = np.ones((1, 2, 2, 2), np.float32)
    image = Image(values, Geometry((2, 2, 2), np.eye(4)))
    assert cut(image, start=(5, 0, 0), shape=(2, 2, 2), outside=3.0).values.tolist() == [[[[3.0] * 2] * 2] * 2]
    around = cut(image, start=(-1, -1, -1), shape=(4, 4, 4))
    assert float(around.values.sum()) == 8.0
    np.testing.assert_allclose(around.geometry.affine_lps[:3, 3], [-1, -1, -1])


@given(grids(most=6), st.sampled_from(["SPL", "RAS"]))
@settings(max_examples=50)
def test_rectify_stands_upright_and_keeps_a_linear_field(geometry: Geometry, axes: str) -> None:
    result = rectify(field_image(geometry), axes=axes, interpolation="linear", outside=-1.0)
    steps = result.geometry.affine_lps[:3, :3]
    assert np.count_nonzero(np.abs(steps) > 1e-4) == 3  # to less than a ten-thousandth of a voxel
    assert closest_axes(result.geometry) == axes
    there = inside(result.geometry, geometry)
    np.testing.assert_allclose(result.values[0][there], linear_field(result.geometry)[there], atol=2e-3)
    # The upright box holds every voxel of the source.
    index = result.geometry.to_index(patient_points(geometry))
    assert np.all((index >= -0.5 - 1e-6) & (index <= np.asarray(result.geometry.shape) - 0.5 + 1e-6))


def test_rectify_leaves_an_upright_grid_alone() -> None:
    geometry = Geometry((3, 4, 5), np.diag([-1.0, -2.0, 3.0, 1.0]))
    image = field_image(geometry)
    result = rectify(image, axes="RAS", interpolation="linear", outside=0.0)
    np.testing.assert_array_equal(result.values, image.values)


@given(grids(most=6), st.sampled_from(AXES), st.integers(0, 2**32 - 1), st.integers(1, 4000))
def test_what_was_reoriented_and_padded_comes_back_exactly(
    geometry: Geometry, axes: str, seed: int, tile_bytes: int
) -> None:
    """A mask goes through the chain as one-hot scores and returns voxel for voxel, on sheared and oblique grids too."""
    truth = np.random.default_rng(seed).integers(0, 3, size=geometry.shape)
    one_hot = np.stack([truth == value for value in range(3)]).astype(np.float32)
    moved = crop_or_pad(reorient(Image(one_hot, geometry), axes=axes), shape=(9, 10, 11), outside=0.0)
    for interpolation in ("linear", "nearest"):
        labels = restore(
            Scores(moved.values, moved.geometry),
            geometry,
            lambda tile: argmax(tile, numbers={1: 1, 2: 2}),
            interpolation=interpolation,  # type: ignore[arg-type]
            highest=2,
            tile_bytes=tile_bytes,
        )
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, truth)


@given(grids(most=6), st.integers(0, 2**32 - 1), st.integers(1, 2000))
@settings(max_examples=40)
def test_tiles_change_nothing(geometry: Geometry, seed: int, tile_bytes: int) -> None:
    rng = np.random.default_rng(seed)
    scores_geometry = resample_to_shape(field_image(geometry), shape=(4, 5, 6), interpolation="linear").geometry
    scores = Scores(rng.normal(size=(3, 4, 5, 6)).astype(np.float32), scores_geometry)

    def at(tile: int) -> np.ndarray:
        return restore(
            scores,
            geometry,
            lambda one: argmax(one, numbers={1: 1, 2: 2}),
            interpolation="linear",
            highest=2,
            tile_bytes=tile,
        )

    np.testing.assert_array_equal(at(tile_bytes), at(1 << 30))


@given(grids(most=6), grids(most=6), st.sampled_from(["linear", "nearest"]))
@settings(max_examples=60)
def test_sampling_between_any_two_grids_equals_scipy(source: Geometry, target: Geometry, interpolation: str) -> None:
    target = Geometry(target.shape, target.affine_lps.copy())
    middle = source.to_patient_mm((np.asarray(source.shape) - 1) / 2)
    target.affine_lps[:3, 3] += middle - target.to_patient_mm((np.asarray(target.shape) - 1) / 2)
    values = np.random.default_rng(3).normal(size=source.shape).astype(np.float32)
    matrix = index_map(of=target, into=source)
    sampled, mask = sample(values[None], matrix, target.shape, interpolation=interpolation)  # type: ignore[arg-type]
    index = np.moveaxis(source.to_index(patient_points(target)), -1, 0)
    assume(np.all(np.abs(index - np.floor(index) - 0.5) > 1e-4))  # no ties, no point on the rim
    expected = ndimage.map_coordinates(values, index, order=1 if interpolation == "linear" else 0, mode="nearest")
    np.testing.assert_allclose(sampled[0], expected, atol=1e-4)
    size = np.asarray(source.shape).reshape(3, 1, 1, 1)
    within = np.all((index >= -0.5) & (index <= size - 0.5), axis=0)
    np.testing.assert_array_equal(np.ones(target.shape, bool) if mask is None else mask, within)


def test_outside_the_scores_there_is_background() -> None:
    scores = Scores(np.full((1, 2, 2, 2), 5.0, np.float32), Geometry((2, 2, 2), np.eye(4)))
    labels = restore(
        scores,
        Geometry((4, 4, 4), np.eye(4)),
        lambda tile: argmax(tile, numbers={0: 1}),
        interpolation="linear",
        highest=1,
    )
    assert int(labels.sum()) == 8
    assert labels[:2, :2, :2].all()
