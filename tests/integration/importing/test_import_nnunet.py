"""nnU-Net: the package says on unseen images what nnU-Net's own predictor says."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch

from tests.builders import a_ct_series
from tests.integration.importing.train_nnunet import a_body, a_second_sequence
from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.importing.nnunet.importer import Wanted, import_nnunet
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity.report import TARGET_DICE
from worker.inference.packages.package import load_package
from worker.wiring import importing

pytestmark = [pytest.mark.export, pytest.mark.slow, pytest.mark.timeout(900)]

CT_2D = "Dataset001_Organs/nnUNetTrainer__nnUNetPlans__2d"
CT_3D = "Dataset001_Organs/nnUNetTrainer__nnUNetPlans__3d_fullres"
REGIONS = "Dataset002_Regions/nnUNetTrainer__nnUNetPlans__3d_fullres"
LOWRES = "Dataset001_Organs/nnUNetTrainer__nnUNetPlans__3d_lowres"
CASCADE = "Dataset001_Organs/nnUNetTrainer__nnUNetPlans__3d_cascade_fullres"
TWO = "Dataset003_Two/nnUNetTrainer__nnUNetPlans__3d_fullres"
FULL = ("configurations", "3d_fullres")
CODES = """
[whole]
category = { value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }
type = { value = "52988006", scheme = "SCT", meaning = "Lesion" }
[core]
category = { value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }
type = { value = "6574001", scheme = "SCT", meaning = "Necrosis" }
"""


def a_dicom_case(folder: Path) -> Path:
    """Unseen: another seed, another spacing than in training."""
    values, _ = a_body((26, 52, 58), seed=77, modality="CT")
    a_ct_series(folder, hu=values.astype(np.int16), spacing_mm=(2.5, 1.4, 1.6))
    return folder


def a_nifti_case(path: Path) -> Path:
    """Unseen, and stored with other axes: columns towards the right, rows upwards."""
    values, _ = a_body((24, 50, 56), seed=99, modality="MRI")
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.3, 1.4, 2.6))
    sitk.WriteImage(sitk.DICOMOrient(image, "RSA"), str(path))
    return path


def run(results: Path, target: Path, name: str, *case: Path, **wanted: Any) -> Imported:
    codes = wanted.pop("codes", None)
    volumes = [importing.read_case(path, modality="MR") for path in case]
    return import_nnunet(
        results, target, Naming(name, codes=codes), Wanted(**wanted), runtime=importing.runtime(), case=volumes
    )


def require_equal(made: Imported) -> None:
    assert made.parity is not None
    for net in made.parity.nets:
        assert net.largest_difference < 1e-3 * max(1.0, net.largest_score), net
    assert any(one.voxels_framework > 100 for one in made.parity.classes), "a constant answer proves nothing"
    for one in made.parity.classes:
        sys.stdout.write(f"{one}\n")
        assert one.dice >= TARGET_DICE, one
    assert json.loads((made.folder / "parity.json").read_text())["reached"] is True
    assert "Reached." in (made.folder / "README.md").read_text()


@pytest.mark.parametrize(("results", "folds"), [(CT_2D, 1), (CT_3D, 1)])
def test_on_unseen_dicom_it_says_what_nnunet_says(trained: Path, tmp_path: Path, results: str, folds: int) -> None:
    made = run(trained / results, tmp_path, "organs-ct", a_dicom_case(tmp_path / "case"))
    require_equal(made)
    assert made.problem == ""  # both labels are in the table of anatomy
    package = load_package(made.folder)
    assert len(package.weights) == folds
    assert [segment.label for segment in package.manifest.outputs.segments] == ["Liver", "Kidney left"]
    assert package.manifest.outputs.segments[1].laterality is not None


def test_regions_and_other_axes_are_those_of_nnunet(trained: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.toml"
    codes.write_text(CODES, encoding="utf-8")
    made = run(trained / REGIONS, tmp_path, "lesion-mr", a_nifti_case(tmp_path / "case.nii.gz"), codes=codes)
    require_equal(made)
    assert made.problem == ""
    assert load_package(made.folder).manifest.reference.modality == "MR"


def test_the_cascade_shows_the_first_stage_to_the_second_as_nnunet_does(trained: Path, tmp_path: Path) -> None:
    made = run(trained / CASCADE, tmp_path, "organs-ct", a_dicom_case(tmp_path / "case"))
    require_equal(made)
    assert made.problem == ""
    package = load_package(made.folder)
    assert set(package.weights) == {"first-fold-0", "second-fold-0"}
    assert package.manifest.inference.answer().input.shape[1] == 3  # the image and two masks
    assert "3d_lowres and then 3d_cascade_fullres" in (made.folder / "README.md").read_text()
    assert made.parity is not None
    assert made.parity.package_cost is not None
    assert made.parity.package_cost.seconds > 0


def test_folds_count_by_the_mean_of_their_logits(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(trained / LOWRES, copy)
    shutil.copytree(copy / "fold_0", copy / "fold_1")
    path = copy / "fold_1/checkpoint_final.pth"
    other = torch.load(path, weights_only=False)
    other["network_weights"] = {key: value * 1.1 for key, value in other["network_weights"].items()}
    torch.save(other, path)
    made = run(copy, tmp_path, "organs-ct", a_dicom_case(tmp_path / "case"))
    require_equal(made)
    assert set(load_package(made.folder).weights) == {"fold-0", "fold-1"}


def test_the_second_stage_of_a_cascade_needs_the_first(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / Path(CASCADE).name
    shutil.copytree(trained / CASCADE, copy)
    for previous in (None, trained / CT_3D):
        with pytest.raises(ConfigurationError) as refused:
            run(copy, tmp_path, "organs-ct", previous=previous)
        assert refused.value.code == "previous-stage-missing"
    assert run(copy, tmp_path, "organs-ct", previous=trained / LOWRES).problem == ""


def two_sequences(folder: Path) -> tuple[Path, Path]:
    """Unseen, T1 and T2 on one grid."""
    values, _ = a_body((22, 46, 50), seed=55, modality="MRI")
    paths = (folder / "t1.nii.gz", folder / "t2.nii.gz")
    for array, path in zip((values, a_second_sequence(values, 55)), paths, strict=True):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.4, 1.5, 2.3))
        sitk.WriteImage(image, str(path))
    return paths


def test_of_two_channels_each_is_an_input(trained: Path, tmp_path: Path) -> None:
    made = run(trained / TWO, tmp_path, "organs-mr", *two_sequences(tmp_path))
    require_equal(made)
    assert "inputs[0].conditions[0].attribute" in made.problem  # nnU-Net does not say which series is the T1
    assert any("tells the series of the inputs apart (T1, T2)" in one for one in made.todo)
    manifest = made.folder / "manifest.toml"
    text = manifest.read_text()
    assert "# TO DO: what tells this series from the others" in text
    manifest.write_text(text.replace('attribute = ""', 'attribute = "SeriesDescription"'))
    inputs = load_package(made.folder).manifest.inputs
    assert inputs is not None
    assert [one.name for one in inputs] == ["t1", "t2"]
    assert importing.runtime().problem(made.folder) == ""


def test_a_case_of_two_channels_has_two_images_on_one_grid(trained: Path, tmp_path: Path) -> None:
    one, other = two_sequences(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        run(trained / TWO, tmp_path, "organs-mr", one)
    assert refused.value.code == "case-inputs"
    moved = sitk.ReadImage(str(other))
    moved.SetOrigin((3.0, 0.0, 0.0))
    sitk.WriteImage(moved, str(other))
    with pytest.raises(NotApplicableError) as caught:
        run(trained / TWO, tmp_path, "organs-mr", one, other)
    assert caught.value.code == "grids-differ"
    assert not (tmp_path / "organs-mr").exists()


def test_without_codes_the_package_is_refused_until_a_person_has_filled_them_in(trained: Path, tmp_path: Path) -> None:
    made = run(trained / REGIONS, tmp_path, "lesion-mr")
    assert "outputs.segments[0].type.value" in made.problem
    assert "whole, core" in made.todo[0]
    assert "# TO DO: codes of whole, core" in (made.folder / "manifest.toml").read_text()
    assert made.parity is not None
    assert made.parity.made_up
    assert made.parity.reached is True


def test_a_checkpoint_that_would_run_code_is_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(trained / CT_2D, copy)
    (copy / "fold_0/checkpoint_final.pth").write_bytes(pickle.dumps(Mischief(str(tmp_path / "ran")), protocol=2))
    with pytest.raises(ConfigurationError) as refused:
        run(copy, tmp_path, "mischief")
    assert refused.value.code in ("checkpoint-needs-trust", "checkpoint-unreadable")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "mischief").exists()


class Mischief:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize(
    ("file", "change", "code"),
    [
        ("plans.json", (*FULL, "previous_stage", "3d_lowres"), "previous-stage-missing"),
        ("plans.json", (*FULL, "resampling_fn_data", "resample_torch_simple"), "nnunet-unsupported"),
        ("plans.json", (*FULL, "architecture", "network_class_name", "os.system"), "architecture-needs-trust"),
        ("plans.json", (*FULL, "normalization_schemes", ["RGBTo01Normalization"]), "nnunet-unsupported"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_over_exactly_is_refused(
    trained: Path, tmp_path: Path, file: str, change: tuple[Any, ...], code: str
) -> None:
    copy = tmp_path / "results"
    shutil.copytree(trained / CT_3D, copy)
    content = json.loads((copy / file).read_text())
    here = content
    for key in change[:-2]:
        here = here[key]
    here[change[-2]] = change[-1]
    (copy / file).write_text(json.dumps(content))
    with pytest.raises(ConfigurationError) as refused:
        run(copy, tmp_path, "changed")
    assert refused.value.code == code
    assert not (tmp_path / "changed").exists()
