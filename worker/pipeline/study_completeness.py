"""When is a study complete? Evidence, never proof, weighed by a pure function that is told the time.

The standard gives neither the end of an association nor the order of instances a meaning (PS3.4 B.4), and no sender
says that a study is complete. So this is a policy: the study is ready when it has been quiet for long enough, where
"long enough" is short once every association that brought instances has been released, grows with the pace at which
they came, and is bounded; and after a maximum wait it is ready whatever happens. An instance that comes later opens
the study again as a new revision, so a wrong guess costs time, never correctness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.routing import Timing
from worker.domain.work import StudyActivity


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether the study is taken as complete, the evidence for it, and the quiet that was asked for in seconds."""

    ready: bool
    reason: str
    needed_quiet_s: float


def judge(activity: StudyActivity, timing: Timing) -> Completeness:
    """Weigh the evidence that a study is complete."""
    quiet_s = max(0.0, (activity.now - activity.last_received_at).total_seconds())
    waited_s = (activity.now - activity.first_received_at).total_seconds()
    released = activity.open_associations == 0
    base_s = timing.quiet_after_release_s if released else timing.quiet_s
    # The longest pause seen so far tells the pace of this sender; a slow modality sends an image in many seconds.
    needed_s = max(base_s, min(timing.gap_factor * activity.largest_gap_s, timing.longest_quiet_s))
    if quiet_s >= needed_s:
        evidence = "all associations released" if released else f"{activity.open_associations} association(s) open"
        reason = f"quiet for {quiet_s:.1f} s of {needed_s:.1f} s needed, {evidence}"
        return Completeness(
            ready=True, reason=f"{activity.instance_count} instances, {reason}", needed_quiet_s=needed_s
        )
    if waited_s >= timing.maximum_wait_s:
        reason = f"{activity.instance_count} instances, maximum wait of {timing.maximum_wait_s:.0f} s reached"
        return Completeness(ready=True, reason=reason, needed_quiet_s=needed_s)
    return Completeness(ready=False, reason=f"waiting for {needed_s - quiet_s:.1f} s of quiet", needed_quiet_s=needed_s)


def most_patient(timings: Sequence[Timing]) -> Timing:
    """Combine the timings of all rules that may apply: the longest wait wins, so that no rule sees half a study."""
    return Timing(
        quiet_after_release_s=max(t.quiet_after_release_s for t in timings),
        quiet_s=max(t.quiet_s for t in timings),
        gap_factor=max(t.gap_factor for t in timings),
        longest_quiet_s=max(t.longest_quiet_s for t in timings),
        maximum_wait_s=max(t.maximum_wait_s for t in timings),
    )
