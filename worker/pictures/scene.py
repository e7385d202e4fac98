"""What is to be seen: a volume and what was found in it, slice by slice, whether a model said it or an object does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Finding,
    HeatMap,
    Measurement,
    Narrative,
    Presence,
    QualityStatement,
    Quantification,
    Region,
    Segmentation,
)
from worker.domain.model import Algorithm
from worker.domain.regions import Shape
from worker.domain.volume import Volume
from worker.drawing.lettering import with_unit

Colour = tuple[int, int, int]
DRAFT = "AI DRAFT - not verified"


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Something with an outline. ``mask(k)`` is its mask (row, column) on slice k; ``voxels`` counts it by slice.

    ``voxels`` has the slices on which there is anything, and no others.
    """

    label: str
    colour_rgb: Colour
    voxels: Mapping[int, int]
    mask: Callable[[int], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A shape on one slice. ``extent`` are the first and the last slice that it stands for."""

    label: str
    colour_rgb: Colour
    shape: Shape
    slice_index: int
    extent: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """A number per voxel. ``values(k)`` has shape (row, column); ``largest`` is the slice with the highest values."""

    label: str
    unit: str
    value_range: tuple[float, float]
    values: Callable[[int], NDArray[np.float32]]
    largest: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a legend; ``colour_rgb`` is the colour in which it was drawn, None for what was not drawn."""

    text: str
    colour_rgb: Colour | None = None
    warning: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What is drawn. ``maker`` is model and version; ``key_slices`` are those that show best what has no place."""

    volume: Volume
    maker: str
    structures: tuple[Structure, ...] = ()
    marks: tuple[Mark, ...] = ()
    heats: tuple[Heat, ...] = ()
    key_slices: tuple[int, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def slice_count(self) -> int:
        """How many slices or frames there are."""
        return len(self.volume.voxels)

    @property
    def is_stack(self) -> bool:
        """True when the slices are neighbours in the patient: other planes can be cut, and projections made."""
        return self.volume.in_patient_space and self.slice_count > 1


def maker_of(algorithm: Algorithm) -> str:
    """Title and version of a model."""
    return f"{algorithm.title}, version {algorithm.model.version}"


def scene_of(conclusion: Conclusion) -> Scene:
    """The scene that a model's own arrays make."""
    return Scene(
        volume=conclusion.volume,
        maker=maker_of(conclusion.algorithm),
        structures=tuple(one for finding in conclusion.segmentations for one in _structures(finding)),
        marks=tuple(_mark(region) for region in conclusion.regions),
        heats=tuple(_heat(heat_map) for heat_map in conclusion.heat_maps),
        key_slices=(
            *(k for finding in conclusion.classifications for k in finding.key_slices),
            *(k for finding in conclusion.quantifications for k in finding.key_slices),
        ),
        lines=tuple(line for finding in conclusion.findings for line in _lines(finding)),
    )


def _structures(finding: Segmentation) -> Iterator[Structure]:
    width = max((segment.number for segment in finding.segments), default=0) + 1
    counts = np.stack([np.bincount(plane.ravel(), minlength=width) for plane in finding.labels])
    for segment in finding.segments:
        yield Structure(
            label=segment.label,
            colour_rgb=segment.colour_rgb,
            voxels={k: int(n) for k, n in enumerate(counts[:, segment.numbers].sum(axis=1)) if n},
            mask=partial(finding.mask, segment),
        )


def _mark(region: Region) -> Mark:
    said = "" if region.probability is None else f" {region.probability:.2f}"
    return Mark(
        label=f"{region.label}{said}",
        colour_rgb=region.colour_rgb,
        shape=region.shape,
        slice_index=region.slice_index,
        extent=region.extent or (region.slice_index, region.slice_index),
    )


def _heat(heat_map: HeatMap) -> Heat:
    values = heat_map.values
    return Heat(
        label=heat_map.label,
        unit=heat_map.unit.ucum,
        value_range=heat_map.value_range,
        values=lambda k: values[k],
        largest=int(np.argmax([plane.mean() for plane in values])),
    )


def _lines(finding: Finding) -> Iterator[Line]:
    match finding:
        case Segmentation():
            for segment in finding.segments:
                yield Line(_with_values(segment.label, segment.measurements), segment.colour_rgb)
            yield from (Line(f"Not found: {label}", warning=True) for label in finding.absent)
        case Detection():
            for region in finding.regions:
                sure = "" if region.probability is None else f" (probability {region.probability:.3g})"
                yield Line(_with_values(f"{region.label}{sure}", region.measurements), region.colour_rgb)
            yield from (Line(f"Not found: {label}", warning=True) for label in finding.absent)
        case Classification():
            yield Line(f"{finding.label}: {_decision(finding)}", warning=finding.presence is not Presence.ABSENT)
        case Quantification():
            yield Line(_with_values(finding.label, finding.measurements))
        case HeatMap():
            low, high = finding.value_range
            yield Line(f"{finding.label}: colours from {low:.4g} to {with_unit(high, finding.unit.ucum)}")
        case Narrative():
            yield Line(f"{finding.section.meaning}: {finding.text}")
        case QualityStatement():
            yield Line(finding.text, warning=True)


def _decision(finding: Classification) -> str:
    sure = "" if finding.probability is None else f", probability {finding.probability:.3g}"
    point = finding.operating_point
    threshold = "" if point is None else f" (threshold {point.threshold:.3g})"
    return f"{finding.presence.value}{sure}{threshold}{', urgent' if finding.urgent else ''}"


def _with_values(label: str, measurements: tuple[Measurement, ...]) -> str:
    values = ", ".join(f"{m.name.meaning} {with_unit(m.value, m.unit.ucum)}" for m in measurements)
    return f"{label}: {values}" if values else label
