"""Time between the frames of a cine run (PS3.3 C.7.6.5)."""

from __future__ import annotations

from collections.abc import Mapping

from worker.headers.attributes import floats

EVEN = 0.1
"""Increments within this part of their mean are even."""


def frame_time_of(attributes: Mapping[str, tuple[str, ...]], *, frames: int) -> tuple[float | None, tuple[str, ...]]:
    """Milliseconds from frame to frame, and what was noticed; None for one frame, and where no attribute says it.

    In this order: Frame Time, the mean of Frame Time Vector, Cine Rate.
    """
    if frames < 2:
        return None, ()
    notes: list[str] = []
    time = _positive(attributes, "FrameTime", notes)
    if time is not None:
        return time, tuple(notes)
    mean = _mean_of_vector(attributes, frames, notes)
    if mean is not None:
        return mean, tuple(notes)
    rate = _positive(attributes, "CineRate", notes)
    if rate is not None:
        notes.append("the time between frames is that of the cine rate")
        return 1000.0 / rate, tuple(notes)
    return None, tuple(notes)


def _positive(attributes: Mapping[str, tuple[str, ...]], keyword: str, notes: list[str]) -> float | None:
    if keyword not in attributes:
        return None
    values = floats(attributes, keyword)
    if values and values[0] > 0:
        return values[0]
    notes.append(f"{keyword} is not a positive number and was not used")
    return None


def _mean_of_vector(attributes: Mapping[str, tuple[str, ...]], frames: int, notes: list[str]) -> float | None:
    """One increment per frame, of which the first is 0 and tells nothing."""
    if "FrameTimeVector" not in attributes:
        return None
    values = floats(attributes, "FrameTimeVector")
    increments = values[1:] if values is not None else ()
    if values is None or len(values) != frames or min(increments) < 0 or sum(increments) <= 0:
        notes.append(f"FrameTimeVector is not {frames} increments of time and was not used")
        return None
    mean = sum(increments) / len(increments)
    low, high = min(increments), max(increments)
    if high - low > EVEN * mean:
        notes.append(f"frames are {low:.4g} to {high:.4g} ms apart: their mean stands for all")
    return mean
