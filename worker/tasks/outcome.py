"""What a task came to, in Celery's words: its state there is what Flower shows, and nobody runs it again for that.

A task is one attempt. SUCCESS: it did what it was there for (``no-model-applies`` is a decision, not a failure).
FAILURE: its job or delivery is set aside, and waits for a person. RETRY: the attempt failed or was handed back, and the
ledger will have another one published. A message that found nothing to do was no work, and is ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery.exceptions import Ignore, Retry

from worker.domain.errors import OverreadError, ShutdownError
from worker.domain.job import JobState
from worker.domain.result import DeliveryState

log = logging.getLogger(__name__)

_SET_ASIDE = frozenset({JobState.QUARANTINED, JobState.FAILED, DeliveryState.PARKED})
_AGAIN = frozenset({JobState.READY, JobState.WAITING, DeliveryState.PENDING})


class WorkFailedError(Exception):
    """What Flower shows of a task that failed: states and codes, nothing from a data set."""


def concluded(work: Callable[[], JobState | DeliveryState | None]) -> str:
    """Do the work of a task. Returns its outcome; raises what makes Celery record the task as its work ended.

    Raises
    ------
    WorkFailedError
        FAILURE: the work is set aside, or ended as it should not.
    Retry
        It is published again.
    Ignore
        There was nothing to do.
    """
    try:
        state = work()
    except ShutdownError:
        raise Retry(exc=WorkFailedError("handed back: the worker was asked to stop")) from None
    except OverreadError as error:
        log.warning("task-failed", extra={"code": error.code})
        raise WorkFailedError(error.code) from None
    except Exception as error:
        log.exception("task-defect")
        raise WorkFailedError(type(error).__name__) from None  # its text may quote a data set
    if state is None:
        raise Ignore
    if state in _SET_ASIDE:
        raise WorkFailedError(f"{state.value}: `overread jobs` says why")
    if state in _AGAIN:
        raise Retry(exc=WorkFailedError(f"{state.value}: it is tried again; `overread jobs` says why"))
    return state.value
