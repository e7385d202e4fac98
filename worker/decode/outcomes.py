"""The named outcomes of reading: what a series or an instance can be refused for.

``OUTCOMES`` is the list for documentation and tests; every error of this room carries one of its codes.
"""

from __future__ import annotations

from worker.domain.errors import NotApplicableError, PermanentError
from worker.headers.errors import UNREADABLE

OUTCOMES: dict[str, str] = {
    # bytes
    **UNREADABLE,
    # pixels
    "no-pixel-data": "The instance has no pixel data (a report, a presentation state, ...).",
    "truncated-pixel-data": "Fewer pixels than Rows x Columns x Number of Frames.",
    "pixel-length-mismatch": "More pixels than Rows x Columns x Number of Frames.",
    "unsupported-transfer-syntax": "The encoding is not one that is decoded here (video, JPIP, ...).",
    "unsupported-pixel-format": "Bits, samples or pixel data element that are not decoded here.",
    "colour-image": "RGB, YBR or palette colour where one grey value per pixel was expected.",
    "codestream-mismatch": "The compressed image and the header disagree on size, bits or components.",
    "decoder-failed": "The decoder rejects the compressed image.",
    "bad-modality-lut": "Rescale or Modality LUT cannot be applied.",
    "bad-palette": "The palette of a colour image cannot be applied.",
    "memory-budget-exceeded": "The pixels would need more memory than this process may use.",
    # volumes
    "no-images": "The series has no image.",
    "no-geometry": "Position, orientation, pixel spacing or (for one plane) thickness is missing.",
    "bad-geometry": "Position, orientation or spacing cannot be true; a mosaic of slices.",
    "mixed-orientations": "The planes of the series point in different directions.",
    "mixed-matrix": "The planes have different numbers of rows or columns.",
    "mixed-pixel-spacing": "The planes have different pixel spacings.",
    "mixed-modalities": "The series holds images of several modalities.",
    "no-frame-of-reference": "The planes do not say in which coordinate system they live.",
    "several-frames-of-reference": "The planes live in different coordinate systems.",
    "several-acquisitions": "Several images per position, or planes between one another (times, echoes, kernels, ...).",
    "duplicate-positions": "Several different images at the same position, and nothing tells them apart.",
    "missing-slices": "Planes are missing between others.",
    "varying-spacing": "The distance of neighbouring planes varies.",
    "irregular-positions": "Planes are shifted sideways irregularly.",
    "gantry-tilt-too-large": "Planes are shifted sideways more than any gantry tilts.",
    "several-images": "Projections or ultrasound images of different sizes, or several runs of frames.",
    "no-hounsfield-units": "A CT image has no rescale: its values are not Hounsfield units.",
}


class PixelDataError(PermanentError):
    """An instance can be parsed, and its pixels cannot be decoded. ``code`` is of the second group."""


class MemoryBudgetError(PermanentError):
    """Decoding would need more memory than allowed (code ``memory-budget-exceeded``)."""

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step, code="memory-budget-exceeded")


class VolumeError(NotApplicableError):
    """A series cannot be stacked to a volume. ``code`` is of the third group of ``OUTCOMES``."""
