"""From a series to a volume: in patient coordinates, or of pictures that have none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.decode.outcomes import VolumeError
from worker.decode.pixels.modality import ModalityTransform
from worker.decode.pixels.pixels import CT_PADDING_HU, MEMORY_BUDGET_BYTES, InstancePixels, require_budget
from worker.decode.planes.image_kinds import are_pictures
from worker.decode.planes.planes import Plane, planes_of
from worker.decode.series.headers import parse_indexed
from worker.decode.series.pictures import picture_volume
from worker.decode.series.stacking import stack
from worker.domain.study import FrameOfReferenceUID, InstanceHeader, SeriesSummary
from worker.domain.volume import Geometry, Volume
from worker.headers.bounded import ReadLimits
from worker.headers.parsing import ParsedInstance, reading

log = logging.getLogger(__name__)

_FLOAT_BYTES = 4
_WORKING_FRAMES = 4
"""Frames that exist beside the volume while one is decoded: words, stored values, modality values, padding."""


class VolumeReader:
    """Decodes and stacks series (the pipeline's port VolumeReader).

    Parameters
    ----------
    memory_budget_bytes:
        Largest size of a decoded volume; a larger one is refused before anything is allocated.
    limits:
        What reading one header may cost.
    """

    def __init__(self, *, memory_budget_bytes: int = MEMORY_BUDGET_BYTES, limits: ReadLimits | None = None) -> None:
        self._budget_bytes = memory_budget_bytes
        self._limits = limits or ReadLimits()

    def volume(self, series: SeriesSummary) -> Volume:
        """Decode every plane, ordered along the slice normal; of projections and ultrasound, every frame.

        Returns
        -------
        Volume
            Slices ascend along the normal (row direction x column direction). Rows and columns are as stored: nothing
            is flipped, the affine says where they point. Which series are pictures, whose slices are frames without a
            place in the patient, says ``kinds``; what they become, ``pictures``.

        Raises
        ------
        VolumeError, PixelDataError, UnreadableInstanceError, MemoryBudgetError
            Each with its code of ``outcomes.OUTCOMES``.
        """
        uid = series.series_instance_uid
        images = [header for header in series.kept if header.rows and header.columns]
        _require_images(images, series)
        planes_expected = sum(header.number_of_frames for header in images)
        largest = max((header.rows or 0) * (header.columns or 0) for header in images)
        needed = _FLOAT_BYTES * largest * (planes_expected + _WORKING_FRAMES)
        require_budget(needed, self._budget_bytes, what=f"series {uid}")

        parsed = [parse_indexed(header.instance, self._limits) for header in images]
        extra = series.notes
        if are_pictures(images):
            pictures = picture_volume(images, parsed, series=uid)
            log.info("volume-decoded", extra={"series_instance_uid": uid, "slices": len(pictures.slices)})
            return replace(pictures, notes=(*pictures.notes, *extra))
        planes: list[Plane] = []
        for index, (header, instance) in enumerate(zip(images, parsed, strict=True)):
            with reading(instance.name):
                planes.extend(planes_of(header, instance.dataset, instance=index))
        decoder = _Decoder(images, parsed, series=uid)
        try:
            stacked = stack(planes, series=uid, same_pixels=decoder.same_pixels)
        except VolumeError as error:
            raise _without_what_is_aside(error, extra) from error
        _require_frame_of_reference(images, uid)
        voxels = decoder.decode(stacked.planes)
        decoder.note_undeclared_padding(voxels)
        frame_of_reference = stacked.planes[0].frame_of_reference_uid
        log.info("volume-decoded", extra={"series_instance_uid": uid, "slices": len(stacked.planes)})
        return Volume(
            voxels=voxels,
            geometry=Geometry(shape=(voxels.shape[0], voxels.shape[1], voxels.shape[2]), affine_lps=stacked.affine_lps),
            slices=tuple(plane.ref for plane in stacked.planes),
            modality=images[0].instance.header.modality,
            series_instance_uid=uid,
            frame_of_reference_uid=FrameOfReferenceUID(frame_of_reference) if frame_of_reference else None,
            notes=(*stacked.notes, *decoder.notes, *extra),
        )


class _Decoder:
    """Decodes planes of a series, instance by instance, and gathers notes."""

    def __init__(self, images: Sequence[InstanceHeader], parsed: Sequence[ParsedInstance], *, series: str) -> None:
        self._images = images
        self._parsed = parsed
        self._series = series
        self._notes: dict[str, None] = {}
        self._declared_padding: set[str] = set()

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def same_pixels(self, one: Plane, other: Plane) -> bool:
        return bool(np.array_equal(self._frame(one), self._frame(other)))

    def decode(self, planes: Sequence[Plane]) -> NDArray[np.float32]:
        """Voxels in the order of ``planes``: shape (slice, row, column)."""
        voxels = np.empty((len(planes), planes[0].rows, planes[0].columns), dtype=np.float32)
        of_instance: dict[int, list[int]] = {}
        for k, plane in enumerate(planes):
            of_instance.setdefault(plane.instance, []).append(k)
        for instance, slices in of_instance.items():
            with self._open(instance) as pixels:
                for k in slices:
                    voxels[k] = pixels.frame(planes[k].frame)
                self._note(pixels)
        return voxels

    def note_undeclared_padding(self, voxels: NDArray[np.float32]) -> None:
        """Say that a CT has values below air that are not the Pixel Padding Value; they are left as they are."""
        if self._images[0].instance.header.modality == "CT" and (lowest := float(voxels.min())) < CT_PADDING_HU:
            declared = ", ".join(sorted(self._declared_padding))
            why = f"the declared Pixel Padding Value ({declared}) is another" if declared else "none is declared"
            self._notes[
                f"values go down to {lowest:.0f} HU, below {CT_PADDING_HU:.0f} (air): they may be padding, {why}, and "
                "they were left as they are"
            ] = None

    def _frame(self, plane: Plane) -> NDArray[np.float32]:
        with self._open(plane.instance) as pixels:
            return pixels.frame(plane.frame)

    def _open(self, instance: int) -> InstancePixels:
        parsed, header = self._parsed[instance], self._images[instance]
        pixels = InstancePixels(parsed, dict(header.attributes))
        if header.instance.header.modality == "CT":
            self._require_hounsfield(pixels.transforms)
        return pixels

    def _note(self, pixels: InstancePixels) -> None:
        self._notes.update(dict.fromkeys(pixels.notes))
        if pixels.format.padding is not None:
            self._declared_padding.add(pixels.format.padding.declared)
        for unit in {transform.unit for transform in pixels.transforms if transform is not None}:
            if unit and unit.upper() != "HU" and self._images[0].instance.header.modality == "CT":
                self._notes[f"the rescale type is {unit}, not HU"] = None

    def _require_hounsfield(self, transforms: Sequence[ModalityTransform]) -> None:
        if any(transform is None for transform in transforms):
            raise VolumeError(
                f"Series {self._series} is CT and has an image without Rescale Slope and Intercept; Hounsfield units "
                "were expected (PS3.3 C.8.2.1).",
                next_step="Have the sender's software checked.",
                code="no-hounsfield-units",
            )


def _require_frame_of_reference(images: Sequence[InstanceHeader], series: str) -> None:
    """Nothing can be drawn on slices without one (PS3.3 C.7.4.1): it is said before any pixel is decoded."""
    if not any(header.frame_of_reference_uid for header in images):
        raise VolumeError(
            f"Series {series} has no Frame of Reference UID, so nothing could be drawn on it.",
            next_step="Send a series with Frame of Reference UID (0020,0052).",
            code="no-frame-of-reference",
        )


def _without_what_is_aside(error: VolumeError, notes: Sequence[str]) -> VolumeError:
    """Say it with a refusal: a slice that seems to be missing may be one of these."""
    words = "".join(f" {note[0].upper()}{note[1:]}." for note in notes)
    return VolumeError(f"{error.message}{words}", next_step=error.next_step, code=error.code)


def _require_images(images: Sequence[InstanceHeader], series: SeriesSummary) -> None:
    uid = series.series_instance_uid
    if not images:
        raise VolumeError(
            f"Series {uid} has {len(series.headers)} objects and none of them is an image.",
            next_step="Exclude such series by a rule (modality).",
            code="no-images",
        )
    modalities = sorted({header.instance.header.modality for header in images})
    if len(modalities) > 1:
        raise VolumeError(
            f"Series {uid} has images of the modalities {', '.join(modalities)}; one was expected.",
            next_step="Have the sender's software checked: a series has one modality (PS3.3 C.7.3.1).",
            code="mixed-modalities",
        )
