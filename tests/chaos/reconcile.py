"""The reckoning: what was acknowledged against what is kept, what was wanted against what stands in the PACS.

Nothing here asks the product: the spool is read as files, the ledger as SQLite, the PACS as what it kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from tests.builders import data_set_bytes
from tests.chaos.book import Book, Entry
from tests.chaos.pacs import kept_objects

FINAL = frozenset({"routed", "no-model-applies", "committed", "quarantined", "failed", "superseded", "cancelled"})
_OPEN_DELIVERIES = frozenset({"pending", "sending"})
_REFERENCED_SOP_INSTANCE_UID = 0x00081155


@dataclass
class Findings:
    """What is wrong; all lists must be empty."""

    lost_instances: list[str] = field(default_factory=list)
    damaged_instances: list[str] = field(default_factory=list)
    lost_results: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misfiled: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    instances: int = 0
    studies: int = 0
    complete_studies: int = 0
    results: int = 0
    superseded_sets: int = 0
    largest_attempt: int = 0

    @property
    def lost(self) -> list[str]:
        return [*self.lost_instances, *self.damaged_instances, *self.lost_results]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.misfiled or self.unfinished)

    def complaints(self) -> Iterator[str]:
        for name in ("lost_instances", "damaged_instances", "lost_results", "doubled", "misfiled", "unfinished"):
            found: list[str] = getattr(self, name)
            yield from (f"{name}: {one}" for one in found[:10])


def ledger(data: Path) -> sqlite3.Connection:
    """The ledger, read only."""
    connection = sqlite3.connect(f"file:{data / 'overread.sqlite'}?mode=ro", uri=True, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def objects_by_key(data: Path) -> dict[str, Path]:
    """The spool's objects, in whatever folders they lie."""
    return {path.stem: path for path in (data / "spool" / "objects").rglob("*.dcm")}


def unfinished(data: Path) -> list[str]:
    """Jobs and deliveries that are not at their end."""
    with closing(ledger(data)) as db:
        jobs = [
            f"job {row['job_id'][:8]} {row['kind']} {row['state']} attempt {row['attempt']}: {row['reason']}"
            for row in db.execute("SELECT * FROM jobs")
            if row["state"] not in FINAL
        ]
        deliveries = [
            f"delivery {row['delivery_id'][:8]} {row['state']} attempt {row['attempt']}: {row['reason']}"
            for row in db.execute("SELECT * FROM deliveries")
            if row["state"] in _OPEN_DELIVERIES
        ]
    return jobs + deliveries


def reconcile(book: Book, *, data: Path, pacs: Path) -> Findings:
    """Compare everything with everything."""
    found = Findings(studies=len(book.entries), unfinished=unfinished(data))
    _instances(book, data, found)
    with closing(ledger(data)) as db:
        row = db.execute("SELECT coalesce(max(attempt), 0) AS n FROM jobs").fetchone()
        found.largest_attempt = int(row["n"])
        made = {
            row["sop_instance_uid"]: (row["study_instance_uid"], row["state"])
            for row in db.execute(
                "SELECT r.sop_instance_uid, j.study_instance_uid, j.state FROM results r JOIN jobs j USING (job_id)"
            )
        }
        ends = {
            row["study_instance_uid"]: f"{row['kind']} {row['state']}: {row['reason']}"
            for row in db.execute("SELECT * FROM jobs ORDER BY revision, created_at")
        }
    _results(book, kept_objects(pacs), made, ends, found)
    return found


def _instances(book: Book, data: Path, found: Findings) -> None:
    """Each acknowledged instance: in the index once, and in the spool with exactly the bytes that were sent."""
    with closing(ledger(data)) as db:
        rows = {row["sop_instance_uid"]: row for row in db.execute("SELECT * FROM instances")}
    files = objects_by_key(data)
    for instance in book.acknowledged:
        found.instances += 1
        row = rows.get(instance.sop_instance_uid)
        if row is None:
            found.lost_instances.append(f"{instance.sop_instance_uid} is not in the index")
            continue
        path = files.get(row["object_key"])
        if row["kept"] != "present" or path is None:
            found.lost_instances.append(f"{instance.sop_instance_uid} has no file ({row['kept']})")
            continue
        digest = hashlib.sha256(data_set_bytes(path)).hexdigest()
        if digest != instance.sha256 or row["sha256"] != instance.sha256:
            found.damaged_instances.append(instance.sop_instance_uid)
        indexed = (row["patient_id"], row["study_instance_uid"], row["series_instance_uid"])
        if indexed != (instance.patient_id, instance.study_instance_uid, instance.series_instance_uid):
            found.misfiled.append(f"{instance.sop_instance_uid} is indexed as {indexed}")


def _results(
    book: Book,
    objects: Iterable[Dataset],
    made: dict[str, tuple[str, str]],
    ends: dict[str, str],
    found: Findings,
) -> None:
    by_study: dict[str, list[Dataset]] = defaultdict(list)
    for ds in objects:
        if (uid := _filed(ds, book, made, found)) is not None:
            by_study[uid].append(ds)
    for uid, entry in book.entries.items():
        _sets(entry, by_study[uid], made, ends.get(uid, "no job"), found)


def _filed(ds: Dataset, book: Book, made: dict[str, tuple[str, str]], found: Findings) -> str | None:
    """Is this result where it belongs? Returns its study, None when nobody sent that."""
    found.results += 1
    uid = str(ds.StudyInstanceUID)
    entry = book.entries.get(uid)
    if entry is None:
        found.misfiled.append(f"{ds.SOPInstanceUID}: a result for a study that nobody sent")
        return None
    if str(ds.PatientID) != entry.study.patient_id:
        found.misfiled.append(f"{ds.SOPInstanceUID}: patient {ds.PatientID}, not {entry.study.patient_id}")
    sent = {one.sop_instance_uid for one in entry.study.instances}
    ours = {sop for sop, (study, _) in made.items() if study == uid}
    if strangers := referenced(ds) - sent - ours:
        found.misfiled.append(f"{ds.SOPInstanceUID} refers to {sorted(strangers)[:3]} of another study")
    if str(ds.SOPInstanceUID) not in ours:
        found.misfiled.append(f"{ds.SOPInstanceUID}: a result of which the ledger of its study knows nothing")
    return uid


def _sets(entry: Entry, objects: list[Dataset], made: dict[str, tuple[str, str]], end: str, found: Findings) -> None:
    """Exactly one SEG and one SR have the last word, from all images when all were acknowledged."""
    uid = entry.study.study_instance_uid
    sent = frozenset(one.sop_instance_uid for one in entry.study.instances)
    sets: Counter[tuple[str, frozenset[str], str]] = Counter()
    for ds in objects:
        _, state = made.get(str(ds.SOPInstanceUID), ("", "unknown"))
        sets[str(ds.Modality), frozenset(referenced(ds) & sent), state] += 1
    current = {key: count for key, count in sets.items() if key[2] != "superseded"}
    found.superseded_sets += sum(count for key, count in sets.items() if key[2] == "superseded" and key[0] == "SR")
    for kind in ("SEG", "SR"):
        stands = {key: count for key, count in current.items() if key[0] == kind}
        if sum(stands.values()) > 1:
            found.doubled.append(f"{uid}: {sum(stands.values())} {kind} stand as the last word")
        if entry.complete and not any(key[1] == sent for key in stands):
            seen = [f"{len(key[1])} of {len(sent)} images, {key[2]}" for key in sets if key[0] == kind]
            found.lost_results.append(f"{uid}: no {kind} from all images; has {seen}; {end}")
    # What a later revision replaced may stand beside it, but each only once.
    for (kind, evidence, state), count in sets.items():
        if count > 1:
            found.doubled.append(f"{uid}: {count} {state} {kind} of the same {len(evidence)} images")
    found.complete_studies += entry.complete


def referenced(ds: Dataset) -> set[str]:
    """Every Referenced SOP Instance UID at any depth."""
    return {str(element.value) for element in ds.iterall() if element.tag == _REFERENCED_SOP_INSTANCE_UID}
