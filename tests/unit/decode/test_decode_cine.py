"""Time between frames: which attribute says it, and what is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import write
from tests.picture_builders import an_angiogram, an_ultrasound
from tests.unit.decode.reading import volume_of
from worker.decode.dataset.cine import frame_time_of


def timed(frames: int = 4, **attributes: object) -> tuple[float | None, tuple[str, ...]]:
    texts = {
        name: tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)
        for name, value in attributes.items()
    }
    return frame_time_of(texts, frames=frames)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"FrameTime": "33.333"}, 33.333),
        ({"FrameTime": 40, "CineRate": 30, "FrameTimeVector": [0, 50, 50, 50]}, 40.0),
        ({"FrameTimeVector": [0, 50, 50, 50], "CineRate": 30}, 50.0),
        ({"FrameTimeVector": [0, 49, 50, 51]}, 50.0),
        ({"CineRate": 25}, 40.0),
        ({}, None),
    ],
)
def test_sources(attributes: dict[str, object], expected: float | None) -> None:
    time, notes = timed(**attributes)
    assert time == (None if expected is None else pytest.approx(expected))
    assert notes == (("the time between frames is that of the cine rate",) if attributes == {"CineRate": 25} else ())


def test_uneven_frames_are_said() -> None:
    time, notes = timed(FrameTimeVector=[0, 20, 40, 60])
    assert time == pytest.approx(40.0)
    assert notes == ("frames are 20 to 60 ms apart: their mean stands for all",)


@pytest.mark.parametrize("value", [0, -33, "nan", "inf", "fast"])
def test_a_time_that_is_none_is_not_used_and_said(value: object) -> None:
    time, notes = timed(FrameTime=value, CineRate=20)
    assert time == pytest.approx(50.0)
    assert notes[0] == "FrameTime is not a positive number and was not used"


@pytest.mark.parametrize(
    "value", [[0, 10], [0, 10, 10, 10, 10], [0, 0, 0, 0], [0, -10, 30, 10], [0, "nan", 10, 10], [7]], ids=str
)
def test_a_vector_that_lies_is_not_used_and_said(value: list[object]) -> None:
    time, notes = timed(FrameTimeVector=value)
    assert time is None
    assert notes == ("FrameTimeVector is not 4 increments of time and was not used",)


@pytest.mark.parametrize("value", [0, -5, "nan"])
def test_a_rate_that_is_none(value: object) -> None:
    assert timed(CineRate=value) == (None, ("CineRate is not a positive number and was not used",))


def test_one_frame_has_no_time() -> None:
    assert timed(frames=1, FrameTime=40) == (None, ())


def test_vector_in_a_file(tmp_path: Path) -> None:
    ds = an_angiogram(
        frames=4,
        frame_time_ms=None,
        attributes={"FrameTimeVector": ["0", "80", "80", "80"], "FrameIncrementPointer": 0x00181065},
    )
    assert volume_of([write(ds, tmp_path / "a.dcm")]).frame_time_ms == pytest.approx(80.0)


def test_rate_in_a_file(tmp_path: Path) -> None:
    volume = volume_of(
        [write(an_ultrasound(frames=3, frame_time_ms=None, attributes={"CineRate": 50}), tmp_path / "a.dcm")]
    )
    assert volume.frame_time_ms == pytest.approx(20.0)
    assert "the time between frames is that of the cine rate" in volume.notes
