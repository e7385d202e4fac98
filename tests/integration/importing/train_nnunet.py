"""Train tiny nnU-Nets on phantoms, by nnU-Net's own planner, preprocessor and trainer: minutes become seconds.

python tests/integration/importing/train_nnunet.py FOLDER CASE ...     (CASES names them)

Prints nothing. The results folders are FOLDER/results/Dataset00n_NAME/nnUNetTrainer__nnUNetPlans__CONFIGURATION.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813


@dataclass(frozen=True)
class Case:
    """What is trained: on which dataset, in which configuration, and how many folds."""

    number: int
    modality: str
    configuration: str
    labels: dict[str, Any]
    regions: tuple[int, ...] = ()
    folds: tuple[int, ...] = (0,)
    steps: int = 20
    name: str = "Organs"
    channels: int = 1


ORGANS = {"background": 0, "liver": 1, "kidney_left": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": [2]}
CASES = {
    "ct-2d": Case(1, "CT", "2d", ORGANS, steps=40),
    "ct-3d": Case(1, "CT", "3d_fullres", ORGANS, steps=40),
    "ct-lowres": Case(1, "CT", "3d_lowres", ORGANS, steps=80),
    "ct-cascade": Case(1, "CT", "3d_cascade_fullres", ORGANS, steps=60),
    "mr-regions": Case(2, "MRI", "3d_fullres", REGIONS, regions=(1, 2), name="Regions"),
    "mr-two": Case(3, "MRI", "3d_fullres", ORGANS, steps=40, name="Two", channels=2),
}


def a_body(shape: tuple[int, int, int], seed: int, *, modality: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and labels (slice, row, column): a large ellipsoid, and in its neighbourhood a small one."""
    rng = np.random.default_rng(seed)
    k, i, j = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = (i / 0.8) ** 2 + (j / 0.9) ** 2 < 1
    shift = rng.uniform(-0.12, 0.12, 6)
    large = ((k - shift[0]) / 0.7) ** 2 + ((i - shift[1]) / 0.45) ** 2 + ((j + 0.3 - shift[2]) / 0.4) ** 2 < 1
    small = ((k - shift[3]) / 0.5) ** 2 + ((i - shift[4]) / 0.3) ** 2 + ((j - 0.45 - shift[5]) / 0.25) ** 2 < 1
    if modality == "MRI":
        small = ((k - shift[0]) / 0.4) ** 2 + ((i - shift[1]) / 0.25) ** 2 + ((j + 0.3 - shift[2]) / 0.2) ** 2 < 1
        values = np.where(small, 700.0, np.where(large, 450.0, np.where(body, 200.0, 0.0)))
        values[body] += rng.normal(0, 20, int(body.sum()))
        values[:, :3] = values[:, -2:] = 0.0
    else:
        values = np.where(small, 250.0, np.where(large, 120.0, np.where(body, 20.0, -1000.0)))
        values = values + rng.normal(0, 15, shape)
    return np.round(values).astype(np.float32), np.where(small, 2, np.where(large, 1, 0)).astype(np.uint8)


def a_second_sequence(values: np.ndarray, seed: int) -> np.ndarray:
    """The same body in another contrast: dark becomes bright, and what is air stays 0."""
    noise = np.random.default_rng(1000 + seed).normal(0, 15, values.shape)
    return np.where(values != 0, np.round(900 - values + noise), 0).astype(np.float32)


def images_of(raw: Path, case: Case, number: int) -> list[str]:
    """The files of one training image, one for each channel."""
    return [str(raw / f"imagesTr/p{number}_{channel:04d}.nii.gz") for channel in range(case.channels)]


def write_raw(folder: Path, case: Case) -> None:
    """The raw data set, as nnU-Net wants it."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for number in range(4):
        values, labels = a_body((14 + number, 44, 48), seed=number, modality=case.modality)
        arrays = [values, a_second_sequence(values, number)][: case.channels]
        files = [
            *zip(arrays, images_of(folder, case, number), strict=True),
            (labels, str(folder / f"labelsTr/p{number}.nii.gz")),
        ]
        for array, path in files:
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((1.5, 1.5, 5.0) if case.modality == "CT" else (1.6, 1.5, 2.0))
            sitk.WriteImage(image, path)
    stated: dict[str, Any] = {
        "channel_names": {"0": case.modality} if case.channels == 1 else {"0": "T1", "1": "T2"},
        "labels": case.labels,
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    if case.regions:
        stated["regions_class_order"] = list(case.regions)
    (folder / "dataset.json").write_text(json.dumps(stated), encoding="utf-8")


def plan(case: Case, name: str, raw: Path, preprocessed: Path) -> dict[str, Any]:
    """Fingerprint and plans, in this process; narrow nets."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    preprocessed.mkdir(parents=True)
    found = [
        DatasetFingerprintExtractor.analyze_case(
            images_of(raw, case, n), str(raw / f"labelsTr/p{n}.nii.gz"), SimpleITKIO, 5000
        )
        for n in range(4)
    ]
    foreground = [np.concatenate([one[2][channel] for one in found]) for channel in range(case.channels)]
    share = [float(one[4]) for one in found]
    fingerprint = {
        "spacings": [[float(x) for x in one[1]] for one in found],
        "shapes_after_crop": [[int(x) for x in one[0]] for one in found],
        "foreground_intensity_properties_per_channel": {
            str(channel): {
                "mean": float(values.mean()),
                "median": float(np.median(values)),
                "std": float(values.std()),
                "min": float(values.min()),
                "max": float(values.max()),
                "percentile_99_5": float(np.percentile(values, 99.5)),
                "percentile_00_5": float(np.percentile(values, 0.5)),
            }
            for channel, values in enumerate(foreground)
        },
        "median_relative_size_after_cropping": float(np.median(share)),
    }
    (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint), encoding="utf-8")
    planner = ExperimentPlanner(name, suppress_transpose=False)
    planner.UNet_base_num_features = 8
    planner.UNet_max_features_2d = planner.UNet_max_features_3d = 16
    # The planner takes it for torch's threads, which cannot be 0.
    os.environ["nnUNet_n_proc_DA"] = "1"  # noqa: SIM112
    planner.plan_experiment()
    further = cascade(planner)
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112
    plans: dict[str, Any] = json.loads((preprocessed / "nnUNetPlans.json").read_text(encoding="utf-8"))
    plans["configurations"] |= further
    plans["configurations"]["2d"]["batch_size"] = 6  # many small steps: a net that has hardly learned has no edges
    return plans


def cascade(planner: Any) -> dict[str, Any]:
    """The two configurations that nnU-Net plans when images are much larger than a patch; phantoms are not."""
    from nnunetv2.utilities.json_export import recursive_fix_for_json_export

    spacing, shape = np.array([5.0, 3.0, 3.0]), (16, 22, 24)
    planned = planner.get_plans_for_configuration(
        spacing, shape, planner.generate_data_identifier("3d_lowres"), 1e5, {}
    )
    lowres = {**planned, "batch_dice": False, "next_stage": "3d_cascade_fullres"}
    recursive_fix_for_json_export(lowres)
    return {
        "3d_lowres": lowres,
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }


def preprocess(plans: dict[str, Any], case: Case, raw: Path, preprocessed: Path) -> None:
    """Every case by nnU-Net's own preprocessor, and the segmentations where its trainer looks for them."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    settings = manager.get_configuration(case.configuration)
    out = preprocessed / settings.data_identifier
    if out.is_dir():
        return  # the second stage of a cascade sees the images of 3d_fullres
    out.mkdir(parents=True)
    dataset = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    for n in range(4):
        DefaultPreprocessor(verbose=False).run_case_save(
            str(out / f"p{n}"),
            images_of(raw, case, n),
            str(raw / f"labelsTr/p{n}.nii.gz"),
            manager,
            settings,
            dataset,
        )
    splits = [{"train": [f"p{n}" for n in range(4) if n != held], "val": [f"p{held}"]} for held in range(4)]
    (preprocessed / "splits_final.json").write_text(json.dumps(splits), encoding="utf-8")
    (preprocessed / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")


def show_first_stage(plans: dict[str, Any], case: Case, raw: Path, preprocessed: Path) -> None:
    """What the first stage says of every case, on the grid of the second: where nnU-Net's validation would write it."""
    import torch
    from nnunetv2.inference.export_prediction import resample_and_save
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    first = manager.get_configuration(manager.get_configuration(case.configuration).previous_stage_name)
    second = preprocessed / manager.get_configuration(case.configuration).data_identifier
    trained = Path(os.environ["nnUNet_results"]) / raw.name / "nnUNetTrainer__nnUNetPlans__3d_lowres"  # noqa: SIM112
    out = trained / "predicted_next_stage" / case.configuration
    out.mkdir(parents=True)
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(trained), use_folds=(0,))
    dataset = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    for n in range(4):
        image, _, _, properties = nnUNetDatasetBlosc2(str(preprocessed / first.data_identifier), [f"p{n}"])[f"p{n}"]
        shape = nnUNetDatasetBlosc2(str(second), [f"p{n}"])[f"p{n}"][0].shape[1:]
        logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(image[:]))
        resample_and_save(
            logits, list(shape), str(out / f"p{n}"), manager, first, properties, dataset, 1, nnUNetDatasetBlosc2
        )


def train(plans: dict[str, Any], case: Case, raw: Path) -> None:
    """A few steps of nnU-Net's own trainer for each fold."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    dataset = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    for fold in case.folds:
        torch.manual_seed(fold)
        np.random.seed(fold)  # noqa: NPY002  nnU-Net draws from it
        trainer = nnUNetTrainer(
            {**plans, "continue_training": False}, case.configuration, fold, dataset, device=torch.device("cpu")
        )
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, case.steps, 1
        trainer.logger.plot_progress_png = lambda _: None  # nobody looks at the curve
        trainer.run_training()


def main() -> None:
    folder = Path(sys.argv[1])
    wanted = [CASES[name] for name in sys.argv[2:]]
    places = {name: str(folder / name.removeprefix("nnUNet_")) for name in
              ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}  # fmt: skip
    os.environ |= {**places, "nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1", "nnUNet_compile": "0"}
    import torch

    torch.set_num_threads(1)  # the nets are tiny: threads would wait for each other, on a busy machine for minutes
    plans: dict[int, dict[str, Any]] = {}
    for case in wanted:
        name = f"Dataset{case.number:03d}_{case.name}"
        raw, preprocessed = folder / "raw" / name, folder / "preprocessed" / name
        if case.number not in plans:
            write_raw(raw, case)
            plans[case.number] = plan(case, name, raw, preprocessed)
        preprocess(plans[case.number], case, raw, preprocessed)
        if "cascade" in case.configuration:
            show_first_stage(plans[case.number], case, raw, preprocessed)
        train(plans[case.number], case, raw)


if __name__ == "__main__":
    main()
