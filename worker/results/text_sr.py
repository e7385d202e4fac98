"""Basic Text SR (PS3.3 A.35.1) in the manner of TID 2000, for statements about the whole study.

What was looked for and not found has no outline, and a TID 1500 report with an outline-less group does not open in
OHIF; a text report does. Nothing found is said in words, never by silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from worker.domain.codes import Code
from worker.domain.findings import Conclusion
from worker.domain.result import ResultContext
from worker.results.coding import DEVICE, ENGLISH, code_item, procedure_reported
from worker.results.header import SeriesNames, Stamp, apply_header, references
from worker.results.seg import algorithm_parameters
from worker.results.source import Source
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
    absent = [label for finding in conclusion.findings for label in finding.absent]
    found = [segment.label for finding in conclusion.findings for segment in finding.segments]
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


def encode_text_report(
    conclusion: Conclusion, *, source: Source, stamp: Stamp, names: SeriesNames, context: ResultContext
) -> Dataset:
    """Encode what was not found, with its notes, as text."""
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
    ds.ConceptNameCodeSequence = [_coded(DIAGNOSTIC_IMAGING_REPORT)]
    ds.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2000"
    ds.ContentTemplateSequence = [template]
    ds.ContentSequence = _content(conclusion, stamp)
    apply_header(ds, stamp, names)
    apply_document_references(ds, source.header, context)
    return ds


def _content(conclusion: Conclusion, stamp: Stamp) -> list[Dataset]:
    equipment, said = stamp.equipment, statements_of(conclusion)
    observer = "HAS OBS CONTEXT"
    return [
        _code("HAS CONCEPT MOD", Code("121049", "DCM", "Language of Content Item and Descendants"), ENGLISH),
        _code(observer, Code("121005", "DCM", "Observer Type"), DEVICE),
        _item(observer, "UIDREF", Code("121012", "DCM", "Device Observer UID"), UID=equipment.observer_uid),
        _text(observer, Code("121013", "DCM", "Device Observer Name"), equipment.ae_title),
        _text(observer, Code("121014", "DCM", "Device Observer Manufacturer"), equipment.manufacturer),
        _text(observer, Code("121015", "DCM", "Device Observer Model Name"), equipment.model_name),
        _text(observer, Code("121016", "DCM", "Device Observer Serial Number"), equipment.device_serial_number),
        _code(
            "HAS CONCEPT MOD",
            Code("121058", "DCM", "Procedure reported"),
            procedure_reported(conclusion.volume.modality),
        ),
        _section(
            Code("121070", "DCM", "Findings"),
            [_text("CONTAINS", Code("121071", "DCM", "Finding"), text) for text in said.findings],
        ),
        _section(
            Code("121076", "DCM", "Conclusions"),
            [
                _text("CONTAINS", Code("121077", "DCM", "Conclusion"), said.conclusion),
                _text(
                    "CONTAINS",
                    Code("121077", "DCM", "Conclusion"),
                    f"Algorithm: {'; '.join(algorithm_parameters(stamp.algorithm))}",
                ),
            ],
        ),
    ]


def _section(name: Code, items: Sequence[Dataset]) -> Dataset:
    return _item("CONTAINS", "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=list(items))


def _code(relationship: str, name: Code, value: Code) -> Dataset:
    return _item(relationship, "CODE", name, ConceptCodeSequence=[_coded(value)])


def _text(relationship: str, name: Code, text: str) -> Dataset:
    return _item(relationship, "TEXT", name, TextValue=text)


def _item(relationship: str, value_type: str, name: Code, **elements: Any) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [_coded(name)]
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _coded(code: Code) -> Dataset:
    return code_item(code.value, code.scheme, code.meaning)
