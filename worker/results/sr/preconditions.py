"""What a report cannot say truthfully is refused before anything is encoded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from worker.domain.codes import Code, Unit
from worker.domain.errors import PermanentError
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Evaluation,
    Finding,
    HeatMap,
    Measurement,
    Narrative,
    QualityStatement,
    Quantification,
    Region,
    Segment,
    Segmentation,
)
from worker.domain.regions import Circle, Ellipse, Line, Point, Polygon
from worker.domain.volume import Volume
from worker.results.sr.spatial_coordinates import bounds

_METRIC = frozenset({"m", "dm", "cm", "mm", "um", "nm"})
_METRIC_UNITS = frozenset(
    {
        *_METRIC,
        *(f"{unit}{power}" for unit in _METRIC for power in (2, 3)),
        "L",
        "l",
        "dL",
        "dl",
        "mL",
        "ml",
        "uL",
        "ul",
    }
)
"""UCUM units that need a pixel spacing."""


def ensure_reportable(conclusion: Conclusion) -> None:
    """Refuse conclusions whose words, codes, numbers or places no report can hold.

    Raises
    ------
    PermanentError
        ``text-unfit``, ``code-unfit``, ``measurement-unfit``, ``unit-without-spacing``, ``probability-unfit``,
        ``place-unfit`` or ``tracking-not-unique``.
    """
    volume = conclusion.volume
    for finding in conclusion.findings:
        for name in _labels(finding):
            _ensure_text(name)
        for code in _codes(finding):
            _ensure_code(code)
        for measurement in _measurements(finding):
            _ensure_measurement(measurement, volume)
        for value in _shares(finding):
            if not 0 <= value <= 1:
                raise _refused(f"A probability or threshold is {value:g}, not within 0 to 1.", "probability-unfit")
        _ensure_places(finding, volume)
    for tracked in _tracked(conclusion):
        for identifier in tracked:
            _ensure_text(identifier)
        if len(set(tracked)) != len(tracked):
            raise _refused(
                "Two findings share a tracking identifier: they would be taken for one.", "tracking-not-unique"
            )
    for note in (*volume.notes, *conclusion.notes):
        _ensure_text(note)


def _refused(message: str, code: str) -> PermanentError:
    return PermanentError(message, next_step="Report this to the provider of the model package.", code=code)


def _ensure_text(words: str) -> None:
    if not words.strip() or any(ord(c) < 32 and c not in "\n\r\t" for c in words):
        raise _refused("A label, tracking identifier or text is empty or holds control characters.", "text-unfit")


def _ensure_code(code: Code) -> None:
    """PS3.3 8.8: SH of 16 characters for value and scheme, LO of 64 for the meaning."""
    for text, most in ((code.value, 16), (code.scheme, 16), (code.meaning, 64)):
        unfit = not text.strip() or len(text) > most or "\\" in text or any(ord(c) < 32 for c in text)
        if unfit:
            raise _refused(
                f"A code has no value, scheme or meaning, or one that does not fit (at most {most} characters).",
                "code-unfit",
            )


def _ensure_measurement(measurement: Measurement, volume: Volume) -> None:
    _ensure_code(_unit_as_code(measurement.unit))
    if not math.isfinite(measurement.value):
        raise _refused(f'The value of "{measurement.name.meaning}" is no finite number.', "measurement-unfit")
    if measurement.unit.ucum in _METRIC_UNITS and not volume.has_spacing:
        raise _refused(
            f'"{measurement.name.meaning}" is in {measurement.unit.ucum}, but the images have no pixel spacing.',
            "unit-without-spacing",
        )


def _unit_as_code(unit: Unit) -> Code:
    return Code(unit.ucum, "UCUM", unit.meaning)


def _ensure_places(finding: Finding, volume: Volume) -> None:
    slices = range(len(volume.slices))
    match finding:
        case Detection(regions):
            for region in regions:
                _ensure_region(region, volume)
        case Classification() | Quantification():
            if any(index not in slices for index in finding.key_slices):
                raise _refused("A key slice is not one of the volume.", "place-unfit")
        case Segmentation() | HeatMap() | Narrative() | QualityStatement():
            pass


def _ensure_region(region: Region, volume: Volume) -> None:
    slices = range(len(volume.slices))
    first, last = region.extent or (region.slice_index, region.slice_index)
    around = bounds(region.shape)
    corners = np.array([around.first, around.last], dtype=np.float64)
    rows, columns = volume.geometry.shape[1:]
    inside = (
        bool(np.isfinite(corners).all())
        and bool((corners[1] >= -0.5).all() and (corners[0] <= (rows - 0.5, columns - 0.5)).all())
        and first in slices
        and last in slices
        and first <= region.slice_index <= last
    )
    if not inside or not _is_a_shape(region, corners):
        raise _refused(f'A place of "{region.label}" is no shape, or not on the analysed images.', "place-unfit")


def _is_a_shape(region: Region, corners: np.ndarray) -> bool:
    match region.shape:
        case Point():
            return True
        case Line(points):
            return len(points) >= 2 and bool((corners[1] > corners[0]).any())
        case Polygon(points):
            return len(points) >= 3 and bool((corners[1] > corners[0]).all())
        case Circle(_, radius):
            return radius > 0
        case Ellipse():
            return bool((corners[1] > corners[0]).all())
        case _:
            return bool((corners[1] > corners[0]).all())


def _labels(finding: Finding) -> Iterator[str]:
    match finding:
        case Segmentation(segments=parts) | Detection(regions=parts):
            yield from (part.label for part in parts)
            yield from finding.absent
        case Classification() | Quantification() | HeatMap():
            yield finding.label
        case Narrative() | QualityStatement():
            yield finding.text


def _tracked(conclusion: Conclusion) -> Iterator[Sequence[str]]:
    """Tracking identifiers that share a name space: those of one segmentation or detection, or of all statements."""
    for finding in conclusion.findings:
        if isinstance(finding, Segmentation):
            yield [segment.tracking_identifier for segment in finding.segments]
        elif isinstance(finding, Detection):
            yield [region.tracking_identifier for region in finding.regions]
    yield [
        *(one.tracking_identifier for one in conclusion.classifications),
        *(one.tracking_identifier for one in conclusion.quantifications),
    ]


def _codes(finding: Finding) -> Iterator[Code]:
    match finding:
        case Segmentation(segments=parts) | Detection(regions=parts):
            for part in parts:
                yield from (part.category, part.type, *_known(part.site, part.laterality))
                yield from _of_evaluations(part.evaluations)
        case Classification():
            yield finding.finding
            yield from _of_evaluations(finding.evaluations)
        case Quantification():
            yield from (finding.finding, *_known(finding.site, finding.laterality))
        case HeatMap():
            yield from (finding.quantity, _unit_as_code(finding.unit))
        case Narrative():
            yield finding.section
        case QualityStatement():
            pass
    for measurement in _measurements(finding):
        yield from (measurement.name, *_known(measurement.method, measurement.derivation))


def _known(*codes: Code | None) -> tuple[Code, ...]:
    return tuple(code for code in codes if code is not None)


def _of_evaluations(evaluations: Sequence[Evaluation]) -> Iterator[Code]:
    for evaluation in evaluations:
        yield from (evaluation.name, evaluation.value)


def _measurements(finding: Finding) -> tuple[Measurement, ...]:
    match finding:
        case Segmentation(segments=parts) | Detection(regions=parts):
            whole: Sequence[Segment] | Sequence[Region] = parts
            return tuple(measurement for part in whole for measurement in part.measurements)
        case Quantification(measurements=measurements):
            return measurements
        case Classification() | HeatMap() | Narrative() | QualityStatement():
            return ()


def _shares(finding: Finding) -> Iterator[float]:
    match finding:
        case Detection(regions):
            yield from (region.probability for region in regions if region.probability is not None)
        case Classification():
            if finding.probability is not None:
                yield finding.probability
            point = finding.operating_point
            if point is not None:
                yield point.threshold
                yield from (value for value in (point.sensitivity, point.specificity) if value is not None)
        case Segmentation() | Quantification() | HeatMap() | Narrative() | QualityStatement():
            pass
