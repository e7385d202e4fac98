"""The encoder: from a conclusion to the Part 10 files that are sent, in the order in which they are sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset

from worker.domain.character_sets import StatedSets
from worker.domain.delivery_groups import DeliveryGroup, context_for, delivery_groups
from worker.domain.errors import PermanentError
from worker.domain.evidence import evidence_digest
from worker.domain.findings import Conclusion, Refusal
from worker.domain.plain_text import in_ascii
from worker.domain.profile import OHIF, Profile
from worker.domain.result import EncodedObject, ResultContext, ResultKind
from worker.domain.study import StoredInstance
from worker.results.character_set import Form, form_for, form_of, needs_ascii
from worker.results.context import EncoderInput, first_numbers, structures_by_part
from worker.results.display.key_images import encode_key_images
from worker.results.display.key_objects import encode_key_objects
from worker.results.display.parametric_map import encode_maps
from worker.results.display.presentation_state import encode_presentation
from worker.results.evidence import read_series_header, read_source
from worker.results.header import Stamp, to_object
from worker.results.identity import Equipment, ResultUids, series_of
from worker.results.rejection_note import encode_note
from worker.results.seg.segmentation import encode_segs
from worker.results.segment_masks import ensure_encodable
from worker.results.sr.basic_text import encode_text
from worker.results.sr.not_analysed import RefusalEncoder
from worker.results.sr.preconditions import ensure_reportable
from worker.results.sr.report import encode_reports

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DicomEncoder:
    """Encodes conclusions as DICOM objects, one set for each profile among the destinations of a job.

    The same conclusion, evidence and context give the same bytes.

    Parameters
    ----------
    equipment:
        This installation.
    series_number:
        Series Number of the first result series; the others follow it. A range that no scanner uses.
    profiles:
        Profile by destination; others get ``standard``.
    standard:
        Profile of whoever is not in ``profiles``, and of results that go nowhere.
    character_sets:
        What the site says of the text of its senders.
    """

    equipment: Equipment = field(default_factory=Equipment)
    series_number: int = 9000
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    standard: Profile = OHIF
    character_sets: StatedSets = field(default_factory=StatedSets)

    def examine(self, evidence: Sequence[StoredInstance], context: ResultContext) -> tuple[str, ...]:
        """Say before anything is analysed what results will not copy from the images; nothing of PHI is in it.

        Raises IdentityError and PermanentError as ``encode`` does, for what the images alone decide.
        """
        header = read_series_header(series_of(evidence)[0], evidence, self.character_sets)
        for group in delivery_groups(context.destinations, self.profiles, standard=self.standard):
            form_for(header.copies, group.profile)
        return header.copies.notes

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
        source = read_source(conclusion.volume, evidence, self.character_sets)
        groups = delivery_groups(context.destinations, self.profiles, standard=self.standard)
        equipment = self.equipment
        if needs_ascii(source.copies, [group.profile for group in groups]):
            conclusion, equipment = in_ascii(conclusion), equipment.in_ascii()
        ensure_encodable(conclusion)
        ensure_reportable(conclusion)
        base, starts = first_numbers(
            self.series_number,
            [group.profile for group in groups],
            context.series_numbers | source.series_numbers,
        )
        first = EncoderInput(
            conclusion=conclusion,
            source=source,
            stamp=Stamp(
                source_header=source.header,
                equipment=equipment,
                algorithm=conclusion.algorithm,
                made_at=source.made_at,
                evidence_digest=evidence_digest(evidence),
                notes=source.copies.notes,
            ),
            uids=ResultUids.of_conclusion(conclusion, evidence, context),
            context=context,
            profile=self.standard,
            first_series_number=base,
            structures=structures_by_part(conclusion),
            evidence=tuple(evidence),
        )
        objects: list[EncodedObject] = []
        for group, start in zip(groups, starts, strict=True):
            form = form_for(source.copies, group.profile)
            inputs = _in_form(_for_group(first, group, start), form)
            only = group.destinations if len(groups) > 1 else None
            objects += [replace(to_object(ds, kind, form.writing), destinations=only) for kind, ds in _objects(inputs)]
        form = form_of(source.copies)
        objects += [to_object(note, ResultKind.KOS, form.writing) for note in _notes(_in_form(first, form))]
        log.info("results-encoded", extra={"objects": len(objects), "bytes": sum(len(o.content) for o in objects)})
        return tuple(objects)

    def refuse(
        self, refusal: Refusal, evidence: Sequence[StoredInstance], context: ResultContext
    ) -> tuple[EncodedObject, ...]:
        """Statements that the series was not analysed, for the destinations that want them (see ``RefusalEncoder``)."""
        return RefusalEncoder(
            equipment=self.equipment,
            series_number=self.series_number,
            profiles=self.profiles,
            standard=self.standard,
            character_sets=self.character_sets,
        ).refuse(refusal, evidence, context)


def _for_group(first: EncoderInput, group: DeliveryGroup, start: int) -> EncoderInput:
    """Another set of series, whose numbers and UIDs no other set of the job has."""
    profile = group.profile
    return replace(
        first,
        profile=profile,
        uids=first.uids.for_profile("" if profile.name == OHIF.name else profile.name),
        context=context_for(first.context, group),
        first_series_number=start,
    )


def _in_form(inputs: EncoderInput, form: Form) -> EncoderInput:
    """With the texts of the images as the objects of this set are written."""
    return replace(
        inputs,
        source=replace(inputs.source, header=form.header),
        stamp=replace(inputs.stamp, source_header=form.header),
    )


def _objects(inputs: EncoderInput) -> Iterator[tuple[ResultKind, Dataset]]:
    """In the order in which they are sent: what is referred to before what refers to it."""
    segs = encode_segs(inputs)
    yield from ((ResultKind.SEG, seg.dataset) for seg in segs)
    yield from ((ResultKind.PM, ds) for ds in encode_maps(inputs))
    yield from ((ResultKind.SR, ds) for ds in encode_reports(inputs, segs))
    yield from ((ResultKind.SR, ds) for ds in encode_text(inputs))
    key_images = encode_key_images(inputs)
    yield from ((ResultKind.SC, ds) for ds in key_images)
    yield from ((ResultKind.KEY, ds) for ds in encode_key_objects(inputs, key_images))
    yield from ((ResultKind.PR, ds) for ds in encode_presentation(inputs))


def _notes(inputs: EncoderInput) -> Iterator[Dataset]:
    """One rejection note for each withdrawal. It is the same for whatever profile: it names what stands there."""
    for part, one in enumerate(inputs.context.withdrawals):
        yield encode_note(
            one.instances,
            source_header=inputs.source.header,
            stamp=inputs.stamp,
            names=inputs.names("KOS", part, sop_instance_uid=inputs.uids.note(one.instances)),
        )
