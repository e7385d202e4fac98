"""Gate checks of any SR's content tree: what it refers to, and that no content item is without name or value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass

from pydicom.dataset import Dataset

from worker.domain.codes import Code, Unit
from worker.domain.findings import Conclusion
from worker.domain.result import Check
from worker.results.gate_reading import EvidenceHeaders, Inspection, checked, code_of, content_items

Concept = tuple[str, str]

_MEANINGS = {
    ("121053", "DCM"): "Present", ("121054", "DCM"): "Absent", ("121059", "DCM"): "Presence Undetermined",
    ("121052", "DCM"): "Presence of property", ("260870009", "SCT"): "Priority", ("103391001", "SCT"): "Urgency",
    ("121071", "DCM"): "Finding", ("276214006", "SCT"): "Finding category", ("363698007", "SCT"): "Finding Site",
    ("272741003", "SCT"): "Laterality", ("122157", "DCM"): "Probability", ("118565006", "SCT"): "Volume",
    ("42798000", "SCT"): "Area", ("410668003", "SCT"): "Length", ("121401", "DCM"): "Derivation",
    ("370129005", "SCT"): "Measurement Method", ("24028007", "SCT"): "Right", ("7771000", "SCT"): "Left",
    ("121070", "DCM"): "Findings", ("121076", "DCM"): "Conclusions", ("121077", "DCM"): "Conclusion",
    ("%", "UCUM"): "Percent", ("mL", "UCUM"): "milliliter", ("mm", "UCUM"): "millimeter",
    ("mm2", "UCUM"): "square millimeter", ("{pixels}", "UCUM"): "pixels",
}  # fmt: skip
"""What the codes that results have beside the concluded ones mean (PS3.16)."""

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
    known = known_meanings(conclusion)
    for item in content_items(ds):
        measured = (item.get("MeasuredValueSequence") or [Dataset()])[0]
        holders = ((item, "ConceptNameCodeSequence"), (item, "ConceptCodeSequence"))
        for holder, keyword in (*holders, (measured, "MeasurementUnitsCodeSequence")):
            yield from meaning_of_code(holder, keyword, known)


def known_meanings(conclusion: Conclusion) -> dict[Concept, set[str]]:
    """What codes may be said to mean: what the standard calls them, and what the model does."""
    known: dict[Concept, set[str]] = {concept: {meaning} for concept, meaning in _MEANINGS.items()}
    for concept, meaning in concluded_codes(conclusion.findings):
        known.setdefault(concept, set()).add(meaning)
    return known


def meaning_of_code(holder: Dataset, keyword: str, known: Mapping[Concept, set[str]]) -> Iterator[str]:
    """Compare the meaning of a code with those that are known of it; a LO has at most 64 characters."""
    codes = holder.get(keyword)
    if not codes or code_of(holder, keyword) not in known:
        return
    right = {form.strip() for meaning in known[code_of(holder, keyword)] for form in (meaning, meaning[:64])}
    if str(codes[0].get("CodeMeaning") or "").strip() not in right:
        yield f"{' '.join(code_of(holder, keyword))} is said to mean something else"


def concluded_codes(value: object) -> Iterator[tuple[Concept, str]]:
    """Every code and unit of what was concluded, with its meaning."""
    match value:
        case Code():
            yield (value.value, value.scheme), value.meaning
        case Unit():
            yield (value.ucum, "UCUM"), value.meaning
        case tuple():
            for one in value:
                yield from concluded_codes(one)
        case _ if is_dataclass(value):
            for field in fields(value):
                yield from concluded_codes(getattr(value, field.name))
        case _:
            pass


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
