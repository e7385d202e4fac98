"""The encoder: from a conclusion to the Part 10 files that are sent, in the order in which they are sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from pydicom.dataset import Dataset

from worker.domain.errors import PermanentError
from worker.domain.findings import Conclusion, Refusal
from worker.domain.profile import OHIF, Audience, Profile
from worker.domain.result import EncodedObject, ResultContext, ResultKind
from worker.domain.study import StoredInstance
from worker.results.audiences import audiences_of, context_for
from worker.results.header import Stamp, local_time, to_object
from worker.results.identity import Equipment, ResultUids, evidence_digest
from worker.results.key_images import encode_key_images
from worker.results.key_objects import encode_key_objects
from worker.results.kos import encode_note
from worker.results.making import SERIES_PER_SET, Making, structures_by_part
from worker.results.parametric_map import encode_maps
from worker.results.presentation import encode_presentation
from worker.results.refusal import RefusalEncoder
from worker.results.seg import encode_segs
from worker.results.source import read_source
from worker.results.sr import encode_reports
from worker.results.sr_fitness import ensure_reportable
from worker.results.structures import ensure_encodable
from worker.results.text_sr import encode_text

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
    zone:
        Time zone of the dates in results whose images do not state theirs; None is that of the computer.
    profiles:
        Profile by destination; others get ``standard``.
    standard:
        Profile of whoever is not in ``profiles``, and of results that go nowhere.
    """

    equipment: Equipment = field(default_factory=Equipment)
    series_number: int = 9000
    zone: tzinfo | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    standard: Profile = OHIF

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
        ensure_reportable(conclusion)
        source = read_source(conclusion.volume, evidence)
        audiences = audiences_of(context.destinations, self.profiles, standard=self.standard)
        first = Making(
            conclusion=conclusion,
            source=source,
            stamp=Stamp(
                source_header=source.header,
                equipment=self.equipment,
                algorithm=conclusion.algorithm,
                made_at=local_time(context.created_at, source.header, self.zone),
                evidence_digest=evidence_digest(evidence),
            ),
            uids=ResultUids.of_conclusion(conclusion, evidence, context),
            context=context,
            profile=self.standard,
            first_series_number=self.series_number,
            structures=structures_by_part(conclusion),
            evidence=tuple(evidence),
        )
        objects: list[EncodedObject] = []
        for number, audience in enumerate(audiences):
            making = self._for_audience(first, audience, number)
            only = audience.destinations if len(audiences) > 1 else None
            objects += [
                replace(to_object(ds, kind, making.profile.character_set), destinations=only)
                for kind, ds in _objects(making)
            ]
        objects += [to_object(note, ResultKind.KOS) for note in _notes(first)]
        log.info("results-encoded", extra={"objects": len(objects), "bytes": sum(len(o.content) for o in objects)})
        return tuple(objects)

    def refuse(
        self, refusal: Refusal, evidence: Sequence[StoredInstance], context: ResultContext
    ) -> tuple[EncodedObject, ...]:
        """Statements that the series was not analysed, for the destinations that want them (see ``RefusalEncoder``)."""
        return RefusalEncoder(
            equipment=self.equipment,
            series_number=self.series_number,
            zone=self.zone,
            profiles=self.profiles,
            standard=self.standard,
        ).refuse(refusal, evidence, context)

    def _for_audience(self, first: Making, audience: Audience, number: int) -> Making:
        """Another set of series, whose numbers and UIDs no other set of the job has."""
        profile = audience.profile
        variant = "" if profile.name == OHIF.name else profile.name
        start = profile.series_number or self.series_number + number * SERIES_PER_SET
        return replace(
            first,
            profile=profile,
            uids=first.uids.for_profile(variant),
            context=context_for(first.context, audience),
            first_series_number=start,
        )


def _objects(making: Making) -> Iterator[tuple[ResultKind, Dataset]]:
    """In the order in which they are sent: what is referred to before what refers to it."""
    segs = encode_segs(making)
    yield from ((ResultKind.SEG, seg.dataset) for seg in segs)
    yield from ((ResultKind.PM, ds) for ds in encode_maps(making))
    yield from ((ResultKind.SR, ds) for ds in encode_reports(making, segs))
    yield from ((ResultKind.SR, ds) for ds in encode_text(making))
    key_images = encode_key_images(making)
    yield from ((ResultKind.SC, ds) for ds in key_images)
    yield from ((ResultKind.KEY, ds) for ds in encode_key_objects(making, key_images))
    yield from ((ResultKind.PR, ds) for ds in encode_presentation(making))


def _notes(making: Making) -> Iterator[Dataset]:
    """One rejection note for each withdrawal. It is the same for whatever profile: it names what stands there."""
    for part, one in enumerate(making.context.withdrawals):
        yield encode_note(
            one.instances,
            source_header=making.source.header,
            stamp=making.stamp,
            names=making.names("KOS", part, sop_instance_uid=making.uids.note(one.instances)),
            revision=making.context.revision,
        )
