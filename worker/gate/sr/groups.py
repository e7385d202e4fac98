"""How the gate reads measurement groups: whose they are, what they say, and what every one of them must have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import Evaluation, Measurement
from worker.gate.reading import Inspection, children, code_of, only_child
from worker.gate.sentences import Stated, parameters_of, rounded

_ROUNDING = 2e-5
"""Relative, of what the gate counts itself: values are written with six significant digits."""

_CONTEXT, _MODIFIER, _CONTAINS = "HAS OBS CONTEXT", "HAS CONCEPT MOD", "CONTAINS"
_OF_ANY_GROUP = frozenset(
    {
        ("TEXT", _CONTEXT, "112039"), ("UIDREF", _CONTEXT, "112040"),
        ("TEXT", _MODIFIER, "111001"), ("TEXT", _MODIFIER, "111003"), ("TEXT", _MODIFIER, "111002"),
        ("TEXT", _MODIFIER, "122405"), ("TEXT", _CONTAINS, "121106"), ("CODE", _MODIFIER, "111000"),
        ("CODE", _MODIFIER, "363698007"), ("IMAGE", _CONTAINS, "121191"), ("UIDREF", _CONTAINS, "121232"),
        ("IMAGE", _CONTAINS, "121112"), ("SCOORD", _CONTAINS, "111030"), ("SCOORD3D", _CONTAINS, "111030"),
    }
)  # fmt: skip
"""Value type, relationship and name of what a group may hold beside its coded answers and its numbers."""

_PLACES = frozenset({"SCOORD", "SCOORD3D"})
_BELOW = {"363698007": {"272741003"}, "NUM": {"121401", "370129005"}}
"""Codes that may stand below a site and below a number: its side; its derivation and its method."""

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
    comments: tuple[str, ...] = ()
    parameter: Stated | None = None
    """A parameter of the algorithm beside those that every group names."""


@dataclass(slots=True)
class Groups:
    """The groups of all measurement reports of a set, by tracking UID in the order of the reports.

    ``names`` are the tracking identifiers that the groups of a UID have: one, where they agree.
    """

    by_uid: dict[str, list[Dataset]]
    names: dict[str, set[str]]

    @classmethod
    def of(cls, reports: Sequence[Dataset]) -> Groups:
        """Read them; raises KeyError, ValueError or AttributeError where a group or container is not as it must be."""
        groups: dict[str, list[Dataset]] = {}
        names: dict[str, set[str]] = {}
        for ds in reports:
            for group in children(only_child(ds, "126010"), "125007"):
                uid = str(only_child(group, "112040").UID)
                groups.setdefault(uid, []).append(group)
                names.setdefault(uid, set()).add(str(only_child(group, "112039").TextValue))
        return cls(groups, names)

    def take(self, tracking_identifier: str) -> list[Dataset]:
        """Remove and return the first that are tracked under this name; none when there are none."""
        for uid, groups in self.by_uid.items():
            if self.names[uid] == {tracking_identifier}:
                del self.by_uid[uid]
                return groups
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
    yield from _coded(group, "276214006", "SCT", expected.category, "finding category")
    yield from _sites(group, expected)
    algorithm = given.conclusion.algorithm
    if str(only_child(group, "111001").TextValue) != algorithm.title:
        yield "wrong algorithm name"
    if str(only_child(group, "111003").TextValue) != algorithm.model.version:
        yield "wrong algorithm version"
    if code_of(only_child(group, "111000"), "ConceptCodeSequence") != ("123110", "DCM"):
        yield "the algorithm's family is not artificial intelligence"
    parameters = [str(item.TextValue).rstrip() for item in children(group, "111002")]
    if expected.parameter is not None and parameters and expected.parameter.is_said_by(parameters[-1]):
        del parameters[-1]
    elif expected.parameter is not None:
        yield f"{expected.parameter.what} is not stated as it was concluded"
    if parameters != [words.rstrip() for words in parameters_of(algorithm)]:
        yield "the algorithm's parameters are others: they do not name this model and its settings alone"
    if [str(item.TextValue) for item in children(group, "121106")] != list(expected.comments):
        yield "a comment that was not concluded, or none where one was"
    yield from _strange(group)
    if [str(item.TextValue) for item in children(group, "122405")] != [algorithm.manufacturer] * bool(
        algorithm.manufacturer
    ):
        yield "wrong algorithm manufacturer"


def _strange(group: Dataset) -> Iterator[str]:
    """Everything in a group is one of what its template has, and nothing hides below it."""
    template, regions = template_of(group), len(children(group, "111030"))
    if (template == "1410" and regions != 1) or (template == "1501" and regions):
        yield f"{regions} regions in a group of template {template}"
    for item in group.ContentSequence:
        kind, relationship, (code, _) = item.ValueType, item.get("RelationshipType"), code_of(item)
        counted = kind in {"CODE", "NUM"} and relationship == _CONTAINS
        if not counted and (kind, relationship, code) not in _OF_ANY_GROUP:
            yield f"a {kind} {code} that belongs to no template"
        allowed = _BELOW.get("NUM" if kind == "NUM" else code, set())
        if any(not _belongs(child, allowed) for child in _below(item)):
            yield f"something below {kind} {code} that belongs to no template"
        if len({code_of(child) for child in _below(item)}) != len(_below(item)):
            yield f"something twice below {kind} {code}"
        if kind in _PLACES and not _on_one_image(item):
            yield "a place that is not on one image, and nothing else"


def _below(item: Dataset) -> Sequence[Dataset]:
    found: Sequence[Dataset] = [] if item.ValueType in _PLACES else item.get("ContentSequence") or []
    return found


def _belongs(item: Dataset, codes: set[str]) -> bool:
    if item.ValueType in _PLACES:
        return _on_one_image(item)
    return item.ValueType == "CODE" and code_of(item)[0] in codes and not item.get("ContentSequence")


def _on_one_image(place: Dataset) -> bool:
    below = place.get("ContentSequence") or []
    images = [item for item in below if item.ValueType == "IMAGE" and not item.get("ContentSequence")]
    return len(below) == len(images) == int(place.ValueType == "SCOORD")


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


def evaluation_problems(groups: Sequence[Dataset], expected: Sequence[tuple[Concept, Concept]]) -> Iterator[str]:
    """Coded questions and answers over all groups of a subject: those concluded, each as often, and no other."""
    ours = {("121071", "DCM"), ("276214006", "SCT"), ("272741003", "SCT"), ("130400", "DCM")}
    found = Counter(
        (code_of(item), code_of(item, "ConceptCodeSequence"))
        for group in groups
        for item in group.ContentSequence
        if item.ValueType == "CODE" and item.RelationshipType == "CONTAINS" and code_of(item) not in ours
    )
    if found != Counter(expected):
        yield "the evaluations are not those concluded"


def answers(evaluations: Sequence[Evaluation]) -> list[tuple[Concept, Concept]]:
    """Evaluations as the codes of a CODE item: (concept name, value), each as (value, scheme)."""
    return [((e.name.value, e.name.scheme), (e.value.value, e.value.scheme)) for e in evaluations]


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


def compare(what: str, found: Number | None, value: float, unit: str, *, counted: bool = False) -> Iterator[str]:
    """A number must be there, with its unit and value; one that the gate ``counted`` itself may differ in rounding."""
    room = _ROUNDING * abs(value) if counted else 0.0
    if found is None:
        yield f"no {what}"
    elif found[1] != unit or abs(found[0] - (value if counted else rounded(value))) > room:
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
