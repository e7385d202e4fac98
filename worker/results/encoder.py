"""The encoder: from a conclusion to the Part 10 files that are sent, in the order in which they are sent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from pydicom.dataset import Dataset

from worker.domain.errors import PermanentError
from worker.domain.findings import Conclusion, Segmentation
from worker.domain.result import EncodedObject, ResultContext, ResultKind
from worker.domain.study import StoredInstance
from worker.results.header import SeriesNames, Stamp, local_time, to_object
from worker.results.identity import Equipment, ResultUids, evidence_digest
from worker.results.kos import encode_note
from worker.results.seg import SegIdentity, encode_seg
from worker.results.source import Source, read_source
from worker.results.sr import ReportedSeg, ReportInput, encode_report
from worker.results.structures import ensure_encodable, structures_of
from worker.results.text_sr import encode_text_report

log = logging.getLogger(__name__)

_OFFSETS = {"SEG": 0, "SR": 1, "TEXT": 2, "KOS": 3}
_WORDS = {"SEG": "segmentation", "SR": "measurements", "TEXT": "text report", "KOS": "replaced results"}


@dataclass(frozen=True, slots=True)
class DicomEncoder:
    """Encodes conclusions as SEG, TID 1500 SR and, for what was not found, text SR; what they replace as notes.

    The same conclusion, evidence and context give the same bytes.

    Parameters
    ----------
    equipment:
        This installation.
    series_number:
        Series Number of the SEG series; the reports follow it. A range that no scanner uses.
    zone:
        Time zone of the dates in results whose images do not state theirs; None is that of the computer.
    """

    equipment: Equipment = field(default_factory=Equipment)
    series_number: int = 9000
    zone: tzinfo | None = None

    def encode(
        self, conclusion: Conclusion, evidence: Sequence[StoredInstance], context: ResultContext
    ) -> tuple[EncodedObject, ...]:
        """Return the objects in the order in which they must be sent: each SEG before the SR that refers to it.

        Rejection notes come last, one for each of the context's withdrawals and in their order: nothing is taken
        away before its replacement is there.

        Raises
        ------
        IdentityError
            The evidence is empty of, or disagrees on, who the patient is.
        PermanentError
            The evidence cannot be read back, or the conclusion contradicts itself or the evidence.
        """
        if not evidence:
            raise PermanentError("There is no evidence.", next_step="Report this.", code="evidence-missing")
        ensure_encodable(conclusion)
        source = read_source(conclusion.volume, evidence)
        uids = ResultUids.of_conclusion(conclusion, evidence, context)
        stamp = Stamp(
            source_header=source.header,
            equipment=self.equipment,
            algorithm=conclusion.algorithm,
            made_at=local_time(context.created_at, source.header, self.zone),
            evidence_digest=evidence_digest(evidence),
        )
        segs = self._segs(conclusion, source, stamp, uids)
        objects = [to_object(seg.dataset, ResultKind.SEG) for seg in segs]
        if segs:
            given = ReportInput(segs=segs, volume=conclusion.volume, source=source, uids=uids, context=context)
            report = encode_report(given, stamp=stamp, names=self._names("SR", stamp, uids))
            objects.append(to_object(report, ResultKind.SR))
        if any(finding.absent for finding in conclusion.findings):
            text = encode_text_report(
                conclusion, source=source, stamp=stamp, names=self._names("TEXT", stamp, uids), context=context
            )
            objects.append(to_object(text, ResultKind.SR))
        objects += [to_object(note, ResultKind.KOS) for note in self._notes(source, stamp, uids, context)]
        log.info("results-encoded", extra={"objects": len(objects), "bytes": sum(len(o.content) for o in objects)})
        return tuple(objects)

    def _segs(self, conclusion: Conclusion, source: Source, stamp: Stamp, uids: ResultUids) -> tuple[ReportedSeg, ...]:
        segs = []
        for part, finding in enumerate(conclusion.findings):
            match finding:
                case Segmentation():
                    structures = structures_of(finding)
                    if structures:
                        identity = SegIdentity(self._names("SEG", stamp, uids, part), uids, part)
                        ds = encode_seg(
                            finding, volume=conclusion.volume, source=source, stamp=stamp, identity=identity
                        )
                        segs.append(ReportedSeg(ds, structures, part))
        return tuple(segs)

    def _notes(self, source: Source, stamp: Stamp, uids: ResultUids, context: ResultContext) -> list[Dataset]:
        return [
            encode_note(
                one.instances,
                source_header=source.header,
                stamp=stamp,
                names=replace(self._names("KOS", stamp, uids, part), sop_instance_uid=uids.note(one.instances)),
                revision=context.revision,
            )
            for part, one in enumerate(context.withdrawals)
        ]

    def _names(self, kind: str, stamp: Stamp, uids: ResultUids, part: int = 0) -> SeriesNames:
        return SeriesNames(
            series_instance_uid=uids.series(kind),
            series_number=self.series_number + _OFFSETS[kind],
            series_description=f"AI DRAFT {_WORDS[kind]}: {stamp.algorithm.title}"[:64],
            sop_instance_uid=uids.instance(kind, part),
            instance_number=part + 1,
        )
