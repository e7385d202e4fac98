"""What Celery records of a task is what its work came to."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import Ignore, Retry

from worker.domain.errors import ShutdownError, TransientError
from worker.domain.job import JobState
from worker.domain.result import DeliveryState
from worker.tasks.outcome import WorkFailedError, concluded


@pytest.mark.parametrize("state", [JobState.ROUTED, JobState.PRODUCED, JobState.NO_MODEL_APPLIES, DeliveryState.SENT])
def test_what_is_done_is_a_success(state: Any) -> None:
    assert concluded(lambda: state) == state.value


@pytest.mark.parametrize("state", [JobState.QUARANTINED, JobState.FAILED, DeliveryState.PARKED])
def test_what_is_set_aside_is_a_failure(state: Any) -> None:
    with pytest.raises(WorkFailedError, match=state.value):
        concluded(lambda: state)


@pytest.mark.parametrize("state", [JobState.READY, JobState.WAITING, DeliveryState.PENDING])
def test_what_is_tried_again_is_a_retry_and_celery_sends_nothing(state: Any) -> None:
    with pytest.raises(Retry) as caught:
        concluded(lambda: state)
    assert state.value in str(caught.value.exc)


def test_a_ring_that_found_nothing_is_no_work() -> None:
    with pytest.raises(Ignore):
        concluded(lambda: None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TransientError("The database is away.", code="database-unavailable"), "database-unavailable"),
        (KeyError("Doe^Jane"), "KeyError"),
    ],
)
def test_what_ends_as_it_should_not_is_a_failure_without_its_words(error: Exception, said: str) -> None:
    def work() -> None:
        raise error

    with pytest.raises(WorkFailedError) as caught:
        concluded(work)
    assert str(caught.value) == said
    assert caught.value.__cause__ is None


def test_what_was_handed_back_is_a_retry() -> None:
    def work() -> None:
        raise ShutdownError

    with pytest.raises(Retry) as caught:
        concluded(work)
    assert "handed back" in str(caught.value.exc)
