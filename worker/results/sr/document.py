"""What all structured reports have around their content: document, evidence, requests, predecessors (PS3.3 C.17)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.result import ResultContext, ResultKind
from worker.domain.study import SOPClassUID, SOPInstanceUID
from worker.results import coding
from worker.results import content_items as items
from worker.results.header import SeriesNames, Stamp, apply_header, references, request_items

Referenced = tuple[str, Sequence[tuple[SOPClassUID, SOPInstanceUID]]]
"""A series with the (class, instance) UIDs of its instances."""


def document(sop_class_uid: str, title: Code, template: str, evidence: Sequence[Referenced]) -> Dataset:
    """An unverified, preliminary draft without content; ``evidence`` is all that it refers to or was made from."""
    ds = Dataset()
    ds.SOPClassUID = sop_class_uid
    ds.Modality = "SR"
    ds.CompletionFlag, ds.VerificationFlag, ds.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [items.coded(title)]
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentTemplateSequence = [items.template(template)]
    ds.CurrentRequestedProcedureEvidenceSequence = [references("", evidence)]
    return ds


def finish(ds: Dataset, stamp: Stamp, names: SeriesNames, context: ResultContext) -> None:
    """Say who and where, which order the document answers, and which documents it replaces."""
    apply_header(ds, stamp, names)
    header = stamp.source_header
    ds.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = header.StudyInstanceUID
    requests = request_items(header)
    if requests:
        ds.ReferencedRequestSequence = requests
    by_series: dict[str, list[tuple[SOPClassUID, SOPInstanceUID]]] = {}
    for one in context.predecessors:
        # The sequence is for SR documents; a SEG is replaced along with the report that refers to it.
        if one.kind is ResultKind.SR:
            by_series.setdefault(one.series_instance_uid, []).append((one.sop_class_uid, one.sop_instance_uid))
    if by_series:
        ds.PredecessorDocumentsSequence = [references(header.StudyInstanceUID, list(by_series.items()))]


def context_items(stamp: Stamp, modality: str) -> list[Dataset]:
    """TID 1204, 1002 and 1004, and the procedure reported: the same in every document."""
    return [
        items.language(),
        *items.device_observer(stamp.equipment),
        items.code(items.MODIFIER, coding.PROCEDURE_REPORTED, coding.procedure_reported(modality)),
    ]
