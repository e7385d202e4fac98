"""SHA-256 of every result object of the corpus: what must be the same before and after code is only moved.

``python -m tests.integration.results.digests FILE`` writes them; run it at two commits, and compare the files.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.integration.results import subjects
from tests.unit.results import given, revised
from tests.unit.results.display import pictured
from worker.domain.findings import Conclusion
from worker.domain.profile import OHIF, PLAIN, WEASIS
from worker.domain.result import EncodedObject

STUDIES: tuple[Callable[[Path, Path], given.Study], ...] = (
    subjects.chest_ct,
    subjects.brain_mr,
    subjects.chest_cr,
    subjects.heart_us,
    subjects.radiograph,
    subjects.angiogram,
    subjects.enhanced_ct,
    subjects.mammogram,
)
CONCLUSIONS: tuple[Callable[[given.Study], Conclusion], ...] = (
    subjects.everything,
    subjects.segments_only,
    subjects.statements_only,
)
PROFILES = (OHIF, PLAIN, WEASIS, pictured.FULL, pictured.FRAMES)


def listed(objects: Sequence[EncodedObject]) -> list[str]:
    return [f"{one.kind.value} {hashlib.sha256(one.content).hexdigest()}" for one in objects]


def digests(samples: Path) -> dict[str, list[str]]:
    """By study, conclusion and profile: kind and SHA-256 of each object, in the order in which they are sent."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for make in STUDIES:
            study = make(Path(folder) / make.__name__, samples)
            for conclude in CONCLUSIONS:
                conclusion = conclude(study)
                for profile in PROFILES:
                    name = f"{make.__name__}, {conclude.__name__}, {profile.name}"
                    found[name] = listed(subjects.encoded(study, conclusion, profile))
        (Path(folder) / "revision").mkdir()
        revision = revised.a_revision(Path(folder) / "revision")
        found["revision"] = listed((*revision.first, *revision.second))
    return found


if __name__ == "__main__":
    every = digests(Path(__file__).resolve().parents[3] / ".cache" / "samples")
    Path(sys.argv[1]).write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{sum(map(len, every.values()))} result objects\n")
