"""The gate: the last look at the encoded bytes before anything leaves.

It reads the result objects and the evidence again from their bytes, with none of the encoder's code, and compares
them with each other and with what the model concluded. A report that passes lists everything that was looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from worker.domain.character_sets import StatedSets, has_every_character
from worker.domain.delivery_groups import DeliveryGroup, context_for, delivery_groups
from worker.domain.findings import Conclusion, Refusal, Segmentation
from worker.domain.plain_text import in_ascii
from worker.domain.profile import OHIF, Profile, segment_encoding
from worker.domain.result import Check, EncodedObject, GateReport, ResultContext, ResultKind
from worker.domain.study import StoredInstance
from worker.gate.codes import known_meanings
from worker.gate.copied_attributes import series_number_check
from worker.gate.display.objects import is_picture, picture_checks
from worker.gate.header import (
    CAPTURE_CLASS,
    FRAMES_CLASS,
    LABELMAP_CLASS,
    MAP_CLASS,
    NOTE_CLASS,
    PRESENTATION_CLASS,
    REPORT_CLASS,
    SEG_CLASS,
    TEXT_CLASS,
    header_checks,
)
from worker.gate.header_text import Said, equipment_check
from worker.gate.reading import (
    UNREADABLE,
    EvidenceHeaders,
    Inspection,
    Parsed,
    checked,
    code_of,
    read_evidence,
    read_object,
)
from worker.gate.rejection_note import note_checks, predecessor_check
from worker.gate.seg.segmentation import class_of_encoding, seg_checks
from worker.gate.sr.basic_text import text_checks, text_expected
from worker.gate.sr.not_analysed import set_checks
from worker.gate.sr.report import report_checks, reports_expected

log = logging.getLogger(__name__)

_NAMES = {
    SEG_CLASS: "seg",
    LABELMAP_CLASS: "seg",
    REPORT_CLASS: "sr",
    TEXT_CLASS: "text",
    NOTE_CLASS: "kos",
    MAP_CLASS: "pm",
    CAPTURE_CLASS: "sc",
    FRAMES_CLASS: "sc",
    PRESENTATION_CLASS: "pr",
}
_KINDS = {
    SEG_CLASS: ResultKind.SEG,
    LABELMAP_CLASS: ResultKind.SEG,
    REPORT_CLASS: ResultKind.SR,
    TEXT_CLASS: ResultKind.SR,
    NOTE_CLASS: ResultKind.KOS,
    MAP_CLASS: ResultKind.PM,
    CAPTURE_CLASS: ResultKind.SC,
    FRAMES_CLASS: ResultKind.SC,
    PRESENTATION_CLASS: ResultKind.PR,
}
_BROKEN = (*UNREADABLE, InvalidDicomError, OSError, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class ResultGate:
    """Checks result objects (the pipeline's port Gate).

    Parameters
    ----------
    maximum_object_bytes:
        A larger object does not pass.
    profiles, standard, character_sets:
        As the encoder has them: what each destination is to get, and what the site says of its senders.
    """

    maximum_object_bytes: int = 500 * 1024 * 1024
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    standard: Profile = OHIF
    character_sets: StatedSets = field(default_factory=StatedSets)

    def check(
        self,
        objects: Sequence[EncodedObject],
        conclusion: Conclusion,
        evidence: Sequence[StoredInstance],
        context: ResultContext,
    ) -> GateReport:
        """Check everything; never raises for what is wrong with an object, but reports it. No detail has PHI."""
        try:
            headers = read_evidence(evidence, self.character_sets)
            parsed = [Parsed(item, read_object(item)) for item in objects]
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
        said = in_ascii(conclusion) if _is_narrow(parsed) else conclusion
        return _logged(GateReport((read, *self._checks(parsed, said, headers, context))))

    def check_refusal(
        self,
        objects: Sequence[EncodedObject],
        refusal: Refusal,
        evidence: Sequence[StoredInstance],
        context: ResultContext,
    ) -> GateReport:
        """The same for statements that a series was not analysed."""
        try:
            headers = read_evidence(evidence, self.character_sets)
            parsed = [Parsed(item, read_object(item)) for item in objects]
        except _BROKEN as error:
            detail = f"an object or its evidence cannot be read ({type(error).__name__})"
            return _logged(GateReport((Check(name="readable", passed=False, detail=detail),)))
        said = in_ascii(refusal) if _is_narrow(parsed) else refusal
        return _logged(GateReport(tuple(set_checks(parsed, said, headers, context, self))))

    def _checks(
        self,
        objects: Sequence[Parsed],
        conclusion: Conclusion,
        headers: EvidenceHeaders,
        context: ResultContext,
    ) -> Iterator[Check]:
        notes = [one for one in objects if one.item.kind is ResultKind.KOS]
        results = [one for one in objects if one.item.kind is not ResultKind.KOS]
        yield checked("whole", "each is somebody's, once, and notes come last", lambda: _whole(objects, context))
        yield series_number_check([one.dataset for one in objects], context)
        yield equipment_check([one.dataset for one in objects])
        groups = delivery_groups(context.destinations, self.profiles, standard=self.standard)
        several = len(groups) > 1
        for group in groups:
            given = Inspection(conclusion, headers, context_for(context, group), group.profile)
            theirs = [one for one in results if not several or one.item.destinations == group.destinations]
            for check in self._of_one_profile(theirs, given):
                yield replace(check, name=f"{group.profile.name}: {check.name}") if several else check
        yield checked(
            "destinations",
            "every destination gets the set of its own profile, and nothing else",
            lambda: self._addressed(results, notes, groups, context),
        )
        for note, withdrawal in zip(notes, context.withdrawals, strict=False):
            given = Inspection(conclusion, headers, context, self.standard)
            yield from self._header(note, replace(given, profile=replace(self.standard, character_set=None)))
            others = [one.dataset for one in objects]
            yield from note_checks(note.dataset, withdrawal, others, headers, conclusion.algorithm)

    def _header(self, one: Parsed, given: Inspection) -> Iterator[Check]:
        said = given.conclusion
        name = "key" if one.item.kind is ResultKind.KEY else _NAMES.get(one.sop_class, "object")
        yield from header_checks(
            one.item,
            one.dataset,
            given.evidence,
            given.profile,
            Said(said.algorithm, known_meanings(said.findings, said.volume.modality)),
            name=name,
            maximum_bytes=self.maximum_object_bytes,
        )

    def _addressed(
        self,
        results: Sequence[Parsed],
        notes: Sequence[Parsed],
        groups: Sequence[DeliveryGroup],
        context: ResultContext,
    ) -> Iterator[str]:
        """The encoder grouped by the same function: so each destination is looked up here once more, by itself."""
        known = [group.destinations if len(groups) > 1 else None for group in groups]
        if any(one.item.destinations not in known for one in results):
            yield "an object is addressed to others than those who share a profile"
        grouped = [(name, group.profile) for group in groups for name in group.destinations]
        if sorted(name for name, _ in grouped) != sorted(context.destinations):
            yield "a destination is in no group, or in several"
        if any(profile != self.profiles.get(name, self.standard) for name, profile in grouped):
            yield "a destination gets what another profile wants"
        for note, withdrawal in zip(notes, context.withdrawals, strict=False):
            if note.item.destinations not in {None, withdrawal.destinations}:
                yield "a rejection note is addressed to others than those who hold what it withdraws"

    def _of_one_profile(self, objects: Sequence[Parsed], given: Inspection) -> Iterator[Check]:
        yield checked("objects", "as many and in the order as concluded", lambda: _composition(objects, given))
        for one in objects:
            yield from self._header(one, given)
        encoded = [finding for finding in given.conclusion.segmentations if finding.segments]
        segs = [one.dataset for one in objects if _NAMES.get(one.sop_class) == "seg"]
        pairs: list[tuple[Dataset, Segmentation]] = list(zip(segs, encoded, strict=False))
        for seg, finding in pairs:
            yield from seg_checks(seg, finding, given)
        reports = [one.dataset for one in objects if one.sop_class == REPORT_CLASS]
        yield from report_checks(reports, pairs, given)
        for one in objects:
            if one.sop_class == REPORT_CLASS:
                yield predecessor_check("sr", one.dataset, given.context)
            elif one.sop_class == TEXT_CLASS:
                yield from text_checks(one.dataset, given)
                yield predecessor_check("text", one.dataset, given.context)
        yield from picture_checks(objects, given)


def _composition(objects: Sequence[Parsed], given: Inspection) -> Iterator[str]:
    """SEG before the SR that refers to it, all or nothing; a text report for what only words can say."""
    classes = [
        class_of_encoding(segment_encoding(given.profile, overlap=finding.overlap))
        for finding in given.conclusion.segmentations
        if finding.segments
    ]
    expected = [one for one in classes if one is not None]
    expected += [REPORT_CLASS] * reports_expected(given) + [TEXT_CLASS] * text_expected(given)
    found = [one.sop_class for one in objects if not is_picture(one)]
    if found != expected or not objects:
        yield f"objects {[_NAMES.get(c, c) for c in found]}, expected {[_NAMES[c] for c in expected]}"


def _whole(objects: Sequence[Parsed], context: ResultContext) -> Iterator[str]:
    if any(one.item.kind is not _kind_of(one) for one in objects):
        yield "an object is not of the kind that it is called"
    if len({one.item.sop_instance_uid for one in objects}) != len(objects):
        yield "two objects share a SOP Instance UID"
    kinds = [one.item.kind is ResultKind.KOS for one in objects]
    if kinds != sorted(kinds) or sum(kinds) != len(context.withdrawals):
        yield f"{sum(kinds)} rejection notes, expected {len(context.withdrawals)}, after everything else"


def _is_narrow(objects: Sequence[Parsed]) -> bool:
    """True when an object's character set has no room for every text of ours: then all of them say it in ASCII."""
    sets = [one.dataset.get("SpecificCharacterSet") or "" for one in objects]
    return not all(isinstance(one, str) and has_every_character(one) for one in sets)


def _kind_of(one: Parsed) -> ResultKind | None:
    """What an object is by its bytes; a key object selection rejects or leads to something by its title."""
    if one.sop_class == NOTE_CLASS and code_of(one.dataset) == ("113000", "DCM"):
        return ResultKind.KEY
    return _KINDS.get(one.sop_class)


def _logged(report: GateReport) -> GateReport:
    failed = [check.name for check in report.failures]
    if failed:
        log.error("gate-refused", extra={"checks": len(report.checks), "failed": failed})
    else:
        log.info("gate-passed", extra={"checks": len(report.checks)})
    return report
