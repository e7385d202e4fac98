"""Volumes as images of ITK, which the frameworks read: the same voxels at the same place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Volume
from worker.importing.frameworks import need

_UID = "2.25.1"
"""A file without DICOM has no identity; nothing of it is ever sent."""


def read_nifti(path: Path, *, modality: str) -> Volume:
    """A NIfTI (or MetaImage, NRRD) file as a volume: (slice, row, column), coordinates LPS as ITK has them."""
    (sitk,) = need("SimpleITK")
    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{path.name} cannot be read as an image.", next_step="Name a NIfTI file or a DICOM folder.",
            code="case-unreadable",
        ) from error  # fmt: skip
    if image.GetDimension() != 3:
        raise ConfigurationError(
            f"{path.name} has {image.GetDimension()} axes; 3 were expected.", code="case-unreadable"
        )
    voxels = sitk.GetArrayFromImage(image)
    steps = np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())
    affine = np.eye(4)
    affine[:3, :3] = steps[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
    return Volume(
        voxels=voxels,
        geometry=Geometry(shape=shape, affine_lps=affine),
        slices=tuple(SliceRef(SOPInstanceUID(f"{_UID}.{k + 1}")) for k in range(shape[0])),
        modality=modality,
        series_instance_uid=SeriesInstanceUID(_UID),
        frame_of_reference_uid=FrameOfReferenceUID(f"{_UID}.0"),
    )


def with_modality(volume: Volume, modality: str) -> Volume:
    """The volume as one of this modality, where it does not say its own: a NIfTI file has none."""
    return volume if volume.modality else replace(volume, modality=modality)


def to_itk(volume: Volume) -> Any:
    """A volume as a float32 image of ITK.

    Raises NotApplicableError (``sheared``) for a grid whose axes are not perpendicular: ITK's images cannot say that.
    """
    (sitk,) = need("SimpleITK")
    steps = volume.geometry.affine_lps[:3, :3]
    directions = steps / np.linalg.norm(steps, axis=0)
    if not np.allclose(directions.T @ directions, np.eye(3), atol=1e-5):
        raise NotApplicableError(
            "The axes of this case are not perpendicular (gantry tilt): the framework cannot read it.",
            next_step="Take another case for the comparison.",
            code="sheared",
        )
    image = sitk.GetImageFromArray(volume.voxels)
    image.SetSpacing(volume.geometry.spacing_mm[::-1])
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    image.SetOrigin(volume.geometry.affine_lps[:3, 3].tolist())
    return image


def oriented(image: Any, axes: str) -> Any:
    """Permuted and flipped so that the array (slice, row, column) runs towards ``axes``."""
    (sitk,) = need("SimpleITK")
    return sitk.DICOMOrient(image, axes[::-1])


def axes_of(image: Any) -> str:
    """Towards what the axes of the array (slice, row, column) run."""
    (sitk,) = need("SimpleITK")
    found: str = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    return found[::-1]


def labels_back(labels: NDArray[np.integer[Any]], like: Any, axes: str) -> NDArray[np.integer[Any]]:
    """A label map on the grid of ``like``, turned to ``axes``."""
    (sitk,) = need("SimpleITK")
    image = sitk.GetImageFromArray(labels)
    image.CopyInformation(like)
    found: NDArray[np.integer[Any]] = sitk.GetArrayFromImage(oriented(image, axes))
    return found
