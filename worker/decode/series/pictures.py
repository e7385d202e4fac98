"""From a series of projections, ultrasound images or photographs to a volume whose slices are its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.decode.dataset.cine import frame_time_of
from worker.decode.outcomes import VolumeError
from worker.decode.pixels.brightness import open_brightness
from worker.decode.planes.image_kinds import intent_of, is_ultrasound
from worker.decode.planes.plane_spacing import PlaneSpacing, radiographic_spacing, ultrasound_spacing
from worker.decode.series.repeats import NAMED_AT_MOST
from worker.decode.series.stacking import PIXEL_SPACING_TOLERANCE
from worker.domain.study import FrameOfReferenceUID, InstanceHeader
from worker.domain.volume import Geometry, SliceRef, Space, Volume
from worker.headers.attributes import integer
from worker.headers.parsing import ParsedInstance, reading

_SELECT_ONE = "Select one image by a rule (view, number of frames, presentation intent), or have them sent as series."


def picture_volume(images: Sequence[InstanceHeader], parsed: Sequence[ParsedInstance], *, series: str) -> Volume:
    """Decode every frame: of one multi-frame instance, or of single-frame instances of one size.

    Parameters
    ----------
    images:
        At least one, all of one modality.
    parsed:
        The instances in the same order.
    series:
        Series Instance UID, for messages.

    Returns
    -------
    Volume
        Voxels grow with brightness (``brightness``). Frames are in the order of their instance, single-frame instances
        in that of Instance Number and then of SOP Instance UID: between these there is neither distance nor time. The
        affine maps (slice, row, column) to (column mm, row mm, frame), in pixels where no spacing is known.

    Raises
    ------
    VolumeError
        ``several-images``; PixelDataError of the second group of ``OUTCOMES``.
    """
    _require_one_run(images, series)
    order = sorted(range(len(images)), key=lambda index: _place(images[index]))
    notes: dict[str, None] = {}
    voxels = _decoded([(images[index], parsed[index]) for index in order], notes)
    spacing = _one_spacing([_spacing(images[index], parsed[index]) for index in order])
    notes.update(dict.fromkeys(spacing.notes))
    first = images[order[0]]
    frame_time_ms, said = frame_time_of(first.attributes, frames=first.number_of_frames)
    notes.update(dict.fromkeys(said))
    if len(images) > 1:
        notes[f"{len(images)} single images are the slices: there is no distance and no time between them"] = None
    row_mm, column_mm = spacing.row_column_mm or (1.0, 1.0)
    return Volume(
        voxels=voxels,
        geometry=Geometry(
            shape=(voxels.shape[0], voxels.shape[1], voxels.shape[2]),
            affine_lps=plane_affine(row_mm=row_mm, column_mm=column_mm),
        ),
        slices=tuple(ref for index in order for ref in _refs(images[index])),
        modality=first.instance.header.modality,
        series_instance_uid=first.instance.header.series_instance_uid,
        frame_of_reference_uid=_frame_of_reference(images),
        notes=tuple(notes),
        space=Space.PIXELS if spacing.row_column_mm is None else Space.PLANE,
        frame_time_ms=frame_time_ms,
    )


def plane_affine(*, row_mm: float, column_mm: float) -> NDArray[np.float64]:
    """Affine from (slice, row, column, 1) to (column mm, row mm, frame, 1): see ``domain.Geometry``."""
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[3, 3] = 1.0
    affine[1, 1] = row_mm
    affine[0, 2] = column_mm
    return affine


def _require_one_run(images: Sequence[InstanceHeader], series: str) -> None:
    """One multi-frame instance, or single-frame ones that can lie on one another."""
    if len(images) == 1:
        return
    runs = [image.number_of_frames for image in images]
    if max(runs) > 1:
        frames = ", ".join(str(count) for count in sorted(runs, reverse=True)[:NAMED_AT_MOST])
        raise _several(series, f"{len(images)} images with their own frames ({frames}{_more(len(runs))})")
    sizes = Counter((image.rows, image.columns) for image in images)
    if len(sizes) > 1:
        found = ", ".join(f"{n} of {rows} x {columns}" for (rows, columns), n in sizes.most_common(NAMED_AT_MOST))
        raise _several(series, f"images of {len(sizes)} sizes (rows x columns: {found}{_more(len(sizes))})")
    intents = sorted({_intent(image) for image in images})
    if len(intents) > 1:
        raise _several(series, f"images whose values mean different things ({', '.join(map(repr, intents))})")


def _several(series: str, found: str) -> VolumeError:
    return VolumeError(
        f"Series {series} has {found}; one image, one run of frames, or single images of one size were expected.",
        next_step=_SELECT_ONE,
        code="several-images",
    )


def _more(count: int) -> str:
    return ", ..." if count > NAMED_AT_MOST else ""


def _intent(image: InstanceHeader) -> str:
    return image.first("PresentationIntentType") or intent_of(image.instance.header.sop_class_uid)


def _place(image: InstanceHeader) -> tuple[bool, int, str]:
    number = integer(image.attributes, "InstanceNumber")
    return number is None, number or 0, image.instance.sop_instance_uid


def _decoded(instances: Sequence[tuple[InstanceHeader, ParsedInstance]], notes: dict[str, None]) -> NDArray[np.float32]:
    """Voxels of all frames: shape (frame, row, column)."""
    first = instances[0][0]
    frames = sum(header.number_of_frames for header, _ in instances)
    voxels = np.empty((frames, first.rows or 0, first.columns or 0), dtype=np.float32)
    k = 0
    for header, parsed in instances:
        with open_brightness(parsed, dict(header.attributes)) as pixels:
            for index in range(header.number_of_frames):
                voxels[k] = pixels.frame(index)
                k += 1
            notes.update(dict.fromkeys(pixels.notes))
    return voxels


def _refs(image: InstanceHeader) -> list[SliceRef]:
    """One entry per frame; a single one has no number."""
    uid = image.instance.sop_instance_uid
    if image.number_of_frames == 1:
        return [SliceRef(uid)]
    return [SliceRef(uid, number) for number in range(1, image.number_of_frames + 1)]


def _spacing(image: InstanceHeader, parsed: ParsedInstance) -> PlaneSpacing:
    if is_ultrasound(image):
        with reading(parsed.name):
            return ultrasound_spacing(image.attributes, parsed.dataset)
    return radiographic_spacing(image.attributes)


def _one_spacing(spacings: Sequence[PlaneSpacing]) -> PlaneSpacing:
    """The spacing of all images; unknown when they differ, because one grid cannot say both."""
    first = spacings[0]
    if all(_agree(first.row_column_mm, other.row_column_mm) for other in spacings):
        return PlaneSpacing(first.row_column_mm, tuple(note for one in spacings for note in one.notes))
    return PlaneSpacing(None, ("the images differ in pixel spacing: nothing is stated in millimetres",))


def _agree(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= PIXEL_SPACING_TOLERANCE * min(a, b) for a, b in zip(one, other, strict=True))


def _frame_of_reference(images: Sequence[InstanceHeader]) -> FrameOfReferenceUID | None:
    """As in the images, when they agree; projections usually have none."""
    uids = {image.frame_of_reference_uid for image in images}
    return uids.pop() if len(uids) == 1 else None
