"""nnU-Net: kinds of plans, labels and trainers, each against nnU-Net's own predictor on a made-up net and volume."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.importing.a_trained_model import (
    DATASET,
    KNOWN,
    RESAMPLING,
    UNET,
    a_configuration,
    some_plans,
    write_results,
)
from worker.domain.errors import ConfigurationError
from worker.importing.nnunet.importer import Wanted, import_nnunet
from worker.importing.nnunet.network import official_trainer
from worker.importing.package_folder import Imported, Naming
from worker.inference.packages.package import MANIFEST, load_package
from worker.wiring import importing

pytestmark = [pytest.mark.slow, pytest.mark.export, pytest.mark.timeout(300)]

REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
CODES = "".join(
    f"""
[{name}]
category = {{ value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }}
type = {{ value = "52988006", scheme = "SCT", meaning = "Lesion" }}
"""
    for name in ("whole", "core", "enhancing")
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # the nets are tiny: threads would wait for each other


def run(results: Path, target: Path, *, codes: Path | None = None, **wanted: Any) -> Imported:
    return import_nnunet(results, target, Naming("organs", codes=codes), Wanted(**wanted), runtime=importing.runtime())


def require_equal(made: Imported) -> None:
    """What the nets are shown, and all but a few voxels: nnU-Net sums windows in half precision."""
    parity = made.parity
    assert parity is not None
    assert parity.made_up
    assert parity.problem == ""
    assert parity.prepared_difference is not None
    assert parity.prepared_difference < 1e-5
    assert all(one.voxels_framework > 50 for one in parity.classes)


def res_enc() -> dict[str, Any]:
    kwargs = {key: value for key, value in UNET["arch_kwargs"].items() if key != "n_conv_per_stage"}
    name = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    own = {**UNET, "network_class_name": name, "arch_kwargs": {**kwargs, "n_blocks_per_stage": [1, 2]}}
    return some_plans(a_configuration(architecture=own), plans_name="nnUNetResEncUNetMPlans")


def old() -> dict[str, Any]:
    """As nnU-Net v2 wrote plans before 2.4: the architecture in keys of its own, intensities by modality."""
    configuration = a_configuration()
    del configuration["architecture"]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "n_conv_per_stage_encoder": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "num_pool_per_axis": [0, 1, 1],
        "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2]],
        "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3]],
        "unet_max_num_features": 320,
    }
    plans = some_plans(configuration)
    plans["foreground_intensity_properties_by_modality"] = plans.pop("foreground_intensity_properties_per_channel")
    del plans["label_manager"]
    return plans


def kwargs_of(what: str, **changes: Any) -> dict[str, Any]:
    """Plans whose arguments of resampling are these, and no others."""
    return some_plans(a_configuration(**{f"resampling_fn_{what}_kwargs": changes}))


MR = {"normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [True]}
KINDS: dict[str, dict[str, Any]] = {
    "residual encoder": {"plans": res_enc()},
    "old plans": {"plans": old()},
    "several folds": {"folds": 3},
    "an ignored label": {"dataset": {**DATASET, "labels": {**DATASET["labels"], "ignore": 3}}},
    "transposed": {
        "plans": some_plans(a_configuration(), transpose_forward=[1, 2, 0], transpose_backward=[2, 0, 1])
    },
    "transposed with masks": {
        "plans": some_plans(a_configuration(**MR), transpose_forward=[2, 0, 1], transpose_backward=[1, 2, 0]),
        "dataset": {**DATASET, "channel_names": {"0": "MRI"}},
    },
    "a trainer without mirroring": {"trainer": "nnUNetTrainerNoMirroring", "mirror": None},
    "a trainer with another normalisation": {"trainer": "nnUNetTrainerBN"},
    "resampling without its last argument": {"plans": kwargs_of("data", is_seg=False, order=3, order_z=0)},
    "resampling without arguments": {"plans": kwargs_of("data")},
    "slices that are far apart later": {
        "plans": kwargs_of("data", **RESAMPLING, separate_z_anisotropy_threshold=6.0)
    },
    "scores that are never resampled by slices": {"plans": kwargs_of("probabilities", order=1)},
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_model_says_what_nnunet_says(tmp_path: Path, name: str) -> None:
    made = run(write_results(tmp_path / "results", **KINDS[name]), tmp_path)
    require_equal(made)
    assert made.problem == ""


def test_of_many_labels_half_precision_decides_nothing(tmp_path: Path) -> None:
    """nnU-Net sums windows in half precision: what stands in for the net keeps clear of that."""
    labels = {"background": 0, **{f"organ {number}": number for number in range(1, 30)}}
    made = run(write_results(tmp_path / "results", dataset={**DATASET, "labels": labels}), tmp_path)
    assert made.parity is not None
    assert made.parity.overall_dice is not None
    assert made.parity.overall_dice > 0.995
    assert sum(one.voxels_framework > 50 for one in made.parity.classes) == 3


def test_regions_keep_their_meaning(tmp_path: Path) -> None:
    """The whole stays whole: a segment with all that lies in it."""
    (tmp_path / "codes.toml").write_text(CODES, encoding="utf-8")
    results = write_results(
        tmp_path / "results", dataset={**DATASET, "labels": REGIONS, "regions_class_order": [1, 2, 3]}
    )
    made = run(results, tmp_path, codes=tmp_path / "codes.toml")
    require_equal(made)
    assert made.problem == ""
    outputs = load_package(made.folder).manifest.outputs
    assert [(one.label, one.contains) for one in outputs.segments] == [
        ("Whole", ("Core", "Enhancing")), ("Core", ("Enhancing",)), ("Enhancing", ())
    ]  # fmt: skip
    assert outputs.quantifications == ()
    assert made.parity is not None
    assert [one.label for one in made.parity.classes] == list(REGIONS)[1:]
    sizes = [one.voxels_package for one in made.parity.classes]
    assert sizes == sorted(sizes, reverse=True)


def test_inputs_follow_the_numbers_of_the_channels_not_their_order_in_the_file(tmp_path: Path) -> None:
    """Two files, _0000 and _0001: normalised as the plans say of each."""
    plans = some_plans(a_configuration(2, normalization_schemes=["CTNormalization", "ZScoreNormalization"]))
    plans["foreground_intensity_properties_per_channel"]["0"] = {**KNOWN, "mean": 50.0}
    dataset = {**DATASET, "channel_names": {"1": "PET", "0": "CT"}}
    made = run(write_results(tmp_path / "results", plans=plans, dataset=dataset), tmp_path)
    require_equal(made)
    inputs = load_package(made.folder).manifest.inputs
    assert inputs is not None
    assert [(one.name, one.modality) for one in inputs] == [("ct", "CT"), ("pet", "PT")]


def test_older_data_sets_call_the_channels_modality(tmp_path: Path) -> None:
    dataset = {key: value for key, value in DATASET.items() if key != "channel_names"} | {"modality": {"0": "CT"}}
    made = run(write_results(tmp_path / "results", dataset=dataset), tmp_path)
    require_equal(made)
    assert 'modality = "CT"' in (made.folder / MANIFEST).read_text()


@pytest.mark.parametrize(
    ("plans", "dataset", "words"),
    [
        (kwargs_of("data", **RESAMPLING, anti_aliasing=True), {}, "resampling_fn_data_kwargs"),
        (kwargs_of("data", **{**RESAMPLING, "is_seg": True}), {}, "resampling_fn_data_kwargs"),
        (kwargs_of("probabilities"), {}, "resampling_fn_probabilities_kwargs"),
        (kwargs_of("probabilities", order=1, mode="nearest"), {}, "resampling_fn_probabilities_kwargs"),
        (some_plans(a_configuration(resampling_fn_data_kwargs=None)), {}, "resampling_fn_data_kwargs is None"),
        (some_plans(a_configuration(resampling_fn_data="resample_torch_fornnunet")), {}, "resampling_fn_data is"),
        (None, {"channel_names": {"1": "CT", "2": "PET"}}, "channel_names"),
        (None, {"channel_names": {"CT": 0}}, "channel_names"),
        (None, {"labels": {"background": 0, "liver": 1, "spleen": 3}}, "labels is"),
    ],
)
def test_a_key_that_is_not_understood_is_refused_by_its_name(
    tmp_path: Path, plans: dict[str, Any] | None, dataset: dict[str, Any], words: str
) -> None:
    results = write_results(tmp_path / "results")
    (results / "dataset.json").write_text(json.dumps({**DATASET, **dataset}), encoding="utf-8")
    if plans is not None:
        (results / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        run(results, tmp_path)
    assert refused.value.code == "nnunet-unsupported"
    assert words in refused.value.message
    assert not (tmp_path / "organs").exists()


@pytest.mark.parametrize("name", ["nnUNetTrainer_Mine", "MyTrainer"])
def test_a_trainer_that_nnunet_does_not_have_needs_trust(tmp_path: Path, name: str) -> None:
    results = write_results(tmp_path / "results", trainer=name)
    with pytest.raises(ConfigurationError) as refused:
        run(results, tmp_path)
    assert refused.value.code == "architecture-needs-trust"
    assert name in refused.value.message
    require_equal(run(results, tmp_path, trust=True))


def test_a_trainer_of_nnunet_is_its_own_class() -> None:
    for name in ("nnUNetTrainer", "nnUNetTrainer_onlyMirror01_DA5", "nnUNet_Trainer_BS8"):
        assert official_trainer(name).__module__.startswith("nnunetv2.training.nnUNetTrainer.")


def test_a_trainer_that_builds_no_network_is_named(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results")
    checkpoint = torch.load(results / "fold_0/checkpoint_final.pth", weights_only=True)
    torch.save({**checkpoint, "trainer_name": "AbstractPrimus"}, results / "fold_0/checkpoint_final.pth")
    with pytest.raises(ConfigurationError) as refused:
        run(results, tmp_path)
    assert refused.value.code == "architecture-not-built"
    assert "AbstractPrimus" in refused.value.message


def test_plans_that_nnunet_itself_does_not_take_are_named(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results")
    plans = deepcopy(some_plans(a_configuration()))
    del plans["configurations"]["3d_fullres"]
    (results / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        run(results, tmp_path)
    assert refused.value.code == "results-incomplete"
    assert "3d_fullres" in refused.value.message
