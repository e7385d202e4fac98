"""What the sweeper's process does beside sweeping: each task has a thread, so that a slow one delays no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from worker.settings import Settings
from worker.wiring import commitment, retention

ASK_EVERY_S = 2.0
EXPIRE_EVERY_S = 10.0
CLEAN_EVERY_S = 600.0


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """Something to do again and again. ``step`` must be safe in many processes at once."""

    name: str
    step: Callable[[], object]
    every_s: float


def background_tasks(settings: Settings) -> tuple[BackgroundTask, ...]:
    """Those of this installation. One for each destination and requester: a dead one blocks only itself."""
    confirm = commitment.confirming(settings)
    # Always: jobs may still wait for a destination that confirmed until the configuration was changed.
    found = [BackgroundTask("commitments", confirm.expire, EXPIRE_EVERY_S)]
    found += [
        BackgroundTask(f"confirm-{one.name}", partial(confirm.confirm, one.name), ASK_EVERY_S)
        for one in settings.destinations
        if one.to_domain().confirms
    ]
    if settings.listener.offer_storage_commitment:
        reports = commitment.reporting(settings)
        found += [
            BackgroundTask(f"promise-{one.ae_title}", partial(reports.report, one.ae_title), ASK_EVERY_S)
            for one in settings.listener.commitment_requesters
        ]
    found.append(BackgroundTask("retention", partial(retention.clean, settings), CLEAN_EVERY_S))
    return tuple(found)
