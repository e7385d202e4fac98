"""Basic Text SR (PS3.3 A.35.1) in the manner of TID 2000, for statements about the whole study.

What was looked for and not found has no outline, and a TID 1500 report with an outline-less group does not open in
OHIF; a text report does. Nothing found is said in words, never by silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from worker.domain.codes import Code
from worker.domain.findings import Conclusion
from worker.results import content_items as items
from worker.results.coding import procedure_reported
from worker.results.header import Stamp, algorithm_parameters, apply_header, references
from worker.results.making import Making
from worker.results.sr import apply_document_references

DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")


@dataclass(frozen=True, slots=True)
class Statements:
    """What a text report says, as complete sentences: ``findings`` one by one, then one ``conclusion``."""

    findings: tuple[str, ...]
    conclusion: str


def statements_of(conclusion: Conclusion) -> Statements:
    """Put a conclusion into words."""
    algorithm = conclusion.algorithm
    who = f"{algorithm.title}, version {algorithm.model.version}"
    absent = conclusion.absent
    found = [segment.label for segment in conclusion.segments]
    notes = (*conclusion.volume.notes, *conclusion.notes)
    findings = [f"Not found: {label}. It was looked for in {len(conclusion.volume.slices)} images." for label in absent]
    if found:
        findings.append(f"Found and reported in the measurement report of the same study: {', '.join(found)}.")
    findings += [f"Note: {note}" for note in notes]
    return Statements(
        findings=tuple(findings),
        conclusion=f"AI DRAFT, not verified by a physician. Made by {who}. "
        "Not found by the algorithm does not mean that nothing is there.",
    )


def encode_text(making: Making) -> tuple[Dataset, ...]:
    """Encode what was not found, with its notes, as text, when there is something to say."""
    if not making.conclusion.absent:
        return ()
    source = making.source
    ds = Dataset()
    ds.SOPClassUID = BasicTextSRStorage
    ds.Modality = "SR"
    ds.StudyInstanceUID = source.header.StudyInstanceUID
    ds.CompletionFlag, ds.VerificationFlag, ds.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.CurrentRequestedProcedureEvidenceSequence = [
        references(source.header.StudyInstanceUID, [(source.header.SeriesInstanceUID, source.instances)])
    ]
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [items.coded(DIAGNOSTIC_IMAGING_REPORT)]
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentTemplateSequence = [items.template("2000")]
    ds.ContentSequence = _content(making.conclusion, making.stamp)
    apply_header(ds, making.stamp, making.names("TEXT"))
    apply_document_references(ds, source.header, making.context)
    return (ds,)


def _content(conclusion: Conclusion, stamp: Stamp) -> list[Dataset]:
    said = statements_of(conclusion)
    return [
        items.language(),
        *items.device_observer(stamp.equipment),
        items.code(
            "HAS CONCEPT MOD",
            Code("121058", "DCM", "Procedure reported"),
            procedure_reported(conclusion.volume.modality),
        ),
        items.section(
            Code("121070", "DCM", "Findings"),
            [items.text("CONTAINS", Code("121071", "DCM", "Finding"), text) for text in said.findings],
        ),
        items.section(
            Code("121076", "DCM", "Conclusions"),
            [
                items.text("CONTAINS", Code("121077", "DCM", "Conclusion"), said.conclusion),
                items.text(
                    "CONTAINS",
                    Code("121077", "DCM", "Conclusion"),
                    f"Algorithm: {'; '.join(algorithm_parameters(stamp.algorithm))}",
                ),
            ],
        ),
    ]
