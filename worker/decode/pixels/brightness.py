"""Frames as a display would show them: grey that grows with brightness, and colours by their luminance.

For images whose values have no meaning of their own: projection X-ray, ultrasound, photographs. No VOI LUT is applied:
models window for themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.decode.pixels.encapsulation import require_pixels
from worker.decode.pixels.open_pixels import OpenPixels
from worker.decode.pixels.palette import WEIGHTS, palette_of
from worker.decode.pixels.pixel_format import PALETTE, colour_format_of, is_colour
from worker.decode.pixels.pixels import InstancePixels, Polarity, stored_values
from worker.decode.pixels.stored_values import require_decodable
from worker.headers.attributes import Attributes
from worker.headers.parsing import ParsedInstance

WHITE = 255.0
"""Luminance of white, whatever the bits of a sample."""


class ColourPixels(OpenPixels):
    """The luminance of the frames of one parsed colour instance.

    Parameters
    ----------
    parsed:
        The instance.
    attributes:
        Its attributes, of ``attributes_of``.

    Raises
    ------
    PixelDataError
        At once, when the pixel data does not hold what the header says.
    """

    def __init__(self, parsed: ParsedInstance, attributes: Attributes) -> None:
        require_pixels(parsed)
        format_ = colour_format_of(attributes, name=parsed.name)
        require_decodable(parsed)
        self._palette = palette_of(parsed, signed=format_.signed) if format_.photometric == PALETTE else None
        super().__init__(parsed, format_)
        self._notes[
            f"the images are in colour ({format_.photometric}): their luminance (ITU-R BT.601) was taken, from 0 "
            "(black) to 255 (white)"
        ] = None
        if self._palette is not None and self._palette.remark:
            self._notes[self._palette.remark] = None

    def frame(self, index: int) -> NDArray[np.float32]:
        """Luminance of one frame (from 0): shape (row, column), float32, 0 to 255."""
        words = self._words(index)
        stored = stored_values(words, self.format, name=self._name)
        if self._palette is not None:
            return self._palette.apply(stored)
        bits = min(self.format.bits_stored, words.bits)
        return luminance_of(stored, is_ybr=words.is_ybr, bits=bits)


def luminance_of(samples: NDArray[np.integer], *, is_ybr: bool, bits: int) -> NDArray[np.float32]:
    """Luminance from 0 to 255 of samples (row, column, sample) with this many bits.

    Of YBR it is the first sample, or the samples themselves where they come without chrominance.
    """
    scale = WHITE / ((1 << bits) - 1)
    if is_ybr:
        luminance: NDArray[np.float32] = (samples if samples.ndim == 2 else samples[..., 0]).astype(np.float32)
        luminance *= np.float32(scale)
        return luminance
    total = np.zeros(samples.shape[:2], dtype=np.float32)
    for sample, weight in enumerate(WEIGHTS):
        total += np.multiply(samples[..., sample], np.float32(weight * scale), dtype=np.float32)
    return total


def open_brightness(parsed: ParsedInstance, attributes: Attributes) -> OpenPixels:
    """Open an instance whose values should grow with the brightness that a display shows."""
    if is_colour(attributes):
        return ColourPixels(parsed, attributes)
    return InstancePixels(parsed, attributes, polarity=Polarity.AS_DISPLAYED)
