"""What a conclusion says, as plain data without PHI: for ``overread show``, ``run``, ``view`` and the audit trail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from worker.domain.codes import Code
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Finding,
    HeatMap,
    Measurement,
    Narrative,
    QualityStatement,
    Quantification,
    Segmentation,
)


def findings_of(conclusion: Conclusion) -> list[dict[str, Any]]:
    """One entry for each thing found: ``kind``, ``label``, ``code``, ``measurements``, ``statement``."""
    return [entry for finding in conclusion.findings for entry in _entries(finding)]


def _entries(finding: Finding) -> Iterator[dict[str, Any]]:
    match finding:
        case Segmentation():
            for segment in finding.segments:
                yield _entry("segment", segment.label, segment.type, segment.measurements)
        case Detection():
            for region in finding.regions:
                said = f"on slice {region.slice_index + 1}" + _probability(region.probability)
                yield _entry("region", region.label, region.type, region.measurements, said)
        case Classification():
            said = finding.presence.value + _probability(finding.probability)
            if finding.operating_point is not None:
                said += f", threshold {finding.operating_point.threshold:.3g}"
            # Of several answers that exclude each other, the one that was chosen: without it the row says nothing.
            said += "".join(f", {one.name.meaning}: {one.value.meaning}" for one in finding.evaluations)
            yield _entry("classification", finding.label, finding.finding, (), said + (", urgent" * finding.urgent))
        case Quantification():
            yield _entry("quantification", finding.label, finding.finding, finding.measurements)
        case HeatMap():
            low, high = finding.value_range
            yield _entry("heat map", finding.label, finding.quantity, (), f"{low:g} to {high:g} {finding.unit.ucum}")
        case Narrative():
            yield _entry("text", finding.section.meaning, finding.section, (), finding.text)
        case QualityStatement():
            yield _entry("quality", finding.code, None, (), finding.text)


def _entry(
    kind: str, label: str, code: Code | None, measurements: Sequence[Measurement], statement: str = ""
) -> dict[str, Any]:
    return {
        "kind": kind,
        "label": label,
        "code": [code.value, code.scheme, code.meaning] if code is not None else [],
        "measurements": [
            {"name": _name(one), "value": float(f"{one.value:.6g}"), "unit": one.unit.ucum} for one in measurements
        ],
        "statement": statement,
    }


def _name(one: Measurement) -> str:
    return one.name.meaning if one.derivation is None else f"{one.name.meaning}, {one.derivation.meaning.lower()}"


def _probability(value: float | None) -> str:
    return "" if value is None else f", probability {value:.3g}"
