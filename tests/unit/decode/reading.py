"""Short ways from files to what the decode room makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.builders import stored_instances
from worker.decode.pixels.pixels import DecodedFrames, PixelReader
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.study import SeriesSummary
from worker.domain.volume import Volume


def series_of(paths: Iterable[Path]) -> SeriesSummary:
    """The one series that the files make."""
    reader = HeaderReader()
    (series,) = reader.series(reader.headers(stored_instances(tuple(paths))))
    return series


def volume_of(paths: Iterable[Path], **arguments: int) -> Volume:
    """The volume that the files make."""
    return VolumeReader(**arguments).volume(series_of(paths))


def frames_of(path: Path, **arguments: int) -> DecodedFrames:
    """The pixels of one file."""
    return PixelReader(**arguments).frames(stored_instances((path,))[0])
