"""One attempt at a claimed job: heartbeat, stage times, and the right end for each way of failing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from worker.domain.errors import (
    ConfigurationError,
    LeaseLostError,
    ModelUnusableError,
    OverreadError,
    ShutdownError,
    TransientError,
)
from worker.domain.job import HANDED_BACK, Claim, JobState, StageTime
from worker.pipeline.backoff import Backoff
from worker.pipeline.ports import Jobs

log = logging.getLogger(__name__)

WAIT_FOR_MODEL_S = 1800.0
"""After this long, work that waits for a model is tried again though no package has changed: a provider may be back."""


class Stopwatch:
    """Collects how long the stages of an attempt take.

    ``on_begin`` is told the name of each stage before it runs: what a process that dies in it leaves behind.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, on_begin: Callable[[str], None] | None = None
    ) -> None:
        self._clock = clock
        self._on_begin = on_begin
        self._stages: list[StageTime] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block under this name, also when it fails."""
        if self._on_begin is not None:
            self._on_begin(name)
        began = self._clock()
        try:
            yield
        finally:
            self.add(name, self._clock() - began)

    def add(self, name: str, seconds: float) -> None:
        """Add a stage that was timed elsewhere."""
        self._stages.append(StageTime(name, seconds))

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """Stages in the order in which they ended."""
        return tuple(self._stages)


class Held(Protocol):
    """What a claim on a job and a claim on a delivery have in common."""

    @property
    def attempt(self) -> int:
        """Number of the attempt that holds the claim, from 1."""

    @property
    def worker(self) -> str:
        """Name of the process that holds it."""


C = TypeVar("C", bound=Held)
C_contra = TypeVar("C_contra", bound=Held, contravariant=True)


class Extendable(Protocol[C_contra]):
    """What a heartbeat renews: leases of ``Jobs`` and of ``Outbox``."""

    def extend(self, claim: C_contra, /) -> None:
        """Heartbeat. Raises LeaseLostError when another attempt holds it."""


def never() -> bool:
    """For a process that nobody asks to stop."""
    return False


class Heartbeat(Generic[C]):
    """Extends the lease from a thread while the attempt runs, so that a long inference keeps its job.

    After ``deadline_s`` it stops: an attempt that hangs in native code must not hold its job for ever. ``on_deadline``
    is called then, in the thread of the heartbeat. ``stopping`` tells whether this process was asked to stop.
    """

    def __init__(
        self,
        held: Extendable[C],
        claim: C,
        *,
        every_s: float,
        deadline_s: float,
        on_deadline: Callable[[], object] = lambda: None,
        stopping: Callable[[], bool] = never,
    ) -> None:
        self._on_deadline = on_deadline
        self._stopping = stopping
        self._held = held
        self._claim = claim
        self._every_s = every_s
        self._ends = time.monotonic() + deadline_s
        self._ids = {"worker": claim.worker, "attempt": claim.attempt}
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def ensure_held(self) -> None:
        """Before a result is kept: raise what says that it must not be.

        LeaseLostError when a heartbeat found that another attempt holds the job. ShutdownError when this process was
        asked to stop: the work was interrupted somewhere, and code that handles every exception may have gone on.
        """
        if self._stopping():
            raise ShutdownError
        if self._lost.is_set():
            raise LeaseLostError("The lease was lost while the job ran.", code="lease-lost")

    def _beat(self) -> None:
        while not self._stop.wait(min(self._every_s, max(0.0, self._ends - time.monotonic()))):
            if time.monotonic() >= self._ends:
                log.warning("heartbeat-deadline", extra=self._ids)
                self._on_deadline()
                return
            try:
                self._held.extend(self._claim)
            except LeaseLostError:
                self._lost.set()
                return
            except OverreadError as error:
                self._missed(error.code)
            except Exception as error:  # noqa: BLE001 - a thread that ended here would cost the lease of a job that runs
                self._missed(type(error).__name__)  # its text may quote a data set

    def _missed(self, code: str) -> None:
        """The attempt goes on, and so does the heartbeat: the end will show whether the lease outlived that."""
        log.warning("heartbeat-missed", extra={**self._ids, "code": code})


@dataclass(frozen=True, slots=True)
class AttemptPolicy:
    """How an attempt is kept and ended: its heartbeat, its deadline, and the pause before the next one.

    ``stopping`` tells whether this process was asked to stop.
    """

    backoff: Backoff = field(default_factory=Backoff)
    heartbeat_s: float = 15.0
    deadline_s: float = 3600.0
    stopping: Callable[[], bool] = never


def carry_out(
    jobs: Jobs, claim: Claim, work: Callable[[Heartbeat[Claim]], JobState], policy: AttemptPolicy
) -> JobState | None:
    """Do the work of a claimed job under its heartbeat, and bring the attempt to the end that its outcome asks for.

    ``work`` ends the attempt itself when it succeeds, and returns the state. Returns the state in which the attempt
    ended, or None when the lease was lost. An attempt that is not done at the deadline has failed (``time-limit``),
    whatever it brings later. What fails after this process was asked to stop failed because of that, and is handed
    back: raises ShutdownError.
    """

    def give_up() -> None:
        late = TransientError(f"The attempt ran longer than {policy.deadline_s:g} s.", code="time-limit")
        with suppress(OverreadError):  # the database is away: then the end of the lease says it
            settle_failure(jobs, claim, late, policy.backoff)

    try:
        with Heartbeat(
            jobs,
            claim,
            every_s=policy.heartbeat_s,
            deadline_s=policy.deadline_s,
            on_deadline=give_up,
            stopping=policy.stopping,
        ) as heartbeat:
            return work(heartbeat)
    except (KeyboardInterrupt, SystemExit, ShutdownError):
        hand_back(jobs, claim)
        raise
    except Exception as error:
        if policy.stopping() and not isinstance(error, LeaseLostError):
            hand_back(jobs, claim)
            raise ShutdownError from error
        return settle_failure(jobs, claim, error, policy.backoff)


def settle_failure(jobs: Jobs, claim: Claim, error: Exception, backoff: Backoff) -> JobState | None:
    """End an attempt that raised ``error`` in the state that the kind of error asks for.

    Returns the state, or None when the lease was lost and there is nothing of ours to end.
    """
    ids = {"job_id": claim.job.job_id, "attempt": claim.attempt}
    state: JobState
    retry: float | None = None
    pause_s = backoff.delay_s(claim.failures + 1)
    match error:
        case LeaseLostError():
            log.warning("attempt-superseded", extra=ids)
            return None
        case TransientError():
            state, reason, retry = JobState.READY, _sentence(error), pause_s
        case ModelUnusableError():
            # Nobody knows when it is mended. The sweeper looks at the packages, and after this long it tries anyway.
            state, reason, retry = JobState.WAITING, _sentence(error), WAIT_FOR_MODEL_S
            log.warning("model-unusable", extra={**ids, "model": str(claim.job.model or ""), "code": error.code})
        case ConfigurationError():
            state, reason = JobState.FAILED, _sentence(error)
        case OverreadError():
            state, reason = JobState.QUARANTINED, _sentence(error)
        case MemoryError():
            # Another attempt may find more memory free; the attempt limit ends it when it never does.
            reason = "out-of-memory: the attempt ran out of memory."
            state, retry = JobState.READY, pause_s
        case _:
            # A bug of ours. Its text may quote the data set, so only its type goes into the ledger and the log.
            reason = f"unexpected-error: {type(error).__name__}. This is a defect: report it with the job's timeline."
            state, retry = JobState.READY, pause_s
            log.error("attempt-defect", extra={**ids, "error": type(error).__name__, "where": _where(error)})
    try:
        jobs.settle(claim, state, reason=reason, retry_in_s=retry)
    except LeaseLostError:
        log.warning("attempt-superseded", extra=ids)
        return None
    log.info("attempt-failed", extra={**ids, "state": state.value, "reason": reason})
    return state


def hand_back(jobs: Jobs, claim: Claim) -> None:
    """Give a job back because the process is asked to stop: it is due again at once, for another worker."""
    ids = {"job_id": claim.job.job_id, "attempt": claim.attempt}
    try:
        jobs.settle(claim, JobState.READY, reason=HANDED_BACK, retry_in_s=0.0)
    except OverreadError as error:  # whoever stops us, or the end of the lease, takes it back
        log.warning("attempt-not-handed-back", extra={**ids, "code": error.code})
    else:
        log.info("attempt-handed-back", extra=ids)


def _sentence(error: OverreadError) -> str:
    return f"{error.code}: {error}"


def _where(error: Exception) -> str:
    """File and line where the error was raised: code positions only, never values."""
    trace = error.__traceback__
    places: list[str] = []
    while trace is not None:
        frame = trace.tb_frame
        places.append(f"{frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-6:])
