"""MONAI: an order or argument gives what the bundle gives, on a made-up volume, or is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.integration.importing.make_bundle import ROI, write_bundle
from worker.domain.errors import ConfigurationError
from worker.importing.monai.arguments import NotMappedError
from worker.importing.monai.bundle import transforms_of
from worker.importing.monai.importer import import_monai
from worker.importing.monai.transforms import inferer_of, map_transforms
from worker.importing.package_folder import Imported, Naming
from worker.inference.packages.package import load_package
from worker.wiring import importing

pytestmark = [pytest.mark.export, pytest.mark.timeout(300)]

Transform = dict[str, Any]
SLIDING = {"_target_": "SlidingWindowInferer", "roi_size": ROI, "sw_batch_size": 2, "overlap": 0.5, "mode": "gaussian"}
SIMPLE = {"_target_": "SimpleInferer"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # the nets are tiny: threads would wait for each other


def image(name: str, **arguments: Any) -> Transform:
    return {"_target_": name, "keys": "image", **arguments}


def pred(name: str, **arguments: Any) -> Transform:
    return {"_target_": name, "keys": "pred", **arguments}


LOADED = [image("LoadImaged"), image("EnsureChannelFirstd")]
TURNED = image("Orientationd", axcodes="RAS")
SPACED = image("Spacingd", pixdim=[1.6, 1.9, 3.0], mode="bilinear")
RANGED = image("ScaleIntensityRanged", a_min=-100, a_max=300, b_min=0.0, b_max=1.0, clip=True)
CROPPED = image("CropForegroundd", source_key="image")


def back(*, nearest: bool = False) -> Transform:
    return pred("Invertd", transform="@preprocessing", orig_keys="image", nearest_interp=nearest)


SOFTMAX = pred("Activationsd", softmax=True)
HIGHEST = pred("AsDiscreted", argmax=True)


def bundle(
    folder: Path,
    *pre: Transform,
    inferer: dict[str, Any] | None = None,
    post: tuple[Transform, ...] = (SOFTMAX, back(), HIGHEST),
    **options: Any,
) -> Path:
    changes = {
        "preprocessing": {"_target_": "Compose", "transforms": list(pre)},
        "inferer": inferer or SLIDING,
        "postprocessing": {"_target_": "Compose", "transforms": list(post)},
    }
    return write_bundle(folder, changes=changes, **options)


def run(folder: Path, target: Path) -> Imported:
    return import_monai(folder, target, Naming("organs"), trust=False, runtime=importing.runtime())


def require_equal(made: Imported) -> None:
    """Every voxel, and every value that the net is shown."""
    parity = made.parity
    assert parity is not None
    assert parity.made_up
    assert parity.prepared_difference is not None
    assert parity.prepared_difference < 1e-5
    for one in parity.classes:
        assert one.voxels_framework > 50, one
        assert one.voxels_different == 0, one
    assert json.loads((made.folder / "parity.json").read_text())["made_up"] is True
    assert "On a made-up volume of" in (made.folder / "README.md").read_text()


EQUAL: dict[str, dict[str, Any]] = {
    "spacing before the axes are turned": {"pre": [*LOADED, SPACED, TURNED, RANGED]},
    "size before the axes are turned": {
        "pre": [*LOADED, image("Resized", spatial_size=[32, 28, 24], mode="trilinear"), TURNED, RANGED]
    },
    "axes turned twice": {
        "pre": [*LOADED, image("Orientationd", axcodes="PSR"), SPACED, image("Orientationd", axcodes="LAI"), RANGED]
    },
    "crop before spacing": {"pre": [*LOADED, RANGED, CROPPED, TURNED, SPACED]},
    "nearest voxels before the net": {
        "pre": [*LOADED, TURNED, image("Spacingd", pixdim=[1.65, 1.95, 3.1], mode="nearest"), RANGED]
    },
    "an axis keeps its spacing": {"pre": [*LOADED, TURNED, image("Spacingd", pixdim=[1.6, -1, 3.0]), RANGED]},
    "a key that is missing": {
        "pre": [
            *LOADED, TURNED, image("ScaleIntensityd", keys="label", allow_missing_keys=True),
            image("Spacingd", keys=["label", "image"], pixdim=[1.6, 1.9, 3.0], mode=["nearest", "bilinear"],
                  allow_missing_keys=True), RANGED,
        ]
    },
    "relative percentiles": {
        "pre": [
            *LOADED, TURNED, SPACED,
            image("ScaleIntensityRangePercentilesd", lower=5, upper=95, b_min=-1, b_max=1, relative=True, clip=True,
                  channel_wise=True),
        ]
    },
    "fixed numbers of one channel": {
        "pre": [
            *LOADED, TURNED, SPACED, image("NormalizeIntensityd", subtrahend=[40.0], divisor=[120.0], channel_wise=True)
        ]
    },
    "what is not 0": {
        "pre": [*LOADED, TURNED, SPACED, RANGED, image("NormalizeIntensityd", nonzero=True, channel_wise=True)]
    },
    "other names of the same classes": {
        "pre": [
            image("LoadImageDict"), image("EnsureChannelFirstD"), image("OrientationD", axcodes="RAS"),
            image("SpacingDict", pixdim=[1.6, 1.9, 3.0]), RANGED,
        ]
    },
    "the whole image, resized": {
        "pre": [*LOADED, TURNED, image("Resized", spatial_size=[32, 28, 24], mode="trilinear"), RANGED],
        "inferer": SIMPLE,
    },
    "the whole image, filled up": {
        "pre": [*LOADED, TURNED, RANGED, image("DivisiblePadd", k=[16, 8, 4], method="end")], "inferer": SIMPLE
    },
    "scores brought back before softmax": {
        "pre": [*LOADED, TURNED, SPACED, RANGED],
        "post": (back(), SOFTMAX, pred("AsDiscreted", argmax=True, to_onehot=3),
                 pred("KeepLargestConnectedComponentd", applied_labels=[1, 2])),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_what_is_mapped_gives_what_the_bundle_gives(tmp_path: Path, name: str) -> None:
    stated = EQUAL[name]
    options = {key: value for key, value in stated.items() if key != "pre"}
    require_equal(run(bundle(tmp_path / "bundle", *stated["pre"], **options), tmp_path))


def test_other_names_of_keys_are_those_of_the_image(tmp_path: Path) -> None:
    own = [{**one, "keys": "scan"} for one in (*LOADED, TURNED, SPACED, RANGED)]
    post = (SOFTMAX, {**back(), "orig_keys": "scan"}, HIGHEST)
    require_equal(run(bundle(tmp_path / "bundle", *own, post=post), tmp_path))


def test_a_net_of_one_channel_is_compared_where_it_finds_something(tmp_path: Path) -> None:
    post = (
        pred("Activationsd", sigmoid=True),
        back(),
        pred("AsDiscreted", threshold=0.5),
        pred("KeepLargestConnectedComponentd", applied_labels=[1]),
    )
    made = run(bundle(tmp_path / "bundle", *LOADED, TURNED, SPACED, RANGED, post=post, channels=("liver",)), tmp_path)
    require_equal(made)
    assert made.parity is not None
    (liver,) = made.parity.classes
    assert liver.voxels_framework < np.prod(made.parity.case_shape) / 2


def test_a_net_of_the_whole_image_takes_images_of_any_size(tmp_path: Path) -> None:
    chain = (*LOADED, TURNED, RANGED, image("DivisiblePadd", k=4))
    made = run(bundle(tmp_path / "bundle", *chain, inferer=SIMPLE, channels=("background", "liver")), tmp_path)
    net = load_package(made.folder).manifest.inference.answer()
    assert net.input.shape[2:] == ("first", "second", "third")


def test_a_package_that_is_not_proven_is_not_written(tmp_path: Path) -> None:
    """Outside the crop MONAI's scores are 0, and of equals channel 0 is the highest: here a liver, no background."""
    folder = bundle(tmp_path / "bundle", *LOADED, RANGED, CROPPED, TURNED, channels=("liver", "lesion", "background"))
    with pytest.raises(ConfigurationError) as refused:
        run(folder, tmp_path / "packages")
    assert refused.value.code == "parity-missed"
    assert "Dice of liver" in refused.value.message
    assert not list((tmp_path / "packages").iterdir())


def test_a_bundle_that_monai_itself_cannot_run_is_not_written(tmp_path: Path) -> None:
    """The whole image, of any size, for a net that takes multiples of four."""
    folder = bundle(tmp_path / "bundle", *LOADED, TURNED, RANGED, inferer=SIMPLE)
    with pytest.raises(ConfigurationError) as refused:
        run(folder, tmp_path)
    assert refused.value.code == "comparison-failed"
    assert not (tmp_path / "organs").exists()


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (image("Orientationd", axcodes="LPS", as_closest_canonical=True), "as_closest_canonical is True"),
        (image("Orientationd", axcodes="RAS", labels=[["R", "L"], ["P", "A"], ["I", "S"]]), "labels is"),
        (image("Orientationd", axcodes="RA"), "axcodes is RA"),
        (image("LoadImaged", as_closest_canonical=True), "as_closest_canonical is True, an argument that is not"),
        (image("LoadImaged", reader="NumpyReader"), "reader is NumpyReader"),
        (image("LoadImaged", dtype="int8"), "dtype is int8"),
        (image("EnsureChannelFirstd", channel_dim=0), "channel_dim is 0"),
        (image("EnsureTyped", track_meta=False), "track_meta is False"),
        (image("EnsureTyped", data_type="numpy"), "data_type is numpy"),
        (image("CastToTyped", dtype="int16"), "dtype is int16"),
        (image("Spacingd", pixdim=[1, 1, 1], mode=3), "mode is 3"),
        (image("Spacingd", pixdim=[1, 1, 1], diagonal=True), "diagonal is True"),
        (image("Spacingd", pixdim=[1, 1, 1], recompute_affine=True), "recompute_affine is True"),
        (image("Spacingd", pixdim=[1, 1, 1], padding_mode="zeros"), "padding_mode is zeros"),
        (image("Spacingd", pixdim=[1, 1, 1], max_pixdim=[2, 2, 2]), "max_pixdim is"),
        (image("Spacingd", pixdim=[1, 1]), "pixdim is [1, 1]"),
        (image("Spacingd", pixdim=[1, 1, 1], lazy=True), "lazy is True"),
        (image("Spacingd", pixdim=[1, 1, 1], dtype="float32"), "dtype is float32"),
        (image("ScaleIntensityRanged", a_min=0, a_max=1), "b_min is None"),
        (image("ScaleIntensityRanged", a_min=0, a_max=1, b_min=1, b_max=0, clip=True), "b_min below b_max"),
        (image("ScaleIntensityRanged", a_min=0, a_max=1, b_min=0, b_max=1, clip="yes"), "clip is yes"),
        (image("ScaleIntensityd", minv=None, maxv=None, factor=0.1), "factor is 0.1"),
        (image("ScaleIntensityRangePercentilesd", lower=99, upper=1, b_min=0, b_max=1), "lower below upper"),
        (image("NormalizeIntensityd", subtrahend=40.0), "both subtrahend and divisor"),
        (image("NormalizeIntensityd", subtrahend=[40.0], divisor=[1.0]), "must be lists with channel_wise"),
        (image("CropForegroundd", source_key="label"), "source_key is label"),
        (image("CropForegroundd", source_key="image", margin=[2, 2, 2]), "margin is [2, 2, 2]"),
        (image("CropForegroundd", source_key="image", k_divisible=8), "k_divisible is 8"),
        (image("Resized", spatial_size=[8, 8, 8]), "mode is area"),
        (image("Resized", spatial_size=8, mode="trilinear"), "spatial_size is 8"),
        (image("Resized", spatial_size=[8, 8, 8], mode="trilinear", anti_aliasing=True), "anti_aliasing is True"),
        (image("Resized", spatial_size=8, mode="trilinear", size_mode="longest"), "size_mode is longest"),
        (image("DivisiblePadd", k=8, mode="edge"), "mode is edge"),
        (image("DivisiblePadd", k=8, constant_values=-1), "constant_values is -1"),
        (image("ScaleIntensityd", keys="label"), "keys is label"),
        (image("ScaleIntensityd", keys=["image", "label"]), "there is no label"),
        (image("ScaleIntensityd", _mode_="partial"), "_mode_ is partial"),
        ({"_target_": "Spacing", "pixdim": [1, 1, 1]}, "Spacing: there is no such step"),
        ({"_target_": "scripts.mine.Spacingd", "keys": "image"}, "scripts.mine.Spacingd: there is no such step"),
    ],
)
def test_an_argument_that_is_not_understood_is_refused_by_its_name(transform: Transform, words: str) -> None:
    pre = transforms_of({"transforms": [image("LoadImaged"), transform]})
    missing = map_transforms(pre, [], labels={1}).missing
    assert any(words in one for one in missing), missing


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Orientationd", "Spacingd", "CropForegroundd"], "CropForegroundd: it comes after Spacingd"),
        (["Orientationd", "Spacingd", "DivisiblePadd"], "DivisiblePadd: it comes after Spacingd"),
        (["Orientationd", "Spacingd", "Resized"], "Resized: it comes after Spacingd"),
        (["Spacingd"], "without Orientationd"),
    ],
)
def test_an_order_that_means_something_else_is_refused_by_its_name(names: list[str], words: str) -> None:
    stated: dict[str, Transform] = {
        "Orientationd": {"axcodes": "RAS"},
        "Spacingd": {"pixdim": [1, 1, 1]},
        "CropForegroundd": {"source_key": "image"},
        "DivisiblePadd": {"k": 8},
        "Resized": {"spatial_size": [8, 8, 8], "mode": "trilinear"},
    }
    missing = map_transforms([(name, {"keys": "image", **stated[name]}) for name in names], [], labels={1}).missing
    assert any(words in one for one in missing), missing


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ([HIGHEST, SOFTMAX], "Activationsd: it comes after AsDiscreted"),
        ([pred("Activationsd", softmax=True, sigmoid=True), HIGHEST], "softmax and sigmoid"),
        ([pred("Activationsd", other="relu"), HIGHEST], "other is relu"),
        ([pred("AsDiscreted", argmax=True, threshold=0.5)], "argmax together with threshold"),
        ([pred("AsDiscreted", argmax=True, to_onehot=5)], "to_onehot 5"),
        ([pred("AsDiscreted", argmax=True, rounding="torchrounding")], "rounding is torchrounding"),
        ([HIGHEST, HIGHEST], "a second AsDiscreted"),
        ([back(), pred("Activationsd", sigmoid=True), pred("AsDiscreted", threshold=0.5)], "Activationsd after"),
        ([{**back(), "orig_keys": "label"}, HIGHEST], "orig_keys is label"),
        ([{**back(), "transform": "another"}, HIGHEST], "transform is not the bundle's preprocessing"),
        ([back(), HIGHEST, pred("SaveImaged"), pred("KeepLargestConnectedComponentd")], "after SaveImaged"),
        ([back(), HIGHEST, pred("SaveImaged", scale=255)], "scale is 255"),
        ([back(), HIGHEST, pred("KeepLargestConnectedComponentd", is_onehot=True)], "is_onehot is True"),
    ],
)
def test_what_comes_after_the_net_in_another_order_is_refused(post: list[Transform], words: str) -> None:
    missing = map_transforms(
        [], transforms_of({"transforms": post}), labels={1}, heads=2, preprocessing="@preprocessing"
    ).missing
    assert any(words in one for one in missing), missing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"padding_mode": "reflect"}, "padding_mode is reflect"),
        ({"cval": -1}, "cval is -1"),
        ({"with_coord": True}, "with_coord is True"),
        ({"roi_size": [32, -1, 16]}, "roi_size is"),
        ({"overlap": [0.5, 0.5, 0.25]}, "overlap is"),
        ({"_target_": "scripts.SlidingWindowInferer"}, "scripts.SlidingWindowInferer is not known"),
        ({"_target_": "SliceInferer"}, "SliceInferer is not known"),
    ],
)
def test_windows_that_are_not_understood_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(NotMappedError) as refused:
        inferer_of({**SLIDING, **change}, net={})
    assert words in str(refused.value)


@pytest.mark.parametrize("how", [{"lazy": True}, {"_target_": "OneOf"}, {"_target_": "RandomOrder"}])
def test_a_chain_that_is_not_one_after_another_is_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    chain = {"_target_": "Compose", "transforms": [*LOADED, TURNED, RANGED], **how}
    with pytest.raises(ConfigurationError) as refused:
        run(write_bundle(tmp_path / "bundle", changes={"preprocessing": chain}), tmp_path)
    assert refused.value.code == "bundle-not-mapped"
    assert not (tmp_path / "organs").exists()
