"""One queue for each kind of work, so that none waits behind another: a dead PACS must not hold up inference."""

from __future__ import annotations

from enum import StrEnum

from worker.domain.job import JobKind


class Lane(StrEnum):
    """A queue, and the kind of work in it."""

    ROUTE = "route"
    ANALYSE = "analyse"
    DELIVER = "deliver"

    @property
    def queue(self) -> str:
        """Name of the queue at the broker."""
        return f"overread.{self.value}"

    @property
    def task(self) -> str:
        """Name under which the task is registered."""
        return f"overread.{self.value}"


def lane_of(kind: JobKind) -> Lane:
    """The lane of a job."""
    match kind:
        case JobKind.ROUTE:
            return Lane.ROUTE
        case JobKind.ANALYSE:
            return Lane.ANALYSE
