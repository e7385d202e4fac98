"""The rejection note: a Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010) as IHE IOCM uses it (RAD TF-3 4.66).

It tells a PACS that results which it holds were replaced, so that nobody reads them beside the new ones. It names
every object of them, and nothing that the PACS does not hold: some refuse a note that does. It is no report, so it
has none of the completion and verification flags of one.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from worker.domain.codes import Code
from worker.domain.errors import PermanentError
from worker.domain.result import Predecessor, ResultKind
from worker.results import content_items as items
from worker.results.header import SeriesNames, Stamp, apply_header, reference, references, request_items

REJECTED = Code("113001", "DCM", "Rejected for Quality Reasons")
"""Why this title and no other: docs/decisions/0008."""

_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
_SOURCE = Code("260753009", "SCT", "Source")


def encode_note(
    rejected: Sequence[Predecessor], *, source_header: Dataset, stamp: Stamp, names: SeriesNames
) -> Dataset:
    """Encode the note that new results of the study replace ``rejected`` (not empty, of the same study)."""
    if not rejected:
        raise PermanentError("A rejection note rejects nothing.", next_step="Report this.", code="note-empty")
    ds = Dataset()
    ds.SOPClassUID = KeyObjectSelectionDocumentStorage
    ds.Modality = "KO"
    ds.ReferencedPerformedProcedureStepSequence = []
    requests = request_items(source_header)
    if requests:
        ds.ReferencedRequestSequence = requests
    by_series: dict[str, list[Predecessor]] = {}
    for one in rejected:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    ds.CurrentRequestedProcedureEvidenceSequence = [
        references(
            source_header.StudyInstanceUID,
            [(uid, [(one.sop_class_uid, one.sop_instance_uid) for one in found]) for uid, found in by_series.items()],
        )
    ]
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [items.coded(REJECTED)]
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentTemplateSequence = [items.template("2010")]
    ds.ContentSequence = [
        items.language(),
        *items.device_observer(stamp.equipment),
        items.text("CONTAINS", _DESCRIPTION, _reason(stamp)),
        *(_key_object(one) for one in rejected),
    ]
    apply_header(ds, stamp, names)
    return ds


def _reason(stamp: Stamp) -> str:
    algorithm = stamp.algorithm
    return (
        "AI DRAFT results that new ones replace: later images, another model or another configuration. "
        f"The replacement was made by {algorithm.title}, version {algorithm.model.version}."
    )


def _key_object(one: Predecessor) -> Dataset:
    """What has pixels is an image to TID 2010; reports and presentation states are not."""
    value_type = "IMAGE" if one.kind in {ResultKind.SEG, ResultKind.PM, ResultKind.SC} else "COMPOSITE"
    return items.item(
        "CONTAINS",
        value_type,
        _SOURCE,
        ReferencedSOPSequence=[reference(one.sop_class_uid, one.sop_instance_uid)],
    )
