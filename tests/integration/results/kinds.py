"""Every kind of result object, and the sets in which they are made on a sample study.

A new kind of object is a line in ``KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tests.integration.results import subjects, validators
from tests.unit.results import given
from tests.unit.results.display import pictured
from tests.unit.results.revised import predecessors_of
from worker.domain.findings import Conclusion, Refusal
from worker.domain.profile import OHIF, SLICER, Profile, SegmentEncoding
from worker.domain.result import EncodedObject, GateReport, ResultContext, ResultKind, Withdrawal
from worker.gate.header import REPORT_CLASS, TEXT_CLASS
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

PROFILES = (
    OHIF,
    SLICER,
    pictured.FULL,
    pictured.FRAMES,
    Profile(name="label-map", segmentation=SegmentEncoding.LABELMAP),
    Profile(name="fractional", segmentation=SegmentEncoding.FRACTIONAL),
)
REASON = "The series has 3 slices; at least 20 are needed."


@dataclass(frozen=True)
class Kind:
    """A kind of result object: what it is called, the set that it stands in, and how it is known there."""

    name: str
    of_set: str
    is_kind: Callable[[EncodedObject], bool]


def of_kind(kind: ResultKind, sop_class_uid: str = "") -> Callable[[EncodedObject], bool]:
    return lambda one: one.kind is kind and (not sop_class_uid or one.sop_class_uid == sop_class_uid)


KINDS = (
    Kind("Segmentation, BINARY", "ohif", of_kind(ResultKind.SEG)),
    Kind("Segmentation, LABELMAP", "label-map", of_kind(ResultKind.SEG)),
    Kind("Segmentation, FRACTIONAL", "fractional", of_kind(ResultKind.SEG)),
    Kind("Parametric map", "ohif", of_kind(ResultKind.PM)),
    Kind("Measurement report", "ohif", of_kind(ResultKind.SR, REPORT_CLASS)),
    Kind("Measurement report, one template each", "slicer", of_kind(ResultKind.SR, REPORT_CLASS)),
    Kind("Measurement report on a LABELMAP", "label-map", of_kind(ResultKind.SR, REPORT_CLASS)),
    Kind("Text report", "ohif", of_kind(ResultKind.SR, TEXT_CLASS)),
    Kind("Text report of a refusal", "refusal", of_kind(ResultKind.SR, TEXT_CLASS)),
    Kind("Key images, single-frame", "full", of_kind(ResultKind.SC)),
    Kind("Key images, multi-frame", "frames", of_kind(ResultKind.SC)),
    Kind("Key object selection", "full", of_kind(ResultKind.KEY)),
    Kind("Presentation state", "full", of_kind(ResultKind.PR)),
    Kind("Rejection note", "revision", of_kind(ResultKind.KOS)),
)


@dataclass(frozen=True)
class ResultSet:
    """What is sent together, as files, with what our own gate says of it; ``others`` are files that it refers to.

    ``in_patient_space``: the images have a place in the patient.
    """

    objects: tuple[EncodedObject, ...]
    files: tuple[Path, ...]
    gate: GateReport
    others: tuple[Path, ...]
    in_patient_space: bool

    @cached_property
    def misfits(self) -> list[str]:
        """What dcentvfy says of the whole study."""
        return validators.dcentvfy([*self.others, *self.files], about=self.files)


@dataclass
class Sample:
    """A sample study, made in a folder, and the sets of results on it; all when they are asked for."""

    name: str
    folder: Path
    make: Callable[[Path], given.Study]
    sets: dict[str, ResultSet] = field(default_factory=dict)

    @cached_property
    def study(self) -> given.Study:
        """Made of files in the folder ``images``."""
        (self.folder / "images").mkdir()
        return self.make(self.folder / "images")

    def of(self, name: str) -> ResultSet:
        if name not in self.sets:
            make = {"refusal": self._refusal, "revision": self._revision}.get(name, lambda: self._of_profile(name))
            self.sets[name] = make()
        return self.sets[name]

    def _of_profile(self, name: str) -> ResultSet:
        (profile,) = (one for one in PROFILES if one.name == name)
        only = profile.segmentation in {SegmentEncoding.LABELMAP, SegmentEncoding.FRACTIONAL}
        conclusion = subjects.segments_only(self.study) if only else subjects.everything(self.study)
        objects = subjects.encoded(self.study, conclusion, profile)
        return self._written(name, objects, self._gate(objects, conclusion, profile, given.CONTEXT))

    def _refusal(self) -> ResultSet:
        told = replace(OHIF, name="told", refusals=True)
        volume = self.study.volume
        refusal = Refusal(given.ALGORITHM, volume.series_instance_uid, volume.modality, "too-few-slices", REASON)
        objects = DicomEncoder(standard=told).refuse(refusal, self.study.evidence, given.CONTEXT)
        report = ResultGate(standard=told).check_refusal(objects, refusal, self.study.evidence, given.CONTEXT)
        return self._written("refusal", objects, report)

    def _revision(self) -> ResultSet:
        """A second run that withdraws what the first one, with everything, sent."""
        before = self.of("full")
        old = predecessors_of(before.objects)
        context = replace(
            given.CONTEXT, revision=2, generation=1, predecessors=old, withdrawals=(Withdrawal(("PACS",), old),)
        )
        conclusion = subjects.segments_only(self.study)
        objects = DicomEncoder(standard=pictured.FULL).encode(conclusion, self.study.evidence, context)
        report = self._gate(objects, conclusion, pictured.FULL, context)
        written = self._written("revision", objects, report)
        return replace(written, others=(*written.others, *before.files))

    def _gate(
        self, objects: Sequence[EncodedObject], conclusion: Conclusion, profile: Profile, context: ResultContext
    ) -> GateReport:
        return ResultGate(standard=profile).check(objects, conclusion, self.study.evidence, context)

    def _written(self, name: str, objects: Sequence[EncodedObject], gate: GateReport) -> ResultSet:
        files = []
        for number, one in enumerate(objects):
            files.append(self.folder / f"{name}-{number}-{one.kind}.dcm")
            files[-1].write_bytes(one.content)
        return ResultSet(tuple(objects), tuple(files), gate, self.study.paths, self.study.volume.in_patient_space)


@dataclass(frozen=True)
class Judged:
    """One object before the validators."""

    kind: Kind
    item: EncodedObject
    path: Path
    together: ResultSet

    @property
    def is_report(self) -> bool:
        """A tree of content items (PS3.3 C.17.3)."""
        return self.item.kind in {ResultKind.SR, ResultKind.KOS, ResultKind.KEY}


def judged(sample: Sample, kinds: Iterable[Kind] = KINDS) -> Iterator[Judged]:
    """All objects of these kinds on a sample study."""
    for kind in kinds:
        together = sample.of(kind.of_set)
        for item, path in zip(together.objects, together.files, strict=True):
            if kind.is_kind(item):
                yield Judged(kind, item, path, together)
