"""Gate checks of any SR's content tree: what it refers to, and that no content item is without name or value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion
from worker.domain.result import Check
from worker.gate.codes import code_problems, known_meanings
from worker.gate.reading import EvidenceHeaders, Inspection, checked, code_of, content_items

_VALUE_OF = {
    "CODE": "ConceptCodeSequence",
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "IMAGE": "ReferencedSOPSequence",
    "SCOORD": "GraphicData",
    "SCOORD3D": "GraphicData",
    "CONTAINER": "ContentSequence",
    "NUM": "MeasuredValueSequence",
}


def nameless_or_empty(ds: Dataset) -> Iterator[str]:
    """PS3.3 C.17.3: no item without a name, a relationship and a value; no number without its unit."""
    for item in content_items(ds):
        name, kind = code_of(item), item.ValueType
        if not name[0] and kind != "IMAGE":
            yield f"a {kind} without a name"
        if not item.get("RelationshipType"):
            yield f"{kind} {name[0]} without a relationship"
        if not item.get(_VALUE_OF[kind]):
            yield f"{kind} {name[0]} without a value"
        elif kind == "NUM":
            measured = item.MeasuredValueSequence[0]
            if measured.get("NumericValue") is None or not code_of(measured, "MeasurementUnitsCodeSequence")[0]:
                yield f"NUM {name[0]} without number or unit"


def meaning_problems(ds: Dataset, conclusion: Conclusion) -> Iterator[str]:
    """What viewers show of a code is its meaning: it has to be that of the code, in every content item."""
    yield from code_problems(ds, known_meanings(conclusion.findings, conclusion.volume.modality))


def reference_check(
    name: str, ds: Dataset, objects: Sequence[Dataset], given: Inspection, *, whole: bool = True
) -> Check:
    """Every instance that the content names exists, is evidence, has its class; all analysed images are evidence.

    ``objects`` are those beside the images that may be named; all of them must be evidence of a ``whole`` report, and
    only those that its content names of one among several.
    """
    return checked(
        f"{name}-references", "evidence complete, no dangling reference", lambda: _refs(ds, objects, given, whole=whole)
    )


def _refs(ds: Dataset, objects: Sequence[Dataset], given: Inspection, *, whole: bool) -> Iterator[str]:
    volume = given.conclusion.volume
    wanted = {str(ref.sop_instance_uid) for ref in volume.slices}
    # Further inputs of the model: all of the series, whatever was made of it.
    wanted |= {
        uid
        for uid, header in given.evidence.by_instance.items()
        if str(header.SeriesInstanceUID) != volume.series_instance_uid
    }
    if whole:
        wanted |= {str(one.SOPInstanceUID) for one in objects}
    yield from evidence_problems(ds, objects, given.evidence, wanted)


def evidence_problems(
    ds: Dataset, objects: Sequence[Dataset], evidence: EvidenceHeaders, wanted: set[str]
) -> Iterator[str]:
    """What is wrong with the evidence of a document; ``wanted`` are the UIDs that it must list."""
    known = {
        uid: (str(header.SOPClassUID), str(header.SeriesInstanceUID)) for uid, header in evidence.by_instance.items()
    }
    known |= {str(one.SOPInstanceUID): (str(one.SOPClassUID), str(one.SeriesInstanceUID)) for one in objects}
    listed: set[str] = set()
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        if str(study.StudyInstanceUID) != str(ds.StudyInstanceUID):
            yield "evidence of another study"
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                uid = str(item.ReferencedSOPInstanceUID)
                listed.add(uid)
                if known.get(uid) != (str(item.ReferencedSOPClassUID), str(series.SeriesInstanceUID)):
                    yield f"evidence {uid} does not exist with this class in this series"
    if wanted - listed:
        yield f"{len(wanted - listed)} of {len(wanted)} analysed instances are not listed as evidence"
    for item in content_items(ds):
        for reference in item.get("ReferencedSOPSequence") or []:
            uid = str(reference.ReferencedSOPInstanceUID)
            if uid not in listed:
                yield f"{uid} is named in the content and not listed as evidence"
            elif known[uid][0] != str(reference.ReferencedSOPClassUID):
                yield f"wrong SOP class for {uid} in the content"
