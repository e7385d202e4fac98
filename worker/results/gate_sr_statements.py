"""Gate checks of measurement groups without a place (TID 1501), for destinations whose profile wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.findings import Classification, Presence, Quantification
from worker.results.gate_reading import Inspection, children, only_child
from worker.results.gate_sr_groups import (
    Concept,
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
    asked: dict[Concept, Concept] = {_PRESENCE: _ANSWER[one.presence], **answers(one.evaluations)}
    if one.urgent:
        asked[_PRIORITY] = _URGENT
    yield from _one_group(own, Expected(one.tracking_identifier, one.finding), given, one.key_slices)
    yield from number_problems(own, (), one.probability)
    yield from evaluation_problems(own, asked)
    said = [str(item.TextValue) for group in own for item in children(group, "111002")]
    stated = [words for words in said if words.startswith("operating point")]
    point = one.operating_point
    if len(stated) != (point is not None):
        yield "the operating point is not stated once"
    if point is not None and stated:
        shares = (
            ("threshold", point.threshold),
            ("sensitivity", point.sensitivity),
            ("specificity", point.specificity),
        )
        words = stated[0].replace(",", "").replace("operating point: ", "").split()
        for name, value in shares:
            if value is not None and f"{name}={value:.6g}" not in words:
                yield f"the {name} of the operating point is not stated"


def quantification_problems(groups: Groups, one: Quantification, given: Inspection) -> Iterator[str]:
    """Finding, site, numbers and images of a quantification."""
    own = groups.take(one.tracking_identifier)
    expected = Expected(one.tracking_identifier, one.finding, None, one.site, one.laterality)
    yield from _one_group(own, expected, given, one.key_slices)
    yield from number_problems(own, one.measurements, None)
    yield from evaluation_problems(own, {})


def absence_problems(groups: Groups, label: str, given: Inspection) -> Iterator[str]:
    """What was not found, under its label."""
    own = groups.take(label)
    yield from _one_group(own, Expected(label, None), given, ())
    yield from number_problems(own, (), None)
    yield from evaluation_problems(own, {_PRESENCE: _ANSWER[Presence.ABSENT]})
    for group in own:
        if label not in str(only_child(group, "121106").TextValue):
            yield "the absence is not put in words"


def _one_group(
    own: Sequence[Dataset], expected: Expected, given: Inspection, key_slices: Sequence[int]
) -> Iterator[str]:
    if len(own) != 1 or template_of(own[0]) != "1501":
        yield f"{len(own)} groups, expected one of TID 1501"
        return
    yield from common_problems(own[0], expected, given)
    if [slice_of(image, given) for image in children(own[0], "121112")] != list(key_slices):
        yield "other images than concluded"
