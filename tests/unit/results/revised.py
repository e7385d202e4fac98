"""A study that was analysed, got late images, and was analysed again: what the second run has to withdraw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.unit.results import given
from worker.domain.findings import Conclusion
from worker.domain.result import EncodedObject, Predecessor, ResultContext, Withdrawal
from worker.results.encoder import DicomEncoder
from worker.results.identity import Equipment

ENCODER = DicomEncoder(equipment=Equipment(device_serial_number="SN-7"))


def predecessors_of(objects: Sequence[EncodedObject]) -> tuple[Predecessor, ...]:
    return tuple(
        Predecessor(one.kind, one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid) for one in objects
    )


@dataclass(frozen=True)
class Revised:
    """``first`` are the objects of revision 1 (SEG, SR, text), ``second`` those of revision 2, notes included."""

    study: given.Study
    conclusion: Conclusion
    first: tuple[EncodedObject, ...]
    context: ResultContext
    second: tuple[EncodedObject, ...]

    def encode(self, context: ResultContext) -> tuple[EncodedObject, ...]:
        return ENCODER.encode(self.conclusion, self.study.evidence, context)


def a_revision(folder: Path) -> Revised:
    """Six images; the first run saw the lower five of them."""
    study = given.a_study(folder)
    seen = given.a_volume(study.paths[0], study.volume.geometry.affine_lps, study.volume.slices[:5], (5, 32, 40), "CT")
    first = ENCODER.encode(given.a_conclusion(seen, absent=("Trachea",)), study.evidence[:5], given.CONTEXT)
    replaced = predecessors_of(first)
    context = replace(given.CONTEXT, revision=2, predecessors=replaced, withdrawals=(Withdrawal(("PACS",), replaced),))
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    return Revised(study, conclusion, first, context, ENCODER.encode(conclusion, study.evidence, context))
