"""Statements that a series was not analysed, and why: a Basic Text SR for the destinations that want to be told.

There is no volume then. Who the patient is comes from the evidence alone, read as for every other result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from worker.domain.character_sets import StatedSets
from worker.domain.codes import Code
from worker.domain.delivery_groups import DeliveryGroup, context_for, delivery_groups
from worker.domain.errors import PermanentError
from worker.domain.evidence import evidence_digest
from worker.domain.findings import Refusal
from worker.domain.plain_text import in_ascii
from worker.domain.profile import OHIF, Profile
from worker.domain.result import EncodedObject, ResultContext, ResultKind
from worker.domain.study import SOPClassUID, SOPInstanceUID, StoredInstance
from worker.results import coding
from worker.results import content_items as items
from worker.results.character_set import Form, form_for, form_of, needs_ascii
from worker.results.context import first_numbers
from worker.results.copied_attributes import Copies
from worker.results.evidence import read_series_header
from worker.results.header import SeriesNames, Stamp, to_object
from worker.results.identity import Equipment, ResultUids, series_of
from worker.results.rejection_note import encode_note
from worker.results.sr.basic_text import conclusions
from worker.results.sr.document import context_items, document, finish

log = logging.getLogger(__name__)

_TEXT, _KOS = 2, 3
"""Places of these series among those of a set, as where something was concluded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    refusal: Refusal
    stamp: Stamp
    uids: ResultUids
    instances: tuple[tuple[SOPClassUID, SOPInstanceUID], ...]
    context: ResultContext


@dataclass(frozen=True, slots=True)
class RefusalEncoder:
    """Encodes refusals; its fields are those of ``DicomEncoder``. The same input gives the same bytes."""

    equipment: Equipment = field(default_factory=Equipment)
    series_number: int = 9000
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    standard: Profile = OHIF
    character_sets: StatedSets = field(default_factory=StatedSets)

    def refuse(
        self, refusal: Refusal, evidence: Sequence[StoredInstance], context: ResultContext
    ) -> tuple[EncodedObject, ...]:
        """Return one text for each profile that wants refusals, then the notes for what this one replaces.

        Raises
        ------
        IdentityError
            The evidence disagrees on, or does not say, who the patient is.
        PermanentError
            ``evidence-missing``, ``evidence-unreadable``, ``text-unfit``: there is no evidence of the refused series,
            it cannot be read back, or no reason is given.
        """
        if not refusal.reason.strip() or not refusal.code.strip():
            raise PermanentError("A refusal gives no reason.", next_step="Report this.", code="text-unfit")
        series = read_series_header(refusal.series_instance_uid, evidence, self.character_sets)
        groups = delivery_groups(context.destinations, self.profiles, standard=self.standard)
        equipment = self.equipment
        if needs_ascii(series.copies, [group.profile for group in groups]):
            refusal, equipment = in_ascii(refusal), equipment.in_ascii()
        given = _Given(
            refusal=refusal,
            stamp=Stamp(
                source_header=series.copies.text,
                equipment=equipment,
                algorithm=refusal.algorithm,
                made_at=series.made_at,
                evidence_digest=evidence_digest(evidence),
                notes=series.copies.notes,
            ),
            uids=ResultUids.of(
                study_instance_uid=evidence[0].header.study_instance_uid,
                evidence=[(one.sop_instance_uid, one.sha256) for one in evidence],
                model_digest=refusal.algorithm.model.digest,
                config_digest=context.config_digest,
                generation=context.generation,
                inputs=series_of(evidence),
            ),
            instances=series.instances,
            context=context,
        )
        base, starts = first_numbers(
            self.series_number,
            [group.profile for group in groups],
            context.series_numbers | series.series_numbers,
        )
        objects = [
            replace(
                _text(given, one, start, series.copies),
                destinations=one.destinations if len(groups) > 1 else None,
            )
            for one, start in zip(groups, starts, strict=True)
            if one.profile.refusals
        ]
        form = form_of(series.copies)
        objects += [to_object(note, ResultKind.KOS, form.writing) for note in self._notes(_in_form(given, form), base)]
        log.info("refusal-encoded", extra={"objects": len(objects), "code": refusal.code})
        return tuple(objects)

    def _notes(self, given: _Given, base: int) -> Iterator[Dataset]:
        for part, one in enumerate(given.context.withdrawals):
            prefix = f"{self.standard.series_prefix} replaced results: {given.refusal.algorithm.title}"
            names = SeriesNames(
                series_instance_uid=given.uids.series("KOS"),
                series_number=base + _KOS,
                series_description=prefix.strip()[:64],
                sop_instance_uid=given.uids.note(one.instances),
                instance_number=part + 1,
            )
            yield encode_note(
                one.instances,
                source_header=given.stamp.source_header,
                stamp=given.stamp,
                names=names,
            )


def _text(given: _Given, group: DeliveryGroup, start: int, copies: Copies) -> EncodedObject:
    profile = group.profile
    form = form_for(copies, profile)
    given = _in_form(given, form)
    uids = given.uids.for_profile("" if profile.name == OHIF.name else profile.name)
    ds = document(
        BasicTextSRStorage,
        coding.DIAGNOSTIC_IMAGING_REPORT,
        "2000",
        [(given.stamp.source_header.SeriesInstanceUID, given.instances)],
    )
    ds.ContentSequence = [
        *context_items(given.stamp, given.refusal.modality),
        items.section(coding.FINDINGS, [_said(coding.FINDING, words) for words in sentences_of(given.refusal)]),
        conclusions(given.stamp, "Nothing is said about the images: they were not analysed."),
    ]
    description = f"{profile.series_prefix} not analysed: {given.refusal.algorithm.title}".strip()
    names = SeriesNames(
        series_instance_uid=uids.series("REFUSAL"),
        series_number=start + _TEXT,
        series_description=description[:64],
        sop_instance_uid=uids.instance("REFUSAL"),
    )
    finish(ds, given.stamp, names, context_for(given.context, group))
    return to_object(ds, ResultKind.SR, form.writing)


def _in_form(given: _Given, form: Form) -> _Given:
    return replace(given, stamp=replace(given.stamp, source_header=form.header))


def sentences_of(refusal: Refusal) -> tuple[str, ...]:
    """The reason for people, and its code for tables."""
    return f"Not analysed, because: {refusal.reason}", f"Code: {refusal.code}"


def _said(name: Code, words: str) -> Dataset:
    return items.text(items.CONTAINS, name, words)
