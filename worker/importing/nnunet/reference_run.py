"""nnU-Net's own run of a trained model on a case: what a package is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Volume
from worker.importing.frameworks import need, quiet
from worker.importing.nnunet.folder import TrainedModel
from worker.importing.parity.itk_images import axes_of, labels_back, oriented, to_itk


def nnunet_labels(model: TrainedModel, case: Sequence[Volume], scratch: Path) -> NDArray[np.integer[Any]]:
    """What nnU-Net's own predictor says, reader and export included, on the grid of the case."""
    source = to_itk(case[0])
    paths = _files(model, case, scratch)
    found: NDArray[np.integer[Any]] | None = None
    with quiet():
        for stage in model.stages:
            reader = stage.plans.image_reader_writer_class()
            values, properties = reader.read_images(paths)
            shown = None
            if found is not None:  # as a file, as nnU-Net hands it from stage to stage
                reader.write_seg(found, str(scratch / "previous.nii.gz"), properties)
                shown, _ = reader.read_seg(str(scratch / "previous.nii.gz"))
            found = np.asarray(_predictor(stage).predict_single_npy_array(values, properties, shown))
    turned = oriented(source, model.file_axes)
    return labels_back(np.asarray(found).astype(np.uint16), turned, axes_of(source))


def prepared(stage: TrainedModel, case: Sequence[Volume], scratch: Path) -> NDArray[np.float32]:
    """What nnU-Net's preprocessor makes of a case for a stage: (channel of the image, ...), in its order of axes."""
    with quiet():
        values, properties = stage.plans.image_reader_writer_class().read_images(_files(stage, case, scratch))
        maker = stage.settings.preprocessor_class(verbose=False)
        data, *_ = maker.run_case_npy(values, None, properties, stage.plans, stage.settings, dict(stage.dataset))
    return np.asarray(data, dtype=np.float32)


def by_segment(model: TrainedModel, found: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """nnU-Net's numbers as those of the segments: of regions the order in which they are written."""
    channels = sorted(model.channels)
    values = list(model.dataset["regions_class_order"]) if model.has_regions else channels
    numbers: NDArray[np.integer[Any]] = np.zeros_like(found)
    for number, value in enumerate(values, start=1):
        numbers[found == value] = number
    return numbers


def _files(model: TrainedModel, case: Sequence[Volume], scratch: Path) -> list[str]:
    """The case as files whose axes run as those of the training did."""
    (sitk,) = need("SimpleITK")
    paths = [str(scratch / f"case_{channel:04d}.nii.gz") for channel in range(len(case))]
    for one, path in zip(case, paths, strict=True):
        sitk.WriteImage(oriented(to_itk(one), model.file_axes), path)
    return paths


def _predictor(model: TrainedModel) -> Any:
    torch, predict = need("torch", "nnunetv2.inference.predict_from_raw_data")
    predictor = predict.nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=bool(model.mirror), device=torch.device("cpu"),
        perform_everything_on_device=False, allow_tqdm=False,
    )  # fmt: skip
    predictor.manual_initialization(
        model.network, model.plans, model.settings, list(model.parameters), dict(model.dataset), model.trainer,
        model.mirror or None,
    )  # fmt: skip
    return predictor
