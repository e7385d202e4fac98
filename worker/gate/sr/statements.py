"""Gate checks of measurement groups without a place (TID 1501), for destinations whose profile wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.findings import Classification, OperatingPoint, Presence, Quantification
from worker.gate.reading import Inspection, children
from worker.gate.sentences import Stated
from worker.gate.sr.groups import (
    Expected,
    Groups,
    answers,
    common_problems,
    evaluation_problems,
    number_problems,
    slice_of,
    template_of,
)

_PRESENCE = ("121052", "DCM")
_ANSWER = {
    Presence.PRESENT: ("121053", "DCM"),
    Presence.ABSENT: ("121054", "DCM"),
    Presence.INDETERMINATE: ("121059", "DCM"),
}
_PRIORITY, _URGENT = ("260870009", "SCT"), ("103391001", "SCT")


def classification_problems(groups: Groups, one: Classification, given: Inspection) -> Iterator[str]:
    """Finding, decision, probability, operating point, urgency and images of a classification."""
    own = groups.take(one.tracking_identifier)
    asked = [(_PRESENCE, _ANSWER[one.presence]), *([(_PRIORITY, _URGENT)] if one.urgent else [])]
    expected = Expected(one.tracking_identifier, one.finding, parameter=_operating_point(one.operating_point))
    yield from _one_group(own, expected, given, one.key_slices)
    yield from number_problems(own, (), one.probability)
    yield from evaluation_problems(own, [*asked, *answers(one.evaluations)])


def _operating_point(point: OperatingPoint | None) -> Stated | None:
    if point is None:
        return None
    parts: list[str | float] = ["operating point: threshold=", point.threshold]
    for name, share in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
        parts += [] if share is None else [f", {name}=", share]
    return Stated("the operating point", tuple(parts))


def quantification_problems(groups: Groups, one: Quantification, given: Inspection) -> Iterator[str]:
    """Finding, site, numbers and images of a quantification."""
    own = groups.take(one.tracking_identifier)
    expected = Expected(one.tracking_identifier, one.finding, None, one.site, one.laterality)
    yield from _one_group(own, expected, given, one.key_slices)
    yield from number_problems(own, one.measurements, None)
    yield from evaluation_problems(own, [])


def absence_problems(groups: Groups, label: str, given: Inspection) -> Iterator[str]:
    """What was not found, under its label."""
    own = groups.take(label)
    yield from _one_group(own, Expected(label, None, comments=(f"Not found: {label}.",)), given, ())
    yield from number_problems(own, (), None)
    yield from evaluation_problems(own, [(_PRESENCE, _ANSWER[Presence.ABSENT])])


def _one_group(
    own: Sequence[Dataset], expected: Expected, given: Inspection, key_slices: Sequence[int]
) -> Iterator[str]:
    if len(own) != 1 or template_of(own[0]) != "1501":
        yield f"{len(own)} groups, expected one of TID 1501"
        return
    yield from common_problems(own[0], expected, given)
    if [slice_of(image, given) for image in children(own[0], "121112")] != list(key_slices):
        yield "other images than concluded"
