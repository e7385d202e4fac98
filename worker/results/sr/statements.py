"""Measurement groups without a place (TID 1501): classifications, quantities, and what was not found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import (
    Classification,
    Detection,
    Evaluation,
    Finding,
    HeatMap,
    Narrative,
    OperatingPoint,
    Presence,
    QualityStatement,
    Quantification,
    Segmentation,
)
from worker.results import coding
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.sr.groups import PLACELESS, Group, Said, Subject, group, number, probability


def statement_groups(finding: Finding, part: int, inputs: EncoderInput) -> Iterator[Group]:
    """One group for each statement of a finding; what only words can say is left to the text report."""
    match finding:
        case Classification():
            yield _classification(finding, part, inputs)
        case Quantification():
            yield _quantification(finding, part, inputs)
        case Segmentation() | Detection():
            for label in finding.absent:
                yield _absence(label, part, inputs)
        case HeatMap() | Narrative() | QualityStatement():
            pass


def presence_code(presence: Presence) -> Code:
    """The answer to whether something is there."""
    match presence:
        case Presence.PRESENT:
            return coding.PRESENT
        case Presence.ABSENT:
            return coding.ABSENT
        case Presence.INDETERMINATE:
            return coding.UNDETERMINED


def operating_point(point: OperatingPoint) -> str:
    """An operating point as a parameter of the algorithm (TID 4019), in shares of one."""
    parts = [f"operating point: threshold={point.threshold:.6g}"]
    if point.sensitivity is not None:
        parts.append(f"sensitivity={point.sensitivity:.6g}")
    if point.specificity is not None:
        parts.append(f"specificity={point.specificity:.6g}")
    return ", ".join(parts)


def _classification(finding: Classification, part: int, inputs: EncoderInput) -> Group:
    subject = Subject(
        tracking_identifier=finding.tracking_identifier,
        tracking_uid=inputs.uids.tracking(part, finding.tracking_identifier),
        finding=finding.finding,
    )
    decided = [Evaluation(coding.PRESENCE, presence_code(finding.presence))]
    if finding.urgent:
        decided.append(Evaluation(coding.PRIORITY, coding.URGENT))
    point = finding.operating_point
    said = Said(
        measurements=[] if finding.probability is None else [probability(finding.probability)],
        evaluations=[*decided, *finding.evaluations],
        parameters=[] if point is None else [operating_point(point)],
    )
    return group(PLACELESS, subject, inputs.stamp.algorithm, _images(finding.key_slices, inputs), said)


def _quantification(finding: Quantification, part: int, inputs: EncoderInput) -> Group:
    subject = Subject(
        tracking_identifier=finding.tracking_identifier,
        tracking_uid=inputs.uids.tracking(part, finding.tracking_identifier),
        finding=finding.finding,
        site=finding.site,
        laterality=finding.laterality,
    )
    said = Said(measurements=[number(one) for one in finding.measurements])
    return group(PLACELESS, subject, inputs.stamp.algorithm, _images(finding.key_slices, inputs), said)


def _absence(label: str, part: int, inputs: EncoderInput) -> Group:
    """What was looked for by place has a label and no code of its own."""
    subject = Subject(
        tracking_identifier=label, tracking_uid=inputs.uids.tracking(part, f"absent {label}"), finding=None
    )
    said = Said(evaluations=[Evaluation(coding.PRESENCE, coding.ABSENT)], comments=[f"Not found: {label}."])
    return group(PLACELESS, subject, inputs.stamp.algorithm, (), said)


def _images(indices: Sequence[int], inputs: EncoderInput) -> list[Dataset]:
    """Images of a group (TID 1501)."""
    frames = [inputs.source.frames[index] for index in indices]
    return [
        items.image(
            items.CONTAINS, coding.SOURCE_OF_MEASUREMENT,
            (frame.sop_class_uid, frame.sop_instance_uid), frame_number=frame.number,
        )
        for frame in frames
    ]  # fmt: skip
