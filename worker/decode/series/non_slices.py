"""Odd objects of a series: which of them are none of its slices, so that the others can be analysed.

Some say so themselves (localizers, screens, reports). Others are told by what most of the images are: the orientation,
the matrix, the position, Image Type. Those are few beside the rest, and they may not be the place where slices are
missing: of parallel images beyond the ends of the stack at most one is left out, and a hole within it is refused later
as ``missing-slices``. What is neither is left in the series, which is then refused by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from worker.decode.planes.geometry import (
    SAME_DIRECTION_TOLERANCE,
    SAME_POSITION_MM,
    Vector,
    axes_of,
    name_of_orientation,
)
from worker.decode.planes.image_kinds import are_pictures
from worker.decode.series.stacking import PIXEL_SPACING_TOLERANCE
from worker.domain import image_type
from worker.domain.study import InstanceHeader, SetAside
from worker.headers.attributes import floats

_FEW = 5
"""Odd images are few when they are no more than one in this many."""

_CANDIDATES = 8
"""Of how many of the commonest descriptions of an image it is tried whether they are what most images are."""

Images = list[InstanceHeader]


def set_aside(headers: Sequence[InstanceHeader]) -> tuple[SetAside, ...]:
    """Name what is no slice of the series and why, in the order of ``headers``; nothing when no image would be left."""
    reasons: dict[str, str] = {}
    images = [header for header in headers if header.rows and header.columns]
    if not images:
        return ()
    reasons.update(
        (_uid(header), f"it cannot be read ({header.unreadable})" if header.unreadable else "without pixels")
        for header in headers
        if not (header.rows and header.columns)
    )
    labelled = {_uid(header): reason for header in images if (reason := _labelled(header, images))}
    if len(labelled) < len(images):
        reasons.update(labelled)
        images = [header for header in images if _uid(header) not in labelled]
    if not are_pictures(images):
        reasons.update(_odd_ones(images))
    return tuple(SetAside(one.instance.sop_instance_uid, reasons[_uid(one)]) for one in headers if _uid(one) in reasons)


def _uid(header: InstanceHeader) -> str:
    return header.instance.sop_instance_uid


def _labelled(header: InstanceHeader, images: Images) -> str:
    """What an image says of itself that no slice is."""
    if found := image_type.localizer(header) or image_type.screen(header):
        return found
    if image_type.is_secondary_capture(header) and not all(image_type.is_secondary_capture(one) for one in images):
        return "a secondary capture (SOP class)"
    if _is_colour(header) and not all(_is_colour(one) for one in images):
        return "in colour"
    return ""


def _is_colour(header: InstanceHeader) -> bool:
    interpretation = header.first("PhotometricInterpretation").upper()
    return bool(interpretation) and not interpretation.startswith("MONOCHROME")


def _odd_ones(images: Images) -> dict[str, str]:
    """Images that differ from most others, when they are few and hide no slice."""
    total = sum(one.number_of_frames for one in images)
    odd = min((_unlike(candidate, images) for candidate in _commonest(images)), key=lambda one: _frames(one, images))
    if not odd or _FEW * _frames(odd, images) > total:
        return {}
    kept = [one for one in images if _uid(one) not in odd]
    beyond = [one for one in images if _uid(one) in odd and _may_extend(one, kept)]
    return odd if sum(one.number_of_frames for one in beyond) <= 1 else {}


def _frames(odd: dict[str, str], images: Images) -> int:
    return sum(one.number_of_frames for one in images if _uid(one) in odd)


def _commonest(images: Images) -> Images:
    """One image for each of the commonest descriptions, which are no more than a first guess at what most are."""
    descriptions = [_description(one) for one in images]
    by_description = dict(zip(descriptions, images, strict=True))
    return [by_description[description] for description, _ in Counter(descriptions).most_common(_CANDIDATES)]


def _description(one: InstanceHeader) -> tuple[object, ...]:
    orientation = one.image_orientation_patient
    return (
        one.instance.header.modality, one.rows, one.columns, one.frame_of_reference_uid,
        None if orientation is None else tuple(round(value, 2) for value in orientation),
        _is_placed(one), bool(image_type.derived(one)), bool(image_type.burned_in(one)),
        one.attributes.get("PixelSpacing"),
    )  # fmt: skip


def _unlike(candidate: InstanceHeader, images: Images) -> dict[str, str]:
    return {_uid(one): reason for one in images if (reason := _difference(one, candidate))}


def _difference(one: InstanceHeader, other: InstanceHeader) -> str:
    """Why ``one`` is no slice of the stack of ``other``; empty when nothing speaks against it."""
    return next((reason for test in _TESTS if (reason := test(one, other))), "")


def _of_other_modality(one: InstanceHeader, other: InstanceHeader) -> str:
    mine, theirs = one.instance.header.modality, other.instance.header.modality
    return f"of modality {mine}, the others are {theirs}" if mine != theirs else ""


def _of_other_making(one: InstanceHeader, other: InstanceHeader) -> str:
    for what in (image_type.derived, image_type.burned_in):
        if bool(what(one)) != bool(what(other)):
            return what(one) or "not derived or annotated, as the others are"
    return ""


def _without_place(one: InstanceHeader, other: InstanceHeader) -> str:
    if _is_placed(one) == _is_placed(other):
        return ""
    return "without a position in the patient" if _is_placed(other) else "with a position, the others have none"


def _is_placed(header: InstanceHeader) -> bool:
    return header.image_position_patient is not None and header.image_orientation_patient is not None


def _in_other_frame_of_reference(one: InstanceHeader, other: InstanceHeader) -> str:
    return "in another Frame of Reference" if one.frame_of_reference_uid != other.frame_of_reference_uid else ""


def _of_other_orientation(one: InstanceHeader, other: InstanceHeader) -> str:
    if _is_parallel(one, other):
        return ""
    names = [_orientation(header) for header in (one, other)]
    return f"{names[0]}, the others are {names[1]}" if names[0] != names[1] else f"at another angle ({names[0]})"


def _of_other_matrix(one: InstanceHeader, other: InstanceHeader) -> str:
    if (one.rows, one.columns) == (other.rows, other.columns):
        return ""
    return f"of {one.rows} x {one.columns} pixels, the others have {other.rows} x {other.columns}"


def _of_other_spacing(one: InstanceHeader, other: InstanceHeader) -> str:
    mine, theirs = (floats(header.attributes, "PixelSpacing") for header in (one, other))
    if mine == theirs:
        return ""
    if mine is None or theirs is None or len(mine) != len(theirs):
        return "of another pixel spacing"
    near = np.allclose(mine, theirs, rtol=PIXEL_SPACING_TOLERANCE, atol=0.0)
    return "" if near else "of another pixel spacing"


_TESTS: tuple[Callable[[InstanceHeader, InstanceHeader], str], ...] = (
    _of_other_modality, _of_other_making, _without_place, _in_other_frame_of_reference, _of_other_orientation,
    _of_other_matrix, _of_other_spacing,
)  # fmt: skip


def _is_parallel(one: InstanceHeader, other: InstanceHeader) -> bool:
    mine, theirs = one.image_orientation_patient, other.image_orientation_patient
    if mine is None or theirs is None or mine == theirs:
        return mine == theirs
    return bool(np.all(np.abs(np.subtract(mine, theirs)) <= SAME_DIRECTION_TOLERANCE))


def _orientation(header: InstanceHeader) -> str:
    axes = axes_of(header.image_orientation_patient or ())
    return name_of_orientation(axes.normal) if axes is not None else "of an unknown orientation"


def _may_extend(odd: InstanceHeader, kept: Images) -> bool:
    """Whether an odd image may be a slice beyond the ends of the stack, so that it would end short without it."""
    stack = kept[0]
    axes = axes_of(stack.image_orientation_patient or ())
    if axes is None:
        return False
    if odd.image_position_patient is None or odd.frame_of_reference_uid != stack.frame_of_reference_uid:
        return not _of_other_matrix(odd, stack)
    if not _is_parallel(odd, stack):
        return False
    inside = np.concatenate([_depths(one, axes.normal) for one in kept])
    depths = _depths(odd, axes.normal)
    return bool(depths.min() < inside.min() - SAME_POSITION_MM or depths.max() > inside.max() + SAME_POSITION_MM)


def _depths(header: InstanceHeader, normal: Vector) -> Vector:
    """Along the normal, of every frame."""
    positions = floats(header.attributes, "ImagePositionPatient") or ()
    whole = np.asarray(positions[: len(positions) // 3 * 3], dtype=np.float64)
    depths: Vector = whole.reshape(-1, 3) @ normal
    return depths
