"""Resampling as nnU-Net v2 does it (``resample_data_or_seg_to_spacing``): per slice where slices are far apart."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field

from worker.domain.volume import Geometry
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, over_same_field

ANISOTROPY_THRESHOLD = 3.0
_EQUAL = 1e-6
"""Spacings come from an affine: what nnU-Net reads as equal, or as exactly the threshold, differs here in last bits."""
Labels = NDArray[np.int16]
Order = Annotated[int, Field(ge=0, le=5)]
Spacing = Annotated[float, Field(gt=0)]
Keep = Literal["keep"]
Separate = Literal["auto", "always", "never"]


def low_resolution_axis(
    now_mm: tuple[float, ...],
    wished_mm: tuple[float, ...],
    *,
    separate: Separate,
    threshold: float = ANISOTROPY_THRESHOLD,
) -> int | None:
    """The axis along which slices are far apart and treated by themselves; None where there is none, or several.

    "auto": when the largest spacing is more than ``threshold`` times the smallest, before or else after resampling.
    """
    if separate == "never":
        return None
    for spacing in (now_mm, wished_mm):
        if separate == "always" or max(spacing) / min(spacing) > threshold + _EQUAL:
            axes = [axis for axis, size in enumerate(spacing) if max(spacing) / size < 1 + _EQUAL]
            return axes[0] if len(axes) == 1 else None
    return None


def target(
    geometry: Geometry,
    spacing_mm: tuple[float | Keep, float | Keep, float | Keep],
    *,
    separate: Separate,
    threshold: float = ANISOTROPY_THRESHOLD,
) -> tuple[tuple[int, int, int], int | None]:
    """The shape at a spacing ("keep": as it is), round(spacing / wished * count), and ``low_resolution_axis``."""
    now = geometry.spacing_mm
    spacing = tuple(has if one == "keep" else one for has, one in zip(now, spacing_mm, strict=True))
    counts = [max(1, round(has / one * n)) for has, one, n in zip(now, spacing, geometry.shape, strict=True)]
    return (counts[0], counts[1], counts[2]), low_resolution_axis(now, spacing, separate=separate, threshold=threshold)


def resize(values: NDArray[np.float64], shape: tuple[int, ...], *, order: int) -> NDArray[np.float64]:
    """``skimage.transform.resize(values, shape, order, mode="edge", anti_aliasing=False)``: clipped to the range."""
    factors = [wished / has for wished, has in zip(shape, values.shape, strict=True)]
    zoomed = scipy.ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    clipped: NDArray[np.float64] = np.clip(zoomed, values.min(), values.max())
    return clipped


def nearest_slices(count: int, wished: int) -> NDArray[np.intp]:
    """Of ``count`` slices the nearest to each of ``wished`` over the same length, half way up.

    In nnU-Net's own order of arithmetic: what lies half way is told by the last bits.
    """
    places = count / wished * (np.arange(wished) + 0.5) - 0.5
    nearest: NDArray[np.intp] = np.floor(np.clip(places, 0, count - 1) + 0.5).astype(np.intp)
    return nearest


def resample_nnunet(
    values: Float,
    shape: tuple[int, int, int],
    *,
    axis: int | None,
    order: int = 3,
    order_z: int = 0,
) -> Float:
    """Resample (channel, a, b, c) to ``shape`` over the same field of view.

    With ``axis`` each slice across it is resized by itself with ``order``, then the axis with ``order_z``; else all
    axes together with ``order``. Every result is clipped to the range of what went in.
    """
    if values.shape[1:] == shape:
        return values
    result: Float = np.empty((values.shape[0], *shape), dtype=np.float32)
    for channel, out in zip(values, result, strict=True):
        exact = channel.astype(np.float64)
        if axis is None:
            out[...] = resize(exact, shape, order=order)
            continue
        flat = tuple(n for other, n in enumerate(shape) if other != axis)
        slices = np.stack([resize(one, flat, order=order) for one in np.moveaxis(exact, axis, 0)], axis=axis)
        if slices.shape[axis] == shape[axis]:
            out[...] = slices
            continue
        if order_z == 0:
            out[...] = np.take(slices, nearest_slices(slices.shape[axis], shape[axis]), axis=axis)
            continue
        scale = slices.shape[axis] / shape[axis]
        scales = [scale if other == axis else 1.0 for other in range(3)]
        offsets = [(one - 1) / 2 for one in scales]
        scipy.ndimage.affine_transform(
            slices, np.array(scales), offset=offsets, output_shape=shape, output=out, order=order_z, mode="nearest"
        )
    return result


def resize_labels(labels: Labels, shape: tuple[int, ...], *, order: int) -> Labels:
    """The label with the largest share at each voxel; of equal shares the nearest voxel's label, if it is one of them.

    This is ``resize_segmentation`` of batchgenerators, which nnU-Net resamples segmentations with.
    """
    nearest = np.rint(resize(labels.astype(np.float64), shape, order=0)).astype(labels.dtype)
    present = np.unique(labels)
    if order == 0 or len(present) == 1:
        return nearest
    winner = np.full(shape, present[0], dtype=labels.dtype)
    best = np.full(shape, -np.inf)
    of_nearest = np.zeros(shape)
    for label in present:
        share = resize((labels == label).astype(np.float64), shape, order=order)
        here = nearest == label
        of_nearest[here] = share[here]
        better = share > best
        winner[better] = label
        best[better] = share[better]
    tied = (of_nearest == best) & (best > 0)
    winner[tied] = nearest[tied]
    return winner


def resample_labels(labels: Labels, shape: tuple[int, int, int], *, axis: int | None, order: int = 1) -> Labels:
    """Resample a label map (a, b, c) to ``shape`` over the same field of view, as nnU-Net does (``is_seg``).

    With ``axis`` each slice across it is resized by itself, then the nearest of them is taken; else all axes together.
    """
    if labels.shape == shape:
        return labels
    if axis is None:
        return resize_labels(labels, shape, order=order)
    flat = tuple(n for other, n in enumerate(shape) if other != axis)
    slices = np.stack([resize_labels(one, flat, order=order) for one in np.moveaxis(labels, axis, 0)], axis=axis)
    found: Labels = np.take(slices, nearest_slices(slices.shape[axis], shape[axis]), axis=axis)
    return found


class ResampleNnunet(Strict):
    """Resample to a spacing in mm as nnU-Net v2 does: cubic, slice by slice where slices are far apart.

    "keep" leaves an axis alone (the slices of the 2d configuration). ``separate`` is nnU-Net's
    ``force_separate_z``: "auto" is its None.
    """

    step: Literal["resample_nnunet"]
    spacing_mm: tuple[Spacing | Keep, Spacing | Keep, Spacing | Keep]
    order: Order = 3
    order_z: Order = 0
    separate: Separate = "auto"
    anisotropy_threshold: Annotated[float, Field(gt=1)] = ANISOTROPY_THRESHOLD

    def apply(self, image: Image) -> Image:
        """Run ``resample_nnunet``; the new count of an axis is round(spacing / wished * count)."""
        shape, axis = target(
            image.geometry, self.spacing_mm, separate=self.separate, threshold=self.anisotropy_threshold
        )
        values = resample_nnunet(image.values, shape, axis=axis, order=self.order, order_z=self.order_z)
        return image.on_grid(values, over_same_field(image.geometry, shape))


class LabelsNnunet(Strict):
    """How nnU-Net brings the segmentation of a previous stage onto the grid of the next one's image.

    ``spacing_mm`` is that of the next stage; ``order`` 1 lets the label with the largest share win.
    """

    spacing_mm: tuple[Spacing | Keep, Spacing | Keep, Spacing | Keep]
    order: Literal[0, 1] = 1
    separate: Separate = "auto"

    def apply(self, labels: Labels, geometry: Geometry) -> Labels:
        """Run ``resample_labels`` on labels (a, b, c) that lie on ``geometry``."""
        shape, axis = target(geometry, self.spacing_mm, separate=self.separate)
        return resample_labels(labels, shape, axis=axis, order=self.order)
