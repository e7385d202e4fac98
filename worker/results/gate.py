"""The gate: the last look at the encoded bytes before anything leaves.

It reads the result objects and the evidence again from their bytes, with none of the encoder's code, and compares
them with each other and with what the model concluded. A report that passes lists everything that was looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from worker.domain.findings import Conclusion, Segmentation
from worker.domain.result import Check, EncodedObject, GateReport, ResultContext, ResultKind
from worker.domain.study import StoredInstance
from worker.results.gate_header import NOTE_CLASS, REPORT_CLASS, SEG_CLASS, TEXT_CLASS, header_checks
from worker.results.gate_kos import note_checks, predecessor_check
from worker.results.gate_reading import UNREADABLE, EvidenceHeaders, checked, read_evidence, read_object
from worker.results.gate_seg import seg_checks
from worker.results.gate_sr import report_checks, text_checks

log = logging.getLogger(__name__)

_NAMES = {SEG_CLASS: "seg", REPORT_CLASS: "sr", TEXT_CLASS: "text", NOTE_CLASS: "kos"}
_KINDS = {
    SEG_CLASS: ResultKind.SEG,
    REPORT_CLASS: ResultKind.SR,
    TEXT_CLASS: ResultKind.SR,
    NOTE_CLASS: ResultKind.KOS,
}
_BROKEN = (*UNREADABLE, InvalidDicomError, OSError, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class ResultGate:
    """Checks result objects (the pipeline's port Gate).

    Parameters
    ----------
    maximum_object_bytes:
        A larger object does not pass.
    """

    maximum_object_bytes: int = 500 * 1024 * 1024

    def check(
        self,
        objects: Sequence[EncodedObject],
        conclusion: Conclusion,
        evidence: Sequence[StoredInstance],
        context: ResultContext,
    ) -> GateReport:
        """Check everything; never raises for what is wrong with an object, but reports it. No detail has PHI."""
        try:
            headers = read_evidence(evidence)
            datasets = [read_object(item) for item in objects]
        except _BROKEN as error:
            broken = Check(
                name="readable",
                passed=False,
                detail=f"an object or its evidence cannot be read ({type(error).__name__})",
            )
            return _logged(GateReport((broken,)))
        read = Check(
            name="readable", passed=True, detail=f"{len(objects)} objects, {len(evidence)} instances of evidence"
        )
        return _logged(GateReport((read, *self._checks(objects, datasets, conclusion, headers, context))))

    def _checks(
        self,
        objects: Sequence[EncodedObject],
        datasets: Sequence[Dataset],
        conclusion: Conclusion,
        headers: EvidenceHeaders,
        context: ResultContext,
    ) -> Iterator[Check]:
        yield checked(
            "objects", "as many and in the order as concluded", lambda: _composition(objects, conclusion, context)
        )
        classes = [str(ds.get("SOPClassUID")) for ds in datasets]
        for item, ds, sop_class in zip(objects, datasets, classes, strict=True):
            yield from header_checks(
                item, ds, headers, name=_NAMES.get(sop_class, "object"), maximum_bytes=self.maximum_object_bytes
            )
        encoded = [finding for finding in conclusion.findings if finding.segments]
        segs = [ds for ds, sop_class in zip(datasets, classes, strict=True) if sop_class == SEG_CLASS]
        pairs: list[tuple[Dataset, Segmentation]] = list(zip(segs, encoded, strict=False))
        for seg, finding in pairs:
            yield from seg_checks(seg, finding, conclusion, headers)
        for ds, sop_class in zip(datasets, classes, strict=True):
            if sop_class == REPORT_CLASS:
                yield from report_checks(ds, pairs, conclusion, headers)
                yield predecessor_check("sr", ds, context)
            elif sop_class == TEXT_CLASS:
                yield from text_checks(ds, conclusion, headers)
                yield predecessor_check("text", ds, context)
        notes = [ds for ds, sop_class in zip(datasets, classes, strict=True) if sop_class == NOTE_CLASS]
        for note, withdrawal in zip(notes, context.withdrawals, strict=False):
            yield from note_checks(note, withdrawal, datasets, headers)


def _composition(objects: Sequence[EncodedObject], conclusion: Conclusion, context: ResultContext) -> Iterator[str]:
    """SEG before the SR that refers to it, all or nothing; a text report where something was not found; notes last."""
    segmentations = sum(bool(finding.segments) for finding in conclusion.findings)
    expected = [SEG_CLASS] * segmentations + [REPORT_CLASS] * bool(segmentations)
    expected += [TEXT_CLASS] * any(finding.absent for finding in conclusion.findings)
    expected += [NOTE_CLASS] * len(context.withdrawals)
    found = [str(item.sop_class_uid) for item in objects]
    if found != expected or not found:
        yield f"objects {[_NAMES.get(c, c) for c in found]}, expected {[_NAMES[c] for c in expected]}"
    if [item.kind for item in objects] != [_KINDS.get(sop_class) for sop_class in found]:
        yield "an object is not of the kind that it is called"
    if len({item.sop_instance_uid for item in objects}) != len(objects):
        yield "two objects share a SOP Instance UID"


def _logged(report: GateReport) -> GateReport:
    failed = [check.name for check in report.failures]
    if failed:
        log.error("gate-refused", extra={"checks": len(report.checks), "failed": failed})
    else:
        log.info("gate-passed", extra={"checks": len(report.checks)})
    return report
