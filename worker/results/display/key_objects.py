"""Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010) that leads to the images which matter, and to the key images.

It selects nothing away: rejection notes have another title, and are made in ``kos``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from worker.domain.codes import Code
from worker.domain.study import SOPClassUID, SOPInstanceUID
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.display.key_images import choice_of
from worker.results.display.key_slices import Choice
from worker.results.evidence import SourceFrame
from worker.results.header import apply_header, reference, references, request_items

OF_INTEREST = Code("113000", "DCM", "Of Interest")
"""The title (CID 7010) that promises nothing but that a look is worth while."""

_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
_SOURCE = Code("260753009", "SCT", "Source")


def encode_key_objects(inputs: EncoderInput, key_images: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """Encode the selection of the slices that show findings best, where the profile wants it and there are any."""
    choice = choice_of(inputs)
    if not inputs.profile.key_object_selection or not choice.slices:
        return ()
    source, frames = inputs.source, [inputs.source.frames[one.index] for one in choice.slices]
    captures = [(SOPClassUID(str(ds.SOPClassUID)), SOPInstanceUID(str(ds.SOPInstanceUID))) for ds in key_images]
    ds = Dataset()
    ds.SOPClassUID = KeyObjectSelectionDocumentStorage
    ds.Modality = "KO"
    ds.ReferencedPerformedProcedureStepSequence = []
    requests = request_items(source.header)
    if requests:
        ds.ReferencedRequestSequence = requests
    selected = list(dict.fromkeys((frame.sop_class_uid, frame.sop_instance_uid) for frame in frames))
    series = [(str(source.header.SeriesInstanceUID), selected)]
    if captures:
        series.append((str(key_images[0].SeriesInstanceUID), captures))
    ds.CurrentRequestedProcedureEvidenceSequence = [references(source.header.StudyInstanceUID, series)]
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [items.coded(OF_INTEREST)]
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentTemplateSequence = [items.template("2010")]
    ds.ContentSequence = [
        items.language(),
        *items.device_observer(inputs.stamp.equipment),
        items.text("CONTAINS", _DESCRIPTION, _reasons(inputs, choice)),
        *(_key_object(_frame_reference(frame)) for frame in frames),
        *(_key_object(reference(*capture)) for capture in captures),
    ]
    apply_header(ds, inputs.stamp, inputs.names("KEY"))
    return (ds,)


def _reasons(inputs: EncoderInput, choice: Choice) -> str:
    """Why each image is in the selection, in one text: the template has room for one."""
    algorithm = inputs.stamp.algorithm
    why = [
        f"Slice {one.index + 1}: {'; '.join(key_finding.line for key_finding in one.key_findings)}"
        for one in choice.slices
    ]
    more = [f"Not selected, for lack of room: {'; '.join(one.line for one in choice.left_over)}"]
    return "\r\n".join(
        (
            f"AI DRAFT, not verified by a physician. Made by {algorithm.title}, version {algorithm.model.version}.",
            *why,
            *(more if choice.left_over else ()),
        )
    )


def _frame_reference(frame: SourceFrame) -> Dataset:
    item = reference(frame.sop_class_uid, frame.sop_instance_uid)
    if frame.number is not None:
        item.ReferencedFrameNumber = frame.number
    return item


def _key_object(item: Dataset) -> Dataset:
    return items.item("CONTAINS", "IMAGE", _SOURCE, ReferencedSOPSequence=[item])
