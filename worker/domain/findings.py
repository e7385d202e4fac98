"""The closed set of what a model can conclude (IHE AIR: result primitives).

A new kind is a new class here and a new member of ``Finding``; mypy then lists every ``match`` that must learn it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.codes import Code, Unit
from worker.domain.model import Algorithm
from worker.domain.regions import Shape
from worker.domain.study import SeriesInstanceUID
from worker.domain.volume import Volume


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its unit: what (``name``, a coded concept), how much, and how it was derived.

    ``derivation`` says which of several values it is (mean, maximum, PS3.16 CID 7464), ``method`` how it was measured.
    """

    name: Code
    value: float
    unit: Unit
    method: Code | None = None
    derivation: Code | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A qualitative statement: a coded question and its coded answer (PS3.16 TID 1501, Qualitative Evaluations)."""

    name: Code
    value: Code


def is_any(labels: NDArray[np.integer[Any]], numbers: Sequence[int]) -> NDArray[np.bool_]:
    """Where a label map has one of ``numbers``; shape as ``labels``."""
    found: NDArray[np.bool_] = labels == numbers[0]
    for number in numbers[1:]:
        found |= labels == number
    return found


@dataclass(frozen=True, slots=True)
class Segment:
    """A structure that was outlined: its number in the label map and what it shows.

    ``number`` counts from 1 without a gap. ``category`` and ``type`` are the segmented property category and type
    (PS3.3 C.8.20.2, CID 7150/7151). ``colour_rgb`` is sRGB, 0 to 255. ``site`` is where it lies, for what is not
    anatomy itself (PS3.3 C.8.20.2, Anatomic Region Sequence). ``contains`` are the numbers of the segments that lie in
    it: their voxels are its own as well.
    """

    number: int
    label: str
    category: Code
    type: Code
    colour_rgb: tuple[int, int, int]
    measurements: tuple[Measurement, ...]
    tracking_identifier: str
    laterality: Code | None = None
    site: Code | None = None
    evaluations: tuple[Evaluation, ...] = ()
    contains: tuple[int, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """Values of the label map that are part of it."""
        return (self.number, *self.contains)


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Structures on the grid of the source series.

    ``labels`` has the volume's shape (slice, row, column); dtype uint8 (uint16 above 255 segments); 0 is background,
    n is the innermost segment there, and those that contain it. Segments that were looked for and not found have no
    voxel and are listed in ``absent`` (labels), not in ``segments``.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    segments: tuple[Segment, ...]
    absent: tuple[str, ...] = ()

    @property
    def overlap(self) -> bool:
        """Whether a voxel belongs to more than one segment."""
        return any(segment.contains for segment in self.segments)

    def mask(self, segment: Segment, slice_index: int) -> NDArray[np.bool_]:
        """Where a segment is on a slice, with all that lies in it: (row, column)."""
        return is_any(self.labels[slice_index], segment.numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A place on one slice, such as a detected lesion: a point, line, contour, box, circle or ellipse.

    ``slice_index`` is the slice (frame) that it lies on. ``extent`` are the first and last slice of what it stands
    for, when that is known to reach further. ``probability`` is the model's, 0 to 1.
    """

    label: str
    tracking_identifier: str
    category: Code
    type: Code
    shape: Shape
    slice_index: int
    extent: tuple[int, int] | None = None
    site: Code | None = None
    laterality: Code | None = None
    probability: float | None = None
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    colour_rgb: tuple[int, int, int] = (255, 210, 60)


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """What was looked for by its place: the regions that were found, and the labels of what was not."""

    regions: tuple[Region, ...]
    absent: tuple[str, ...] = ()


class Presence(StrEnum):
    """What a classification comes to at its operating point."""

    PRESENT = "present"
    ABSENT = "absent"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The threshold on the probability, and what was measured there on data that the model had not seen."""

    threshold: float
    sensitivity: float | None = None
    specificity: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """A statement on the whole image or series: whether ``finding`` is there, and how sure the model is.

    ``urgent`` marks a present finding that a worklist should bring forward (triage). ``key_slices`` are the slices
    that show it best. ``evaluations`` hold further coded answers (a grade, a view, a body part).
    """

    label: str
    tracking_identifier: str
    finding: Code
    presence: Presence
    probability: float | None = None
    operating_point: OperatingPoint | None = None
    urgent: bool = False
    key_slices: tuple[int, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()


@dataclass(frozen=True, slots=True)
class Quantification:
    """Numbers on the whole image or series (regression): an age, a score, a ratio; ``finding`` is what they are of."""

    label: str
    tracking_identifier: str
    finding: Code
    measurements: tuple[Measurement, ...]
    site: Code | None = None
    laterality: Code | None = None
    key_slices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """A number per voxel on the grid of the source series: probability, saliency, a physical quantity.

    ``values`` has the volume's shape (slice, row, column), float32, all finite. ``value_range`` is what a viewer
    should spread its colours over.
    """

    label: str
    values: NDArray[np.float32]
    quantity: Code
    unit: Unit
    value_range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Narrative:
    """A draft of a section of a report, in English: ``section`` is coded (PS3.16 CID 7001: Findings, Impressions)."""

    section: Code
    text: str


@dataclass(frozen=True, slots=True)
class QualityStatement:
    """What limits the result, though it was made: ``code`` is stable and for machines, ``text`` a whole sentence."""

    code: str
    text: str


Finding = Segmentation | Detection | Classification | Quantification | HeatMap | Narrative | QualityStatement
"""Closed union of findings."""


@dataclass(frozen=True, slots=True, eq=False)
class Conclusion:
    """All that one model concluded about one series."""

    algorithm: Algorithm
    volume: Volume
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def segmentations(self) -> tuple[Segmentation, ...]:
        """The segmentations among the findings."""
        return tuple(finding for finding in self.findings if isinstance(finding, Segmentation))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Every segment that was found."""
        return tuple(segment for finding in self.segmentations for segment in finding.segments)

    @property
    def regions(self) -> tuple[Region, ...]:
        """Every region that was found."""
        return tuple(
            region for finding in self.findings if isinstance(finding, Detection) for region in finding.regions
        )

    @property
    def classifications(self) -> tuple[Classification, ...]:
        """The classifications among the findings."""
        return tuple(finding for finding in self.findings if isinstance(finding, Classification))

    @property
    def quantifications(self) -> tuple[Quantification, ...]:
        """The quantifications among the findings."""
        return tuple(finding for finding in self.findings if isinstance(finding, Quantification))

    @property
    def heat_maps(self) -> tuple[HeatMap, ...]:
        """The heat maps among the findings."""
        return tuple(finding for finding in self.findings if isinstance(finding, HeatMap))

    @property
    def narratives(self) -> tuple[Narrative, ...]:
        """The drafts of report sections among the findings."""
        return tuple(finding for finding in self.findings if isinstance(finding, Narrative))

    @property
    def quality(self) -> tuple[QualityStatement, ...]:
        """The statements on what limits the result."""
        return tuple(finding for finding in self.findings if isinstance(finding, QualityStatement))

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels of what was looked for by place and not found."""
        return tuple(
            label
            for finding in self.findings
            if isinstance(finding, Segmentation | Detection)
            for label in finding.absent
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a series was not analysed: for sites that want to be told in the study itself.

    ``code`` is that of the error; ``reason`` a whole sentence without patient data.
    """

    algorithm: Algorithm
    series_instance_uid: SeriesInstanceUID
    modality: str
    code: str
    reason: str
