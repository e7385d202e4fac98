"""An instance whose frames are decoded one by one, whatever becomes of their values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from worker.decode.pixels.codecs import Words
from worker.decode.pixels.pixel_format import PixelFormat
from worker.decode.pixels.stored_values import StoredFrames
from worker.headers.parsing import ParsedInstance


class OpenPixels(ABC):
    """Random access to the frames of one parsed instance; a context manager that holds its file open."""

    def __init__(self, parsed: ParsedInstance, format_: PixelFormat) -> None:
        self.format = format_
        self._name = parsed.name
        self._frames = StoredFrames(parsed, format_)
        self._notes: dict[str, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._frames.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noticed in the pixel data, and in the frames that have been decoded so far."""
        return (*self._notes, *filter(None, [self._frames.remark]))

    @abstractmethod
    def frame(self, index: int) -> NDArray[np.float32]:
        """Values of one frame (from 0): shape (row, column), float32."""

    def _words(self, index: int) -> Words:
        words = self._frames.words(index)
        if words.remark:
            self._notes[words.remark] = None
        return words
