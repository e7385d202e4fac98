"""Image Library (PS3.16 TID 1600 to 1604): what a reader of the report may want to know of the images it draws on."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset

from worker.domain.codes import MILLIMETRE, Code, Unit
from worker.results import coding
from worker.results import content_items as items
from worker.results.evidence import Source, SourceFrame


def image_library(source: Source, slices: Iterable[int]) -> Dataset | None:
    """Describe the images of these slices; None where there are none, and for multi-frame objects.

    An entry takes 4 kB, and IHE's validator runs out of memory on a hundred of them; the evidence sequence names all
    analysed images anyway. The template describes objects, not frames: of a multi-frame object it would say what is
    true of one frame only.
    """
    if source.is_multi_frame:
        return None
    entries = [_entry(source.frames[index], source) for index in sorted(set(slices))]
    if not entries:
        return None
    return items.section(coding.IMAGE_LIBRARY, [items.section(coding.IMAGE_LIBRARY_GROUP, entries)])


def _entry(frame: SourceFrame, source: Source) -> Dataset:
    """TID 1601 with 1602; 1603 or 1604 as far as the image says something."""
    modality = coding.modality_code(str(source.header.get("Modality") or ""))
    described = [] if modality is None else [items.code(items.ACQUISITION, coding.MODALITY, modality)]
    if source.frame_of_reference_uid:
        described.append(items.uid(items.ACQUISITION, coding.FRAME_OF_REFERENCE_UID, source.frame_of_reference_uid))
    described += [
        _number(coding.PIXEL_DATA_ROWS, frame.rows, coding.PIXELS),
        _number(coding.PIXEL_DATA_COLUMNS, frame.columns, coding.PIXELS),
    ]
    if frame.pixel_spacing_mm is not None:
        row_mm, column_mm = frame.pixel_spacing_mm
        described += [
            _number(coding.HORIZONTAL_PIXEL_SPACING, column_mm, MILLIMETRE),
            _number(coding.VERTICAL_PIXEL_SPACING, row_mm, MILLIMETRE),
        ]
    if frame.slice_thickness_mm:
        described.append(_number(coding.SLICE_THICKNESS, frame.slice_thickness_mm, MILLIMETRE))
    if frame.position is not None and frame.orientation is not None:
        pairs = zip(coding.IMAGE_POSITION, frame.position, strict=True)
        described += [_number(name, value, MILLIMETRE) for name, value in pairs]
        pairs = zip(coding.IMAGE_ORIENTATION, frame.orientation, strict=True)
        described += [_number(name, value, coding.COSINE) for name, value in pairs]
    return items.with_children(
        items.image(items.CONTAINS, None, (frame.sop_class_uid, frame.sop_instance_uid)), described
    )


def _number(name: Code, value: float, unit: Unit) -> Dataset:
    return items.number(name, value, unit, relationship=items.ACQUISITION)
