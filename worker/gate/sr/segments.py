"""Gate checks of a segment's measurement groups: the outline that viewers draw, and the whole with its SEG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from worker.domain.codes import Code
from worker.domain.findings import Segment, Segmentation
from worker.gate.reading import Inspection, children, only_child
from worker.gate.sr.groups import (
    Expected,
    Groups,
    answers,
    common_problems,
    compare,
    evaluation_problems,
    measurement_key,
    number_problems,
    numbers_of,
    of_template,
    slice_of,
)

_REGION, _SEGMENT = "111030", "121191"
_NONE = ("", "")
_VOLUME = ("118565006", "SCT"), _NONE, _NONE
_AREA = ("42798000", "SCT"), _NONE, _NONE
_ANATOMY = {("123037004", "SCT"), ("91723000", "SCT"), ("85756007", "SCT")}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A segment with its two groups; ``seg`` is None where the destination gets no SEG."""

    seg: Dataset | None
    finding: Segmentation
    segment: Segment
    planar: Dataset
    volumetric: Dataset

    @property
    def name(self) -> str:
        """What the gate's problems call it: by number, for labels may be anything."""
        return f"segment {self.segment.number}"


def take_segments(groups: Groups, pairs: Sequence[tuple[Dataset | None, Segmentation]]) -> Iterator[Seen]:
    """Find the groups of every segment; ValueError where they are not one of each template."""
    for seg, finding in pairs:
        # Number 0 is the background of a label map.
        items = finding.segments if seg is None else [one for one in seg.SegmentSequence if one.SegmentNumber]
        for item, segment in zip(items, finding.segments, strict=True):
            if seg is None:
                own = groups.take(segment.tracking_identifier)
            else:
                own = groups.by_uid.pop(str(item.TrackingUID), [])
            planar, volumetric = of_template(own, "1410"), of_template(own, "1411")
            if len(own) != 2 or len(planar) != 1 or len(volumetric) != 1:
                raise ValueError(f"segment {segment.number}")
            yield Seen(seg, finding, segment, planar[0], volumetric[0])


def group_problems(seen: Seen, given: Inspection) -> Iterator[str]:
    """Subject, references and evaluations of both groups."""
    segment = seen.segment
    expected = Expected(segment.tracking_identifier, segment.type, segment.category, _site(segment), segment.laterality)
    for group in (seen.planar, seen.volumetric):
        if str(only_child(group, "112039").TextValue) != segment.tracking_identifier:
            yield f"{seen.name}: wrong tracking identifier"
        for problem in common_problems(group, expected, given):
            yield f"{seen.name}: {problem}"
    for problem in evaluation_problems((seen.planar, seen.volumetric), answers(segment.evaluations)):
        yield f"{seen.name}: {problem}"
    if seen.seg is None:
        if children(seen.volumetric, _SEGMENT) or len(children(seen.volumetric, _REGION)) != 1:
            yield f"{seen.name}: without a SEG, the volume must be drawn"
        return
    yield from _reference(seen, seen.seg, given)


def _reference(seen: Seen, seg: Dataset, given: Inspection) -> Iterator[str]:
    reference = only_child(seen.volumetric, _SEGMENT).ReferencedSOPSequence[0]
    named = str(reference.ReferencedSOPInstanceUID), str(reference.ReferencedSOPClassUID)
    if named != (str(seg.SOPInstanceUID), str(seg.SOPClassUID)):
        yield f"{seen.name}: the group names another object than the SEG"
    numbers = reference.ReferencedSegmentNumber
    if (numbers if isinstance(numbers, int) else [int(n) for n in numbers]) not in (
        seen.segment.number,
        [seen.segment.number],
    ):
        yield f"{seen.name}: the group names segment {numbers}"
    if str(only_child(seen.volumetric, "121232").UID) != given.conclusion.volume.series_instance_uid:
        yield f"{seen.name}: the group names another source series"


def _site(segment: Segment) -> Code | None:
    if segment.site is not None:
        return segment.site
    return segment.type if (segment.category.value, segment.category.scheme) in _ANATOMY else None


def measurement_problems(seen: Seen, voxels: int, given: Inspection) -> Iterator[str]:
    """Values equal those concluded, and the volume that of the mask."""
    volume, segment = given.conclusion.volume, seen.segment
    concluded = {measurement_key(one): one for one in segment.measurements}
    measured = concluded.get(_VOLUME)
    millilitres = float(voxels) * volume.geometry.voxel_volume_mm3 / 1000
    found = numbers_of([seen.volumetric])
    added = volume.in_patient_space and all(key[0] != _VOLUME[0] for key in concluded)
    if added:
        problems = [*compare("Volume", found.get(_VOLUME), millilitres, "mL", counted=True)]
        if set(found) - {_VOLUME} != set(concluded):
            problems.append("other values than concluded")
        for key, one in concluded.items():
            problems += compare(one.name.meaning, found.get(key), one.value, one.unit.ucum)
    else:
        problems = [*number_problems([seen.volumetric], segment.measurements, None)]
    if measured is None or measured.unit.ucum != "mL" or not volume.in_patient_space:
        measured = None
    if measured is not None and abs(measured.value - millilitres) > 1e-3 * millilitres:
        problems.append(f"concluded {measured.value:.6g} mL, its mask has {millilitres:.6g}")
    if set(numbers_of([seen.planar])) != {_AREA}:
        problems.append("the outline has other values than its area")
    yield from (f"{seen.name}: {problem}" for problem in problems)


def voxels_of(finding: Segmentation) -> NDArray[np.int64]:
    """Voxel count by label; slice by slice, because bincount makes wide copies."""
    width = max(int(finding.labels.max(initial=0)), len(finding.segments)) + 1
    total = np.zeros(width, dtype=np.int64)
    for plane in finding.labels:
        total += np.bincount(plane.ravel(), minlength=width)
    return total


def outline_problems(seen: Seen, given: Inspection) -> Iterator[str]:
    """Closed, inside the image, around the mask; the stated area is the enclosed one."""
    regions = [(group, region) for group in (seen.planar, seen.volumetric) for region in children(group, _REGION)]
    if not regions or regions[0][0] is not seen.planar:
        yield f"{seen.name}: no outline"
    for _, region in regions:
        image = region.ContentSequence[0]
        index = slice_of(image, given)
        prefix = f"{seen.name}: the outline"
        if index is None:
            yield f"{prefix} is on no analysed image"
            continue
        if image.RelationshipType != "SELECTED FROM" or region.ValueType != "SCOORD":
            yield f"{prefix} is not SELECTED FROM its image"
        points = np.array([float(v) for v in region.GraphicData]).reshape(-1, 2)
        mask = seen.finding.mask(seen.segment, index)
        for problem in _polygon(region.GraphicType, points, mask, numbers_of([seen.planar])[_AREA], given):
            yield f"{prefix} {problem}"


def _polygon(
    graphic_type: str,
    points: NDArray[np.float64],
    mask: NDArray[np.bool_],
    area: tuple[float, str],
    given: Inspection,
) -> Iterator[str]:
    rows, columns = mask.shape
    if graphic_type != "POLYLINE" or len(points) < 4 or not np.array_equal(points[0], points[-1]):
        yield "is no closed POLYLINE"
        return
    if points.min() < 0 or points[:, 0].max() > columns or points[:, 1].max() > rows:
        yield "leaves the image"
        return
    if not all(_touches(mask, x, y) for x, y in points):
        yield "does not run along the mask"
    x, y = points[:, 0], points[:, 1]
    enclosed = abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2
    length = float(np.sum(np.hypot(np.diff(x), np.diff(y))))
    volume = given.conclusion.volume
    _, row_mm, column_mm = volume.geometry.spacing_mm
    expected = ("mm2", row_mm * column_mm) if volume.has_spacing else ("{pixels}", 1.0)
    stated = area[0] / expected[1]
    if not any(np.isclose(stated, one, rtol=2e-5) for one in _largest_parts(mask)):
        yield f"has a stated area of {stated:.0f} pixels, which is not that of the largest part"
    # The outline is simplified by up to half a pixel.
    if area[1] != expected[0] or abs(enclosed - stated) > 0.5 * length + 1:
        yield f"encloses {enclosed:.0f} pixels, its stated area is {stated:.0f}"


def _largest_parts(mask: NDArray[np.bool_]) -> Iterator[int]:
    """Pixels of the largest part of a mask that hangs together by edges, holes filled; of each among equals."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    for number in np.flatnonzero(sizes == sizes.max()):
        yield int(np.count_nonzero(ndimage.binary_fill_holes(parts == number)))


def _touches(mask: NDArray[np.bool_], x: float, y: float) -> bool:
    """Tell whether a pixel of the mask is within one pixel of a point (column, row; corners are whole numbers)."""
    rows = slice(max(int(np.floor(y)) - 1, 0), int(np.ceil(y)) + 1)
    columns = slice(max(int(np.floor(x)) - 1, 0), int(np.ceil(x)) + 1)
    return bool(mask[rows, columns].any())
