"""Outputs that are places: peaks of a score map, boxes that a net proposes, components of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from worker.domain.codes import Unit
from worker.domain.errors import NotApplicableError
from worker.domain.findings import Detection, Measurement, Quantification, Region
from worker.inference.answers import Candidates
from worker.inference.entries.output_parts import (
    Channel,
    CodeEntry,
    Colour,
    EvaluationEntry,
    Label,
    Name,
    domain_code,
)
from worker.inference.entries.strict import Strict
from worker.inference.image import Scores
from worker.inference.outputs.case import Case
from worker.inference.outputs.pooling import probability
from worker.inference.outputs.source_shapes import Place, box_places, component_places, peak_places, placed
from worker.inference.steps.boxes import suppress

RegionMeasurement = Literal["diameter", "long_axis", "short_axis", "volume", "area"]
NO_UNITS = Unit("1", "no units")


class CountEntry(Strict):
    """How many regions were found, as a number of its own: ``name`` is its coded concept."""

    name: CodeEntry
    finding: CodeEntry
    label: Label
    tracking_identifier: Label


class Regions(Strict):
    """What all ways of detection have in common.

    ``threshold`` names the least score. At most the ``most`` best regions are kept; with more than
    ``implausible_above`` no result is made.
    """

    label: Label
    tracking_identifier: Label
    category: CodeEntry
    type: CodeEntry
    site: CodeEntry | None = None
    laterality: CodeEntry | None = None
    colour_rgb: Colour = (255, 210, 60)
    most: Annotated[int, Field(ge=1, le=1000)] = 50
    implausible_above: Annotated[int, Field(ge=1)] | None = None
    measurements: tuple[RegionMeasurement, ...] = ()
    evaluations: tuple[EvaluationEntry, ...] = ()
    count: CountEntry | None = None

    def _regions(self, places: Sequence[Place], case: Case) -> tuple[Region, ...]:
        if self.implausible_above is not None and len(places) > self.implausible_above:
            raise NotApplicableError(
                f'The result is implausible: "{self.label}" was found {len(places)} times, '
                f"more than {self.implausible_above}.",
                next_step="Check that the series shows the body part and the modality that the model was made for.",
                code="region-count",
            )
        found = [placed(place, case.volume, measurements=self.measurements) for place in places[: self.most]]
        return tuple(
            Region(
                label=self.label,
                tracking_identifier=f"{self.tracking_identifier} {number}",
                category=self.category.to_domain(),
                type=self.type.to_domain(),
                shape=one.shape,
                slice_index=one.slice_index,
                extent=one.extent,
                site=domain_code(self.site),
                laterality=domain_code(self.laterality),
                probability=None if one.score is None else probability(one.score, label=self.label),
                measurements=one.measurements,
                evaluations=tuple(entry.to_domain() for entry in self.evaluations),
                colour_rgb=self.colour_rgb,
            )
            for number, one in enumerate(found, start=1)
        )

    def counted(self, regions: Sequence[Region]) -> Quantification | None:
        """The count as a finding, where the manifest asks for it."""
        if self.count is None:
            return None
        return Quantification(
            label=self.count.label,
            tracking_identifier=self.count.tracking_identifier,
            finding=self.count.finding.to_domain(),
            measurements=(Measurement(self.count.name.to_domain(), float(len(regions)), NO_UNITS),),
            site=domain_code(self.site),
            laterality=domain_code(self.laterality),
        )


class Diameter(Strict):
    """A channel that says the diameter in mm at each place: ``value * scale + shift``."""

    channel: Channel
    scale: float = 1.0
    shift: float = 0.0


class PeaksEntry(Regions):
    """Local maxima of a channel of the score map.

    Of peaks nearer to each other than ``separation_mm`` only the highest stays (non-maximum suppression). ``mark`` is
    what is drawn: a point, or a circle of the diameter that the ``diameter`` channel says at the peak.
    """

    by: Literal["peaks"]
    channel: Channel
    threshold: Name
    separation_mm: Annotated[float, Field(ge=0)]
    mark: Literal["point", "circle"] = "point"
    diameter: Diameter | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the answer that it reads, for the check that the net has them."""
        return (self.channel,) if self.diameter is None else (self.channel, self.diameter.channel)

    def conclude(self, case: Case) -> tuple[Region, ...]:
        """Find, suppress, place. The highest first."""
        if not isinstance(case.answer, Scores):
            raise TypeError("peaks need a score map: the manifest does not allow anything else")
        sizes = None
        if self.diameter is not None:
            size = self.diameter
            sizes = case.answer.values[size.channel] * np.float32(size.scale) + np.float32(size.shift)
        places = peak_places(
            case.answer.values[self.channel],
            case.answer.geometry,
            least=case.thresholds[self.threshold],
            separation_mm=self.separation_mm,
            diameters_mm=sizes,
            circle=self.mark == "circle",
        )
        return self._regions(places, case)


class BoxesEntry(Regions):
    """Boxes that a net proposes (inference modes with a box net), of one of its classes.

    Of boxes that overlap more than ``overlap`` (intersection over union) only the best stays. Boxes on neighbouring
    slices that overlap more than ``link_slices`` are one region, drawn on its best slice.
    """

    by: Literal["boxes"]
    net_class: Annotated[int, Field(ge=0)] | None = None
    threshold: Name
    overlap: Annotated[float, Field(gt=0, le=1)] = 0.3
    link_slices: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels that it reads: none."""
        return ()

    def conclude(self, case: Case) -> tuple[Region, ...]:
        """Choose, suppress, link, place. The best first."""
        if not isinstance(case.answer, Candidates):
            raise TypeError("boxes need a box net: the manifest does not allow anything else")
        answer = case.answer
        chosen = answer.scores >= case.thresholds[self.threshold]
        if self.net_class is not None:
            chosen &= answer.classes == self.net_class
        boxes, scores = answer.boxes[chosen], answer.scores[chosen]
        kept = suppress(boxes, scores, overlap=self.overlap)
        places = box_places(boxes[kept], scores[kept], answer.geometry, link_slices=self.link_slices)
        return self._regions(places, case)


class ComponentsEntry(Regions):
    """Each connected part of a segment as a region of its own, drawn as a box on the slice where it is largest."""

    by: Literal["components"]
    segment: Label
    min_ml: Annotated[float, Field(ge=0)] = 0.0

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels that it reads: none."""
        return ()

    @property
    def threshold(self) -> None:
        """It uses no threshold: the segment has been decided."""
        return

    def conclude(self, case: Case) -> tuple[Region, ...]:
        """Label, measure, place. The largest first."""
        places = component_places(case.mask_of(self.segment), case.volume.geometry, min_ml=self.min_ml)
        return self._regions(places, case)


DetectionEntry = Annotated[PeaksEntry | BoxesEntry | ComponentsEntry, Field(discriminator="by")]
"""How regions are found."""


def detection(entries: Sequence[DetectionEntry], case: Case) -> tuple[Detection, tuple[Quantification, ...]]:
    """All regions as one finding, the labels of what was not found, and the counts that were asked for."""
    regions: list[Region] = []
    absent: list[str] = []
    counts: list[Quantification] = []
    for entry in entries:
        found = entry.conclude(case)
        regions += found
        if not found:
            absent.append(entry.label)
        counted = entry.counted(found)
        if counted is not None:
            counts.append(counted)
    return Detection(tuple(regions), tuple(absent)), tuple(counts)
