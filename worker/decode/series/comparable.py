"""Whether planes at different positions may be one volume: those of two kernels, phases or echoes are not.

Positions alone do not say it: two reconstructions of 5 mm whose planes lie between one another make an even grid of
2.5 mm, in which every second slice has another kernel. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np

from worker.decode.outcomes import VolumeError
from worker.decode.planes.plane_attributes import (
    ADMINISTRATIVE,
    CONTRAST,
    INCOMPARABLE,
    PASSES,
    TEMPORAL,
    TIMES,
    TYPES,
    settings_of,
)
from worker.decode.planes.planes import Plane
from worker.decode.series.repeats import NAMED_ATTRIBUTES

OVERLAPPING = 1.25
"""Slices thicker than this many spacings overlap: passes of MR do not."""

OFTEN = 0.6
"""Sets are interleaved when more than this part of the neighbours change from one to another."""


def require_comparable(planes: Sequence[Plane], *, spacing_mm: float, series: str) -> None:
    """Check planes in order along the normal, one per position.

    Parameters
    ----------
    planes:
        At least one.
    spacing_mm:
        Distance of neighbours.
    series:
        Series Instance UID, for messages.

    Raises
    ------
    VolumeError
        ``several-acquisitions``, naming the attributes in which the planes differ.
    """
    stated: set[str] = set().union(*(plane.marks for plane in planes))
    mixed = [name for name in INCOMPARABLE if name in stated and _is_mixed(name, planes)]
    if mixed:
        raise _several(mixed, planes, series, "their values cannot be compared")
    overlapping = _overlap(planes, spacing_mm)
    is_mr = planes[0].marks.get("Modality") == ("MR",)
    woven: list[str] = [
        name
        for name in ADMINISTRATIVE
        if name in stated
        and is_interleaved(_settings(name, planes))
        and (overlapping or not is_mr or name not in PASSES)
    ]
    if not woven and planes[0].marks.get("Modality", ("",))[0] in ("CT", "PT"):
        woven = [name for name in TIMES if name in stated and _goes_back_and_forth(name, planes)]
    if woven:
        raise _several(woven, planes, series, "they are interleaved")


def require_apart(planes: Sequence[Plane], *, series: str) -> None:
    """Say of planes with irregular distances that they are passes which overlap, where their attributes show it.

    Raises
    ------
    VolumeError
        ``several-acquisitions``, naming the attributes in which the passes differ.
    """
    passes = [name for name in ADMINISTRATIVE if _overlap_in_part(_settings(name, planes))]
    if passes:
        raise _several(passes, planes, series, "they overlap, with other distances where they do")


def _overlap_in_part(settings: Sequence[int]) -> bool:
    """Whether a set goes on behind the start of another one."""
    sets = [count for count in Counter(settings).values() if count > 1]
    return len(sets) > 1 and sum(1 for _ in groupby(settings)) > len(set(settings))


def is_interleaved(settings: Sequence[int]) -> bool:
    """Whether planes of several settings lie between one another, and are not parts that continue each other."""
    sets = [count for count in Counter(settings).values() if count > 1]
    changes = sum(1 for _ in groupby(settings)) - 1
    return len(sets) > 1 and changes >= len(set(settings)) and changes > OFTEN * (len(settings) - 1)


def _settings(keyword: str, planes: Sequence[Plane]) -> list[int]:
    return settings_of(keyword, [plane.marks.get(keyword, ()) for plane in planes])


def _is_mixed(keyword: str, planes: Sequence[Plane]) -> bool:
    """Several settings; an absent one counts where it says something: of contrast, and between others."""
    settings = _settings(keyword, planes)
    if keyword in TYPES and not is_interleaved(settings):
        # some archives call what they compressed DERIVED, and nothing else of it changes
        settings = settings_of(keyword, [plane.marks.get(keyword, ())[1:] for plane in planes])
    stated = set(settings) - {-1}
    if keyword in TEMPORAL and len(stated) == len(planes):
        return False  # a mere number of the plane
    if len(stated) > 1 or is_interleaved(settings):
        return True
    return keyword in CONTRAST and len(set(settings)) > 1


def _goes_back_and_forth(keyword: str, planes: Sequence[Plane]) -> bool:
    """Whether a time turns round from plane to plane: two passes over the same part of the patient."""
    values = [plane.marks.get(keyword, ("",))[0] for plane in planes]
    if is_interleaved(settings_of(keyword, [(value,) for value in values])):
        return True
    steps = [1 if later > earlier else -1 for earlier, later in pairwise(values) if later != earlier and earlier]
    turns = sum(1 for one, other in pairwise(steps) if one != other)
    return len(steps) > 2 and turns > OFTEN * (len(steps) - 1)


def _overlap(planes: Sequence[Plane], spacing_mm: float) -> bool:
    thicknesses = [plane.thickness_mm for plane in planes if plane.thickness_mm is not None]
    return bool(thicknesses) and float(np.median(thicknesses)) > OVERLAPPING * spacing_mm


def _several(names: Sequence[str], planes: Sequence[Plane], series: str, why: str) -> VolumeError:
    counts = sorted(Counter(_settings(names[0], planes)).values(), reverse=True)
    more = ", ..." if len(counts) > NAMED_ATTRIBUTES else ""
    sets = f"in {len(counts)} sets ({' and '.join(map(str, counts[:NAMED_ATTRIBUTES]))}{more} planes) "
    return VolumeError(
        f"Series {series} has {len(planes)} planes {sets if len(counts) < len(planes) else ''}that differ in "
        f"{', '.join(names[:NAMED_ATTRIBUTES])}: {why}, and are no one volume.",
        next_step="Have the acquisitions or reconstructions sent as separate series.",
        code="several-acquisitions",
    )
