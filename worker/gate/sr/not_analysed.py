"""Gate checks of statements that a series was not analysed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from pydicom.dataset import Dataset

from worker.domain.delivery_groups import DeliveryGroup, context_for, delivery_groups
from worker.domain.findings import Refusal
from worker.domain.profile import Profile
from worker.domain.result import Check, ResultContext, ResultKind
from worker.gate.codes import code_problems, known_meanings
from worker.gate.content_tree import evidence_problems, nameless_or_empty
from worker.gate.copied_attributes import series_number_check
from worker.gate.header import header_checks
from worker.gate.header_text import Said, equipment_check
from worker.gate.reading import EvidenceHeaders, Parsed, checked, code_of, content_items
from worker.gate.rejection_note import note_checks, predecessor_check
from worker.gate.sentences import concluding
from worker.gate.sr.basic_text import (
    CONCLUSIONS,
    FINDINGS,
    concluding_problems,
    finding_items,
    form_problems,
    sections_of,
)

_NOT_LOOKED_AT = "Nothing is said about the images: they were not analysed."


class Rules(Protocol):
    """What each destination is to get, and how large an object may be: those of the gate."""

    @property
    def maximum_object_bytes(self) -> int:
        """A larger object does not pass."""

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profile of each destination that wants to be told."""

    @property
    def standard(self) -> Profile:
        """The profile of every destination that names none."""


def refusal_checks(ds: Dataset, refusal: Refusal, evidence: EvidenceHeaders) -> Iterator[Check]:
    """Yield the checks of one document; those of its header (``header_checks``) are beside them."""
    series = {
        uid
        for uid, header in evidence.by_instance.items()
        if str(header.SeriesInstanceUID) == refusal.series_instance_uid
    }
    yield checked("refusal-form", "TID 2000, 18748-4", lambda: form_problems(ds, refusal.modality))
    yield checked("refusal-content", "every content item has its name and value", lambda: nameless_or_empty(ds))
    yield checked("refusal-meanings", "codes mean what they say", lambda: code_problems(ds, known_meanings(())))
    yield checked("refusal-references", "evidence complete", lambda: evidence_problems(ds, [], evidence, series))
    yield checked("refusal-statements", "the reason, and nothing about the images", lambda: _statements(ds, refusal))


def _statements(ds: Dataset, refusal: Refusal) -> Iterator[str]:
    said = [str(item.get("TextValue")) for item in finding_items(ds)]
    if said != [f"Not analysed, because: {refusal.reason}", f"Code: {refusal.code}"]:
        yield "the reason is not stated, or something else is"
    yield from concluding_problems(ds, concluding(refusal.algorithm, _NOT_LOOKED_AT))
    if [code_of(section) for section in sections_of(ds)] != [FINDINGS, CONCLUSIONS]:
        yield "there are other sections than the reason and who gives it"
    if any(item.ValueType == "IMAGE" for item in content_items(ds)):
        yield "an image, though nothing was analysed"


def set_checks(
    objects: Sequence[Parsed], refusal: Refusal, evidence: EvidenceHeaders, context: ResultContext, rules: Rules
) -> Iterator[Check]:
    """Yield the checks of everything that was made of a refusal."""
    groups = delivery_groups(context.destinations, rules.profiles, standard=rules.standard)
    wanting = [group for group in groups if group.profile.refusals]
    yield checked(
        "objects",
        "a text for each profile that wants it, then the notes",
        lambda: _order(objects, wanting, several=len(groups) > 1, notes=len(context.withdrawals)),
    )
    yield series_number_check([one.dataset for one in objects], context)
    yield equipment_check([one.dataset for one in objects])
    known = known_meanings(())
    told, replacing = Said(refusal.algorithm, known, series="not analysed"), Said(refusal.algorithm, known)
    texts = [one for one in objects if one.item.kind is ResultKind.SR]
    for one, group in zip(texts, wanting, strict=False):
        limit = rules.maximum_object_bytes
        yield from header_checks(one.item, one.dataset, evidence, group.profile, told, name="text", maximum_bytes=limit)
        yield from refusal_checks(one.dataset, refusal, evidence)
        yield predecessor_check("text", one.dataset, context_for(context, group))
    plain = replace(rules.standard, character_set=None)
    notes = [one for one in objects if one.item.kind is ResultKind.KOS]
    for one, withdrawal in zip(notes, context.withdrawals, strict=False):
        limit = rules.maximum_object_bytes
        yield from header_checks(one.item, one.dataset, evidence, plain, replacing, name="kos", maximum_bytes=limit)
        others = [each.dataset for each in objects]
        yield from note_checks(one.dataset, withdrawal, others, evidence, refusal.algorithm)


def _order(objects: Sequence[Parsed], wanting: Sequence[DeliveryGroup], *, several: bool, notes: int) -> Iterator[str]:
    kinds = [one.item.kind for one in objects]
    if kinds != [ResultKind.SR] * len(wanting) + [ResultKind.KOS] * notes:
        yield f"objects {[kind.value for kind in kinds]}, expected {len(wanting)} texts and {notes} notes"
    if len({one.item.sop_instance_uid for one in objects}) != len(objects):
        yield "two objects share a SOP Instance UID"
    for one, group in zip(objects, wanting, strict=False):
        if one.item.destinations != (group.destinations if several else None):
            yield "a text is addressed to others than those who want it"
