"""How the gate reads measurement groups: whose they are, what they say, and what every one of them must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import Evaluation, Measurement
from worker.results.gate_reading import Inspection, children, code_of, only_child

_ROUNDING = 2e-5
"""Relative: values are written with six significant digits."""

Concept = tuple[str, str]
Number = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the groups of one tracking UID must say of their subject."""

    tracking_identifier: str
    finding: Code | None
    category: Code | None = None
    site: Code | None = None
    laterality: Code | None = None
    evaluations: tuple[Evaluation, ...] = ()


@dataclass(slots=True)
class Groups:
    """The groups of all measurement reports of a set, by tracking UID in the order of the reports."""

    by_uid: dict[str, list[Dataset]]

    @classmethod
    def of(cls, reports: Sequence[Dataset]) -> Groups:
        """Read them; raises KeyError, ValueError or AttributeError where a group or container is not as it must be."""
        groups: dict[str, list[Dataset]] = {}
        for ds in reports:
            for group in children(only_child(ds, "126010"), "125007"):
                groups.setdefault(str(only_child(group, "112040").UID), []).append(group)
        return cls(groups)

    def take(self, tracking_identifier: str) -> list[Dataset]:
        """Remove and return the first that are tracked under this name; none when there are none."""
        for uid, groups in self.by_uid.items():
            if all(str(only_child(group, "112039").TextValue) == tracking_identifier for group in groups):
                return self.by_uid.pop(uid)
        return []


def template_of(group: Dataset) -> str:
    """Template Identifier of a group; empty when it names none of DCMR."""
    templates = group.get("ContentTemplateSequence") or []
    if len(templates) != 1 or templates[0].MappingResource != "DCMR":
        return ""
    return str(templates[0].TemplateIdentifier)


def of_template(groups: Sequence[Dataset], template: str) -> list[Dataset]:
    """Those of the groups that follow a template."""
    return [group for group in groups if template_of(group) == template]


def common_problems(group: Dataset, expected: Expected, given: Inspection) -> Iterator[str]:
    """Subject and algorithm (TID 4019), which every group must name rightly."""
    yield from _coded(group, "121071", "DCM", expected.finding, "finding")
    if expected.category is not None:
        yield from _coded(group, "276214006", "SCT", expected.category, "finding category")
    yield from _sites(group, expected)
    algorithm = given.conclusion.algorithm
    if str(only_child(group, "111001").TextValue) != algorithm.title:
        yield "wrong algorithm name"
    if str(only_child(group, "111003").TextValue) != algorithm.model.version:
        yield "wrong algorithm version"
    if code_of(only_child(group, "111000"), "ConceptCodeSequence") != ("123110", "DCM"):
        yield "the algorithm's family is not artificial intelligence"
    parameters = " ".join(str(item.TextValue) for item in children(group, "111002"))
    if algorithm.model.digest not in parameters:
        yield "the algorithm's parameters do not hold the model's digest"
    if [str(item.TextValue) for item in children(group, "122405")] != [algorithm.manufacturer] * bool(
        algorithm.manufacturer
    ):
        yield "wrong algorithm manufacturer"


def _coded(group: Dataset, value: str, scheme: str, code: Code | None, what: str) -> Iterator[str]:
    found = [code_of(item, "ConceptCodeSequence") for item in children(group, value, scheme)]
    if found != ([] if code is None else [(code.value, code.scheme)]):
        yield f"{what} is {found}, not what was concluded"


def _sites(group: Dataset, expected: Expected) -> Iterator[str]:
    sites = children(group, "363698007", "SCT")
    found = [code_of(site, "ConceptCodeSequence") for site in sites]
    if expected.site is not None and found != [(expected.site.value, expected.site.scheme)]:
        yield "wrong finding site"
    if expected.site is None and found:
        yield "a finding site that was not concluded"
    holders = [*sites, group]
    sides = [code_of(s, "ConceptCodeSequence") for h in holders for s in children(h, "272741003", "SCT")]
    side = expected.laterality
    if sides != ([] if side is None else [(side.value, side.scheme)]):
        yield "wrong laterality"


def evaluation_problems(groups: Sequence[Dataset], expected: Mapping[Concept, Concept]) -> Iterator[str]:
    """Coded questions and answers over all groups of a subject: those concluded, and no other."""
    ours = {("121071", "DCM"), ("276214006", "SCT"), ("272741003", "SCT"), ("130400", "DCM")}
    found = {
        code_of(item): code_of(item, "ConceptCodeSequence")
        for group in groups
        for item in group.ContentSequence
        if item.ValueType == "CODE" and item.RelationshipType == "CONTAINS" and code_of(item) not in ours
    }
    if found != dict(expected):
        yield "the evaluations are not those concluded"


def answers(evaluations: Sequence[Evaluation]) -> dict[Concept, Concept]:
    """Evaluations as (question, answer)."""
    return {(e.name.value, e.name.scheme): (e.value.value, e.value.scheme) for e in evaluations}


def numbers_of(groups: Sequence[Dataset]) -> dict[tuple[Concept, Concept, Concept], Number]:
    """Value and unit of every number, by its name, derivation and method; KeyError when one is said twice."""
    numbers: dict[tuple[Concept, Concept, Concept], Number] = {}
    for group in groups:
        for item in group.ContentSequence:
            if item.ValueType != "NUM":
                continue
            measured = item.MeasuredValueSequence[0]
            unit, scheme = code_of(measured, "MeasurementUnitsCodeSequence")
            key = code_of(item), _modifier(item, "121401", "DCM"), _modifier(item, "370129005", "SCT")
            if key in numbers:
                raise KeyError(key)
            numbers[key] = float(measured.NumericValue), unit if scheme == "UCUM" else ""
    return numbers


def measurement_key(measurement: Measurement) -> tuple[Concept, Concept, Concept]:
    """The key of a measurement among ``numbers_of``."""
    parts = (measurement.name, measurement.derivation, measurement.method)
    name, derivation, method = (("", "") if code is None else (code.value, code.scheme) for code in parts)
    return name, derivation, method


def compare(what: str, found: Number | None, value: float, unit: str) -> Iterator[str]:
    """A number must be there, with its unit and value."""
    if found is None:
        yield f"no {what}"
    elif found[1] != unit or abs(found[0] - value) > _ROUNDING * abs(value):
        yield f"{what} is {found[0]:.6g} {found[1]}, concluded was {value:.6g} {unit}"


def number_problems(
    groups: Sequence[Dataset], measurements: Sequence[Measurement], probability: float | None
) -> Iterator[str]:
    """Every number that was concluded, with its value, and no other."""
    found = numbers_of(groups)
    for one in measurements:
        yield from compare(one.name.meaning, found.pop(measurement_key(one), None), one.value, one.unit.ucum)
    if probability is not None:
        key = ("122157", "DCM"), ("", ""), ("", "")
        yield from compare("Probability", found.pop(key, None), 100 * probability, "%")
    if found:
        yield "a value that was not concluded"


def _modifier(item: Dataset, value: str, scheme: str) -> Concept:
    found = children(item, value, scheme)
    return code_of(found[0], "ConceptCodeSequence") if found else ("", "")


def slice_of(image: Dataset, given: Inspection) -> int | None:
    """Slice that an IMAGE item shows; None when it is no analysed one."""
    reference = image.ReferencedSOPSequence[0]
    number = reference.get("ReferencedFrameNumber")
    key = str(reference.ReferencedSOPInstanceUID), None if number is None else int(number)
    for index, ref in enumerate(given.conclusion.volume.slices):
        if (str(ref.sop_instance_uid), ref.frame_number) == key:
            return index
    return None
