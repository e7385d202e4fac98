"""What the listener needs from whoever keeps the instances (the store, or an honest fake of it)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from worker.domain.study import Admission, OfferedInstance, RefusedInstance


class InstanceStore(Protocol):
    """Durable custody of instances. Called from many association threads at once."""

    @property
    def temporary_folder(self) -> Path:
        """Folder for files that are still arriving, on the file system of the spool."""

    def check_space(self, size_bytes: int) -> None:
        """Raise OutOfSpaceError when ``size_bytes`` more would go below the reserve (0: when it is reached now).

        May raise StoreUnavailableError: nothing can be promised now (a failed fsync, a lost database).
        """

    def admit(self, offered: OfferedInstance) -> Admission:
        """Block until file, directory entry and index row are durable, and say what was done with the instance.

        Takes ``offered.temporary`` away (or leaves it: the listener removes what is left). Raises OutOfSpaceError or
        StoreUnavailableError; then nothing was acknowledged and nothing half-written is left under a final name.
        """

    def refuse(self, refused: RefusedInstance) -> None:
        """Keep what was refused, with the reason, for people to look at. Never raises."""

    def association_opened(self, association_id: str, calling_ae_title: str) -> None:
        """An association is about to bring its first instance."""

    def association_released(self, association_id: str) -> None:
        """That association ended: released, aborted or lost. Called exactly once for each that was opened."""
