"""Gate checks of the measurement reports of a set: form, context, references, and every group against its finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.findings import Detection, Segmentation
from worker.domain.profile import SegmentEncoding, Statements
from worker.domain.regions import Line
from worker.domain.result import Check
from worker.gate.content_tree import meaning_problems, nameless_or_empty, reference_check
from worker.gate.observation_context import OBSERVER, PROCEDURE, observer_problems, procedure_problems
from worker.gate.reading import Inspection, checked, children, code_of, content_items, only_child
from worker.gate.sr.groups import Groups, template_of
from worker.gate.sr.image_library import library_problems
from worker.gate.sr.regions import place_problems, region_problems, take_region
from worker.gate.sr.segments import (
    group_problems,
    measurement_problems,
    outline_problems,
    take_segments,
    voxels_of,
)
from worker.gate.sr.statements import absence_problems, classification_problems, quantification_problems

Pairs = Sequence[tuple[Dataset | None, Segmentation]]

_AROUND = OBSERVER + Counter((PROCEDURE, "126010"))
"""Language, observer, procedure, and the measurement groups."""


def templates_expected(given: Inspection) -> frozenset[str]:
    """Templates of the measurement groups that the profile's reports must have; none when it gets no report."""
    conclusion, profile = given.conclusion, given.profile
    if not profile.report:
        return frozenset()
    templates: set[str] = set()
    if conclusion.segments:
        templates |= {"1410", "1411"}
    in_patient = conclusion.volume.in_patient_space
    for region in conclusion.regions:
        line = isinstance(region.shape, Line)
        templates.add("1501" if line else "1410")
        if profile.regions.value == "patient" and in_patient:
            templates.add("1410")
        if region.extent and region.extent[0] != region.extent[1] and in_patient and not line:
            templates.add("1411")
    placeless = conclusion.absent or conclusion.classifications or conclusion.quantifications
    if placeless and profile.statements is not Statements.TEXT:
        templates.add("1501")
    return frozenset(templates)


def reports_expected(given: Inspection) -> int:
    """How many measurement reports the profile gets: one, or one for each template of groups."""
    templates = templates_expected(given)
    return len(templates) if given.profile.one_template else int(bool(templates))


def report_checks(
    reports: Sequence[Dataset], segs: Sequence[tuple[Dataset, Segmentation]], given: Inspection
) -> Iterator[Check]:
    """Yield the checks of all measurement reports of a profile; ``segs`` are the SEGs with what they encode."""
    if not reports:
        return
    objects = [seg for seg, _ in segs]
    pairs: Pairs = segs
    if given.profile.segmentation is SegmentEncoding.NONE:
        pairs = [(None, finding) for finding in given.conclusion.segmentations if finding.segments]
    for ds in reports:
        yield from _of_one(ds, objects, given, whole=len(reports) == 1)
    yield checked("sr-tracking", "every tracking UID can be opened", lambda: _tracking(reports, given))
    yield checked("sr-groups", "a group for everything concluded", lambda: _groups(reports, pairs, given))
    yield checked("sr-measurements", "values equal the findings", lambda: _measurements(reports, pairs, given))
    yield checked("sr-outlines", "drawn where they were concluded", lambda: _outlines(reports, pairs, given))


def _of_one(ds: Dataset, objects: Sequence[Dataset], given: Inspection, *, whole: bool) -> Iterator[Check]:
    yield checked("sr-form", "TID 1500, 126000", lambda: _form(ds, given))
    yield checked("sr-content", "every content item has its name and value", lambda: nameless_or_empty(ds))
    yield checked("sr-meanings", "codes mean what they say", lambda: meaning_problems(ds, given.conclusion))
    yield checked("sr-library", "true of the images", lambda: library_problems(ds, given))
    yield checked("sr-context", "language, device observer, procedure", lambda: _context(ds, given))
    yield reference_check("sr", ds, objects, given, whole=whole)


def _form(ds: Dataset, given: Inspection) -> Iterator[str]:
    if code_of(ds) != ("126000", "DCM"):
        yield f"title {code_of(ds)}, expected 126000: viewers take any other for a text document"
    template = ds.ContentTemplateSequence[0]
    if (template.MappingResource, template.TemplateIdentifier) != ("DCMR", "1500"):
        yield "the root does not name template DCMR 1500"
    measured = only_child(ds, "126010")
    if any(code_of(item) != ("125007", "DCM") for item in measured.ContentSequence):
        yield "something among the measurement groups that is none"
    around = Counter(code_of(item)[0] for item in ds.ContentSequence)
    if around.pop("111028", 1) != 1 or around != _AROUND:
        yield "beside its groups there is more or less than language, observer, procedure and image library"
    of_groups = {template_of(group) for group in children(measured, "125007")}
    if given.profile.one_template and len(of_groups) != 1:
        yield f"groups of {len(of_groups)} templates in one report, the profile wants one"


def _context(ds: Dataset, given: Inspection) -> Iterator[str]:
    yield from observer_problems(ds)
    yield from procedure_problems(ds, given.conclusion.volume.modality)


def _tracking(reports: Sequence[Dataset], given: Inspection) -> Iterator[str]:
    """OHIF opens nothing of a report in which a tracking UID has no SCOORD."""
    groups = Groups.of(reports)
    if given.profile.statements is not Statements.TEXT:
        return
    for own in groups.by_uid.values():
        if not any(item.ValueType == "SCOORD" for group in own for item in content_items(group)):
            yield "a tracking UID without a SCOORD"


def _groups(reports: Sequence[Dataset], pairs: Pairs, given: Inspection) -> Iterator[str]:
    groups = Groups.of(reports)
    for seen in take_segments(groups, pairs):
        yield from group_problems(seen, given)
    for finding in given.conclusion.findings:
        if isinstance(finding, Detection):
            for region in finding.regions:
                name, own = take_region(groups, region, given)
                problems = region_problems(name, own, region, given)
                yield from (f"region {region.tracking_identifier}: {problem}" for problem in problems)
    if given.profile.statements is not Statements.TEXT:
        yield from _statements(groups, given)
    if groups.by_uid:
        yield f"{len(groups.by_uid)} tracking UIDs of nothing that was concluded"


def _statements(groups: Groups, given: Inspection) -> Iterator[str]:
    conclusion = given.conclusion
    for label in conclusion.absent:
        yield from (f"absence of {label}: {problem}" for problem in absence_problems(groups, label, given))
    for one in conclusion.classifications:
        yield from (f"{one.label}: {problem}" for problem in classification_problems(groups, one, given))
    for quantity in conclusion.quantifications:
        yield from (f"{quantity.label}: {problem}" for problem in quantification_problems(groups, quantity, given))


def _measurements(reports: Sequence[Dataset], pairs: Pairs, given: Inspection) -> Iterator[str]:
    voxels = {id(finding): voxels_of(finding) for _, finding in pairs}
    for seen in take_segments(Groups.of(reports), pairs):
        yield from measurement_problems(seen, int(voxels[id(seen.finding)][list(seen.segment.numbers)].sum()), given)


def _outlines(reports: Sequence[Dataset], pairs: Pairs, given: Inspection) -> Iterator[str]:
    groups = Groups.of(reports)
    for seen in take_segments(groups, pairs):
        yield from outline_problems(seen, given)
    for region in given.conclusion.regions:
        _, own = take_region(groups, region, given)
        yield from (f"region {region.tracking_identifier}: {p}" for p in place_problems(own, region, given))
