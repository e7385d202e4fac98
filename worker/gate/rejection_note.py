"""Gate checks of what a revision replaces: the predecessors that reports name, and the rejection notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.model import Algorithm
from worker.domain.result import Check, Predecessor, ResultContext, ResultKind, Withdrawal
from worker.gate.key_object_selection import DESCRIPTION, context_problems, form_problems
from worker.gate.reading import EvidenceHeaders, checked, children

_TITLE = ("113001", "DCM")
_OTHERWISE = "any other is no rejection, or another one"
_REFERRING = frozenset({"IMAGE", "COMPOSITE"})
_WITH_PIXELS = frozenset({ResultKind.SEG, ResultKind.PM, ResultKind.SC})

_Reference = tuple[str, str, str]
"""Series, class and instance UID."""


def predecessor_check(name: str, ds: Dataset, context: ResultContext) -> Check:
    """A report names the reports that it replaces, all of them and nothing else (PS3.3 C.17.2)."""
    reports = [one for one in context.predecessors if one.kind is ResultKind.SR]
    return checked(f"{name}-predecessors", f"{len(reports)} reports are replaced", lambda: _predecessors(ds, reports))


def note_checks(
    ds: Dataset, withdrawal: Withdrawal, others: Iterable[Dataset], evidence: EvidenceHeaders, algorithm: Algorithm
) -> Iterator[Check]:
    """Yield the checks of a rejection note; ``others`` are the objects that are sent along with it.

    ``algorithm`` is that of the results which replace what is rejected.
    """
    new = {str(other.SOPInstanceUID) for other in others}
    count = len(withdrawal.instances)
    yield checked(
        "kos-form",
        "TID 2010, 113001",
        lambda: form_problems(ds, _TITLE, otherwise=_OTHERWISE),
    )
    yield checked("kos-context", "a device rejects, and says why", lambda: _context(ds, algorithm))
    yield checked(
        "kos-evidence", f"{count} replaced objects, nothing else", lambda: _evidence(ds, withdrawal.instances)
    )
    yield checked("kos-references", f"{count} key objects, nothing else", lambda: _content(ds, withdrawal.instances))
    yield checked("kos-spares", "no image and no new result is rejected", lambda: _spared(ds, new, evidence))


def _predecessors(ds: Dataset, reports: Sequence[Predecessor]) -> Iterator[str]:
    found = list(_references(ds, "PredecessorDocumentsSequence"))
    yield from _compare(found, reports)
    yield from _other_study(ds, "PredecessorDocumentsSequence")


def _context(ds: Dataset, algorithm: Algorithm) -> Iterator[str]:
    yield from context_problems(ds, _REFERRING)
    why = (
        "AI DRAFT results that new ones replace: later images, another model or another configuration. "
        f"The replacement was made by {algorithm.title}, version {algorithm.model.version}."
    )
    said = [(item.ValueType, str(item.get("TextValue")).rstrip()) for item in children(ds, DESCRIPTION)]
    if said != [("TEXT", why)]:
        yield "the description does not say why, and by which model the new results are, and nothing more"


def _evidence(ds: Dataset, rejected: Sequence[Predecessor]) -> Iterator[str]:
    yield from _compare(list(_references(ds, "CurrentRequestedProcedureEvidenceSequence")), rejected)
    yield from _other_study(ds, "CurrentRequestedProcedureEvidenceSequence")


def _content(ds: Dataset, rejected: Sequence[Predecessor]) -> Iterator[str]:
    wanted = {
        str(one.sop_instance_uid): (str(one.sop_class_uid), "IMAGE" if one.kind in _WITH_PIXELS else "COMPOSITE")
        for one in rejected
    }
    found: list[str] = []
    for item in ds.ContentSequence:
        if item.ValueType not in _REFERRING:
            continue
        reference = item.ReferencedSOPSequence[0]
        uid = str(reference.ReferencedSOPInstanceUID)
        found.append(uid)
        if item.RelationshipType != "CONTAINS":
            yield f"{uid} is not CONTAINED"
        if uid not in wanted:
            yield f"{uid} is rejected and was not replaced"
        elif wanted[uid] != (str(reference.ReferencedSOPClassUID), item.ValueType):
            yield f"{uid} has another class or value type"
    if len(found) != len(set(found)):
        yield "a key object is named twice"
    if wanted.keys() - set(found):
        yield f"{len(wanted.keys() - set(found))} of {len(wanted)} replaced objects are not rejected"


def _spared(ds: Dataset, new: set[str], evidence: EvidenceHeaders) -> Iterator[str]:
    named = {instance for _, _, instance in _references(ds, "CurrentRequestedProcedureEvidenceSequence")}
    named |= {
        str(r.ReferencedSOPInstanceUID) for item in ds.ContentSequence for r in item.get("ReferencedSOPSequence", [])
    }
    if named & evidence.by_instance.keys():
        yield "an image of the evidence is rejected"
    if named & new:
        yield "a result that is sent along with the note is rejected"


def _references(ds: Dataset, sequence: str) -> Iterator[_Reference]:
    for study in ds.get(sequence) or []:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield (
                    str(series.SeriesInstanceUID),
                    str(item.ReferencedSOPClassUID),
                    str(item.ReferencedSOPInstanceUID),
                )


def _compare(found: Sequence[_Reference], expected: Sequence[Predecessor]) -> Iterator[str]:
    wanted = {(str(p.series_instance_uid), str(p.sop_class_uid), str(p.sop_instance_uid)) for p in expected}
    for _, _, uid in sorted(set(found) - wanted):
        yield f"{uid} is named and was not replaced, or has another series or class"
    if wanted - set(found):
        yield f"{len(wanted - set(found))} of {len(wanted)} replaced objects are not named"
    if len(found) != len(set(found)):
        yield "an object is named twice"


def _other_study(ds: Dataset, sequence: str) -> Iterator[str]:
    if any(str(study.StudyInstanceUID) != str(ds.StudyInstanceUID) for study in ds.get(sequence) or []):
        yield "an object of another study is named"
