"""From what a net says to findings, by what the manifest says of the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy

from worker.domain.findings import Finding, QualityStatement, Segment, Segmentation, is_any
from worker.domain.volume import Geometry, Volume
from worker.inference.answers import Answer
from worker.inference.entries.output_parts import domain_code
from worker.inference.image import Scores, index_map
from worker.inference.manifest.manifest import Manifest
from worker.inference.measure.segment import measured
from worker.inference.measure.volume import volumes_ml
from worker.inference.outputs.case import Case
from worker.inference.outputs.detections import detection
from worker.inference.outputs.segments import numbers_within
from worker.inference.steps import CustomCode, CustomOnLabels
from worker.inference.steps.decide import Labels
from worker.inference.steps.sampling import clear_outside


def decide(
    manifest: Manifest,
    answer: Answer,
    volume: Volume,
    thresholds: Mapping[str, float],
    code: CustomCode | None = None,
    bounds: Geometry | None = None,
) -> Labels | None:
    """The label map on the source's grid, numbered as the manifest says; None for a model without segments.

    Outside ``bounds``, the box that a crop has left, there is background.
    """
    decision = manifest.decision
    if decision is None:
        return None
    if not isinstance(answer, Scores):
        raise TypeError("a label map needs a score map: the manifest does not allow anything else")
    numbers = {segment.channel: segment.number for segment in manifest.outputs.segments}
    labels = decision.labels(answer, volume.geometry, numbers=numbers, thresholds=thresholds)
    if bounds is not None:
        clear_outside(labels, index_map(of=volume.geometry, into=bounds), bounds.shape)
    for mask_step in manifest.mask_steps:
        if isinstance(mask_step, CustomOnLabels):
            labels = mask_step.apply(labels, volume.geometry, code, highest=max(numbers.values()))
        else:
            labels = mask_step.apply(labels, volume.geometry)
    return labels


def conclude(
    manifest: Manifest, answer: Answer, labels: Labels | None, volume: Volume, thresholds: Mapping[str, float]
) -> tuple[Finding, ...]:
    """All findings, in the order of the manifest's kinds.

    Raises
    ------
    NotApplicableError
        A guard, a plausible range or a largest count refuses the result.
    PermanentError
        ``probability-out-of-range``.
    """
    outputs = manifest.outputs
    numbers = numbers_within(outputs.segments)
    by_label: dict[str, float] = {}
    if labels is not None:
        millilitres = volumes_ml(labels, volume.geometry, highest=len(outputs.segments))
        by_label = {label: sum(millilitres[number - 1] for number in own) for label, own in numbers.items()}
        for guard in manifest.guards.result:
            guard.check(by_label)
    case = Case(answer, labels, volume, thresholds, numbers, by_label)
    findings: list[Finding] = []
    if outputs.detections:
        found, counts = detection(outputs.detections, case)
        findings += [found, *counts]
    findings += [entry.conclude(case) for entry in outputs.classifications]
    findings += [entry.conclude(case) for entry in outputs.quantifications]
    findings += [entry.conclude(case) for entry in outputs.heat_maps]
    if labels is not None:
        findings.insert(0, _segmentation(manifest, case, labels))
    return tuple(findings)


def _segmentation(manifest: Manifest, case: Case, labels: Labels) -> Segmentation:
    entries, within = manifest.outputs.segments, case.numbers
    boxes = scipy.ndimage.find_objects(labels, max_label=len(entries))
    placed = {entry.label: _around([boxes[number - 1] for number in within[entry.label]]) for entry in entries}
    present = [entry for entry in entries if placed[entry.label]]
    renumbered = np.zeros(len(entries) + 1, dtype=labels.dtype)
    for number, entry in enumerate(present, start=1):
        renumbered[entry.number] = number
    segments: list[Segment] = []
    for entry in present:
        box, own = placed[entry.label], within[entry.label]
        segments.append(
            Segment(
                number=int(renumbered[entry.number]),
                label=entry.label,
                category=entry.category.to_domain(),
                type=entry.type.to_domain(),
                colour_rgb=entry.colour_rgb,
                measurements=measured(
                    entry.measurements,
                    is_any(labels[box], own),
                    box,
                    case.volume,
                    volume_ml=case.volumes_ml[entry.label],
                ),
                tracking_identifier=entry.tracking_identifier,
                laterality=domain_code(entry.laterality),
                site=domain_code(entry.site),
                evaluations=tuple(one.to_domain() for one in entry.evaluations),
                contains=tuple(int(renumbered[number]) for number in own[1:] if renumbered[number]),
            )
        )
    absent = tuple(entry.label for entry in entries if not placed[entry.label])
    return Segmentation(renumbered[labels] if absent else labels, tuple(segments), absent)


def _around(boxes: Sequence[tuple[slice, ...] | None]) -> tuple[slice, ...]:
    """The smallest box that holds all ``boxes``; empty where there is none."""
    found = [box for box in boxes if box is not None]
    return tuple(
        slice(min(one.start for one in along), max(one.stop for one in along)) for along in zip(*found, strict=True)
    )


EXPERIMENTAL = QualityStatement(
    code="experimental-model",
    text="Experimental model: tried on very few images, validated on none. Not for decisions about a patient.",
)


def quality(manifest: Manifest, volume: Volume) -> tuple[QualityStatement, ...]:
    """What limits every result of an experimental model, and what the manifest wants said of this input."""
    found = [limit.statement(volume) for limit in manifest.guards.quality]
    said = tuple(statement for statement in found if statement is not None)
    return (EXPERIMENTAL, *said) if manifest.package.experimental else said
