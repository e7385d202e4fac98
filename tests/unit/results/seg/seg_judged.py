"""What the gate says of a SEG, whatever it says of the objects that go with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset

from tests.unit.results import given, reading
from worker.domain.findings import Conclusion
from worker.domain.profile import Profile
from worker.domain.result import Check, EncodedObject
from worker.domain.study import StoredInstance
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder


def encoded(conclusion: Conclusion, evidence: Sequence[StoredInstance], profile: Profile) -> EncodedObject:
    """The first object, which is the SEG."""
    return DicomEncoder(standard=profile).encode(conclusion, evidence, given.CONTEXT)[0]


def checks_of(
    seg: EncodedObject, conclusion: Conclusion, evidence: Sequence[StoredInstance], profile: Profile
) -> dict[str, Check]:
    """The checks that are about the SEG, by name."""
    report = ResultGate(standard=profile).check([seg], conclusion, evidence, given.CONTEXT)
    return {one.name: one for one in report.checks if one.name.startswith(("seg-", "segment-", "readable"))}


def failures(
    seg: EncodedObject,
    conclusion: Conclusion,
    evidence: Sequence[StoredInstance],
    profile: Profile,
    change: Callable[[Dataset], object] | None = None,
) -> dict[str, str]:
    """Detail by name of the checks that fail, after ``change`` of one thing in the bytes."""
    item = reading.changed(seg, change) if change else seg
    return {name: one.detail for name, one in checks_of(item, conclusion, evidence, profile).items() if not one.passed}
