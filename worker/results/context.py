"""What one set of result objects is made from: the same for every encoder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.domain.findings import Conclusion, Segmentation
from worker.domain.profile import Profile
from worker.domain.result import ResultContext
from worker.domain.study import SOPInstanceUID, StoredInstance
from worker.results.evidence import Source
from worker.results.header import SeriesNames, Stamp
from worker.results.identity import ResultUids
from worker.results.segment_masks import Structure, structures_of

_WORDS = {
    "SEG": "segmentation",
    "SR": "measurements",
    "TEXT": "text report",
    "KOS": "replaced results",
    "PM": "heat maps",
    "SC": "key images",
    "KEY": "key objects",
    "PR": "presentation state",
}
"""Kinds of series in the order of their Series Numbers."""

SERIES_PER_SET = len(_WORDS)


def first_numbers(standard: int, profiles: Sequence[Profile], taken: Collection[int]) -> tuple[int, tuple[int, ...]]:
    """The first Series Numbers of a job: without a profile, and of the set of each profile.

    Each is as configured, or the next behind it with which no series of the set has a number that is ``taken`` in the
    study: two series of one number display like one in some viewers.
    """
    base = _free(standard, taken)
    used: set[int] = set()
    found: list[int] = []
    for number, profile in enumerate(profiles):
        start = _free(profile.series_number or base + number * SERIES_PER_SET, {*taken, *used})
        used.update(range(start, start + SERIES_PER_SET))
        found.append(start)
    return base, tuple(found)


def _free(start: int, taken: Collection[int]) -> int:
    while any(number in taken for number in range(start, start + SERIES_PER_SET)):
        start += SERIES_PER_SET
    return start


@dataclass(frozen=True, slots=True, eq=False)
class EncoderInput:
    """One conclusion on its way to the destinations of one profile.

    ``first_series_number`` is that of the SEG series; the others follow. ``structures[part]`` are those of finding
    number ``part`` (from 0) where it is a segmentation; a part without structures is not encoded. ``evidence`` is what
    the images are read back from that pictures are drawn on.
    """

    conclusion: Conclusion
    source: Source
    stamp: Stamp
    uids: ResultUids
    context: ResultContext
    profile: Profile
    first_series_number: int
    structures: dict[int, tuple[Structure, ...]]
    evidence: tuple[StoredInstance, ...]

    def names(
        self, kind: str, part: int = 0, *, what: str = "", sop_instance_uid: SOPInstanceUID | None = None
    ) -> SeriesNames:
        """How object number ``part`` (from 0) of a kind of series is called; ``what`` replaces the usual words."""
        words = what or _WORDS[kind]
        return SeriesNames(
            series_instance_uid=self.uids.series(kind),
            series_number=self.first_series_number + list(_WORDS).index(kind),
            series_description=f"{self.profile.series_prefix} {words}: {self.stamp.algorithm.title}".strip()[:64],
            sop_instance_uid=sop_instance_uid or self.uids.instance(kind, part),
            instance_number=part + 1,
        )


def structures_by_part(conclusion: Conclusion) -> dict[int, tuple[Structure, ...]]:
    """Count and outline the segments of every segmentation; raises what ``structures_of`` raises."""
    return {
        part: structures_of(finding)
        for part, finding in enumerate(conclusion.findings)
        if isinstance(finding, Segmentation)
    }
