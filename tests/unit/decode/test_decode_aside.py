"""One odd object in a series: it is set aside and named, the rest is analysed, and no slice goes missing unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.builders import (
    CORONAL,
    SAGITTAL,
    a_ct_phantom,
    a_ct_series,
    a_ct_slice,
    a_localizer,
    a_secondary_capture,
    an_mr_series,
    an_mr_slice,
    write,
)
from tests.unit.decode.reading import series_of, volume_of
from worker.decode.outcomes import VolumeError

HU = a_ct_phantom(slices=10, rows=32, columns=40)
DERIVED = ("DERIVED", "SECONDARY", "MPR")


def a_slice(*, k: float = 4, name: str = "odd", **changes: object) -> Dataset:
    """A slice of the series at place ``k`` of the stack (0 to 9)."""
    return a_ct_slice(**{"hu": HU[0], "position": (-14.0, -12.0, 2.5 * k), "instance": name, **changes})


def beside(tmp_path: Path, *extra: Dataset) -> list[Path]:
    """Ten slices, and the odd ones."""
    odd = [write(ds, tmp_path / f"odd-{number}.dcm") for number, ds in enumerate(extra)]
    return [*a_ct_series(tmp_path, hu=HU), *odd]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (lambda: a_localizer(series="series", instance="scout"), "a localizer (ImageType)"),
        (lambda: a_slice(image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), "a localizer (ImageType)"),
        (
            lambda: a_secondary_capture(series="series", modality="CT", instance="screen"),
            "a workstation's secondary capture",
        ),
        (
            lambda: a_secondary_capture(series="series", instance="screen", attributes={"ConversionType": "DI"}),
            "a secondary capture",
        ),
        (lambda: a_slice(image_type=("DERIVED", "PRIMARY", "SCREEN SAVE")), "a screen save (ImageType)"),
        (lambda: a_slice(image_type=DERIVED), 'derived, not original (ImageType "DERIVED, SECONDARY, MPR")'),
        (lambda: a_slice(k=4.5, image_type=DERIVED), "derived, not original"),
        (lambda: a_slice(image_type=DERIVED, orientation=CORONAL), "derived, not original"),
        (lambda: a_slice(attributes={"BurnedInAnnotation": "YES"}), "annotation burned into its pixels"),
        (lambda: a_slice(orientation=SAGITTAL), "sagittal, the others are axial"),
        (lambda: a_slice(hu=None, rows=64, columns=64), "of 64 x 64 pixels, the others have 32 x 40"),
        (lambda: a_slice(spacing_mm=(2.5, 0.4, 0.4)), "of another pixel spacing"),
        (lambda: a_slice(attributes={"Modality": "OT"}), "of modality OT, the others are CT"),
        (lambda: a_slice(attributes={"FrameOfReferenceUID": "2.25.99"}), "in another Frame of Reference"),
        (lambda: a_slice(attributes={"ImagePositionPatient": None}), "without a position in the patient"),
        (lambda: a_slice(k=10, image_type=DERIVED), "derived, not original"),  # one beyond the end
    ],
)
def test_one_odd_object_is_set_aside_and_named(tmp_path: Path, odd: Callable[[], Dataset], reason: str) -> None:
    paths = beside(tmp_path, odd())
    series = series_of(paths)
    assert (series.orientation, series.slice_count, series.modality) == ("axial", 10, "CT")
    assert (series.rows, series.columns) == (32, 40)
    assert series.slice_spacing_mm == pytest.approx(2.5)
    (one,) = series.aside
    assert reason in one.reason
    volume = volume_of(paths)
    assert np.array_equal(volume.voxels, HU)
    (note,) = volume.notes
    assert "1 object of the series was set aside: " in note
    assert one.sop_instance_uid in note
    assert "".join(series.values("ImageType")) == "ORIGINALPRIMARYAXIAL"


def test_several_kinds_at_once(tmp_path: Path) -> None:
    scouts = [
        a_localizer(series="series", instance=f"scout {n}", orientation=o) for n, o in enumerate((CORONAL, SAGITTAL))
    ]
    screen = a_secondary_capture(series="series", modality="CT", instance="screen")
    volume = volume_of(beside(tmp_path, *scouts, screen, a_slice(image_type=DERIVED)))
    assert np.array_equal(volume.voxels, HU)
    assert len(volume.notes) == 3
    assert any("2 objects of the series were set aside: a localizer" in note for note in volume.notes)


def test_scouts_among_slices_of_mr(tmp_path: Path) -> None:
    scout = an_mr_slice(
        orientation=SAGITTAL, series="mr-series", instance="scout", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")
    )
    paths = [*an_mr_series(tmp_path, slices=8), write(scout, tmp_path / "scout.dcm")]
    assert volume_of(paths).voxels.shape[0] == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"image_type": DERIVED},
        {"hu": None, "rows": 64, "columns": 64},
        {"attributes": {"FrameOfReferenceUID": "2.25.99"}},
        {"attributes": {"ImagePositionPatient": None}},
        {"orientation": CORONAL},
        {"attributes": {"BurnedInAnnotation": "YES"}},
    ],
    ids=str,
)
def test_a_slice_that_is_odd_leaves_a_hole_and_no_volume(tmp_path: Path, changes: dict[str, object]) -> None:
    paths = [path for k, path in enumerate(a_ct_series(tmp_path, hu=HU)) if k != 4]
    with pytest.raises(VolumeError) as caught:
        volume_of([*paths, write(a_slice(k=4, **changes), tmp_path / "odd.dcm")])
    assert caught.value.code == "missing-slices"
    assert "set aside: " in caught.value.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hu": None, "rows": 64, "columns": 64}, "mixed-matrix"),
        ({"spacing_mm": (2.5, 0.4, 0.4)}, "mixed-pixel-spacing"),
        ({"attributes": {"FrameOfReferenceUID": "2.25.99"}}, "several-frames-of-reference"),
        ({"attributes": {"ImagePositionPatient": None}}, "no-geometry"),
    ],
    ids=str,
)
def test_the_end_of_a_stack_is_not_set_aside(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    end = [a_slice(k=k, name=f"end {k}", **changes) for k in (10, 11)]
    with pytest.raises(VolumeError) as caught:
        volume_of(beside(tmp_path, *end))
    assert caught.value.code == code


def test_a_stack_of_which_a_part_is_derived_is_no_stack_with_odd_images(tmp_path: Path) -> None:
    series = series_of(beside(tmp_path, *(a_slice(k=k, name=f"end {k}", image_type=DERIVED) for k in (10, 11))))
    assert series.aside == ()
    assert "DERIVED" in series.values("ImageType")


def test_two_stacks_are_two_stacks(tmp_path: Path) -> None:
    across = [a_slice(name=f"c{n}", orientation=CORONAL, position=(0.0, 2.5 * n, 0.0)) for n in range(6)]
    with pytest.raises(VolumeError) as caught:
        volume_of(beside(tmp_path, *across))
    assert caught.value.code == "mixed-orientations"


def test_what_is_all_of_one_kind_is_no_oddity(tmp_path: Path) -> None:
    scouts = [write(a_localizer(instance=n), tmp_path / f"{n}.dcm") for n in range(3)]
    screens = [write(a_secondary_capture(instance=n), tmp_path / f"s{n}.dcm") for n in range(3)]
    assert series_of(scouts).aside == ()
    assert series_of(screens).aside == ()


def test_rounding_of_a_scanner_makes_no_image_odd(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path / "a", hu=HU[:9])
    rounded = a_slice(
        k=9, hu=HU[9], spacing_mm=(2.5, 0.80005, 0.70003), orientation=(1.0, 0.0002, 0.0, -0.0002, 1.0, 0.0)
    )
    volume = volume_of([*paths, write(rounded, tmp_path / "b.dcm")])
    assert volume.voxels.shape[0] == 10
    assert volume.notes == ()
