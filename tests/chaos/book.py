"""What the senders saw: the only truth that the system is measured against (the method of Jepsen)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.studies import Instance, Study


@dataclass
class Entry:
    """One study, and what of it was acknowledged."""

    study: Study
    acknowledged: dict[str, float] = field(default_factory=dict)
    """SOP Instance UID to the moment (monotonic) of its first 0x0000."""

    @property
    def complete(self) -> bool:
        return len(self.acknowledged) == len(self.study.instances)


class Book:
    """Thread-safe record of a run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        self.answers: Counter[str] = Counter()
        self.repeats = 0
        self.last_acknowledged_at = time.monotonic()
        self.longest_silence_s = 0.0
        """Longest time in which senders wanted to send and nothing at all was acknowledged."""

    def plan(self, studies: Iterable[Study]) -> None:
        with self._lock:
            for study in studies:
                self.entries[study.study_instance_uid] = Entry(study)

    def answered(self, what: str) -> None:
        with self._lock:
            self.answers[what] += 1

    def acknowledge(self, instance: Instance) -> None:
        now = time.monotonic()
        with self._lock:
            known = self.entries[instance.study_instance_uid].acknowledged
            if instance.sop_instance_uid in known:
                self.repeats += 1
            known.setdefault(instance.sop_instance_uid, now)
            self.longest_silence_s = max(self.longest_silence_s, now - self.last_acknowledged_at)
            self.last_acknowledged_at = now

    def begin_sending(self) -> None:
        """Senders were idle until now: that was no silence."""
        with self._lock:
            self.last_acknowledged_at = time.monotonic()

    @property
    def acknowledged(self) -> list[Instance]:
        with self._lock:
            return [
                instance
                for entry in self.entries.values()
                for instance in entry.study.instances
                if instance.sop_instance_uid in entry.acknowledged
            ]

    @property
    def complete(self) -> list[Entry]:
        with self._lock:
            return [entry for entry in self.entries.values() if entry.complete]
