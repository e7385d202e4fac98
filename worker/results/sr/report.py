"""Comprehensive 3D SR with the Measurement Report template (PS3.3 A.35.13, PS3.16 TID 1500).

Every finding with a place has a tracking UID, and at least one of its measurement groups a 2D SCOORD on an image:
that is what viewers draw. OHIF merges the groups of a tracking UID, and one without a SCOORD would keep it from opening
the report at all. So statements without a place are groups here only for destinations whose profile wants them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from worker.domain.findings import Detection, Segmentation
from worker.domain.profile import Statements
from worker.domain.study import SOPClassUID, SOPInstanceUID
from worker.results import coding
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.seg.segmentation import EncodedSeg
from worker.results.sr.document import Referenced, context_items, document, finish
from worker.results.sr.groups import Group
from worker.results.sr.image_library import image_library
from worker.results.sr.regions import region_groups
from worker.results.sr.segments import structure_groups
from worker.results.sr.statements import statement_groups


def encode_reports(inputs: EncoderInput, segs: tuple[EncodedSeg, ...]) -> tuple[Dataset, ...]:
    """Encode the measurement reports: none, one, or one for each template of groups, as the profile wants them."""
    if not inputs.profile.report:
        return ()
    groups = list(_groups(inputs, segs))
    if not inputs.profile.one_template:
        return (_report(inputs, segs, groups, 0),) if groups else ()
    by_template: dict[str, list[Group]] = {}
    for group in groups:
        by_template.setdefault(group.template, []).append(group)
    return tuple(_report(inputs, segs, by_template[name], part) for part, name in enumerate(sorted(by_template)))


def _groups(inputs: EncoderInput, segs: Sequence[EncodedSeg]) -> Iterator[Group]:
    by_part = {seg.part: seg for seg in segs}
    for part, finding in enumerate(inputs.conclusion.findings):
        if isinstance(finding, Segmentation):
            for structure in inputs.structures.get(part, ()):
                yield from structure_groups(structure, part, by_part.get(part), inputs)
        elif isinstance(finding, Detection):
            yield from region_groups(finding, part, inputs)
        if inputs.profile.statements is not Statements.TEXT:
            yield from statement_groups(finding, part, inputs)


def _report(inputs: EncoderInput, segs: Sequence[EncodedSeg], groups: Sequence[Group], part: int) -> Dataset:
    source, stamp = inputs.source, inputs.stamp
    content = [group.item for group in groups]
    named = {str(one.ReferencedSOPInstanceUID) for one in _references(content)}
    ds = document(
        Comprehensive3DSRStorage,
        coding.IMAGING_MEASUREMENT_REPORT,
        "1500",
        [*source.analysed, *_of_segs(segs, named)],
    )
    ds.ContentSequence = context_items(stamp, inputs.conclusion.volume.modality)
    library = image_library(source, (k for k, frame in enumerate(source.frames) if frame.sop_instance_uid in named))
    if library is not None:
        ds.ContentSequence.append(library)
    ds.ContentSequence.append(items.section(coding.IMAGING_MEASUREMENTS, content))
    finish(ds, stamp, inputs.names("SR", part), inputs.context)
    return ds


def _references(content: Sequence[Dataset]) -> Iterator[Dataset]:
    for item in content:
        yield from item.get("ReferencedSOPSequence") or []
        yield from _references(item.get("ContentSequence") or [])


def _of_segs(segs: Sequence[EncodedSeg], named: set[str]) -> Iterator[Referenced]:
    """The SEGs that the content names, by their series."""
    by_series: dict[str, list[tuple[SOPClassUID, SOPInstanceUID]]] = {}
    for seg in segs:
        if str(seg.dataset.SOPInstanceUID) in named:
            pair = SOPClassUID(str(seg.dataset.SOPClassUID)), SOPInstanceUID(str(seg.dataset.SOPInstanceUID))
            by_series.setdefault(str(seg.dataset.SeriesInstanceUID), []).append(pair)
    yield from by_series.items()
