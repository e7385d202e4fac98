"""Every kind of result object on a sample study, before every validator.

A new validator is a line in ``VALIDATORS``. ``make matrix`` lets them judge all sample studies: see ``page``.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.results import known, validators
from tests.integration.results.kinds import KINDS, Judged, Kind, Sample, judged
from tests.integration.results.validators import Said
from worker.domain.result import ResultKind
from worker.gate.header import REPORT_CLASS, TEXT_CLASS


def always(one: Judged) -> bool:
    del one
    return True


def of(*kinds: ResultKind) -> Callable[[Judged], bool]:
    return lambda one: one.item.kind in kinds


@dataclass(frozen=True)
class Validator:
    """``about`` says what it looks for, ``applies`` which objects it knows, ``judge`` what it says of each of them."""

    name: str
    about: str
    applies: Callable[[Judged], bool]
    judge: Callable[[Sequence[Judged]], list[Said]]


def alone(judge: Callable[[Judged, Path], Said]) -> Callable[[Sequence[Judged]], list[Said]]:
    """A validator that is asked about one object at a time, with an empty folder for what it writes."""

    def ask(objects: Sequence[Judged]) -> list[Said]:
        said = []
        for one in objects:
            with tempfile.TemporaryDirectory() as folder:
                said.append(judge(one, Path(folder)))
        return said

    return ask


def _gate(one: Judged, folder: Path) -> Said:
    del folder
    return Said([f"{check.name}: {check.detail}" for check in one.together.gate.failures], [])


PIXELMED = Validator(
    "PixelMed",
    "templates of reports, as IHE's Connectathons check them (DicomSRValidator)",
    lambda one: one.is_report,
    lambda objects: validators.said_by_pixelmed([one.path for one in objects]),
)

VALIDATORS = (
    Validator(
        "dciodvfy", "modules, attributes, value representations (dicom3tools)",
        always, alone(lambda one, _: validators.said_by_dciodvfy(one.path)),
    ),
    Validator(
        "dcentvfy", "the same patient and study in all files, no dangling reference (dicom3tools)",
        always, alone(lambda one, _: Said([s for s in one.together.misfits if str(one.path) in s], [])),
    ),
    Validator(
        "dcm2json", "every element can be read (DCMTK)",
        always, alone(lambda one, _: validators.said_by_dcm2json(one.path)),
    ),
    Validator(
        "dsrdump", "value types and relationships of reports (DCMTK)",
        lambda one: one.is_report, alone(lambda one, _: validators.said_by_dsrdump(one.path)),
    ),
    Validator(
        "dcmpschk", "presentation states (DCMTK)",
        of(ResultKind.PR), alone(lambda one, _: validators.said_by_dcmpschk(one.path)),
    ),
    Validator(
        "dcmp2pgm", "images can be rendered under a presentation state (DCMTK)",
        of(ResultKind.PR),
        alone(lambda one, folder: validators.said_by_dcmp2pgm(one.path, one.together.others, folder)),
    ),
    Validator(
        "tid1500reader", "measurement groups (dcmqi)",
        lambda one: one.item.sop_class_uid == REPORT_CLASS,
        alone(lambda one, folder: validators.said_by_tid1500reader(one.path, folder)),
    ),
    Validator(
        "segimage2itkimage", "frames of a segmentation as a volume in the patient, where they have one (dcmqi)",
        lambda one: one.item.kind is ResultKind.SEG and one.together.in_patient_space,
        alone(lambda one, folder: validators.said_by_segimage2itkimage(one.path, folder)),
    ),
    Validator(
        "paramap2itkimage", "a parametric map as a volume with the same values (dcmqi)",
        of(ResultKind.PM), alone(lambda one, folder: validators.said_by_paramap2itkimage(one.path, folder)),
    ),
    Validator(
        "highdicom", "its own parsers",
        lambda one: one.item.sop_class_uid != TEXT_CLASS, alone(lambda one, _: validators.said_by_highdicom(one.path)),
    ),
    PIXELMED,
    Validator("our gate", "what the others cannot know: the model's conclusion and its images", always, alone(_gate)),
)  # fmt: skip


@dataclass
class Cell:
    """What one validator said of all objects of one kind; ``explained`` counts messages that are known."""

    objects: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    explained: int = 0

    def __str__(self) -> str:
        if not self.objects:
            return "-"
        known_ones = f" ({self.explained})" if self.explained else ""
        return f"{len(self.errors)} / {len(self.warnings)}{known_ones}"


@dataclass
class Matrix:
    """Cells by (kind, validator); ``heard`` counts how often each known message was heard."""

    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    objects: Counter[str] = field(default_factory=Counter)
    heard: Counter[known.Known] = field(default_factory=Counter)
    subjects: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Everything that no line of ``known`` explains."""
        return [
            f"{kind}, {validator}: {message}"
            for (kind, validator), cell in self.cells.items()
            for message in [*cell.errors, *cell.warnings]
        ]

    def include(self, other: Matrix) -> None:
        """Take what was found on other studies."""
        self.objects += other.objects
        self.heard += other.heard
        self.subjects += other.subjects
        for key, cell in other.cells.items():
            mine = self.cells.setdefault(key, Cell())
            mine.objects += cell.objects
            mine.errors += cell.errors
            mine.warnings += cell.warnings
            mine.explained += cell.explained

    def judged_by(self, validator: str) -> int:
        """How many objects it saw."""
        return sum(cell.objects for (_, name), cell in self.cells.items() if name == validator)

    def add(self, kind: str, validator: str, said: Said) -> None:
        cell = self.cells.setdefault((kind, validator), Cell())
        cell.objects += 1
        for messages, lines, kept in (
            (said.errors, known.ERRORS, cell.errors), (said.warnings, known.WARNINGS, cell.warnings)
        ):  # fmt: skip
            unknown = known.unexplained(validator, kind, messages, lines)
            kept += unknown
            explained = set(messages) - set(unknown)
            cell.explained += len(explained)
            for message in explained:
                self.heard.update(line for line in lines if line.explains(validator, kind, message))


def fill(
    matrix: Matrix, sample: Sample, chosen: Iterable[Validator] = VALIDATORS, kinds: Iterable[Kind] = KINDS
) -> None:
    """Let the validators judge all objects on a sample study."""
    matrix.subjects.append(sample.name)
    objects = list(judged(sample, kinds))
    matrix.objects.update(one.kind.name for one in objects)
    for validator in chosen:
        known_to_it = [one for one in objects if validator.applies(one)]
        for one, said in zip(known_to_it, validator.judge(known_to_it), strict=True):
            matrix.add(one.kind.name, validator.name, said)
