"""A results folder of nnU-Net whose nets were never trained: everything else is as nnU-Net writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from worker.importing.nnunet.network import build_network

PATCH = (8, 24, 32)
RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
KNOWN = {"mean": 90.0, "std": 240.0, "percentile_00_5": -700.0, "percentile_99_5": 900.0}
UNET = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
DATASET: dict[str, Any] = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "kidney_left": 2},
    "numTraining": 4,
    "file_ending": ".nii.gz",
}


def a_configuration(channels: int = 1, **changes: Any) -> dict[str, Any]:
    """3d_fullres with a net of two levels."""
    return {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(PATCH),
        "median_image_size_in_voxels": [20.0, 40.0, 40.0],
        "spacing": [4.0, 1.5, 1.2],
        "normalization_schemes": ["CTNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": dict(RESAMPLING),
        "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": {**RESAMPLING, "order": 1},
        "architecture": deepcopy(UNET),
        "batch_dice": False,
        **changes,
    }


def some_plans(configuration: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """plans.json."""
    channels = len(configuration["normalization_schemes"])
    return {
        "dataset_name": "Dataset001_Organs",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [4.0, 1.5, 1.2],
        "original_median_shape_after_transp": [20, 40, 40],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(channel): dict(KNOWN) for channel in range(channels)},
        **changes,
    }


def write_results(
    folder: Path,
    *,
    plans: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
    trainer: str = "nnUNetTrainer",
    mirror: Sequence[int] | None = (0, 1, 2),
    folds: int = 1,
) -> Path:
    """``folder`` with plans.json, dataset.json and a checkpoint of each fold, with random weights."""
    plans, dataset = plans or some_plans(a_configuration()), dataset or DATASET
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    manager = PlansManager(deepcopy(plans))
    heads = manager.get_label_manager(dataset).num_segmentation_heads
    channels = len(dataset.get("channel_names") or dataset["modality"])
    for fold in range(folds):
        torch.manual_seed(fold)
        settings = manager.get_configuration("3d_fullres")
        net = build_network(manager, settings, trainer, inputs=channels, heads=heads, trust=True)
        (folder / f"fold_{fold}").mkdir()
        torch.save(
            {
                "network_weights": net.state_dict(),
                "init_args": {"configuration": "3d_fullres", "fold": fold},
                "trainer_name": trainer,
                "inference_allowed_mirroring_axes": mirror,
            },
            folder / f"fold_{fold}/checkpoint_final.pth",
        )
    return folder
