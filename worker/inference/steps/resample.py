"""Steps that change the number of voxels but not the field of view, and crops and pads that change only that."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worker.inference.entries.strict import Strict
from worker.inference.image import Image, regrid, shape_of
from worker.inference.steps.sampling import Interpolation, sample, sample_filled
from worker.inference.steps.spline import smoothed, spline

Alignment = Literal["edges", "centre", "first", "first_and_last"]
"""What of the old and the new grid coincides.

"edges": the fields of view (torch and skimage; the spacing then differs from the wished one by rounding);
"centre": the middle of the grids, at exactly the wished spacing; "first": the first voxel's centre (SimpleITK);
"first_and_last": the same with as many voxels as reach the last one's centre (MONAI).
"""
Keep = Literal["keep"]
Way = Interpolation | Literal["cubic"]
"""How values between voxels are found: "cubic" is a cubic B-spline (order 3)."""
PositiveCount = Annotated[int, Field(ge=1, le=4096)]
PositiveSpacing = Annotated[float, Field(gt=0)]


def resample_to_spacing(
    image: Image,
    *,
    spacing_mm: tuple[float | Keep, float | Keep, float | Keep],
    interpolation: Way,
    alignment: Alignment = "edges",
    anti_aliasing: bool = False,
) -> Image:
    """Resample along the array's own axes to a spacing in mm ("keep" leaves an axis alone).

    The new count of an axis is round(count * spacing / wished), at least 1 (for "first_and_last"
    round((count - 1) * spacing / wished + 1)). Axes keep their direction, so that an
    oblique or sheared grid stays what it is. With ``anti_aliasing`` the values are smoothed before along every axis
    that gets coarser (``spline.smoothed``); without it only the nearest voxels count.
    """
    shape = shape_of(image.values)
    ends = 1 if alignment == "first_and_last" else 0
    counts = tuple(
        n if wished == "keep" else max(1, round((n - ends) * now / wished + ends))
        for n, now, wished in zip(shape, image.geometry.spacing_mm, spacing_mm, strict=True)
    )
    scales = tuple(
        1.0 if wished == "keep" else (n / m if alignment == "edges" else wished / now)
        for n, m, now, wished in zip(shape, counts, image.geometry.spacing_mm, spacing_mm, strict=True)
    )
    prepared = smoothed(image, scales) if anti_aliasing else image
    return _resample(prepared, counts, scales, interpolation=interpolation, alignment=alignment)


def resample_to_shape(
    image: Image,
    *,
    shape: tuple[int | Keep, int | Keep, int | Keep],
    interpolation: Way,
    anti_aliasing: bool = False,
) -> Image:
    """Resample to a number of voxels over the same field of view ("keep" leaves an axis alone).

    "nearest" is "nearest-exact" of ``torch.nn.functional.interpolate``, "linear" its "trilinear" with
    ``align_corners=False``. ``anti_aliasing`` is that of ``resample_to_spacing``.
    """
    now = shape_of(image.values)
    counts = tuple(n if m == "keep" else m for n, m in zip(now, shape, strict=True))
    scales = tuple(n / m for n, m in zip(now, counts, strict=True))
    prepared = smoothed(image, scales) if anti_aliasing else image
    return _resample(prepared, counts, scales, interpolation=interpolation, alignment="edges")


def resample_to_grid(
    image: Image,
    *,
    spacing_mm: tuple[float | Keep, float | Keep, float | Keep],
    shape: tuple[int | Keep, int | Keep, int | Keep],
    interpolation: Interpolation,
    outside: float,
) -> Image:
    """Sample a grid of exactly this spacing in mm and shape, whose middle is the middle of the image.

    Index i of an axis of m voxels lies at ``middle + (i - (m - 1) / 2) * spacing``. Points outside the image's field
    of view get ``outside``. This is resampling and centre crop or pad in one, without a half voxel between them.
    """
    now = shape_of(image.values)
    counts = [n if wished == "keep" else wished for n, wished in zip(now, shape, strict=True)]
    step: NDArray[np.float64] = np.eye(4)
    for axis, (wished, has) in enumerate(zip(spacing_mm, image.geometry.spacing_mm, strict=True)):
        scale = 1.0 if wished == "keep" else wished / has
        step[axis, axis] = scale
        step[axis, 3] = (now[axis] - 1) / 2 - scale * (counts[axis] - 1) / 2
    target = (counts[0], counts[1], counts[2])
    values = sample_filled(image.values, step, target, interpolation=interpolation, outside=outside)
    return image.on_grid(values, regrid(image.geometry, shape=target, step=step))


def _resample(
    image: Image,
    counts: tuple[int, ...],
    scales: tuple[float, ...],
    *,
    interpolation: Way,
    alignment: Alignment,
) -> Image:
    step: NDArray[np.float64] = np.eye(4)
    for axis, (n, m, scale) in enumerate(zip(shape_of(image.values), counts, scales, strict=True)):
        step[axis, axis] = scale
        if alignment not in (
            "first",
            "first_and_last",
        ):  # else edges and centres coincide together
            step[axis, 3] = (n - 1) / 2 - scale * (m - 1) / 2
    target = (counts[0], counts[1], counts[2])
    if interpolation == "cubic":
        values = spline(image.values, step, target)
    else:
        values, _ = sample(image.values, step, target, interpolation=interpolation)
    return image.on_grid(values, regrid(image.geometry, shape=target, step=step))


def crop_or_pad(
    image: Image,
    *,
    shape: tuple[int | Keep, int | Keep, int | Keep],
    outside: float,
) -> Image:
    """Cut or fill each axis around its middle to the given count ("keep" leaves an axis alone).

    Of an odd difference the smaller half is cut or added before the first voxel. New voxels get ``outside``.
    """
    now = shape_of(image.values)
    wished = tuple(n if m == "keep" else m for n, m in zip(now, shape, strict=True))
    starts = tuple((n - m) // 2 if n >= m else -((m - n) // 2) for n, m in zip(now, wished, strict=True))
    return cut(image, start=(starts[0], starts[1], starts[2]), shape=(wished[0], wished[1], wished[2]), outside=outside)


def cut(image: Image, *, start: tuple[int, int, int], shape: tuple[int, int, int], outside: float = 0.0) -> Image:
    """The box of ``shape`` that begins at index ``start`` (which may lie before the first voxel)."""
    now = shape_of(image.values)
    step: NDArray[np.float64] = np.eye(4)
    step[:3, 3] = start
    source, padding = [slice(None)], [(0, 0)]
    for n, first, count in zip(now, start, shape, strict=True):
        low, high = min(max(first, 0), n), min(max(first + count, 0), n)
        source.append(slice(low, high))
        before = min(max(-first, 0), count)
        padding.append((before, count - before - (high - low)))
    values = image.values[tuple(source)]
    if any(pair != (0, 0) for pair in padding):
        values = np.pad(values, padding, constant_values=np.float32(outside))
    return image.on_grid(values, regrid(image.geometry, shape=shape, step=step))


class ResampleToSpacing(Strict):
    """Resample to a spacing in mm per array axis; "keep" leaves an axis alone."""

    step: Literal["resample_to_spacing"]
    spacing_mm: tuple[PositiveSpacing | Keep, PositiveSpacing | Keep, PositiveSpacing | Keep]
    interpolation: Way
    alignment: Alignment = "edges"
    anti_aliasing: bool = False

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``resample_to_spacing``."""
        return resample_to_spacing(
            image,
            spacing_mm=self.spacing_mm,
            interpolation=self.interpolation,
            alignment=self.alignment,
            anti_aliasing=self.anti_aliasing,
        )


class ResampleToShape(Strict):
    """Resample to a number of voxels over the same field of view; "keep" leaves an axis alone."""

    step: Literal["resample_to_shape"]
    shape: tuple[PositiveCount | Keep, PositiveCount | Keep, PositiveCount | Keep]
    interpolation: Way
    anti_aliasing: bool = False

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``resample_to_shape``."""
        return resample_to_shape(
            image, shape=self.shape, interpolation=self.interpolation, anti_aliasing=self.anti_aliasing
        )


class CropOrPad(Strict):
    """Cut or fill around the middle to a number of voxels; "keep" leaves an axis alone."""

    step: Literal["crop_or_pad"]
    shape: tuple[PositiveCount | Keep, PositiveCount | Keep, PositiveCount | Keep]
    outside: float

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``crop_or_pad``."""
        return crop_or_pad(image, shape=self.shape, outside=self.outside)


class ResampleToGrid(Strict):
    """Sample a grid of this spacing and shape around the image's middle; "keep" leaves an axis alone."""

    step: Literal["resample_to_grid"]
    spacing_mm: tuple[PositiveSpacing | Keep, PositiveSpacing | Keep, PositiveSpacing | Keep]
    shape: tuple[PositiveCount | Keep, PositiveCount | Keep, PositiveCount | Keep]
    interpolation: Interpolation
    outside: float

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``resample_to_grid``."""
        return resample_to_grid(
            image,
            spacing_mm=self.spacing_mm,
            shape=self.shape,
            interpolation=self.interpolation,
            outside=self.outside,
        )
